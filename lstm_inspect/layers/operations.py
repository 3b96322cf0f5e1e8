"""Pure operations between layers: ``x[:, -1]``, ``a * 2``, ``ops.mean(x, axis=1)``.

Each function has the parameters of the operation in Keras: first those of its call, then those that
its config has. A call that the function does not take has no NumPy form, so nothing that a file
says is ignored.

Source: keras 3.15.1, ops/numpy.py, ops/nn.py, ops/core.py. The names are those of Keras 3; the code
that reads a model translates the names of tf.keras.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from lstm_inspect.arrays import NUMBERS, Array, as_floats, cast, in_one_dtype
from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.layers.form import bytes_of
from lstm_inspect.model import Layer, Operation
from lstm_inspect.nested import leaves

Axes = int | Sequence[int] | None


def operation_of(layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The NumPy form of one call of an operation.

    Args:
        layer: The layer.
        args: The positional arguments of the call; what they hold does not count.
        kwargs: The keyword arguments of the call.

    Returns:
        A function of such arguments that returns an array. None if the layer is no operation, has
        no NumPy form, or is called with a parameter that its form does not have.
    """
    if not isinstance(layer.options, Operation):
        return None
    function = FUNCTIONS.get(layer.options.name)
    parameters = layer.options.parameters
    if function is None:
        return None
    try:
        bound = inspect.signature(function).bind(*args, **{**parameters, **kwargs})
    except TypeError:
        return None
    if "dtype" in bound.arguments and not _is_dtype(bound.arguments["dtype"]):
        return None
    return partial(_apply, function, parameters)


def bytes_needed(arguments: Any) -> int:
    """The most memory that an operation takes for its arguments: it broadcasts or joins them."""
    arrays = [each for each in leaves(arguments) if isinstance(each, np.ndarray)]
    count = sum(array.size for array in arrays)
    with suppress(ValueError):
        count += math.prod(np.broadcast_shapes(*(array.shape for array in arrays)))
    return bytes_of(arrays, count)


