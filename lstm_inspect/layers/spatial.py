"""Convolutions and poolings, channels last."""

from collections.abc import Callable, Sequence

import numpy as np

from lstm_inspect.cells import ACTIVATIONS, convolve, windows_of
from lstm_inspect.formats import Array
from lstm_inspect.layers.form import Form, Value, no_mask
from lstm_inspect.model import Convolution, Layer, Shape
from lstm_inspect.precision import cast


def _is_plain(layer: Layer) -> bool:
    return (
        layer.config.get("data_format") != "channels_first"
        and layer.config.get("padding", "valid") in ("valid", "same", "half")
        and layer.config.get("groups", 1) == 1
    )


def _per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _window(layer: Layer, rank: int) -> tuple[tuple[int, ...], Convolution]:
    """The size of a layer's windows, and how they move."""
    config = layer.config
    size = _per_axis(config.get("kernel_size") or config.get("pool_size", 2), rank)
    # A pooling moves by its own size unless told otherwise.
    steps = config.get("strides") or (1 if "kernel_size" in config else size)
    return size, Convolution(
        strides=_per_axis(steps, rank),
        dilation=_per_axis(config.get("dilation_rate", 1), rank),
        padding=config.get("padding", "valid"),
    )


def _convolution(layer: Layer, inputs: Sequence[Value]) -> Array:
    kernel, *bias = (cast(array, layer.dtype) for array in layer.weights)
    x = inputs[0].array
    _, move = _window(layer, x.ndim - 2)
    z = convolve(x, kernel, strides=move.strides, dilation=move.dilation, padding=move.padding)
    for b in bias:
        z += b
    ACTIVATIONS[layer.config.get("activation") or "linear"](z)
    return z


def _pooling(reduce: Callable[..., Array], fill: float) -> Form:
    def compute(layer: Layer, inputs: Sequence[Value]) -> Array:
        x = inputs[0].array
        size, move = _window(layer, x.ndim - 2)
        windows = windows_of(
            x,
            size,
            strides=move.strides,
            dilation=move.dilation,
            padding=move.padding,
            fill=fill,
        )
        return reduce(windows, axis=tuple(range(2 - x.ndim, 0)))

    return Form(compute, no_mask, _pooled_shape, _is_plain)


def _convolved_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    return (*_pooled_shape(layer, shapes)[:-1], layer.config["filters"])


def _pooled_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes, channels = shapes[0]
    size, move = _window(layer, len(sizes))
    return (batch, *move.output_sizes(tuple(sizes), size), channels)


_CONVOLUTION = Form(_convolution, no_mask, _convolved_shape, _is_plain)
_MAX_POOLING = _pooling(np.max, fill=-np.inf)
# What "same" padding adds does not count in an average.
_AVERAGE_POOLING = _pooling(np.nanmean, fill=np.nan)

FORMS = {
    **{f"Conv{rank}D": _CONVOLUTION for rank in (1, 2, 3)},
    **{f"MaxPooling{rank}D": _MAX_POOLING for rank in (1, 2, 3)},
    **{f"AveragePooling{rank}D": _AVERAGE_POOLING for rank in (1, 2, 3)},
}
