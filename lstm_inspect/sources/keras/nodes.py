"""Reads the wiring of a Functional config: each call of a layer, with the tensors it reads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from lstm_inspect.arrays import NUMBERS, Array, cast
from lstm_inspect.errors import ModelFileError
from lstm_inspect.model import Argument, Ref, Shape
from lstm_inspect.nested import LOOK_INSIDE, leaves, rewritten
from lstm_inspect.sources.keras.layer_config import read_shape

_CONSTANT = "_CONSTANT_VALUE"


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor as a config names it: output ``output`` of call number ``call`` of a layer."""

    layer: str
    call: int
    output: int


class Node(NamedTuple):
    """One call of a layer as a config writes it, with a `Place` for every tensor."""

    args: tuple[Argument, ...]
    kwargs: dict[str, Argument]
    input_shape: Shape | None


def read_node(node: object) -> Node:
    """Reads an entry of ``inbound_nodes`` that Keras 2 or Keras 3 wrote.

    Keras 3 writes ``{"args": [...], "kwargs": {...}}``, with a ``__keras_tensor__`` object for each
    tensor (keras 3.15.1, models/functional.py, ``serialize_node``). Keras 2 writes a list with one
    ``[layer, node, index, kwargs]`` for each input. All inputs of the list repeat the same kwargs,
    or leave them out (keras 2.15.0, engine/node.py, ``Node.serialize``).

    Raises:
        ModelFileError: The entry has neither form.
    """
    if isinstance(node, dict) and not node.keys() & {"args", "kwargs"}:
        # keras 2.15.0, a layer called on a dict: {"a": [layer, node, index, kwargs], ...}
        return Node((rewritten(node, _keras_2_place),), {}, None)
    if isinstance(node, dict):
        args, kwargs = node.get("args", []), node.get("kwargs", {})
        if isinstance(args, list) and isinstance(kwargs, dict) and not _is_keras_tensor(kwargs):
            return Node(
                tuple(rewritten(args, _keras_3_place)),
                rewritten(kwargs, _keras_3_place),
                _first_shape(args),
            )
    elif isinstance(node, list):
        entries = [node] if _is_place(node) or _is_constant(node) else node
        if entries and all(_is_place(entry) or _is_constant(entry) for entry in entries):
            given = [rewritten(entry, _keras_2_place) for entry in entries]
            kwargs = entries[0][3] if len(entries[0]) > 3 else {}
            if isinstance(kwargs, dict):
                return Node(
                    (given[0] if len(given) == 1 else given,),
                    rewritten(kwargs, _keras_2_place),
                    None,
                )
    raise ModelFileError(
        f"model config: expected an inbound node of Keras 2 or 3, received {node!r:.80}"
    )


def read_places(value: object) -> list[Place]:
    """Reads ``input_layers`` or ``output_layers``: one tensor, or lists or dicts of tensors.

    The tensors of a dict come in the sorted order of its keys: ``{"b": 2, "a": 1}`` is ``[1, 2]``
    (keras 3.15.1, models/functional.py: ``tree.flatten``; 2.15.0, engine/functional.py:
    ``tf.nest.flatten``).
    """
    if _is_place(value):
        return [Place(*value[:3])]
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if not isinstance(value, list):
        raise ModelFileError(f"model config: expected a list of tensors, received {value!r:.80}")
    return [place for item in value for place in read_places(item)]


def places(argument: Argument) -> Iterator[Place]:
    """Yields every `Place` in an argument, in order."""
    return (leaf for leaf in leaves(argument) if isinstance(leaf, Place))


def with_tensors(argument: Argument, resolve: Callable[[Place], Ref]) -> Argument:
    """Replaces every `Place` in an argument by its tensor."""
    return rewritten(
        argument, lambda value: resolve(value) if isinstance(value, Place) else LOOK_INSIDE
    )


def read_index(index: Any) -> Any:
    """Reads an index such as ``[:, -1]`` into slices, ``...`` and tuples.

    A config writes a slice and ``...`` as objects, and a tuple as a list
    (keras 3.15.1, saving/serialization_lib.py, ``serialize_keras_object``).
    """
    match index:
        case [*items]:
            return tuple(read_index(item) for item in items)
        case {"class_name": "__ellipsis__"}:
            return ...
        case {"config": dict(limits)} | dict(limits):
            return slice(limits.get("start"), limits.get("stop"), limits.get("step"))
    return index


def _is_place(value: object) -> TypeGuard[list[Any]]:
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and type(value[1]) is int
        and type(value[2]) is int
    )


def _is_constant(value: object) -> TypeGuard[list[Any]]:
    """Whether an input of a Keras 2 node is a plain value: ``["_CONSTANT_VALUE", -1, 2.0]``.

    Source: keras 2.15.0, engine/node.py.
    """
    return isinstance(value, list) and len(value) >= 3 and value[0] == _CONSTANT


def _is_keras_tensor(value: dict[str, Any]) -> bool:
    return value.get("class_name") == "__keras_tensor__"


def _keras_3_place(value: Any) -> Any:
    """Turns a ``__keras_tensor__`` in the arguments of a Keras 3 node into a `Place`.

    An array that the call names is an object too (keras 3.15.1, saving/serialization_lib.py,
    ``serialize_keras_object``).
    """
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        return _array(value)
    if not (isinstance(value, dict) and _is_keras_tensor(value)):
        return LOOK_INSIDE
    config = value.get("config")
    history = config.get("keras_history") if isinstance(config, dict) else None
    if not _is_place(history):
        raise ModelFileError(
            f"model config: expected a tensor with a keras_history, received {value!r:.80}"
        )
    return Place(*history[:3])


def _array(value: dict[str, Any]) -> Array:
    match value.get("config"):
        case {"value": [*_] | bool() | int() | float() as numbers, "dtype": str(dtype)} if (
            dtype in NUMBERS
        ):
            try:
                return cast(np.array(numbers), dtype)
            except (TypeError, ValueError):
                pass
    raise ModelFileError(f"model config: expected an array of numbers, received {value!r:.80}")


def _keras_2_place(value: Any) -> Any:
    """Turns a ``[layer, node, index]`` in the arguments of a Keras 2 node into a `Place`."""
    if _is_constant(value):  # before places: a constant that is a whole number looks like one
        return value[2]
    return Place(*value[:3]) if _is_place(value) else LOOK_INSIDE


def _first_shape(args: list[Any]) -> Shape | None:
    """The shape that the first positional argument states, if it is a ``__keras_tensor__``."""
    first = args[0] if args else None
    if isinstance(first, dict) and _is_keras_tensor(first):
        return read_shape(first["config"].get("shape"))
    return None
