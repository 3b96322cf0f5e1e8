"""Convolutions over any number of spatial axes."""

from collections.abc import Sequence

import numpy as np

from lstm_inspect.cells.activations import Array


def windows_of(
    x: Array,
    size: Sequence[int],
    *,
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: str,
    fill: float = 0.0,
) -> Array:
    """The windows that a convolution or a pooling looks at, as a view.

    Args:
        x: (batch, *spatial, channels).
        size: Of a window; like the next two one number for each spatial axis.
        strides: From window to window.
        dilation: From tap to tap in a window.
        padding: ``"valid"``; ``"same"`` as TensorFlow means it: half of what is needed in front,
            the odd one behind; or ``"half"`` as Theano means it: half a window in front.
        fill: What to pad with.

    Returns:
        (batch, *spatial, channels, *size).
    """
    spans = [(taps - 1) * d + 1 for taps, d in zip(size, dilation, strict=True)]
    counts = [
        (length - (span if padding == "valid" else 1)) // stride + 1
        for length, span, stride in zip(x.shape[1:-1], spans, strides, strict=True)
    ]
    if padding != "valid":
        pads = [(0, 0)]
        for length, span, stride, count in zip(x.shape[1:-1], spans, strides, counts, strict=True):
            needed = max((count - 1) * stride + span - length, 0)
            front = needed // 2 if padding == "same" else span // 2
            pads.append((front, max(needed - front, 0)))
        x = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    axes = tuple(range(1, x.ndim - 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=axes)
    moves = [
        slice(None, count * stride, stride) for count, stride in zip(counts, strides, strict=True)
    ]
    taps = [slice(None, None, step) for step in dilation]
    return windows[(slice(None), *moves, slice(None), *taps)]


def convolve(
    x: Array, kernel: Array, *, strides: Sequence[int], dilation: Sequence[int], padding: str
) -> Array:
    """Convolves as Keras does, without turning the kernel round.

    Args:
        x: (batch, *spatial, channels).
        kernel: (*size, channels, filters).
        strides: One for each spatial axis.
        dilation: One for each spatial axis.
        padding: ``"valid"``, ``"same"`` or ``"half"``.

    Returns:
        (batch, *spatial, filters).
    """
    rank = kernel.ndim - 2
    windows = windows_of(
        x, kernel.shape[:rank], strides=strides, dilation=dilation, padding=padding
    )
    taps = (*range(rank + 2, 2 * rank + 2), rank + 1)
    return np.tensordot(windows, kernel, axes=(taps, tuple(range(rank + 1))))
