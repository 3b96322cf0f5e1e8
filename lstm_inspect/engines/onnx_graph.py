"""The graph of a cell in ONNX: its equations, once more, as the body of a `Scan`.

Everything happens inside of that body, the products with the kernel too: the projection of all
timesteps would be written to memory and read again, which costs more than it saves.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import GRU, LSTM, PEEPHOLE_LSTM, SIMPLE_RNN, Cell


class GraphForm(NamedTuple):
    """What a graph of a cell has.

    Attributes:
        masked: Whether it reads a mask.
        signals: The states and gates that it gives at every timestep.
    """

    masked: bool
    signals: tuple[str, ...]


class _Equations(NamedTuple):
    """The equations of a cell in ONNX's textual syntax; the classes in ``cells/`` explain them.

    Attributes:
        step: Computes the kind's states and gates, under their names, from ``x_t``, the weights and
            ``h_prev``, which stands for h_{t-1}.
        blocks: Parts of the weights that the step names. onnxruntime computes them once.
    """

    step: str
    blocks: str = ""


_LSTM = _Equations("""
    zx = Gemm(x_t, kernel, bias)
    zs = Gemm(h_prev, recurrent_kernel, zx)
    zi, zf, zg, zo = Split <axis = 1, num_outputs = 4> (zs)
    i = cell.recurrent_activation(zi)
    f = cell.recurrent_activation(zf)
    g = cell.activation(zg)
    o = cell.recurrent_activation(zo)
    kept = Mul(f, c_prev)
    added = Mul(i, g)
    c = Add(kept, added)
    activated = cell.activation(c)
    h = Mul(activated, o)
""")
_PEEPHOLE_LSTM = _Equations(
    """
    zx = Gemm(x_t, kernel, bias)
    zs = Gemm(h_prev, recurrent_kernel, zx)
    zi, zf, zg, zo = Split <axis = 1, num_outputs = 4> (zs)
    seen_i = Mul(c_prev, peephole_i)
    seen_f = Mul(c_prev, peephole_f)
    all_i = Add(zi, seen_i)
    all_f = Add(zf, seen_f)
    i = cell.recurrent_activation(all_i)
    f = cell.recurrent_activation(all_f)
    g = cell.activation(zg)
    kept = Mul(f, c_prev)
    added = Mul(i, g)
    c = Add(kept, added)
    seen_o = Mul(c, peephole_o)
    all_o = Add(zo, seen_o)
    o = cell.recurrent_activation(all_o)
    activated = cell.activation(c)
    h = Mul(activated, o)
    """,
    blocks="""
    peephole_i, peephole_f, peephole_o = Split <axis = 0, num_outputs = 3> (peepholes)
    """,
)
_GRU_RESET_AFTER = _Equations("""
    xs = Gemm(x_t, kernel, bias)
    hs = Gemm(h_prev, recurrent_kernel, recurrent_bias)
    xz, xr, xn = Split <axis = 1, num_outputs = 3> (xs)
    hz, hr, hn = Split <axis = 1, num_outputs = 3> (hs)
    zz = Add(xz, hz)
    zr = Add(xr, hr)
    z = cell.recurrent_activation(zz)
    r = cell.recurrent_activation(zr)
    reset = Mul(r, hn)
    zn = Add(xn, reset)
    n = cell.activation(zn)
    apart = Sub(h_prev, n)
    kept = Mul(z, apart)
    h = Add(kept, n)
""")
_GRU_RESET_BEFORE = _Equations(
    """
    xs = Gemm(x_t, kernel, bias)
    xz, xr, xn = Split <axis = 1, num_outputs = 3> (xs)
    zz = Gemm(h_prev, recurrent_kernel_z, xz)
    zr = Gemm(h_prev, recurrent_kernel_r, xr)
    z = cell.recurrent_activation(zz)
    r = cell.recurrent_activation(zr)
    reset = Mul(r, h_prev)
    zn = Gemm(reset, recurrent_kernel_n, xn)
    n = cell.activation(zn)
    apart = Sub(h_prev, n)
    kept = Mul(z, apart)
    h = Add(kept, n)
    """,
    blocks="""
    recurrent_kernel_z, recurrent_kernel_r, recurrent_kernel_n
        = Split <axis = 1, num_outputs = 3> (recurrent_kernel)
    """,
)
_SIMPLE_RNN = _Equations("""
    zx = Gemm(x_t, kernel, bias)
    zs = Gemm(h_prev, recurrent_kernel, zx)
    h = cell.activation(zs)
