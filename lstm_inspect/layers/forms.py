"""What a layer computes at inference, what shape it gives, and which mask it passes on.

Source: keras 3.15.1, the module of each layer under layers/, unless a line says otherwise.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import InputError
from lstm_inspect.formats import Array
from lstm_inspect.model import Layer, Shape, refs


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that flows through the graph: an array, batch first, and its mask.

    Attributes:
        array: (batch, ...).
        mask: (batch, timesteps) bool, True where the step counts; None if nothing is masked.
    """

    array: Array
    mask: Array | None = None


Compute = Callable[[Layer, Sequence[Value]], Array | tuple[Array, ...]]
Mask = Callable[[Layer, Sequence[Value]], Array | None]
OutputShape = Callable[[Layer, Sequence[Shape]], Shape | None]


@dataclass(frozen=True, eq=False)
class Form:
    """The NumPy form of a layer class.

    Attributes:
        compute: From the layer and its flat inputs to its output array, or a tuple of them.
        mask: From the same to the mask of the output.
        shape: From the layer and the shapes of its inputs to the shape of its output.
    """

    compute: Compute
    mask: Mask
    shape: OutputShape

    def apply(self, layer: Layer, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """Runs the layer on its flat inputs, float arrays cast to its compute dtype."""
        cast = [_cast(given, layer.dtype) for given in inputs]
        outputs = self.compute(layer, cast)
        mask = self.mask(layer, cast)
        return tuple(
            Value(array, mask) for array in (outputs if isinstance(outputs, tuple) else (outputs,))
        )


def _cast(given: Value, dtype: str) -> Value:
    if given.array.dtype.kind == "f":
        return Value(given.array.astype(dtype, copy=False), given.mask)
    return given


def form_of(layer: Layer, kwargs: Mapping[str, Any]) -> Form | None:
    """The NumPy form of a call of a layer, or None where there is none.

    Args:
        layer: The layer.
        kwargs: The keyword arguments of the call.
    """
    form = _FORMS.get(layer.class_name)
    if form is None:
        return None
    drops_at_inference = kwargs.get("training") is True and layer.class_name in _RANDOM
    own_activation = layer.config.get("activation", "linear") in (*ACTIVATIONS, None)
    is_quantized = any(weights.dtype.kind != "f" for weights in layer.weights)
    other_tensors = any(key != "mask" for key, given in kwargs.items() for _ in refs(given))
    if drops_at_inference or is_quantized or other_tensors or not own_activation:
        return None
    return form


def _first(layer: Layer, inputs: Sequence[Value]) -> Array:
    return inputs[0].array


def _pass_mask(layer: Layer, inputs: Sequence[Value]) -> Array | None:
    return inputs[0].mask


def _no_mask(layer: Layer, inputs: Sequence[Value]) -> None:
    return None


def _same_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    return shapes[0]


# --- layers that make or read a mask


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
    return embeddings[indices].astype(layer.dtype, copy=False)


def _embedding_mask(layer: Layer, inputs: Sequence[Value]) -> Array | None:
    return inputs[0].array != 0 if layer.config.get("mask_zero") else None


def _embedding_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    return (*shapes[0], layer.config["output_dim"])


def _not_equal(layer: Layer, inputs: Sequence[Value]) -> Array:
    left, right = (given.array for given in inputs)
    return np.not_equal(left, right)


def _any(layer: Layer, inputs: Sequence[Value]) -> Array:
    axis = layer.config.get("axis")
    axes = tuple(axis) if isinstance(axis, list) else axis
    found: Array = np.any(inputs[0].array, axis=axes, keepdims=layer.config.get("keepdims", False))
    return found


# --- layers with weights or an activation


def _dense(layer: Layer, inputs: Sequence[Value]) -> Array:
    kernel, *bias = (array.astype(layer.dtype, copy=False) for array in layer.weights)
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


# --- layers that move numbers about


def _repeat_vector(layer: Layer, inputs: Sequence[Value]) -> Array:
    return np.repeat(inputs[0].array[:, np.newaxis], layer.config["n"], axis=1)


def _repeat_vector_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    return (shapes[0][0], layer.config["n"], *shapes[0][1:])


def _reshape(layer: Layer, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    return x.reshape(len(x), *layer.config["target_shape"])


def _reshape_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes = shapes[0]
    target = list(layer.config["target_shape"])
    if -1 in target:
        known = [size for size in sizes if size is not None]
        rest = math.prod(size for size in target if size != -1)
        target[target.index(-1)] = math.prod(known) // rest if len(known) == len(sizes) else None
    return (batch, *target)


def _flatten(layer: Layer, inputs: Sequence[Value]) -> Array:
    x = inputs[0].array
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _flatten_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    batch, *sizes = shapes[0]
    known = [size for size in sizes if size is not None]
    return (batch, math.prod(known) if len(known) == len(sizes) else None)


def _permute(layer: Layer, inputs: Sequence[Value]) -> Array:
    return inputs[0].array.transpose(0, *layer.config["dims"])


def _permute_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    return (shapes[0][0], *(shapes[0][axis] for axis in layer.config["dims"]))


# --- layers that bring several tensors together


def _concatenate(layer: Layer, inputs: Sequence[Value]) -> Array:
    return np.concatenate([given.array for given in inputs], axis=layer.config.get("axis", -1))


def _concatenate_mask(layer: Layer, inputs: Sequence[Value]) -> Array | None:
    if all(given.mask is None for given in inputs):
        return None
    axis = layer.config.get("axis", -1)
    masks = []
    for given in inputs:
        mask = np.ones(given.array.shape[:2], bool) if given.mask is None else given.mask
        mask = mask.reshape(mask.shape + (1,) * (given.array.ndim - mask.ndim))
        masks.append(np.broadcast_to(mask, given.array.shape))
    joined: Array = np.all(np.concatenate(masks, axis=axis), axis=-1)
    return joined


def _concatenate_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape | None:
    axis = layer.config.get("axis", -1)
    sizes = [shape[axis] for shape in shapes]
    joined = list(shapes[0])
    known = [size for size in sizes if size is not None]
    joined[axis] = sum(known) if len(known) == len(sizes) else None
    return tuple(joined)


def _merging(combine: Callable[[list[Array]], Array]) -> Form:
    def compute(layer: Layer, inputs: Sequence[Value]) -> Array:
        return combine([given.array for given in inputs])

    def mask(layer: Layer, inputs: Sequence[Value]) -> Array | None:
        masks = [given.mask for given in inputs if given.mask is not None]
        return np.logical_and.reduce(masks) if masks else None

    return Form(compute, mask, _same_shape)


def _fold(combine: Callable[[Array, Array], Array]) -> Callable[[list[Array]], Array]:
    def folded(arrays: list[Array]) -> Array:
        first, *rest = arrays
        for array in rest:
            first = combine(first, array)
        return first

    return folded


def _average(arrays: list[Array]) -> Array:
    return np.divide(_fold(np.add)(arrays), len(arrays), dtype=arrays[0].dtype)


def _bidirectional(layer: Layer, inputs: Sequence[Value]) -> Array | tuple[Array, ...]:
    """Merges the two directions' outputs (layers/rnn/bidirectional.py, ``Bidirectional.call``)."""
    forward, backward = (given.array for given in inputs)
    match layer.config.get("merge_mode", "concat"):
        case "concat":
            return np.concatenate([forward, backward], axis=-1)
        case "sum":
            return _fold(np.add)([forward, backward])
        case "ave":
            return _average([forward, backward])
        case "mul":
            return _fold(np.multiply)([forward, backward])
        case _:
            return forward, backward


def _bidirectional_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    *outer, units = shapes[0]
    joins = layer.config.get("merge_mode", "concat") == "concat" and units is not None
    return (*outer, units * 2 if joins and units is not None else units)


_RANDOM = frozenset(
    {
        "AlphaDropout",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
    }
)
_IDENTITY = Form(_first, _pass_mask, _same_shape)

_FORMS: dict[str, Form] = {
    **dict.fromkeys(_RANDOM, _IDENTITY),
    "ActivityRegularization": _IDENTITY,
    "Identity": _IDENTITY,
    "Masking": Form(_masking, _masking_mask, _same_shape),
    "Embedding": Form(_embedding, _embedding_mask, _embedding_shape),
    "NotEqual": Form(_not_equal, _no_mask, _same_shape),
    "Any": Form(_any, _no_mask, lambda layer, shapes: None),
    "Dense": Form(_dense, _pass_mask, _dense_shape),
    "Activation": Form(_activation, _pass_mask, _same_shape),
    "RepeatVector": Form(_repeat_vector, _no_mask, _repeat_vector_shape),
    "Reshape": Form(_reshape, _no_mask, _reshape_shape),
    "Flatten": Form(_flatten, _no_mask, _flatten_shape),
    "Permute": Form(_permute, _no_mask, _permute_shape),
    "Concatenate": Form(_concatenate, _concatenate_mask, _concatenate_shape),
    "Add": _merging(_fold(np.add)),
    "Subtract": _merging(_fold(np.subtract)),
    "Multiply": _merging(_fold(np.multiply)),
    "Average": _merging(_average),
    "Maximum": _merging(_fold(np.maximum)),
    "Minimum": _merging(_fold(np.minimum)),
    "Bidirectional": Form(_bidirectional, _pass_mask, _bidirectional_shape),
}
