"""Layers that bring several tensors together."""

from collections.abc import Callable, Sequence
from functools import partial, reduce

import numpy as np

from lstm_inspect.formats import Array
from lstm_inspect.layers.form import Form, Value, mask_over, pass_mask
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
        masks.append(np.broadcast_to(mask_over(mask, given.array), given.array.shape))
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


def _merged_mask(layer: Layer, inputs: Sequence[Value]) -> Array | None:
    masks = [given.mask for given in inputs if given.mask is not None]
    match layer.merges_masks:
        case "all" if masks:
            merged: Array = np.logical_and.reduce(masks)
        case "any" if len(masks) == len(inputs):
            merged = np.logical_or.reduce(masks)
        case _:
            return None
    return merged


def _merging(combine: Callable[[list[Array]], Array]) -> Form:
    def compute(layer: Layer, inputs: Sequence[Value]) -> Array:
        return combine([given.array for given in inputs])

    return Form(compute, _merged_mask, _broadcast_shape)


_sum: Callable[[list[Array]], Array] = partial(reduce, np.add)
_product: Callable[[list[Array]], Array] = partial(reduce, np.multiply)


def _multiply(layer: Layer, inputs: Sequence[Value]) -> Array:
    """The product; since masks merge by "any", a masked step is 1 in it, and 0 where none counts.

    keras 3.4.1, 3.6.0 and 3.15.1: layers/merging/multiply.py, ``_merge_function``; 3.3.3 and 2.15.0
    multiply the masked steps too.
    """
    if layer.merges_masks != "any":
        return _product([given.array for given in inputs])
    factors = [
        array if mask is None else np.where(mask_over(mask, array), array, array.dtype.type(1))
        for array, mask in ((given.array, given.mask) for given in inputs)
    ]
    product, merged = _product(factors), _merged_mask(layer, inputs)
    if merged is None:
        return product
    return np.where(mask_over(merged, product), product, product.dtype.type(0))


def _extreme(pick: Callable[[Array, Array], Array]) -> Form:
    """A maximum or minimum; since masks merge by "any", a masked step gives way to the others.

    keras 3.4.1 and 3.15.1: layers/merging/base_merge.py, ``_apply_merge_op_and_or_mask``.
    """

    def picked(one: Value, other: Value) -> Value:
        ours, theirs, mask = one.array, other.array, None
        if other.mask is not None:
            theirs = np.where(mask_over(other.mask, theirs), theirs, ours)
        if one.mask is not None:
            ours = np.where(mask_over(one.mask, ours), ours, theirs)
            mask = None if other.mask is None else one.mask | other.mask
        return Value(pick(ours, theirs), mask)

    def compute(layer: Layer, inputs: Sequence[Value]) -> Array:
        if layer.merges_masks != "any":
            inputs = [Value(given.array) for given in inputs]
        return reduce(picked, inputs).array

    return Form(compute, _merged_mask, _broadcast_shape)


def _average(arrays: list[Array]) -> Array:
    return np.divide(_sum(arrays), len(arrays), dtype=arrays[0].dtype)


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
            return _sum([forward, backward])
        case "ave":
            return _average([forward, backward])
        case "mul":
            return _product([forward, backward])
        case _:
            return forward, backward


def _bidirectional_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    *outer, units = shapes[0]
    joins = layer.config.get("merge_mode", "concat") == "concat" and units is not None
    return (*outer, units * 2 if joins and units is not None else units)


FORMS = {
    "Concatenate": Form(_concatenate, _concatenate_mask, _concatenate_shape),
    "Add": _merging(_sum),
    "Subtract": _merging(partial(reduce, np.subtract)),
    "Multiply": Form(_multiply, _merged_mask, _broadcast_shape),
    "Average": _merging(_average),
    "Maximum": _extreme(np.maximum),
    "Minimum": _extreme(np.minimum),
    "Bidirectional": Form(_bidirectional, pass_mask, _bidirectional_shape),
}
