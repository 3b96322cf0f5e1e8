"""The object graph of a TensorFlow checkpoint: which variable is which attribute of which layer.

tf.keras saves a model as the object that it is. The graph of a model with one LSTM begins so::

    root --layer-0--> LSTM --cell--> LSTMCell --kernel--> a variable
                      LSTM --variables--> a list --0--> the same variable

The key of a variable is only the first way to it that TensorFlow met, so it may be
``variables/0/.ATTRIBUTES/VARIABLE_VALUE`` or ``layer_with_weights-0/cell/kernel/...``.

Layout: tensorflow 2.15.0, core/protobuf/trackable_object_graph.proto.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lstm_inspect.arrays import NamedArray
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.protobuf import Message
from lstm_inspect.files.tensor_bundle import TensorBundle

_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "VARIABLE_VALUE"
ROOT = 0
"""The number of the object that everything belongs to."""


@dataclass(frozen=True, eq=False)
class SavedObject:
    """An object of the graph.

    Attributes:
        children: The number of each object that it has as an attribute, by the attribute.
        variable: The numbers of a variable, with their key in the checkpoint; None for any other
            object.
        name: The name that a variable had: ``sequential/lstm/lstm_cell/kernel``.
    """

    children: Mapping[str, int]
    variable: NamedArray | None
    name: str = ""


@dataclass(frozen=True, eq=False)
class ObjectGraph:
    """All objects of a checkpoint.

    Attributes:
        objects: The objects by number.
    """

    objects: tuple[SavedObject, ...]

    def at(self, number: int, *attributes: str) -> int | None:
        """The object that attributes lead to, one after the other; None if there is none."""
        for attribute in attributes:
            if attribute not in self.objects[number].children:
                return None
            number = self.objects[number].children[attribute]
        return number

    def arrays_of(self, number: int) -> tuple[NamedArray, ...]:
        """The arrays of a layer by their keys, in Keras's order.

        A layer that was saved with its functions lists its variables (keras 2.15.0,
        saving/legacy/saved_model/layer_serialization.py, ``LayerSavedModelSaver``). Other layers
        have them as attributes, in the order in which they made them.
        """
        listed = self.at(number, "variables")
        holder = self.objects[number if listed is None else listed]
        found = (self.objects[child].variable for child in holder.children.values())
        return tuple(variable for variable in found if variable is not None)


def has_objects(bundle: TensorBundle) -> bool:
    """Whether a checkpoint was saved as objects, and not as variables with names alone."""
    return _GRAPH_KEY in bundle.keys


def read_object_graph(bundle: TensorBundle, what: str, limits: Limits) -> ObjectGraph:
    """Reads the object graph of a checkpoint.

    Args:
        bundle: The checkpoint.
        what: What to call it in an error.
        limits: How many objects it may have.

    Raises:
        LimitError: It has more objects.
        ModelFileError: It has none, or it is damaged.
    """
    if not has_objects(bundle):
        raise ModelFileError(f"{what}: expected a checkpoint of objects; it has no object graph")
    raw = Message(bundle.text(_GRAPH_KEY), what).all_data(1)
    limits.check("checkpoint_objects", len(raw), what)
    nodes = [Message(data, what) for data in raw]
    objects = []
    for node in nodes:
        children = {child.text(2): child.number(1) for child in node.messages(1)}
        if not all(number < len(nodes) for number in children.values()):
            raise ModelFileError(f"{what}: damaged (its object graph names an object it lacks)")
        stored = [each for each in node.messages(2) if each.text(1) == _VALUE]
        if not all(each.text(3) in bundle.keys for each in stored):
            raise ModelFileError(f"{what}: damaged (its object graph names a tensor it lacks)")
        if not stored:
            objects.append(SavedObject(children, None))
            continue
        key, name = stored[0].text(3), stored[0].text(2)
        array = bundle.array(key)
        objects.append(SavedObject(children, None if array is None else (key, array), name))
    if not objects:
        raise ModelFileError(f"{what}: damaged (its object graph is empty)")
    return ObjectGraph(tuple(objects))
