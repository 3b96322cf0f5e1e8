"""The instrumented cell of a SimpleRNN."""

from collections.abc import Mapping

from lstm_inspect.cells.activations import ACTIVATIONS, Array
from lstm_inspect.cells.projection import project


class SimpleRnnCell:
    """One step of a SimpleRNN: ``h_t = activation(x_t·kernel + h_{t-1}·recurrent_kernel + bias)``.

    Source: keras 3.15.1, layers/rnn/simple_rnn.py, ``SimpleRNNCell.call``.

    Args:
        kernel: (features, units); float32 or float64, as all the weights.
        recurrent_kernel: (units, units).
        bias: (units,) or None.
        activation: A name in `ACTIVATIONS`.
    """

    states: tuple[str, ...] = ("h",)
    signals: tuple[str, ...] = ("h",)

    def __init__(
        self, kernel: Array, recurrent_kernel: Array, bias: Array | None, activation: str
    ) -> None:
        self.units = recurrent_kernel.shape[0]
        self.dtype = kernel.dtype
        self._kernel = kernel
        self._recurrent_kernel = recurrent_kernel
        self._bias = bias
        self._activate = ACTIVATIONS[activation]

    def state_shape(self, features: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a state without the batch: (units,)."""
        return (self.units,)

    def project(self, x: Array) -> Array:
        """(timesteps, batch, features) to (timesteps, batch, units): what no state enters."""
        return project(x, self._kernel, self._bias)

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> None:
        """Computes one timestep; the shapes are those of `LstmCell.step`."""
        projected += previous["h"] @ self._recurrent_kernel
        self._activate(projected)
        out["h"][...] = projected
