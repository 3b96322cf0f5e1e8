"""Translates operations between layers from tf.keras 2.x into the words of Keras 3.

tf.keras writes ``x[:, -1]`` as a SlicingOpLambda, and ``tf.math.add(x, y)`` as a TFOpLambda with
the name of the TensorFlow function, ``math.add`` (keras 2.15.0, layers/core/tf_op_layer.py). Such
a name is only looked up in the table below. It never makes the program import anything.
"""

from typing import NamedTuple

from lstm_inspect.sources.keras.layer_config import TF_OPERATION_CLASSES, LayerConfig
from lstm_inspect.sources.keras.nodes import Node, read_index


class _Words(NamedTuple):
    """How Keras 3 writes an operation.

    Attributes:
        name: Its class name in Keras 3.
        arguments: Keywords of TensorFlow that are positional arguments in Keras 3, such as ``"y"``.
        renamed: Other keywords that Keras 3 has under another name: ``(("perm", "axes"),)``.
    """

    name: str
    arguments: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


_OPERATIONS = {
    "__operators__.add": _Words("Add", ("y",)),
    "__operators__.getitem": _Words("GetItem", ("slice_spec",)),
    "cast": _Words("Cast"),
    "compat.v1.transpose": _Words("Transpose", renamed=(("perm", "axes"),)),
    "concat": _Words("Concatenate"),
    "expand_dims": _Words("ExpandDims"),
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
    "math.reduce_max": _Words("Max"),
    "math.reduce_mean": _Words("Mean"),
    "math.reduce_min": _Words("Min"),
    "math.reduce_sum": _Words("Sum"),
    "math.sigmoid": _Words("Sigmoid"),
    "math.sqrt": _Words("Sqrt"),
    "math.square": _Words("Square"),
    "math.subtract": _Words("Subtract", ("y",)),
    "math.tanh": _Words("Tanh"),
    "math.truediv": _Words("TrueDivide", ("y",)),
    "nn.relu": _Words("Relu"),
    "nn.softmax": _Words("Softmax"),
    "reshape": _Words("Reshape", renamed=(("shape", "newshape"),)),
    "squeeze": _Words("Squeeze"),
    "stack": _Words("Stack"),
    "transpose": _Words("Transpose", renamed=(("perm", "axes"),)),
}


def operation_name(layer: LayerConfig) -> str:
    """The Keras 3 name of an operation, or its TensorFlow name if the table does not have it."""
    if layer.class_name not in TF_OPERATION_CLASSES:
        return layer.class_name
    function = layer.config.get("function")
    words = _OPERATIONS.get(function) if isinstance(function, str) else None
    return words.name if words else str(function)


def translated(layer: LayerConfig, node: Node) -> Node:
    """Rewrites a call of an operation as Keras 3 would write it.

    Any other parameter keeps its name. The operation takes it only if it knows that name.
    """
    function = layer.config.get("function")
    if layer.class_name in TF_OPERATION_CLASSES and function in _OPERATIONS:
        words = _OPERATIONS[function]
        given = {
            name: value
            for name, value in node.kwargs.items()
            if name != "name" and value is not None
        }
        added = [given.pop(name) for name in words.arguments if name in given]
        ours = dict(words.renamed)
        kwargs = {ours.get(name, name): value for name, value in given.items()}
        node = node._replace(args=(*node.args, *added), kwargs=kwargs)
    if operation_name(layer) == "GetItem" and len(node.args) > 1:
        x, index, *rest = node.args
        node = node._replace(args=(x, read_index(index), *rest))
    return node