""")

_EQUATIONS = {LSTM: _LSTM, PEEPHOLE_LSTM: _PEEPHOLE_LSTM, SIMPLE_RNN: _SIMPLE_RNN}

# What is not here is left to NumPy. Shrink would be soft_shrink too, but it makes 0 of NaN.
_IN_ANY_FLOAT = {
    "exponential": "y = Exp(z)",
    "linear": "y = Identity(z)",
    "log_softmax": "y = LogSoftmax <axis = -1> (z)",
    "relu": "y = Relu(z)",
    "sigmoid": "y = Sigmoid(z)",
    "silu": "s = Sigmoid(z) y = Mul(z, s)",
    "softmax": "y = Softmax <axis = -1> (z)",
    "swish": "s = Sigmoid(z) y = Mul(z, s)",
    "tanh": "y = Tanh(z)",
    "tanh_shrink": "t = Tanh(z) y = Sub(z, t)",
}
# These operators are exact in float32 alone: most have no other kernel, and Shrink rounds to it.
_IN_FLOAT32 = {
    "celu": "y = Celu(z)",
    "elu": "y = Elu(z)",
    "gelu": "y = Gelu(z)",
    "hard_shrink": "y = Shrink <lambd = 0.5> (z)",
    "hard_sigmoid": "y = HardSigmoid <alpha = 0.16666667, beta = 0.5> (z)",
    "hard_sigmoid_0.2": "y = HardSigmoid <alpha = 0.2, beta = 0.5> (z)",
    "hard_silu": "y = HardSwish(z)",
    "hard_swish": "y = HardSwish(z)",
    "leaky_relu": "y = LeakyRelu <alpha = 0.2> (z)",
    "log_sigmoid": "negative = Neg(z) positive = Softplus(negative) y = Neg(positive)",
    "mish": "y = Mish(z)",
    "selu": "y = Selu(z)",
    "softplus": "y = Softplus(z)",
    "softsign": "y = Softsign(z)",
    "sparse_sigmoid": "y = HardSigmoid <alpha = 0.5, beta = 0.5> (z)",
}


class _Number(NamedTuple):
    """A dtype: its name in ONNX, and the activations in it, each a function from z to y."""

    name: str
    activations: Mapping[str, str]


_NUMBERS = {
    "float32": _Number("float", {**_IN_ANY_FLOAT, **_IN_FLOAT32}),
    "float64": _Number("double", _IN_ANY_FLOAT),
}

# A model is one protobuf message, which is less than 2 GiB. The equations take a few kilobytes.
_MOST_BYTES_OF_WEIGHTS = (2 << 30) - (1 << 20)


def why_no_graph(cell: Cell) -> str | None:
    """Why it cannot run a cell, by its kind, activations, dtype or size; None if it can."""
    if cell.kind not in (*_EQUATIONS, GRU):
        return f"has no {cell.kind.title}"
    number = _NUMBERS[cell.dtype.name]
    for activation in cell.activations.values():
        if activation not in number.activations:
            return f"has no {activation} in {cell.dtype.name}"
    if bytes_of_weights(cell) > _MOST_BYTES_OF_WEIGHTS:
        return "has no room for 2 GiB of weights"
    return None


def model_of(cell: Cell, form: GraphForm) -> bytes:
    """The ONNX model of a cell, with its weights.

    Its inputs are the initial states, ``x`` (timesteps, batch, features), and with a mask ``mask``
    (timesteps, batch, 1). Its outputs are the last states, and each of the signals at every
    timestep, (timesteps, batch, units). ``name_of_initial`` and so on tell their names.
    """
    from onnx import numpy_helper, parser

    model = parser.parse_model(_graph(cell, form))
    for name, array in _weights(cell).items():
        constant = numpy_helper.from_array(np.ascontiguousarray(array), name)
        model.graph.initializer.append(constant)
    written: bytes = model.SerializeToString()
    return written


def bytes_of_weights(cell: Cell) -> int:
    """What the weights of a cell take."""
    return sum(array.nbytes for array in cell.weights.values() if array is not None)


def _weights(cell: Cell) -> dict[str, Array]:
    """The weights of a cell by the names that its equations have for them."""
    weights = {name: array for name, array in cell.weights.items() if array is not None}
    width = weights["kernel"].shape[-1]
    bias = weights.get("bias", np.zeros(width, cell.dtype))
    weights["bias"] = bias
    if cell.kind is GRU:
        biases = np.zeros((2, width), cell.dtype)
        biases[: bias.size // width] = bias
        # Only the candidate needs a recurrent bias of its own, which the reset gate scales.
        gates = width * 2 // 3
        biases[0, :gates] += biases[1, :gates]
        biases[1, :gates] = 0
        weights["bias"], weights["recurrent_bias"] = biases
    return weights


def _equations(cell: Cell) -> _Equations:
    if cell.kind is GRU:
        return _GRU_RESET_AFTER if cell.options["reset_after"] else _GRU_RESET_BEFORE
    return _EQUATIONS[cell.kind]


def _graph(cell: Cell, form: GraphForm) -> str:
    """Writes the model of a cell in ONNX's textual syntax, without the weights."""
    masked, signals = form
    number = _NUMBERS[cell.dtype.name]
    states = tuple(cell.kind.states)

    def declared(names: Iterable[str], sizes: str) -> list[str]:
        return [f"{number.name}[{sizes}] {name}" for name in names]

    of_step = "batch, units"
    initial, last = [*map(name_of_initial, states)], [*map(name_of_last, states)]
    every = [*map(name_of_every, signals)]
    given = [*declared(initial, of_step), *declared(["x"], "timesteps, batch, features")]
    given_step = [*declared(map(_previous, states), of_step), *declared(["x_t"], "batch, features")]
    scanned = ["x"]
    if masked:
        given.append("bool[timesteps, batch, 1] mask")
        given_step.append("bool[batch, 1] mask_t")
        scanned.append("mask")
    outputs = [*declared(last, of_step), *declared(every, f"timesteps, {of_step}")]
    # A body hands on a state under two names: to the next step, and to be recorded.
    held = {state: f"{state}_held" if masked else state for state in states}
    handed_on = [
        *(f"{state}_next" for state in states),
        *(held.get(name, name) for name in signals),
    ]
    hand_on = [f"{state}_next = Identity({held[state]})" for state in states]
    if masked:
        hold = [f"{held[name]} = Where(mask_t, {name}, {_previous(name)})" for name in states]
        hand_on = [*hold, *hand_on]
    activations = {role: number.activations[name] for role, name in cell.activations.items()}
    functions = "\n".join(
        f'<domain: "cell", opset_import: ["": 20]> {role} (z) => (y) {{ {text} }}'
        for role, text in activations.items()
    )
    equations = _equations(cell)
    return f"""
        <ir_version: 10, opset_import: ["": 20, "cell": 1]>
        recurrence ({", ".join(given)}) => ({", ".join(outputs)}) {{
            {equations.blocks}
            {", ".join([*last, *every])} = Scan <
                num_scan_inputs = {len(scanned)},
                body = step ({", ".join(given_step)})
                    => ({", ".join(declared(handed_on, of_step))}) {{
                    {equations.step}
                    {" ".join(hand_on)}
                }}
            > ({", ".join([*initial, *scanned])})
        }}
        {functions}
    """


def _previous(state: str) -> str:
    return f"{state}_prev"


def name_of_initial(state: str) -> str:
    """The input that has a state before the first step."""
    return f"{state}0"


def name_of_last(state: str) -> str:
    """The output that has a state after the last step."""
    return f"last_{state}"


def name_of_every(name: str) -> str:
    """The output that has a signal at every step."""
    return f"every_{name}"
