"""NumPy forms of layers that combine several tensors."""

from collections.abc import Callable, Sequence
from functools import partial, reduce

import numpy as np

from lstm_inspect.arrays import Array, in_one_dtype
from lstm_inspect.layers.form import Form, Value, mask_over, pass_mask
from lstm_inspect.model import Concatenate, Layer, Merge, MergeDirections, Shape


def _concatenate(layer: Layer, options: Concatenate, inputs: Sequence[Value]) -> Array:
    arrays = in_one_dtype([given.array for given in inputs])
    return np.concatenate(arrays, axis=options.axis)


def _concatenate_mask(options: Concatenate, inputs: Sequence[Value]) -> Array | None:
    """The merged mask; ``"all"`` is of Keras 2, where a mask may have fewer axes than its tensor.

    Source: keras 3.15.1 and tf_keras 2.21.0, layers/merging/concatenate.py, ``compute_mask``.
    """
    if options.masks == "none" or all(given.mask is None for given in inputs):
        return None
    masks = []
    for given in inputs:
        shape = given.array.shape
        mask = np.ones(shape, bool) if given.mask is None else given.mask[..., np.newaxis]
        masks.append(np.broadcast_to(mask, shape) if options.masks == "any" else mask)
    merge = np.any if options.masks == "any" else np.all
    joined: Array = merge(np.concatenate(masks, axis=options.axis), axis=-1)
    return joined


def _concatenate_shape(options: Concatenate, shapes: Sequence[Shape]) -> Shape | None:
    sizes = [shape[options.axis] for shape in shapes]
    joined = list(shapes[0])
    known = [size for size in sizes if size is not None]
    joined[options.axis] = sum(known) if len(known) == len(sizes) else None
    return tuple(joined)


def _merge(layer: Layer, options: Merge, inputs: Sequence[Value]) -> Array:
    alike = _alike(inputs)
    if options.masks == "any" and options.how in _AROUND_MASKS:
        return _AROUND_MASKS[options.how](options, alike)
    return _COMBINE[options.how]([given.array for given in alike])


def _alike(inputs: Sequence[Value]) -> list[Value]:
    """Tensors in one dtype and of one rank; those of a lower rank get axes behind the batch.

    With new axes a tensor is another one, without a mask (keras 3.15.1 and tf_keras 2.21.0,
    layers/merging/base_merge.py, ``call``).
    """
    rank = max(given.array.ndim for given in inputs)
    arrays = in_one_dtype([given.array for given in inputs])
    return [
        Value(array, given.mask)
        if array.ndim == rank
        else Value(np.expand_dims(array, tuple(range(1, 1 + rank - array.ndim))))
        for given, array in zip(inputs, arrays, strict=True)
    ]


def _merge_mask(options: Merge, inputs: Sequence[Value]) -> Array | None:
    masks = [given.mask for given in inputs if given.mask is not None]
    match options.masks:
        case "all" if masks:
            merged: Array = reduce(np.logical_and, masks)
        case "any" if len(masks) == len(inputs):
            merged = reduce(np.logical_or, masks)
        case _:
            return None
    return merged


def _merge_shape(options: Merge, shapes: Sequence[Shape]) -> Shape:
    """The shape of a merge; an axis of size 1 takes the size of the others."""
    rank = max(map(len, shapes))
    padded = [(shape[0], *(1,) * (rank - len(shape)), *shape[1:]) for shape in shapes]
    return tuple(
        next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True)
    )


_sum: Callable[[list[Array]], Array] = partial(reduce, np.add)
_product: Callable[[list[Array]], Array] = partial(reduce, np.multiply)


def _average(arrays: list[Array]) -> Array:
    total = _sum(arrays)
    if total.dtype.kind == "f":
        return np.divide(total, len(arrays), dtype=total.dtype)
    # What TensorFlow divides whole numbers in (tensorflow 2.21.0, ops/math_ops.py, `truediv`).
    return np.divide(total, len(arrays), dtype="f4" if total.dtype.itemsize < 4 else "f8")


_COMBINE: dict[str, Callable[[list[Array]], Array]] = {
    "add": _sum,
    "subtract": partial(reduce, np.subtract),
    "multiply": _product,
    "average": _average,
    "maximum": partial(reduce, np.maximum),
    "minimum": partial(reduce, np.minimum),
}


def _multiply_around_masks(options: Merge, inputs: Sequence[Value]) -> Array:
    """Multiplies tensors; a masked step counts as 1, and the product is 0 if all are masked.

    With 3 and a masked 5 the product is 3 (keras 3.4.1, 3.6.0 and 3.15.1:
    layers/merging/multiply.py, ``_merge_function``). In keras 3.3.3 and 2.15.0 it is 15.
    """
    factors = [
        array if mask is None else np.where(mask_over(mask, array), array, array.dtype.type(1))
        for array, mask in ((given.array, given.mask) for given in inputs)
    ]
    product, merged = _product(factors), _merge_mask(options, inputs)
    if merged is None:
        return product
    return np.where(mask_over(merged, product), product, product.dtype.type(0))


def _pick_around_masks(pick: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """Makes a maximum or minimum that leaves out masked steps.

    With 3 and a masked 5 the maximum is 3 (keras 3.4.1 and 3.15.1: layers/merging/base_merge.py,
    ``_apply_merge_op_and_or_mask``).
    """

    def picked(one: Value, other: Value) -> Value:
        ours, theirs, mask = one.array, other.array, None
        if other.mask is not None:
            theirs = np.where(mask_over(other.mask, theirs), theirs, ours)
        if one.mask is not None:
            ours = np.where(mask_over(one.mask, ours), ours, theirs)
            mask = None if other.mask is None else one.mask | other.mask
        return Value(pick(ours, theirs), mask)

    return lambda options, inputs: reduce(picked, inputs).array


# Since Keras 3.4 these merges leave out masked steps. In the same version masks began to merge by
# "any", so "any" tells that a model is of 3.4 or later.
_AROUND_MASKS: dict[str, Callable[..., Array]] = {
    "multiply": _multiply_around_masks,
    "maximum": _pick_around_masks(np.maximum),
    "minimum": _pick_around_masks(np.minimum),
}


def _merge_directions(
    layer: Layer, options: MergeDirections, inputs: Sequence[Value]
) -> Array | tuple[Array, ...]:
    """Merges the outputs of two directions (layers/rnn/bidirectional.py, ``Bidirectional.call``).

    The second sequence is always turned round, in whichever direction its layer reads.
    """
    forward, backward = (given.array for given in inputs)
    if options.time_axis is not None:
        backward = np.flip(backward, axis=options.time_axis)
    match options.merge_mode:
        case None:
            return forward, backward
        case "concat":
            return np.concatenate([forward, backward], axis=-1)
        case "sum":
            return _sum([forward, backward])
        case "ave":
            return _average([forward, backward])
        case _:
            return _product([forward, backward])


def _merge_directions_shape(options: MergeDirections, shapes: Sequence[Shape]) -> Shape:
    forward, backward = shapes
    if options.merge_mode != "concat":
        return forward
    widths = forward[-1], backward[-1]
    return (*forward[:-1], None if None in widths else sum(width or 0 for width in widths))


FORMS: dict[type, Form] = {
    Concatenate: Form(_concatenate, _concatenate_mask, _concatenate_shape),
    Merge: Form(_merge, _merge_mask, _merge_shape),
    MergeDirections: Form(_merge_directions, pass_mask, _merge_directions_shape),
}
