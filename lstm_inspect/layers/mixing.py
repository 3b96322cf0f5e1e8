"""Whether a call computes a sample from other samples, or a timestep from other timesteps."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.layers.operation_shapes import MOST_BYTES, tried
from lstm_inspect.model import (
    Activation,
    BatchNormalization,
    Concatenate,
    Dense,
    Embedding,
    Identity,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Merge,
    Operation,
    Ref,
    Shape,
    refs,
)
from lstm_inspect.nested import leaves

_AXES = ("axis", "axes")  # how Keras calls the settings that name axes

# They move no number along the axis of the timesteps, unless one of their settings names it.
_ALIKE = (
    Activation,
    BatchNormalization,
    Concatenate,
    Dense,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Merge,
)
_ALIKE_AT_ANY_RANK = (Embedding, Identity)
_ALIKE_OPERATIONS = frozenset(
    {
        "Absolute",
        "Add",
        "Cast",
        "Concatenate",
        "Divide",
        "Equal",
        "Exp",
        "Greater",
        "GreaterEqual",
        "Less",
        "LessEqual",
        "Log",
        "LogicalAnd",
        "LogicalNot",
        "LogicalOr",
        "Maximum",
        "Minimum",
        "Multiply",
        "Negative",
        "NotEqual",
        "OnesLike",
        "Power",
        "Relu",
        "Sigmoid",
        "Sqrt",
        "Square",
        "Subtract",
        "Tanh",
        "TrueDivide",
        "Where",
        "ZerosLike",
    }
)


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
    if any(_is_axis(axis, 0, shapes) for key in _AXES for axis in leaves(settings.get(key))):
        return True
    return isinstance(layer.options, Operation) and _tries_mixed(layer, args, kwargs, shape_of)


def mixes_timesteps(
    layer: Layer,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shape_of: Callable[[Ref], Shape | None],
) -> bool:
    """Whether a call of a layer or an operation may compute a timestep from others too.

    Args:
        layer: The layer.
        args: The positional arguments of the call. The tensors in them are (batch, timesteps, ...).
        kwargs: The keyword arguments of the call.
        shape_of: Gives the shape of a tensor, None if it is unknown.
    """
    shapes = [shape_of(ref) for ref in refs([args, kwargs])]
    # With other axes, one of them is broadcast, and its second axis is not that of the timesteps.
    axes = {None if shape is None else (len(shape), *shape[1:2]) for shape in shapes}
    if len(axes) != 1 or None in axes:
        return True
    operation = layer.options if isinstance(layer.options, Operation) else None
    settings = {**layer.config, **(operation.parameters if operation else {}), **kwargs}
    if any(_is_axis(axis, 1, shapes) for key in _AXES for axis in leaves(settings.get(key))):
        return True
    if operation:
        constants = [each for each in leaves([args, kwargs]) if not isinstance(each, Ref)]
        return operation.name not in _ALIKE_OPERATIONS or any(map(np.ndim, constants))
    if isinstance(layer.options, _ALIKE_AT_ANY_RANK):
        return False
    have_features = all(shape and len(shape) > 2 for shape in shapes)
    return not (isinstance(layer.options, _ALIKE) and have_features)


def _is_axis(given: object, axis: int, shapes: Sequence[Shape | None]) -> bool:
    """Whether a setting is, or may be, one of the first axes of tensors.

    Args:
        given: The setting; a negative number counts from the end.
        axis: The axis, counted from 0.
        shapes: The shapes of the tensors, None for an unknown one.
    """
    if type(given) is not int:
        return False
    if given >= 0:
        return given == axis
    may_be = given < -1 and None in shapes
    return may_be or any(shape and given + len(shape) <= axis for shape in shapes)


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
