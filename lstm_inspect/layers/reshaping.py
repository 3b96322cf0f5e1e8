"""NumPy forms of layers that move numbers without changing them."""

import math
from collections.abc import Sequence

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.layers.form import Form, Value, no_mask
from lstm_inspect.model import Flatten, Layer, Permute, RepeatVector, Reshape, Shape, flat_size


def _repeat_vector(layer: Layer, options: RepeatVector, inputs: Sequence[Value]) -> Array:
    return np.repeat(inputs[0].array[:, np.newaxis], options.n, axis=1)


def _repeat_vector_shape(options: RepeatVector, shapes: Sequence[Shape]) -> Shape:
    return (shapes[0][0], options.n, *shapes[0][1:])


def _reshape(layer: Layer, options: Reshape, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    return x.reshape(len(x), *options.target_shape)


def _reshape_shape(options: Reshape, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes = shapes[0]
    target: list[int | None] = list(options.target_shape)
    if -1 in target:
        total = flat_size(sizes)
        rest = math.prod(size for size in options.target_shape if size != -1)
        target[target.index(-1)] = None if total is None else total // rest
    return (batch, *target)


def _flatten(layer: Layer, options: Flatten, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _flatten_shape(options: Flatten, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes = shapes[0]
    return (batch, flat_size(sizes))


def _permute(layer: Layer, options: Permute, inputs: Sequence[Value]) -> Array:
    return inputs[0].array.transpose(0, *options.dims)


def _permute_shape(options: Permute, shapes: Sequence[Shape]) -> Shape:
    return (shapes[0][0], *(shapes[0][axis] for axis in options.dims))


FORMS: dict[type, Form] = {
    RepeatVector: Form(_repeat_vector, no_mask, _repeat_vector_shape),
    Reshape: Form(_reshape, no_mask, _reshape_shape),
    Flatten: Form(_flatten, no_mask, _flatten_shape),
    Permute: Form(_permute, no_mask, _permute_shape),
}
