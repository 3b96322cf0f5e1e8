"""The operations of tf.keras 2.x, said in the words of Keras 3.

tf.keras writes ``x[:, -1]`` as a SlicingOpLambda and ``tf.math.add(x, y)`` as a TFOpLambda that
names a TensorFlow function (keras 2.15.0, layers/core/tf_op_layer.py). The names are looked up
here and nowhere else; nothing is imported by them.
"""

from typing import Any, NamedTuple

from lstm_inspect.model.nodes import Node


class _Words(NamedTuple):
    """An operation of Keras 3: its name, and what its arguments and parameters are called."""

    name: str
    arguments: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()


_REDUCTION = (("axis", "axis"), ("keepdims", "keepdims"))
_AXIS = (("axis", "axis"),)
_OPERATIONS = {
    "__operators__.add": _Words("Add", ("y",)),
    "__operators__.getitem": _Words("GetItem", ("slice_spec",)),
    "cast": _Words("Cast", (), (("dtype", "dtype"),)),
    "compat.v1.transpose": _Words("Transpose", (), (("perm", "axes"),)),
    "concat": _Words("Concatenate", (), _AXIS),
    "expand_dims": _Words("ExpandDims", (), _AXIS),
    "math.abs": _Words("Absolute"),
    "math.add": _Words("Add", ("y",)),
    "math.divide": _Words("Divide", ("y",)),
    "math.equal": _Words("Equal", ("y",)),
    "math.exp": _Words("Exp"),
    "math.greater": _Words("Greater", ("y",)),
    "math.less": _Words("Less", ("y",)),
    "math.maximum": _Words("Maximum", ("y",)),
    "math.minimum": _Words("Minimum", ("y",)),
    "math.multiply": _Words("Multiply", ("y",)),
    "math.negative": _Words("Negative"),
    "math.not_equal": _Words("NotEqual", ("y",)),
    "math.pow": _Words("Power", ("y",)),
    "math.reduce_max": _Words("Max", (), _REDUCTION),
    "math.reduce_mean": _Words("Mean", (), _REDUCTION),
    "math.reduce_min": _Words("Min", (), _REDUCTION),
    "math.reduce_sum": _Words("Sum", (), _REDUCTION),
    "math.sigmoid": _Words("Sigmoid"),
    "math.sqrt": _Words("Sqrt"),
    "math.square": _Words("Square"),
    "math.subtract": _Words("Subtract", ("y",)),
    "math.tanh": _Words("Tanh"),
    "math.truediv": _Words("TrueDivide", ("y",)),
    "nn.relu": _Words("Relu"),
    "nn.softmax": _Words("Softmax"),
    "reshape": _Words("Reshape", (), (("shape", "newshape"),)),
    "squeeze": _Words("Squeeze", (), _AXIS),
    "stack": _Words("Stack", (), _AXIS),
    "transpose": _Words("Transpose", (), (("perm", "axes"),)),
}


def operation_name(function: object) -> str:
    """The Keras 3 name of a TensorFlow function, or that function's own where there is none."""
    words = _OPERATIONS.get(function) if isinstance(function, str) else None
    return words.name if words else str(function)


def translate(function: object, node: Node) -> Node:
    """A call of a TensorFlow function as Keras 3 would have written it."""
    words = _OPERATIONS.get(function) if isinstance(function, str) else None
    if words is None:
        return node
    args = [*node.args, *(node.kwargs[name] for name in words.arguments if name in node.kwargs)]
    parameters: dict[str, Any] = {
        ours: node.kwargs[theirs] for theirs, ours in words.parameters if theirs in node.kwargs
    }
    return node._replace(args=tuple(args), kwargs=parameters)
