"""Convolutions over any number of spatial axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array

SPATIAL_DIMS: tuple[tuple[str, ...], ...] = (
    (),
    ("length",),
    ("rows", "columns"),
    ("depth", "rows", "columns"),
)
"""The names of the spatial axes, by their number: ``SPATIAL_DIMS[2]`` for two axes."""


class Moves(NamedTuple):
    """How the windows of a convolution or a pooling move over its input.

    Attributes:
        strides: The distance from window to window, one number for each spatial axis.
        dilation: The distance from tap to tap in a window, one number for each spatial axis.
        padding: ``"valid"``: none. ``"same"``, as in TensorFlow: half of what is needed in front,
            and the odd one behind. ``"half"``, as in Theano: half a window in front.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str

    def spans(self, size: Sequence[int]) -> tuple[int, ...]:
        """The length of each axis that a window covers, including its gaps."""
        return tuple((taps - 1) * step + 1 for taps, step in zip(size, self.dilation, strict=True))

    def counts(self, lengths: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
        """How many windows fit along each axis: the spatial sizes of the output."""
        return tuple(
            (length - (span if self.padding == "valid" else 1)) // stride + 1
            for length, span, stride in zip(lengths, self.spans(size), self.strides, strict=True)
        )

    def pads(self, lengths: Sequence[int], size: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """How much is added in front of and behind each spatial axis."""
        if self.padding == "valid":
            return ((0, 0),) * len(self.strides)
        pads = []
        for length, span, stride, count in zip(
            lengths, self.spans(size), self.strides, self.counts(lengths, size), strict=True
        ):
            needed = max((count - 1) * stride + span - length, 0)
            front = needed // 2 if self.padding == "same" else span // 2
            pads.append((front, max(needed - front, 0)))
        return tuple(pads)

    def padded(self, lengths: Sequence[int], size: Sequence[int]) -> int:
        """How many positions the padded input has."""
        pads = self.pads(lengths, size)
        return math.prod(sum(pad) + length for length, pad in zip(lengths, pads, strict=True))

    def read(self, lengths: Sequence[int], size: Sequence[int]) -> int:
        """How many positions all windows together read."""
        return math.prod(self.counts(lengths, size)) * math.prod(size)


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """How a ConvLSTM convolves.

    Attributes:
        strides: As for `Moves`, for the input; so are the next two.
        dilation: A number for each spatial axis.
        padding: ``"valid"``, ``"same"`` or ``"half"``.
        state_padding: The padding for the state: ``"same"`` or ``"half"``.
        channels_first: Whether x and the states have their channels in front of the spatial axes.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str
    state_padding: str = "same"
    channels_first: bool = False

    @property
    def moves(self) -> Moves:
        """How it convolves its input."""
        return Moves(self.strides, self.dilation, self.padding)

    @property
    def state_moves(self) -> Moves:
        """How it convolves its state: with stride 1."""
        ones = (1,) * len(self.strides)
        return Moves(ones, ones, self.state_padding)


def windows_of(x: Array, size: Sequence[int], moves: Moves, fill: float = 0.0) -> Array:
    """The windows that a convolution or a pooling reads, as a view.

    Args:
        x: (batch, *spatial, channels).
        size: The size of a window, one number for each spatial axis.
        moves: How it moves.
        fill: The number to pad with.

    Returns:
        (batch, *spatial, channels, *size).
    """
    lengths = x.shape[1:-1]
    spans, counts = moves.spans(size), moves.counts(lengths, size)
    if moves.padding != "valid":
        x = np.pad(x, [(0, 0), *moves.pads(lengths, size), (0, 0)], constant_values=fill)
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
