"""The shape of what an operation gives, found by trying it."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.layers.operations import bytes_needed, operation_of
from lstm_inspect.model import Layer, Operation, Ref, Shape, refs
from lstm_inspect.nested import LOOK_INSIDE, leaves, rewritten

MOST_BYTES = 2**24
"""How much memory a trial may take; so it takes milliseconds at most."""

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

    def shape_for(unknown: int) -> tuple[int, ...] | None:
        array = tried(layer, args, kwargs, lambda ref: _zeros(shape_of(ref), unknown))
        return None if array is None else array.shape

    one, other = shape_for(2), shape_for(3)
    if one is None or other is None or len(one) != len(other):
        return None
    return tuple(size if size == again else None for size, again in zip(one, other, strict=True))


def tried(
    layer: Layer,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    stand_in: Callable[[Ref], Array | None],
) -> Array | None:
    """What an operation gives for stand-ins of its tensors.

    Args:
        layer: The operation.
        args: The positional arguments of its call.
        kwargs: The keyword arguments of its call.
        stand_in: Gives an array for a tensor; None if there is none.

    Returns:
        The array. For an operation of `ELEMENTWISE` another one of its shape, in which each number
        comes from the numbers at its place. None if there is no NumPy form, or it fails.
    """
    arrays = {ref: stand_in(ref) for ref in refs([args, kwargs])}
    if not arrays or any(array is None for array in arrays.values()):
        return None

    def replaced(argument: Any) -> Any:
        return arrays[argument] if isinstance(argument, Ref) else LOOK_INSIDE

    given = rewritten((list(args), dict(kwargs)), replaced)
    operation = operation_of(layer, args, kwargs)
    if operation is None and isinstance(layer.options, Operation):
        operation = _added if layer.options.name in ELEMENTWISE else None
    if operation is None or bytes_needed(given) > MOST_BYTES:
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray(operation(*given))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None


def _zeros(shape: Shape | None, unknown: int) -> Array | None:
    """Zeros in the place of a tensor, with so many for each unknown size."""
    if shape is None:
        return None
    return np.broadcast_to(np.float32(0), [unknown if size is None else size for size in shape])


def _added(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Array:
    """What stands for an elementwise operation: it gives the shape to which all broadcast."""
    arrays = (each for each in leaves((args, kwargs)) if isinstance(each, np.ndarray))
    return reduce(np.add, arrays)
