"""NumPy forms of layers that treat every timestep alike, and of layers that make a mask."""

from collections.abc import Sequence

import numpy as np

from lstm_inspect.arrays import Array, cast
from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import InputError
from lstm_inspect.layers.form import Form, Value, no_mask, pass_mask, same_shape
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


def _identity(layer: Layer, options: Identity, inputs: Sequence[Value]) -> Array:
    return inputs[0].array


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
    indices = inputs[0].array.astype(np.int32)
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
    z: Array = inputs[0].array @ kernel
    for b in bias:
        z += b
    ACTIVATIONS[layer.activation](z)
    return z


def _dense_shape(options: Dense, shapes: Sequence[Shape]) -> Shape:
    return (*shapes[0][:-1], options.units)


def _activation(layer: Layer, options: Activation, inputs: Sequence[Value]) -> Array:
    z = inputs[0].array.copy()
    ACTIVATIONS[layer.activation](z)
    return z


def _batch_normalization(
    layer: Layer, options: BatchNormalization, inputs: Sequence[Value]
) -> Array:
    x = inputs[0].array
    *affine, mean, variance = (cast(array, layer.dtype) for array in layer.weights)
    along = [1] * x.ndim
    along[options.axis] = -1
    z: Array = x - mean.reshape(along)
    z /= np.sqrt(variance + options.epsilon).reshape(along)
    if options.scale:
        z *= affine.pop(0).reshape(along)
    if options.center:
        z += affine.pop(0).reshape(along)
    return z


def _layer_normalization(
    layer: Layer, options: LayerNormalization, inputs: Sequence[Value]
) -> Array:
    x = inputs[0].array
    # In half precision Keras normalizes in single precision (keras 3.15.1, ops/nn.py,
    # `layer_normalization`).
    z: Array = x.astype(np.promote_types(x.dtype, np.float32))
    z -= z.mean(axis=options.axis, keepdims=True)
    z /= np.sqrt(np.square(z).mean(axis=options.axis, keepdims=True) + options.epsilon)
    axes = {axis % x.ndim for axis in options.axis}
    along = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    affine = [cast(array, layer.dtype).reshape(along) for array in layer.weights]
    if options.scale:
        z *= affine.pop(0)
    if options.center:
        z += affine.pop(0)
    return cast(z, layer.dtype)


def _leaky_relu(layer: Layer, options: LeakyReLU, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    return np.where(x >= 0, x, x * x.dtype.type(options.negative_slope))


FORMS: dict[type, Form] = {
    Identity: Form(_identity, pass_mask, same_shape),
    Augmentation: Form(_augmentation, no_mask, same_shape),
    Masking: Form(_masking, _masking_mask, same_shape),
    Embedding: Form(_embedding, _embedding_mask, _embedding_shape, casts=False),
    Dense: Form(_dense, pass_mask, _dense_shape),
    Activation: Form(_activation, pass_mask, same_shape),
    LayerNormalization: Form(_layer_normalization, pass_mask, same_shape),
    LeakyReLU: Form(_leaky_relu, pass_mask, same_shape),
    BatchNormalization: Form(_batch_normalization, pass_mask, same_shape),
}