def _apply(
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Array:
    return np.asarray(function(*args, **{**parameters, **kwargs}))


def _is_dtype(name: object) -> bool:
    return name is None or name in NUMBERS


def _axes(axis: Axes) -> Any:
    return axis if axis is None or isinstance(axis, int) else tuple(axis)


def _elementwise(function: Callable[[Any], Any], *, floats: bool = False) -> Callable[..., Any]:
    def operation(x: Any) -> Any:
        return function(as_floats(x) if floats else x)

    return operation


def _pairwise(function: Callable[[Any, Any], Any], *, floats: bool = False) -> Callable[..., Any]:
    def operation(x1: Any, x2: Any) -> Any:
        both = _in_one_dtype((x1, x2))
        has_fraction = any(np.asarray(x).dtype.kind == "f" for x in both)
        return function(*(map(as_floats, both) if floats and not has_fraction else both))

    return operation


def _in_one_dtype(values: Sequence[Any]) -> list[Any]:
    """Arrays and numbers in the dtype in which Keras combines them; a number takes that of arrays.

    Source: keras 3.15.1, backend/common/dtypes.py. A fraction makes float32 of whole arrays, and a
    whole number makes int32 of booleans.
    """
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if any(isinstance(value, float) for value in values):
        arrays = [as_floats(array) for array in arrays]
    elif any(type(value) is int for value in values):
        arrays = [array.astype(np.int32) if array.dtype == bool else array for array in arrays]
    alike = iter(in_one_dtype(arrays)) if arrays else iter(())
    return [next(alike) if isinstance(value, np.ndarray) else value for value in values]


def _square(x: Any) -> Any:
    array = np.asarray(x)
    return np.square(array.astype(np.int32) if array.dtype == bool else array)


def _sum(x: Any, *, axis: Axes = None, keepdims: bool = False) -> Any:
    array = np.asarray(x)
    # Short whole numbers are summed in 32 bits (keras 3.15.1, backend/tensorflow/numpy.py, `sum`).
    wide = {"b": "int32", "i": "int32", "u": "uint32"}.get(array.dtype.kind, array.dtype)
    dtype = np.promote_types(array.dtype, wide)
    return np.sum(array, axis=_axes(axis), keepdims=keepdims, dtype=dtype)


def _reduction(function: Callable[..., Any], *, floats: bool = False) -> Callable[..., Any]:
    def operation(x: Any, *, axis: Axes = None, keepdims: bool = False) -> Any:
        given = as_floats(x) if floats else x
        return function(given, axis=_axes(axis), keepdims=keepdims)

    return operation


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    def operation(
        x: Any, *, axis: Axes = None, keepdims: bool = False, initial: float | None = None
    ) -> Any:
        array = np.asarray(x)
        # keras 3.15.1, backend/tensorflow/numpy.py, `max`: flags are compared as whole numbers.
        numbers = array.astype(np.int32) if array.dtype == bool else array
        start = {} if initial is None else {"initial": numbers.dtype.type(initial)}
        largest = function(numbers, axis=_axes(axis), keepdims=keepdims, **start)
        return np.asarray(largest).astype(array.dtype)

    return operation


def _activation(name: str, *, floats: bool = True) -> Callable[..., Any]:
    def operation(x: Any) -> Array:
        z = np.array(as_floats(x) if floats else x)
        ACTIVATIONS[name](z)
        return z

    return operation


def _softmax(x: Any, *, axis: Axes = -1) -> Array:
    """Over one axis, or over several as if they were one (ops/nn.py, ``softmax``)."""
    z = as_floats(x)
    over = _axes(axis)
    e: Array = np.exp(z - z.max(axis=over, keepdims=True))
    e /= e.sum(axis=over, keepdims=True)
    return e


def _cast(x: Any, *, dtype: str | None) -> Array:
    # Of complex numbers, Keras takes the real part.
    return cast(np.asarray(x).real, dtype or "float32")


def _concatenate(xs: Sequence[Any], *, axis: int = 0) -> Array:
    joined: Array = np.concatenate(_in_one_dtype(xs), axis=axis)
    return joined


def _expand_dims(x: Any, *, axis: Axes) -> Array:
    return np.expand_dims(x, _axes(axis))


def _flip(x: Any, *, axis: Axes = None) -> Array:
    return np.flip(x, _axes(axis))


def _get_item(x: Any, key: Any) -> Any:
    return x[key]


def _like(fill: int) -> Callable[..., Any]:
    def operation(x: Any, *, dtype: str | None = None) -> Array:
        filled = np.full_like(x, fill)
        return filled if dtype is None else cast(filled, dtype)

    return operation


def _reshape(x: Any, *, newshape: Sequence[int]) -> Array:
    return np.reshape(x, tuple(newshape))


def _squeeze(x: Any, *, axis: Axes = None) -> Array:
    squeezed: Array = np.squeeze(x, _axes(axis))
    return squeezed


def _stack(x: Sequence[Any], *, axis: int = 0) -> Array:
    return np.stack(_in_one_dtype(x), axis=axis)


def _transpose(x: Any, *, axes: Sequence[int] | None = None) -> Array:
    return np.transpose(x, axes)


def _where(condition: Any, x1: Any, x2: Any) -> Array:
    picked: Array = np.where(condition, *_in_one_dtype((x1, x2)))
    return picked


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Absolute": _elementwise(np.abs),
    "Add": _pairwise(np.add),
    "All": _reduction(np.all),
    "Any": _reduction(np.any),
    "Cast": _cast,
    "Concatenate": _concatenate,
    "Divide": _pairwise(np.divide, floats=True),
    "Equal": _pairwise(np.equal),
    "Exp": _elementwise(np.exp, floats=True),
    "ExpandDims": _expand_dims,
    "Flip": _flip,
    "GetItem": _get_item,
    "Greater": _pairwise(np.greater),
    "GreaterEqual": _pairwise(np.greater_equal),
    "Less": _pairwise(np.less),
    "LessEqual": _pairwise(np.less_equal),
    "Log": _elementwise(np.log, floats=True),
    "LogicalAnd": _pairwise(np.logical_and),
    "LogicalNot": _elementwise(np.logical_not),
    "LogicalOr": _pairwise(np.logical_or),
    "Max": _extreme(np.max),
    "Maximum": _pairwise(np.maximum),
    "Mean": _reduction(np.mean, floats=True),
    "Min": _extreme(np.min),
    "Minimum": _pairwise(np.minimum),
    "Multiply": _pairwise(np.multiply),
    "Negative": _elementwise(np.negative),
    "NotEqual": _pairwise(np.not_equal),
    "OnesLike": _like(1),
    "Power": _pairwise(np.power),
    "Relu": _activation("relu", floats=False),
    "Reshape": _reshape,
    "Sigmoid": _activation("sigmoid"),
    "Softmax": _softmax,
    "Sqrt": _elementwise(np.sqrt, floats=True),
    "Square": _square,
    "Squeeze": _squeeze,
    "Stack": _stack,
    "Subtract": _pairwise(np.subtract),
    "Sum": _sum,
    "Tanh": _activation("tanh"),
    "Transpose": _transpose,
    "TrueDivide": _pairwise(np.true_divide, floats=True),
    "Where": _where,
    "ZerosLike": _like(0),
}
"""The function of each operation; its signature is what it takes."""
