"""NumPy forms of convolutions and poolings, channels last."""

from collections.abc import Callable, Sequence

import numpy as np

from lstm_inspect.arrays import Array, cast
from lstm_inspect.cells import ACTIVATIONS, convolve, windows_of
from lstm_inspect.layers.form import Form, Value, no_mask
from lstm_inspect.model import Convolve, Layer, Pool, Shape, output_sizes


def _convolve(layer: Layer, options: Convolve, inputs: Sequence[Value]) -> Array:
    kernel, *bias = (cast(array, layer.dtype) for array in layer.weights)
    z = convolve(inputs[0].array, kernel, options.moves)
    for b in bias:
        z += b
    ACTIVATIONS[layer.activation](z)
    return z


def _convolve_shape(options: Convolve, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes, _ = shapes[0]
    return (batch, *output_sizes(options.moves, sizes, options.kernel_size), options.filters)


# The number to pad with, and the reduction. NaN keeps "same" padding out of an average.
_POOLINGS: dict[str, tuple[float, Callable[..., Array]]] = {
    "max": (-np.inf, np.max),
    "average": (np.nan, np.nanmean),
}


def _pool(layer: Layer, options: Pool, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    fill, reduce = _POOLINGS[options.how]
    windows = windows_of(x, options.pool_size, options.moves, fill)
    return reduce(windows, axis=tuple(range(2 - x.ndim, 0)))


def _pool_shape(options: Pool, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes, channels = shapes[0]
    return (batch, *output_sizes(options.moves, sizes, options.pool_size), channels)


FORMS: dict[type, Form] = {
    Convolve: Form(_convolve, no_mask, _convolve_shape),
    Pool: Form(_pool, no_mask, _pool_shape),
}
