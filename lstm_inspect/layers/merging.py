"""Layers that bring several tensors together."""

from collections.abc import Callable, Sequence

import numpy as np

from lstm_inspect.formats import Array
from lstm_inspect.layers.form import Form, Value, pass_mask
from lstm_inspect.model import Layer, Shape


def _concatenate(layer: Layer, inputs: Sequence[Value]) -> Array:
    return np.concatenate([given.array for given in inputs], axis=layer.config.get("axis", -1))


def _concatenate_mask(layer: Layer, inputs: Sequence[Value]) -> Array | None:
    if layer.merges_masks == "none" or all(given.mask is None for given in inputs):
        return None
    merge = np.any if layer.merges_masks == "any" else np.all
    axis = layer.config.get("axis", -1)
    masks = []
    for given in inputs:
        mask = np.ones(given.array.shape[:2], bool) if given.mask is None else given.mask
        mask = mask.reshape(mask.shape + (1,) * (given.array.ndim - mask.ndim))
        masks.append(np.broadcast_to(mask, given.array.shape))
    joined: Array = merge(np.concatenate(masks, axis=axis), axis=-1)
    return joined


def _concatenate_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape | None:
    axis = layer.config.get("axis", -1)
    sizes = [shape[axis] for shape in shapes]
    joined = list(shapes[0])
    known = [size for size in sizes if size is not None]
    joined[axis] = sum(known) if len(known) == len(sizes) else None
    return tuple(joined)


def _broadcast_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """The shape of a merge; an axis of size 1 takes the size of the others."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(
        next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True)
    )


def _merging(combine: Callable[[list[Array]], Array]) -> Form:
    def compute(layer: Layer, inputs: Sequence[Value]) -> Array:
        return combine([given.array for given in inputs])

    def mask(layer: Layer, inputs: Sequence[Value]) -> Array | None:
        masks = [given.mask for given in inputs if given.mask is not None]
        match layer.merges_masks:
            case "all" if masks:
                merged: Array = np.logical_and.reduce(masks)
            case "any" if len(masks) == len(inputs):
                merged = np.logical_or.reduce(masks)
            case _:
                return None
        return merged

    return Form(compute, mask, _broadcast_shape)


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
    """Merges the two directions' outputs (layers/rnn/bidirectional.py, ``Bidirectional.call``).

    The second sequence is turned round, whichever way its layer reads.
    """
    forward, backward = (given.array for given in inputs)
    options = layer.config.get("layer", {}).get("config", {})
    if options.get("return_sequences"):
        backward = np.flip(backward, axis=0 if options.get("time_major") else 1)
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


FORMS = {
    "Concatenate": Form(_concatenate, _concatenate_mask, _concatenate_shape),
    "Add": _merging(_fold(np.add)),
    "Subtract": _merging(_fold(np.subtract)),
    "Multiply": _merging(_fold(np.multiply)),
    "Average": _merging(_average),
    "Maximum": _merging(_fold(np.maximum)),
    "Minimum": _merging(_fold(np.minimum)),
    "Bidirectional": Form(_bidirectional, pass_mask, _bidirectional_shape),
}
