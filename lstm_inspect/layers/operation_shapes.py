"""The shape of what an operation gives, and whether it mixes samples, found by trying it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_inspect.layers.operations import bytes_needed, operation_of
from lstm_inspect.model import Layer, Operation, Ref, Shape
from lstm_inspect.nested import LOOK_INSIDE, leaves, rewritten

_MOST_BYTES = 2**24  # to try an operation takes milliseconds at most
_TRIED = (2, 3)

ELEMENTWISE = frozenset(
    """
    Abs Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh BitwiseAnd BitwiseInvert
    BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor Cbrt Ceil Celu Clip Copy Cos
    Cosh Deg2rad DivideNoNan Elu Erf Erfc Erfinv Exp2 Expm1 Fabs Floor FloorDivide Fmax Fmin Fmod
    Gelu HardShrink HardSigmoid HardSilu HardTanh Heaviside Hypot I0 Isfinite Isinf Isnan Isneginf
    Isposinf Isreal LeakyRelu LeftShift Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2
    LogicalXor Mod NanToNum Nextafter Rad2deg Relu6 RightShift Round Rsqrt SaturateCast Selu Sign
    Signbit Silu Sin Sinc Sinh SoftShrink Softplus Softsign SparsePlus SparseSigmoid Sparsemax
    Squareplus StopGradient Tan TanhShrink Threshold Trunc
    """.split()  # noqa: SIM905 - one name a line would fill two pages
)
"""Operations without a NumPy form that give as many numbers as their tensors broadcast to."""


def operation_shape(
    layer: Layer,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shape_of: Callable[[Ref], Shape | None],
) -> Shape | None:
    """The shape of the output of one call of an operation.

    The operation is computed twice, with 2 and with 3 for each unknown size. A size of the output
    that is not the same both times is unknown.

    Args:
        layer: The operation.
        args: The positional arguments of its call.
        kwargs: The keyword arguments of its call.
        shape_of: Gives the shape of a tensor, None if it is unknown.

    Returns:
        The shape, None if nothing is known of it.
    """
    shapes = [shape_of(ref) for ref in leaves((args, kwargs)) if isinstance(ref, Ref)]
    if not shapes or None in shapes:
        return None
    operation = operation_of(layer, args, kwargs)
    if operation is None and _name_of(layer) in ELEMENTWISE:
        operation = _broadcast
    if operation is None:
        return None
    found = [_tried(operation, args, kwargs, shape_of, size) for size in _TRIED]
    one, other = found
    if one is None or other is None or len(one) != len(other):
        return None
    return tuple(size if size == again else None for size, again in zip(one, other, strict=True))


def keeps_samples_apart(
    layer: Layer,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shape_of: Callable[[Ref], Shape | None],
) -> bool:
    """Whether an operation computes each sample from that sample alone, as far as can be told.

    It is tried on the numbers of four samples, and on the first two of them: the first two results
    must be the same. The arguments are those of `operation_shape`.
    """
    if _name_of(layer) in ELEMENTWISE:
        return True
    operation = operation_of(layer, args, kwargs)
    shapes = [shape_of(ref) for ref in leaves((args, kwargs)) if isinstance(ref, Ref)]
    if operation is None or not all(shapes):
        return False

    def numbers(samples: int) -> Callable[[Any], Any]:
        def given(argument: Any) -> Any:
            if not isinstance(argument, Ref):
                return LOOK_INSIDE
            _, *sizes = shape_of(argument) or ()
            shape = [4, *(2 if size is None else size for size in sizes)]
            return np.arange(1, 1 + math.prod(shape), dtype=np.float32).reshape(shape)[:samples]

        return given

    if (
        8 * sum(math.prod(size or 2 for size in shape[1:]) for shape in shapes if shape)
        > _MOST_BYTES
    ):
        return False
    call = (list(args), dict(kwargs))
    try:
        with np.errstate(all="ignore"):
            few, more = (np.asarray(operation(*rewritten(call, numbers(n)))) for n in (2, 4))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False
    return few.shape == (2, *more.shape[1:]) and np.array_equal(few, more[:2], equal_nan=True)


def _name_of(layer: Layer) -> str | None:
    return layer.options.name if isinstance(layer.options, Operation) else None


def _tried(
    operation: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shape_of: Callable[[Ref], Shape | None],
    unknown: int,
) -> tuple[int, ...] | None:
    """The shape that an operation gives if each unknown size is this; None if it cannot be had."""

    def zeros(argument: Any) -> Any:
        if not isinstance(argument, Ref):
            return LOOK_INSIDE
        shape = [unknown if size is None else size for size in shape_of(argument) or ()]
        return np.broadcast_to(np.float32(0), shape)

    given = rewritten((list(args), dict(kwargs)), zeros)
    if bytes_needed(given) > _MOST_BYTES:
        return None
    try:
        with np.errstate(all="ignore"):
            shape: tuple[int, ...] = np.shape(operation(*given))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None
    return shape


def _broadcast(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    arrays = [each for each in leaves((args, kwargs)) if isinstance(each, np.ndarray)]
    return np.broadcast_to(np.float32(0), np.broadcast_shapes(*(array.shape for array in arrays)))
