"""The instrumented cell of ConvLSTM1D, ConvLSTM2D and ConvLSTM3D."""

from collections.abc import Mapping, Sequence

import numpy as np

from lstm_inspect.cells.activations import ACTIVATIONS, Array
from lstm_inspect.cells.convolution import convolve


class ConvLstmCell:
    """One step of a convolutional LSTM: an `LstmCell` whose products are convolutions.

    The input is convolved with the layer's strides, dilation and padding, the state with stride 1
    and a padding that keeps its size
    (keras 3.15.1, layers/rnn/conv_lstm.py, ``ConvLSTMCell.call``).

    Args:
        kernel: (*kernel_size, channels, 4·filters), blocks i, f, g, o.
        recurrent_kernel: (*kernel_size, filters, 4·filters).
        bias: (4·filters,) or None.
        activation: A name in `ACTIVATIONS`.
        recurrent_activation: A name in `ACTIVATIONS`.
        strides: One for each spatial axis.
        dilation: One for each spatial axis.
        padding: ``"valid"``, ``"same"`` or ``"half"``.
        state_padding: ``"same"`` or ``"half"``.
    """

    states: tuple[str, ...] = ("h", "c")
    signals: tuple[str, ...] = ("h", "c", "i", "f", "g", "o")

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None,
        activation: str,
        recurrent_activation: str,
        strides: Sequence[int],
        dilation: Sequence[int],
        padding: str,
        state_padding: str,
    ) -> None:
        self.units = recurrent_kernel.shape[-2]
        self.dtype = kernel.dtype
        self._kernel = kernel
        self._recurrent_kernel = recurrent_kernel
        self._bias = bias
        self._activate = ACTIVATIONS[activation]
        self._activate_gates = ACTIVATIONS[recurrent_activation]
        self._strides = strides
        self._dilation = dilation
        self._padding = padding
        self._state_padding = state_padding

    def state_shape(self, features: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a state without the batch, (*spatial, filters), from that of x_t."""
        return (*self._convolve(np.empty((0, *features), self.dtype)).shape[1:-1], self.units)

    def project(self, x: Array) -> Array:
        """(timesteps, batch, *spatial, channels) to the part of a step that no state enters."""
        projected = self._convolve(x.reshape(-1, *x.shape[2:]))
        if self._bias is not None:
            projected += self._bias
        return projected.reshape(*x.shape[:2], *projected.shape[1:])

    def _convolve(self, x: Array) -> Array:
        return convolve(
            x,
            self._kernel,
            strides=self._strides,
            dilation=self._dilation,
            padding=self._padding,
        )

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Computes one timestep; projected is (batch, *spatial, 4·filters)."""
        ones = (1,) * (projected.ndim - 2)
        projected += convolve(
            previous["h"],
            self._recurrent_kernel,
            strides=ones,
            dilation=ones,
            padding=self._state_padding,
        )
        i, f, g, o = np.split(projected, 4, axis=-1)
        for gate in (i, f, o):
            self._activate_gates(gate)
        self._activate(g)
        np.multiply(f, previous["c"], out=out["c"])
        out["c"] += i * g
        out["h"][...] = out["c"]
        self._activate(out["h"])
        np.multiply(out["h"], o, out=out["h"])
        return {"i": i, "f": f, "g": g, "o": o}
