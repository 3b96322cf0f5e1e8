"""NumPy forms of convolutions and poolings, channels last."""

from collections.abc import Sequence

import numpy as np

from lstm_inspect.arrays import Array, as_floats, cast
from lstm_inspect.cells import ACTIVATIONS, convolve, windows_of
from lstm_inspect.layers.form import Form, Value, mask_over, no_mask
from lstm_inspect.model import Convolve, GlobalAverage, Layer, Pool, Shape, output_sizes


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


def _convolve_scratch(options: Convolve, shapes: Sequence[tuple[int, ...]]) -> int:
    batch, *sizes, channels = shapes[0]
    windows = options.moves.read(sizes, options.kernel_size)
    return batch * channels * (options.moves.padded(sizes, options.kernel_size) + windows)


def _pool(layer: Layer, options: Pool, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    axes = tuple(range(2 - x.ndim, 0))
    if options.how == "max":
        smallest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        largest: Array = windows_of(x, options.pool_size, options.moves, smallest).max(axis=axes)
        return largest
    totals: Array = windows_of(x, options.pool_size, options.moves).sum(axis=axes)
    # Padding does not count in an average.
    ones = np.ones((1, *x.shape[1:-1], 1), x.dtype)
    totals /= windows_of(ones, options.pool_size, options.moves).sum(axis=axes)
    return totals


def _pool_shape(options: Pool, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes, channels = shapes[0]
    return (batch, *output_sizes(options.moves, sizes, options.pool_size), channels)


def _pool_scratch(options: Pool, shapes: Sequence[tuple[int, ...]]) -> int:
    batch, *sizes, channels = shapes[0]
    return batch * channels * options.moves.padded(sizes, options.pool_size)


def _global_average(layer: Layer, options: GlobalAverage, inputs: Sequence[Value]) -> Array:
    """The mean; of a masked sequence the mean of the steps that count.

    Source: keras 3.15.1, layers/pooling/global_average_pooling1d.py, ``call``.
    """
    given, mask = inputs[0].array, inputs[0].mask
    x = as_floats(given)
    over = tuple(range(1, x.ndim - 1))
    if mask is None or x.ndim != 3:
        mean: Array = x.mean(axis=over, keepdims=options.keepdims)
        is_whole = options.keeps_whole and given.dtype.kind in "iu"
        return mean.astype(given.dtype) if is_whole else mean
    counts = mask_over(mask, x)
    totals: Array = np.where(counts, x, 0).sum(axis=over, keepdims=options.keepdims)
    totals /= counts.sum(axis=over, keepdims=options.keepdims).astype(x.dtype)
    return totals


def _global_shape(options: GlobalAverage, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes, channels = shapes[0]
    return (batch, *(1 for _ in sizes if options.keepdims), channels)


FORMS: dict[type, Form] = {
    Convolve: Form(_convolve, no_mask, _convolve_shape, scratch=_convolve_scratch),
    GlobalAverage: Form(_global_average, no_mask, _global_shape),
    Pool: Form(_pool, no_mask, _pool_shape, scratch=_pool_scratch),
}
