"""Pure operations between layers: ``x[:, -1]``, ``a * 2``, ``ops.mean(x, axis=1)``.

Source: keras 3.15.1, ops/numpy.py, ops/nn.py, ops/core.py. The names are those of Keras 3; the code
that reads a model translates the names of tf.keras.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.model import Layer, Operation

Function = Callable[[Sequence[Any], Mapping[str, Any]], Array]
"""Takes positional arguments (arrays and plain values) and parameters, returns an array."""


def operation_of(layer: Layer) -> Function | None:
    """The NumPy form of an operation; None for a layer, or for an operation that has no form."""
    if not isinstance(layer.options, Operation) or layer.options.name not in _OPERATIONS:
        return None
    function, parameters = _OPERATIONS[layer.options.name], layer.options.parameters
    return lambda args, params: function(args, {**parameters, **params})


def _elementwise(function: Callable[..., Any]) -> Function:
    return lambda args, params: np.asarray(function(*args))


def _along(function: Callable[..., Any], name: str = "axis") -> Function:
    """Makes an operation of a function that takes an axis, or several axes."""

    def operation(args: Sequence[Any], params: Mapping[str, Any]) -> Array:
        axis = params.get(name)
        options = {"keepdims": params["keepdims"]} if "keepdims" in params else {}
        axes = tuple(axis) if isinstance(axis, list) else axis
        return np.asarray(function(args[0], axis=axes, **options))

    return operation


def _activation(name: str) -> Function:
    def operation(args: Sequence[Any], params: Mapping[str, Any]) -> Array:
        z = np.array(args[0])
        ACTIVATIONS[name](z)
        return z

    return operation


def _get_item(args: Sequence[Any], params: Mapping[str, Any]) -> Array:
    x, key = args
    return np.asarray(x[key])


def _transpose(args: Sequence[Any], params: Mapping[str, Any]) -> Array:
    return np.transpose(args[0], params.get("axes"))


def _reshape(args: Sequence[Any], params: Mapping[str, Any]) -> Array:
    return np.reshape(args[0], params["newshape"])


def _cast(args: Sequence[Any], params: Mapping[str, Any]) -> Array:
    return np.asarray(args[0]).astype(params["dtype"])


def _full_like(fill: int) -> Function:
    return lambda args, params: np.full_like(args[0], fill, dtype=params.get("dtype"))


_OPERATIONS: dict[str, Function] = {
    "Absolute": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "All": _along(np.all),
    "Any": _along(np.any),
    "Cast": _cast,
    "Concatenate": _along(np.concatenate),
    "Divide": _elementwise(np.divide),
    "Equal": _elementwise(np.equal),
    "Exp": _elementwise(np.exp),
    "ExpandDims": _along(np.expand_dims),
    "Flip": _along(np.flip),
    "GetItem": _get_item,
    "Greater": _elementwise(np.greater),
    "GreaterEqual": _elementwise(np.greater_equal),
    "Less": _elementwise(np.less),
    "LessEqual": _elementwise(np.less_equal),
    "Log": _elementwise(np.log),
    "LogicalAnd": _elementwise(np.logical_and),
    "LogicalNot": _elementwise(np.logical_not),
    "LogicalOr": _elementwise(np.logical_or),
    "Max": _along(np.max),
    "Maximum": _elementwise(np.maximum),
    "Mean": _along(np.mean),
    "Min": _along(np.min),
    "Minimum": _elementwise(np.minimum),
    "Multiply": _elementwise(np.multiply),
    "Negative": _elementwise(np.negative),
    "NotEqual": _elementwise(np.not_equal),
    "OnesLike": _full_like(1),
    "Power": _elementwise(np.power),
    "Relu": _activation("relu"),
    "Reshape": _reshape,
    "Sigmoid": _activation("sigmoid"),
    "Softmax": _activation("softmax"),
    "Sqrt": _elementwise(np.sqrt),
    "Square": _elementwise(np.square),
    "Squeeze": _along(np.squeeze),
    "Stack": _along(np.stack),
    "Subtract": _elementwise(np.subtract),
    "Sum": _along(np.sum),
    "Tanh": _activation("tanh"),
    "Transpose": _transpose,
    "TrueDivide": _elementwise(np.true_divide),
    "Where": _elementwise(np.where),
    "ZerosLike": _full_like(0),
}
