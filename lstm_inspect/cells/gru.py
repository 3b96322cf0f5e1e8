"""The instrumented GRU cell."""

from collections.abc import Mapping

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.cell import Scratch
from lstm_inspect.cells.gate_activations import GateActivations
from lstm_inspect.cells.kind import CellKind, Weight
from lstm_inspect.cells.matrix_cell import MatrixCell

GRU = CellKind(
    name="gru",
    title="GRU",
    states={"h": "units"},
    gates=("z", "r", "n"),
    weights={
        "kernel": Weight(("features", "gates")),
        "recurrent_kernel": Weight(("units", "gates")),
        "bias": Weight(("gates",), other_axes=(2, "gates"), is_optional=True),
    },
    options={"reset_after": bool},
    keras_layer="GRU",
)


class GruCell(MatrixCell):
    """One step of a GRU, with everything it computes on the way.

    Each of ``z``, ``r`` and ``n`` has its own block of the weights.
    ``z, r = recurrent_activation(x_t·kernel + bias + h_{t-1}·recurrent_kernel)``.
    With ``reset_after``, the candidate is
    ``n = activation(x_t·kernel_n + bias_n + r·(h_{t-1}·recurrent_kernel_n + recurrent_bias_n))``.
    Without it, the candidate is
    ``n = activation(x_t·kernel_n + bias_n + (r·h_{t-1})·recurrent_kernel_n)``.
    ``h_t = z·h_{t-1} + (1 - z)·n`` (keras 3.15.1, layers/rnn/gru.py, ``GRUCell.call``).

    Args:
        kernel: (features, 3·units), blocks z, r, n; float32 or float64, like all weights.
        recurrent_kernel: (units, 3·units).
        bias: None, (3·units,), or with ``reset_after`` (2, 3·units): input bias, recurrent bias.
        activation: A name in `ACTIVATIONS`.
        recurrent_activation: A name in `ACTIVATIONS`.
        reset_after: Whether the reset gate acts after the recurrent product.
    """

    kind = GRU

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *,
        activation: str,
        recurrent_activation: str,
        reset_after: bool,
    ) -> None:
        units = recurrent_kernel.shape[0]
        biases = np.zeros((2, 3 * units), kernel.dtype)
        if bias is not None:
            biases[: bias.size // (3 * units)] = bias
        # A bias that the reset gate does not scale can be added for all timesteps at once.
        before_reset = biases[0].copy()
        before_reset[: 2 * units] += biases[1, : 2 * units]
        activations = recurrent_activation, recurrent_activation, activation
        folded = GateActivations(*activations).folded
        super().__init__(folded(kernel), folded(before_reset), units)
        self.weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
        self.activations = {
            "activation": activation,
            "recurrent_activation": recurrent_activation,
        }
        self.options = {"reset_after": reset_after}
        recurrent = folded(recurrent_kernel)
        self._recurrent_bias = folded(biases[1])[2 * units :]
        self._recurrent_gates = np.ascontiguousarray(recurrent[:, : 2 * units])
        self._recurrent_candidate = np.ascontiguousarray(recurrent[:, 2 * units :])
        self._activate_gates = GateActivations(*activations[:2])
        self._activate_candidate = GateActivations(*activations[2:])
        self._reset_after = reset_after

    def step(
        self,
        projected: Array,
        previous: Mapping[str, Array],
        out: Mapping[str, Array],
        scratch: Scratch,
    ) -> None:
        """Computes one timestep; the shapes are those of `LstmCell.step`."""
        blocks = projected.reshape(len(projected), 3, self.units)
        h = previous["h"]
        gates, candidate = blocks[:, :2], blocks[:, 2:]
        z, r, n = (blocks[:, number] for number in range(3))
        product = scratch("product", (len(h), 2 * self.units))
        gates += np.matmul(h, self._recurrent_gates, out=product).reshape(gates.shape)
        self._activate_gates(gates)
        reset = scratch("reset", h.shape)
        if self._reset_after:
            np.matmul(h, self._recurrent_candidate, out=reset)
            reset += self._recurrent_bias
            reset *= r
            n += reset
        else:
            np.multiply(r, h, out=reset)
            n += np.matmul(reset, self._recurrent_candidate, out=scratch("candidate", h.shape))
        self._activate_candidate(candidate)
        np.subtract(h, n, out=out["h"])
        out["h"] *= z
        out["h"] += n
