"""Convolutions over any number of spatial axes."""

import math
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
        padding: ``"valid"``, or ``"same"`` as TensorFlow means it: the odd one goes behind.
        fill: What to pad with.

    Returns:
        (batch, *spatial, channels, *size).
    """
    spans = [(taps - 1) * d + 1 for taps, d in zip(size, dilation, strict=True)]
    if padding == "same":
        pads = [(0, 0)]
        for length, span, stride in zip(x.shape[1:-1], spans, strides, strict=True):
            total = max((math.ceil(length / stride) - 1) * stride + span - length, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    axes = tuple(range(1, x.ndim - 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=axes)
    every = [slice(None, None, step) for step in (*strides, *dilation)]
    rank = len(axes)
    return windows[(slice(None), *every[:rank], slice(None), *every[rank:])]


def convolve(
    x: Array, kernel: Array, *, strides: Sequence[int], dilation: Sequence[int], padding: str
) -> Array:
    """Convolves as Keras does, without turning the kernel round.

    Args:
        x: (batch, *spatial, channels).
        kernel: (*size, channels, filters).
        strides: One for each spatial axis.
        dilation: One for each spatial axis.
        padding: ``"valid"`` or ``"same"``.

    Returns:
        (batch, *spatial, filters).
    """
    rank = kernel.ndim - 2
    windows = windows_of(
        x, kernel.shape[:rank], strides=strides, dilation=dilation, padding=padding
    )
    taps = (*range(rank + 2, 2 * rank + 2), rank + 1)
    return np.tensordot(windows, kernel, axes=(taps, tuple(range(rank + 1))))
