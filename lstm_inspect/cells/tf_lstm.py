"""The instrumented LSTM cell of TensorFlow 1: clipped, projected, and with peepholes."""

from collections.abc import Mapping

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.cell import Scratch
from lstm_inspect.cells.kind import CellKind, Weight
from lstm_inspect.cells.lstm import LSTM, PeepholeLstmCell

TF_LSTM = CellKind(
    name="tf_lstm",
    title="LSTM of TensorFlow 1",
    states={"h": "output", "c": "units"},
    gates=LSTM.gates,
    weights={
        "kernel": Weight(("features", "gates")),
        "recurrent_kernel": Weight(("output", "gates")),
        "bias": Weight(("gates",)),
        "peepholes": Weight((3, "units"), is_optional=True, row_gates=("i", "f", "o")),
        "projection": Weight(("units", "output"), is_optional=True),
    },
    activations=("activation",),
    options={"forget_bias": float, "cell_clip": float, "proj_clip": float},
    state_names={"h": "m_state", "c": "c_state"},
)


class TfLstmCell(PeepholeLstmCell):
    """One step of an LSTM of TensorFlow 1.

    ``z = x_t·kernel + h_{t-1}·recurrent_kernel + bias`` and ``i, f, g, o = split(z)``. Then
    ``c_t = clip(sigmoid(f + forget_bias + w_f·c_{t-1})·c_{t-1} + sigmoid(i + w_i·c_{t-1})·act(g))``
    and ``h_t = clip((sigmoid(o + w_o·c_t)·act(c_t))·projection)``. It covers LSTMCell,
    BasicLSTMCell, LSTMBlockCell and LSTMBlockFusedCell.

    Source: tensorflow 2.15.0, keras/layers/rnn/legacy_cells.py, ``LSTMCell.call``, where j is g and
    m is h; core/kernels/rnn/lstm_ops.cc for the blocks.

    Args:
        kernel: (features, 4·units), blocks i, f, g, o.
        recurrent_kernel: (output, 4·units); the output is as wide as the units, or as the
            projection makes it.
        bias: (4·units,).
        peepholes: (3, units) from c to i, f and o; None for none.
        projection: (units, output), or None.
        activation: A name in `ACTIVATIONS`.
        forget_bias: What is added to f.
        cell_clip: The largest number of c; None for no limit.
        proj_clip: The largest number of h behind a projection; None for no limit.
    """

    kind = TF_LSTM

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array,
        peepholes: Array | None = None,
        projection: Array | None = None,
        *,
        activation: str,
        forget_bias: float,
        cell_clip: float | None,
        proj_clip: float | None,
    ) -> None:
        units = kernel.shape[-1] // 4
        biased = bias.copy()
        biased[units : 2 * units] += forget_bias
        super().__init__(
            kernel,
            recurrent_kernel,
            biased,
            peepholes=np.zeros((3, units), kernel.dtype) if peepholes is None else peepholes,
            activation=activation,
            recurrent_activation="sigmoid",
        )
        self.weights = {
            "kernel": kernel,
            "recurrent_kernel": recurrent_kernel,
            "bias": bias,
            "peepholes": peepholes,
            "projection": projection,
        }
        self.activations = {"activation": activation}
        self.options = {
            "forget_bias": forget_bias,
            "cell_clip": cell_clip,
            "proj_clip": proj_clip,
        }
        self._projection = projection
        self._output = recurrent_kernel.shape[0]
        self._cell_clip = cell_clip
        self._proj_clip = proj_clip

    def shapes(self, features: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        """The shape of each state and gate: (units,), of h (output,)."""
        return {**super().shapes(features), "h": (self._output,)}

    def _update(
        self,
        i: Array,
        f: Array,
        g: Array,
        previous: Mapping[str, Array],
        out: Mapping[str, Array],
        scratch: Scratch,
    ) -> None:
        super()._update(i, f, g, previous, out, scratch)
        _clip(out["c"], self._cell_clip)

    def _emit(self, o: Array, out: Mapping[str, Array], scratch: Scratch) -> None:
        if self._projection is None:
            super()._emit(o, out, scratch)
            return
        emitted = scratch("emitted", out["c"].shape)
        emitted[...] = out["c"]
        self._activate(emitted)
        emitted *= o
        np.matmul(emitted, self._projection, out=out["h"])
        _clip(out["h"], self._proj_clip)


def _clip(array: Array, most: float | None) -> None:
    if most is not None:
        np.clip(array, -most, most, out=array)
