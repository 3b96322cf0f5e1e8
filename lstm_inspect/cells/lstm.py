"""The instrumented LSTM cell, with and without peepholes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.activations import ACTIVATIONS
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

# The order of the blocks in the weights, and the order in which they are computed. The latter puts
# the three gates side by side, so that one call of the recurrent activation covers all of them.
_STORED = ("i", "f", "g", "o")
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
        super().__init__(
            _as_computed(kernel),
            None if bias is None else _as_computed(bias),
            units=kernel.shape[-1] // 4,
        )
        self.weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
        self.activations = {
            "activation": activation,
            "recurrent_activation": recurrent_activation,
        }
        self.options = {}
        self._recurrent_kernel = _as_computed(recurrent_kernel)
        self._activate = ACTIVATIONS[activation]
        self._activate_gates = ACTIVATIONS[recurrent_activation]

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Computes one timestep.

        Args:
            projected: (batch, 4·units), the result of `project`. It is overwritten.
            previous: h_{t-1} and c_{t-1}, (batch, units) each.
            out: Where to write h and c, (batch, units) each.

        Returns:
            i, f, g and o, (batch, units) each. They share the memory of ``projected``.
        """
        projected += previous["h"] @ self._recurrent_kernel
        blocks = projected.reshape(len(projected), 4, self.units)
        i, f, o, g = (blocks[:, number] for number in range(4))
        self._activate(g)
        self._activate_gates(blocks[:, :3])
        self._update(i, f, g, previous, out)
        self._emit(o, out)
        return {"i": i, "f": f, "g": g, "o": o}

    def _update(
        self, i: Array, f: Array, g: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> None:
        np.multiply(f, previous["c"], out=out["c"])
        out["c"] += i * g

    def _emit(self, o: Array, out: Mapping[str, Array]) -> None:
        out["h"][...] = out["c"]
        self._activate(out["h"])
        np.multiply(out["h"], o, out=out["h"])


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
        self._peepholes = peepholes

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Computes one timestep; the shapes are those of `LstmCell.step`."""
        projected += previous["h"] @ self._recurrent_kernel
        blocks = projected.reshape(len(projected), 4, self.units)
        i, f, o, g = (blocks[:, number] for number in range(4))
        self._activate(g)
        blocks[:, :2] += self._peepholes[:2] * previous["c"][:, np.newaxis]
        self._activate_gates(blocks[:, :2])
        self._update(i, f, g, previous, out)
        o += self._peepholes[2] * out["c"]
        self._activate_gates(o)
        self._emit(o, out)
        return {"i": i, "f": f, "g": g, "o": o}


def _as_computed(weights: Array) -> Array:
    stored = dict(zip(_STORED, np.split(weights, 4, axis=-1), strict=True))
    return np.concatenate([stored[name] for name in _COMPUTED], axis=-1)
