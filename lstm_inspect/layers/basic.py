"""NumPy forms of layers that treat every timestep alike, and of layers that make a mask."""

import math
from collections.abc import Sequence

import numpy as np

from lstm_inspect.arrays import Array, as_floats, cast
from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import InputError
from lstm_inspect.layers.form import Form, Value, pass_mask, same_shape
from lstm_inspect.model import (
    Activation,
    Augmentation,
    BatchNormalization,
    Dense,
    Embedding,
    Identity,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Shape,
)

_ROWS = 64


def _identity(layer: Layer, options: Identity, inputs: Sequence[Value]) -> Array:
    return inputs[0].array


def _identity_mask(options: Identity, inputs: Sequence[Value]) -> Array | None:
    return inputs[0].mask if options.keeps_mask else None


def _augmentation(layer: Layer, options: Augmentation, inputs: Sequence[Value]) -> Array:
    images = inputs[0].array
    # Some cast whole numbers and some do not; it differs from class to class, and may change.
    if images.dtype.kind != "f":
        raise InputError(f"layer {layer.label}: expected images of floats, received {images.dtype}")
    return images


def _masking(layer: Layer, options: Masking, inputs: Sequence[Value]) -> Array:
    return np.where(_masking_mask(options, inputs)[..., np.newaxis], inputs[0].array, 0)


def _masking_mask(options: Masking, inputs: Sequence[Value]) -> Array:
    counts: Array = np.any(inputs[0].array != options.mask_value, axis=-1)
    return counts


def _embedding(layer: Layer, options: Embedding, inputs: Sequence[Value]) -> Array:
    given = inputs[0].array
    indices = given if given.dtype in (np.int32, np.int64) else given.astype(np.int32)
    (embeddings,) = layer.weights
    outside = (indices < 0) | (indices >= len(embeddings))
    if outside.any():
        first = tuple(int(axis) for axis in np.argwhere(outside)[0])
        raise InputError(
            f"layer {layer.name}: expected indices from 0 to {len(embeddings) - 1}, "
            f"received {indices[first]} at {list(first)}"
        )
    return cast(embeddings[indices], layer.dtype)


def _embedding_mask(options: Embedding, inputs: Sequence[Value]) -> Array | None:
    return inputs[0].array != 0 if options.mask_zero else None


def _embedding_shape(options: Embedding, shapes: Sequence[Shape]) -> Shape:
    return (*shapes[0], options.output_dim)


def _dense(layer: Layer, options: Dense, inputs: Sequence[Value]) -> Array:
    kernel, *bias = (cast(array, layer.dtype) for array in layer.weights)
    z = _row_by_row(cast(inputs[0].array, layer.dtype), kernel)
    for b in bias:
        z += b
    ACTIVATIONS[layer.activation](z)
    return z


def _dense_scratch(options: Dense, shapes: Sequence[tuple[int, ...]]) -> int:
    return _ROWS * (shapes[0][-1] + options.units)


def _row_by_row(x: Array, kernel: Array) -> Array:
    """The product of x and a kernel, of which each row has the same bits whatever the others are.

    BLAS chooses its order of additions by the number of rows. So all products have one number.
    """
    *outer, features = x.shape
    rows = x.reshape(math.prod(outer), features)
    units = kernel.shape[1]
    z = np.empty((len(rows), units), np.result_type(x, kernel))
    rest = len(rows) % _ROWS
    last = len(rows) - rest
    blocks = rows[:last].reshape(last // _ROWS, _ROWS, features)
    np.matmul(blocks, kernel, out=z[:last].reshape(len(blocks), _ROWS, units))
    if rest:
        padded = np.zeros((_ROWS, features), x.dtype)
        padded[:rest] = rows[last:]
        z[last:] = (padded @ kernel)[:rest]
    return z.reshape(*outer, units)


def _dense_shape(options: Dense, shapes: Sequence[Shape]) -> Shape:
    return (*shapes[0][:-1], options.units)


def _activation(layer: Layer, options: Activation, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    z = np.array(as_floats(x))
    ACTIVATIONS[layer.activation](z)
    return z.astype(x.dtype) if layer.activation in _OF_WHOLE_NUMBERS else z


def _activation_scratch(options: Activation, shapes: Sequence[tuple[int, ...]]) -> int:
    return math.prod(shapes[0])  # sparsemax takes the most


# The activations that give whole numbers for whole numbers.
_OF_WHOLE_NUMBERS = ("linear", "relu", "relu6", "hard_tanh")


def _to_normalize(x: Array) -> Array:
    """A copy of x in the dtype in which Keras normalizes: float32, or float64 if x has it.

    Source: keras 3.15.1, ``result_type(inputs.dtype, "float32")`` in layers/normalization/
    batch_normalization.py and in ops/nn.py, ``layer_normalization``.
    """
    return as_floats(x).astype(np.promote_types(as_floats(x).dtype, np.float32))


def _weights_along(x: Array, axes: Sequence[int], weights: Sequence[Array]) -> list[Array]:
    """Weights with one number for each feature, in the shape and the dtype to combine with x."""
    features = {axis % x.ndim for axis in axes}
    along = [size if axis in features else 1 for axis, size in enumerate(x.shape)]
    return [array.astype(x.dtype).reshape(along) for array in weights]


def _batch_normalization(
    layer: Layer, options: BatchNormalization, inputs: Sequence[Value]
) -> Array:
    z = _to_normalize(inputs[0].array)
    # Behind the variance stand the arrays that Keras needs for renorm in training.
    affine = options.scale + options.center
    weights = _weights_along(z, options.axis, layer.weights[: affine + 2])
    z -= weights[affine]
    z /= np.sqrt(weights[affine + 1] + options.epsilon)
    if options.scale:
        z *= weights[0]
    if options.center:
        z += weights[affine - 1]
    return cast(z, layer.dtype)


def _layer_normalization(
    layer: Layer, options: LayerNormalization, inputs: Sequence[Value]
) -> Array:
    x = inputs[0].array if options.keeps_dtype else cast(inputs[0].array, layer.dtype)
    z = _to_normalize(x)
    z -= z.mean(axis=options.axis, keepdims=True)
    z /= np.sqrt(np.square(z).mean(axis=options.axis, keepdims=True) + options.epsilon)
    affine = _weights_along(z, options.axis, layer.weights)
    if options.scale:
        z *= affine.pop(0)
    if options.center:
        z += affine.pop(0)
    return cast(z.astype(x.dtype), layer.dtype)


def _leaky_relu(layer: Layer, options: LeakyReLU, inputs: Sequence[Value]) -> Array:
    x = as_floats(inputs[0].array)
    # The slope is a float32 for numbers of any dtype (tensorflow 2.21.0, `tf.nn.leaky_relu`).
    return np.where(x >= 0, x, x * x.dtype.type(np.float32(options.negative_slope)))


FORMS: dict[type, Form] = {
    Identity: Form(_identity, _identity_mask, same_shape),
    Augmentation: Form(_augmentation, pass_mask, same_shape),
    Masking: Form(_masking, _masking_mask, same_shape),
    Embedding: Form(_embedding, _embedding_mask, _embedding_shape, casts=False),
    Dense: Form(_dense, pass_mask, _dense_shape, scratch=_dense_scratch),
    Activation: Form(_activation, pass_mask, same_shape, scratch=_activation_scratch),
    LayerNormalization: Form(_layer_normalization, pass_mask, same_shape, casts=False),
    LeakyReLU: Form(_leaky_relu, pass_mask, same_shape),
    BatchNormalization: Form(_batch_normalization, pass_mask, same_shape),
}
