"""The instrumented cell of ConvLSTM1D, ConvLSTM2D and ConvLSTM3D."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.activations import ACTIVATIONS
from lstm_inspect.cells.cell import Scratch
from lstm_inspect.cells.convolution import Convolution, convolve
from lstm_inspect.cells.kind import CellKind, Weight

CONV_LSTM = CellKind(
    name="conv_lstm",
    title="ConvLSTM",
    states={"h": "units", "c": "units"},
    gates=("i", "f", "g", "o"),
    weights={
        "kernel": Weight(("window", "features", "gates")),
        "recurrent_kernel": Weight(("window", "units", "gates")),
        "bias": Weight(("gates",), is_optional=True),
    },
    options={"convolution": Convolution},
    keras_layer="ConvLSTM{rank}D",
)


class ConvLstmCell:
    """One step of a convolutional LSTM: an `LstmCell` with convolutions in place of products.

    The input is convolved with the layer's strides, dilation and padding. The state is convolved
    with stride 1 and a padding that keeps its size
    (keras 3.15.1, layers/rnn/conv_lstm.py, ``ConvLSTMCell.call``).

    Args:
        kernel: (*window, channels, 4·filters), blocks i, f, g, o.
        recurrent_kernel: (*window, filters, 4·filters).
        bias: (4·filters,) or None.
        activation: A name in `ACTIVATIONS`.
        recurrent_activation: A name in `ACTIVATIONS`.
        convolution: How it convolves. Here the channels always come last, whatever it says.
    """

    kind = CONV_LSTM

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *,
        activation: str,
        recurrent_activation: str,
        convolution: Convolution,
    ) -> None:
        self.dtype = kernel.dtype
        self.weights: Mapping[str, Array | None] = {
            "kernel": kernel,
            "recurrent_kernel": recurrent_kernel,
            "bias": bias,
        }
        self.activations: Mapping[str, str] = {
            "activation": activation,
            "recurrent_activation": recurrent_activation,
        }
        self.options: Mapping[str, Any] = {"convolution": convolution}
        self._kernel = kernel
        self._recurrent_kernel = recurrent_kernel
        self._bias = bias
        self._activate = ACTIVATIONS[activation]
        self._activate_gates = ACTIVATIONS[recurrent_activation]
        self._moves = convolution.moves
        self._state_moves = convolution.state_moves

    def shapes(self, features: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        """The shape of each state and gate, (*spatial, filters), for the shape of x_t."""
        spatial = self._moves.counts(features[:-1], self._kernel.shape[:-2])
        return dict.fromkeys(self.kind.computed, (*spatial, self._recurrent_kernel.shape[-2]))

    def numbers(self, features: tuple[int, ...]) -> int:
        """How many numbers one timestep of one sequence takes: padded arrays and windows."""
        *lengths, channels = features
        size = self._kernel.shape[:-2]
        *spatial, filters = self.shapes(features)["h"]
        of_input = self._moves.padded(lengths, size) + self._moves.read(lengths, size)
        state = self._state_moves
        size = self._recurrent_kernel.shape[:-2]
        of_state = state.padded(spatial, size) + state.read(spatial, size)
        positions = math.prod(spatial)
        return channels * of_input + filters * (of_state + 8 * positions)

    def project(self, x: Array, scratch: Scratch) -> Array:
        """Computes the part of a step that does not depend on the state.

        Args:
            x: (timesteps, batch, *spatial, channels).
            scratch: Is not needed.

        Returns:
            (timesteps, batch, *spatial, 4·filters).
        """
        projected = convolve(x.reshape(-1, *x.shape[2:]), self._kernel, self._moves)
        if self._bias is not None:
            projected += self._bias
        return projected.reshape(*x.shape[:2], *projected.shape[1:])

    def step(
        self,
        projected: Array,
        previous: Mapping[str, Array],
        out: Mapping[str, Array],
        scratch: Scratch,
    ) -> None:
        """Computes one timestep; ``projected`` is (batch, *spatial, 4·filters)."""
        projected += convolve(previous["h"], self._recurrent_kernel, self._state_moves)
        i, f, g, o = self.gates(projected).values()
        for gate in (i, f, o):
            self._activate_gates(gate)
        self._activate(g)
        h, c = out["h"], out["c"]
        np.multiply(f, previous["c"], out=c)
        c += np.multiply(i, g, out=scratch("added", c.shape))
        h[...] = c
        self._activate(h)
        h *= o

    def gates(self, projected: Array) -> Mapping[str, Array]:
        """Returns the gates of one or more timesteps, (..., *spatial, filters) each."""
        return dict(zip(self.kind.gates, np.split(projected, 4, axis=-1), strict=True))
