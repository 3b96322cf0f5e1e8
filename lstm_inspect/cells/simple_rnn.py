"""The instrumented cell of a SimpleRNN."""

from collections.abc import Mapping

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.activations import ACTIVATIONS
from lstm_inspect.cells.cell import Scratch
from lstm_inspect.cells.kind import CellKind, Weight
from lstm_inspect.cells.matrix_cell import MatrixCell

SIMPLE_RNN = CellKind(
    name="simple_rnn",
    title="SimpleRNN",
    states={"h": "units"},
    gates=(),
    weights={
        "kernel": Weight(("features", "units")),
        "recurrent_kernel": Weight(("units", "units")),
        "bias": Weight(("units",), is_optional=True),
    },
    activations=("activation",),
    keras_layer="SimpleRNN",
)


class SimpleRnnCell(MatrixCell):
    """One step of a SimpleRNN: ``h_t = activation(x_t·kernel + h_{t-1}·recurrent_kernel + bias)``.

    Source: keras 3.15.1, layers/rnn/simple_rnn.py, ``SimpleRNNCell.call``.

    Args:
        kernel: (features, units); float32 or float64, like all weights.
        recurrent_kernel: (units, units).
        bias: (units,) or None.
        activation: A name in `ACTIVATIONS`.
    """

    kind = SIMPLE_RNN

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *,
        activation: str,
    ) -> None:
        super().__init__(kernel, bias, units=recurrent_kernel.shape[0])
        self.weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
        self.activations = {"activation": activation}
        self.options = {}
        self._recurrent_kernel = recurrent_kernel
        self._activate = ACTIVATIONS[activation]

    def step(
        self,
        projected: Array,
        previous: Mapping[str, Array],
        out: Mapping[str, Array],
        scratch: Scratch,
    ) -> None:
        """Computes one timestep; the shapes are those of `LstmCell.step`."""
        h = out["h"]
        np.matmul(previous["h"], self._recurrent_kernel, out=h)
        h += projected
        self._activate(h)
