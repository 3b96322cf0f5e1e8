"""Convolutions over any number of spatial axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_inspect.arrays import Array

SPATIAL_DIMS: tuple[tuple[str, ...], ...] = (
    (),
    ("length",),
    ("rows", "columns"),
    ("depth", "rows", "columns"),
)
"""What the spatial axes are called, by how many there are."""


@dataclass(frozen=True, kw_only=True)
class Moves:
    """How the windows of a convolution or a pooling move over its input.

    Attributes:
        strides: From window to window, a number for each spatial axis.
        dilation: From tap to tap in a window, a number for each spatial axis.
        padding: ``"valid"``; ``"same"`` as TensorFlow means it: half of what is needed in front,
            the odd one behind; or ``"half"`` as Theano means it: half a window in front.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str

    def spans(self, size: Sequence[int]) -> tuple[int, ...]:
        """How much of each axis a window of some size covers, its gaps included."""
        return tuple((taps - 1) * step + 1 for taps, step in zip(size, self.dilation, strict=True))

    def counts(self, lengths: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
        """How many windows fit along each axis: the spatial sizes of the output."""
        return tuple(
            (length - (span if self.padding == "valid" else 1)) // stride + 1
            for length, span, stride in zip(lengths, self.spans(size), self.strides, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Convolution(Moves):
    """How a ConvLSTM convolves: its input as `Moves` says, its state with stride 1.

    Attributes:
        state_padding: Of the state's convolution: ``"same"`` or ``"half"``.
        channels_first: Whether x and the states have their channels in front of the spatial axes.
    """

    state_padding: str = "same"
    channels_first: bool = False


def windows_of(x: Array, size: Sequence[int], moves: Moves, fill: float = 0.0) -> Array:
    """The windows that a convolution or a pooling looks at, as a view.

    Args:
        x: (batch, *spatial, channels).
        size: Of a window, a number for each spatial axis.
        moves: How it moves.
        fill: What to pad with.

    Returns:
        (batch, *spatial, channels, *size).
    """
    spans, counts = moves.spans(size), moves.counts(x.shape[1:-1], size)
    if moves.padding != "valid":
        pads = [(0, 0)]
        for length, span, stride, count in zip(
            x.shape[1:-1], spans, moves.strides, counts, strict=True
        ):
            needed = max((count - 1) * stride + span - length, 0)
            front = needed // 2 if moves.padding == "same" else span // 2
            pads.append((front, max(needed - front, 0)))
        x = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    axes = tuple(range(1, x.ndim - 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=axes)
    steps = [
        slice(None, count * stride, stride)
        for count, stride in zip(counts, moves.strides, strict=True)
    ]
    taps = [slice(None, None, step) for step in moves.dilation]
    return windows[(slice(None), *steps, slice(None), *taps)]


def convolve(x: Array, kernel: Array, moves: Moves) -> Array:
    """Convolves as Keras does, without turning the kernel round.

    Args:
        x: (batch, *spatial, channels).
        kernel: (*size, channels, filters).
        moves: How the kernel moves.

    Returns:
        (batch, *spatial, filters).
    """
    rank = kernel.ndim - 2
    windows = windows_of(x, kernel.shape[:rank], moves)
    taps = (*range(rank + 2, 2 * rank + 2), rank + 1)
    return np.tensordot(windows, kernel, axes=(taps, tuple(range(rank + 1))))
