"""The instrumented LSTM cell, with and without peepholes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.activations import ACTIVATIONS
from lstm_inspect.cells.cell import Scratch
from lstm_inspect.cells.gate_activations import GateActivations
from lstm_inspect.cells.kind import CellKind, Weight
from lstm_inspect.cells.matrix_cell import MatrixCell

LSTM = CellKind(
    name="lstm",
    title="LSTM",
    states={"h": "units", "c": "units"},
    gates=("i", "f", "g", "o"),
    weights={
        "kernel": Weight(("features", "gates")),
        "recurrent_kernel": Weight(("units", "gates")),
        "bias": Weight(("gates",), is_optional=True),
    },
    keras_layer="LSTM",
)
PEEPHOLE_LSTM = replace(
    LSTM,
    name="peephole_lstm",
    title="peephole LSTM",
    weights={**LSTM.weights, "peepholes": Weight((3, "units"), row_gates=("i", "f", "o"))},
    keras_layer=None,
)

# The order in which the gates are computed: those with the recurrent activation side by side.
_COMPUTED = ("i", "f", "o", "g")


class LstmCell(MatrixCell):
    """One step of an LSTM, with everything it computes on the way.

    ``z = x_t·kernel + h_{t-1}·recurrent_kernel + bias`` and ``i, f, g, o = split(z)``. Then the
    recurrent activation acts on i, f and o, and the activation on g.
    ``c_t = f·c_{t-1} + i·g`` and ``h_t = o·activation(c_t)``
    (keras 3.15.1, layers/rnn/lstm.py, ``LSTMCell.call``).

    Args:
        kernel: (features, 4·units), blocks i, f, g, o; float32 or float64, like all weights.
        recurrent_kernel: (units, 4·units).
        bias: (4·units,) or None.
        activation: A name in `ACTIVATIONS`.
        recurrent_activation: A name in `ACTIVATIONS`.
    """

    kind = LSTM

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *,
        activation: str,
        recurrent_activation: str,
    ) -> None:
        self._activate_gates = GateActivations(*(recurrent_activation,) * 3, activation)
        super().__init__(
            self._as_computed(kernel),
            None if bias is None else self._as_computed(bias),
            units=kernel.shape[-1] // 4,
        )
        self.weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
        self.activations = {
            "activation": activation,
            "recurrent_activation": recurrent_activation,
        }
        self.options = {}
        self._recurrent_kernel = self._as_computed(recurrent_kernel)
        self._activate = ACTIVATIONS[activation]

    @property
    def gate_order(self) -> tuple[str, ...]:
        """The order in which the gates are computed side by side."""
        return _COMPUTED

    def _as_computed(self, weights: Array) -> Array:
        stored = dict(zip(self.kind.gates, np.split(weights, 4, axis=-1), strict=True))
        return self._activate_gates.folded(
            np.concatenate([stored[gate] for gate in _COMPUTED], axis=-1)
        )

    def step(
        self,
        projected: Array,
        previous: Mapping[str, Array],
        out: Mapping[str, Array],
        scratch: Scratch,
    ) -> None:
        """Computes one timestep.

        Args:
            projected: (batch, 4·units), the result of `project`; `gates` reads the gates from it.
            previous: h_{t-1} and c_{t-1}, (batch, units) each.
            out: Where to write h and c, (batch, units) each.
            scratch: Has room for what is needed in between.
        """
        blocks = self._summed(projected, previous, scratch)
        i, f, o, g = (blocks[:, number] for number in range(4))
        self._activate_gates(blocks)
        self._update(i, f, g, previous, out, scratch)
        self._emit(o, out, scratch)

    def _summed(self, projected: Array, previous: Mapping[str, Array], scratch: Scratch) -> Array:
        """What the gates are activations of, (batch, 4, units)."""
        product = scratch("product", projected.shape)
        projected += np.matmul(previous["h"], self._recurrent_kernel, out=product)
        return projected.reshape(len(projected), 4, self.units)

    def _update(
        self,
        i: Array,
        f: Array,
        g: Array,
        previous: Mapping[str, Array],
        out: Mapping[str, Array],
        scratch: Scratch,
    ) -> None:
        c = out["c"]
        np.multiply(f, previous["c"], out=c)
        c += np.multiply(i, g, out=scratch("added", c.shape))

    def _emit(self, o: Array, out: Mapping[str, Array], scratch: Scratch) -> None:
        h = out["h"]
        h[...] = out["c"]
        self._activate(h)
        h *= o


class PeepholeLstmCell(LstmCell):
    """One step of an LSTM with gates that see c too: i and f see c_{t-1}, o sees c_t.

    Source: tensorflow 1.15.5, python/keras/layers/recurrent.py, ``PeepholeLSTMCell``.

    Args:
        peepholes: (3, units): weights from c_{t-1} to i and f, and from c_t to o.
        kernel: (features, 4·units). It and the others are as in `LstmCell`.
        recurrent_kernel: (units, 4·units).
        bias: (4·units,) or None.
        activation: A name in `ACTIVATIONS`.
        recurrent_activation: A name in `ACTIVATIONS`.
    """

    kind = PEEPHOLE_LSTM

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *,
        peepholes: Array,
        activation: str,
        recurrent_activation: str,
    ) -> None:
        super().__init__(
            kernel,
            recurrent_kernel,
            bias,
            activation=activation,
            recurrent_activation=recurrent_activation,
        )
        self.weights = {**self.weights, "peepholes": peepholes}
        of_gates = GateActivations(*(recurrent_activation,) * 3)
        self._peepholes = of_gates.folded(peepholes.ravel()).reshape(peepholes.shape)
        self._activate_i_f = GateActivations(recurrent_activation, recurrent_activation)
        self._activate_o = GateActivations(recurrent_activation)
        self._activate_g = GateActivations(activation)

    def step(
        self,
        projected: Array,
        previous: Mapping[str, Array],
        out: Mapping[str, Array],
        scratch: Scratch,
    ) -> None:
        """Computes one timestep; the shapes are those of `LstmCell.step`."""
        blocks = self._summed(projected, previous, scratch)
        i, f, o, g = (blocks[:, number] for number in range(4))
        of_i, of_f, of_o = self._peepholes
        seen = scratch("seen", o.shape)
        i += np.multiply(of_i, previous["c"], out=seen)
        f += np.multiply(of_f, previous["c"], out=seen)
        self._activate_i_f(blocks[:, :2])
        self._activate_g(blocks[:, 3:])
        self._update(i, f, g, previous, out, scratch)
        o += np.multiply(of_o, out["c"], out=seen)
        self._activate_o(blocks[:, 2:3])
        self._emit(o, out, scratch)
