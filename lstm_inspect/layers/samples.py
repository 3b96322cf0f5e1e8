"""Whether a call computes a sample from other samples too."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.layers.operation_shapes import MOST_BYTES, tried
from lstm_inspect.model import Layer, Operation, Ref, Shape, refs
from lstm_inspect.nested import leaves

_AXES = ("axis", "axes")  # how Keras calls the settings that name axes


def mixes_samples(
    layer: Layer,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shape_of: Callable[[Ref], Shape | None],
) -> bool:
    """Whether a call of a layer or an operation may compute a sample from others too.

    Args:
        layer: The layer.
        args: The positional arguments of the call.
        kwargs: The keyword arguments of the call.
        shape_of: Gives the shape of a tensor, None if it is unknown.
    """
    shapes = [shape_of(ref) for ref in refs([args, kwargs])]
    settings = {**layer.config, **kwargs}
    if any(_is_batch(axis, shapes) for key in _AXES for axis in leaves(settings.get(key))):
        return True
    return isinstance(layer.options, Operation) and _tries_mixed(layer, args, kwargs, shape_of)


def _is_batch(axis: object, shapes: Sequence[Shape | None]) -> bool:
    """Whether an axis is, or may be, that of the batch."""
    if type(axis) is not int or axis > 0:
        return False
    may_be = axis < -1 and None in shapes
    return axis == 0 or may_be or any(shape and axis + len(shape) <= 0 for shape in shapes)


def _tries_mixed(
    layer: Layer,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shape_of: Callable[[Ref], Shape | None],
) -> bool:
    """Tries an operation on four samples, and on two of them: two results must be the same."""
    more = tried(layer, args, kwargs, lambda ref: _numbers(shape_of(ref), 4))
    few = tried(layer, args, kwargs, lambda ref: _numbers(shape_of(ref), 2))
    if more is None or few is None or few.shape != (2, *more.shape[1:]):
        return True
    return not np.array_equal(few, more[:2], equal_nan=True)


def _numbers(shape: Shape | None, samples: int) -> Array | None:
    """The first of four samples in the place of a tensor, each with other numbers."""
    if not shape:
        return None
    sizes = [4, *(2 if size is None else size for size in shape[1:])]
    if 4 * math.prod(sizes) > MOST_BYTES:
        return None
    return np.arange(1, 1 + math.prod(sizes), dtype=np.float32).reshape(sizes)[:samples]
