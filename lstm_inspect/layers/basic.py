"""Layers that treat every timestep alike, and those that make a mask."""

from collections.abc import Sequence

import numpy as np

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import InputError
from lstm_inspect.formats import Array
from lstm_inspect.layers.form import Form, Value, pass_mask, same_shape
from lstm_inspect.model import Layer, Shape
from lstm_inspect.precision import cast


def _identity(layer: Layer, inputs: Sequence[Value]) -> Array:
    return inputs[0].array


def _masking(layer: Layer, inputs: Sequence[Value]) -> Array:
    return np.where(_masking_mask(layer, inputs)[..., np.newaxis], inputs[0].array, 0)


def _masking_mask(layer: Layer, inputs: Sequence[Value]) -> Array:
    counts: Array = np.any(inputs[0].array != layer.config["mask_value"], axis=-1)
    return counts


def _embedding(layer: Layer, inputs: Sequence[Value]) -> Array:
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


def _embedding_mask(layer: Layer, inputs: Sequence[Value]) -> Array | None:
    return inputs[0].array != 0 if layer.config.get("mask_zero") else None


def _embedding_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    return (*shapes[0], layer.config["output_dim"])


def _dense(layer: Layer, inputs: Sequence[Value]) -> Array:
    kernel, *bias = (cast(array, layer.dtype) for array in layer.weights)
    z: Array = inputs[0].array @ kernel
    for b in bias:
        z += b
    ACTIVATIONS[layer.config.get("activation") or "linear"](z)
    return z


def _dense_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    return (*shapes[0][:-1], layer.config["units"])


def _activation(layer: Layer, inputs: Sequence[Value]) -> Array:
    z = inputs[0].array.copy()
    ACTIVATIONS[layer.config["activation"]](z)
    return z


def _batch_normalization(layer: Layer, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    *affine, mean, variance = (cast(array, layer.dtype) for array in layer.weights)
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) else axis
    along = [1] * x.ndim
    along[axis] = -1
    z: Array = x - mean.reshape(along)
    z /= np.sqrt(variance + layer.config.get("epsilon", 1e-3)).reshape(along)
    if layer.config.get("scale", True):
        z *= affine.pop(0).reshape(along)
    if layer.config.get("center", True):
        z += affine.pop(0).reshape(along)
    return z


# Random in training, nothing at inference.
RANDOM_CLASSES = (
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
)

FORMS = {
    **dict.fromkeys(
        (*RANDOM_CLASSES, "ActivityRegularization", "Identity"),
        Form(_identity, pass_mask, same_shape),
    ),
    "Masking": Form(_masking, _masking_mask, same_shape),
    "Embedding": Form(_embedding, _embedding_mask, _embedding_shape, casts=False),
    "Dense": Form(_dense, pass_mask, _dense_shape),
    "Activation": Form(_activation, pass_mask, same_shape),
    "BatchNormalization": Form(_batch_normalization, pass_mask, same_shape),
}
