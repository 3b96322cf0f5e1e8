"""The wiring of a Functional config: how a node names the tensors it reads, by Keras dialect."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeGuard

from lstm_inspect.errors import ModelFileError
from lstm_inspect.model.graph import Argument, Ref, Shape
from lstm_inspect.model.layer_config import read_shape

_CONSTANT = "_CONSTANT_VALUE"


class Source(NamedTuple):
    """A tensor as a config names it: output ``output`` of call number ``call`` of a layer."""

    layer: str
    call: int
    output: int


class Node(NamedTuple):
    """One call of a layer as a config writes it, with a `Source` for every tensor."""

    args: tuple[Argument, ...]
    kwargs: dict[str, Argument]
    input_shape: Shape | None


def read_node(node: object) -> Node:
    """Reads an entry of ``inbound_nodes``, whichever Keras wrote it.

    Keras 3 writes ``{"args": [...], "kwargs": {...}}`` with ``__keras_tensor__`` objects
    (keras 3.15.1, models/functional.py, ``serialize_node``); Keras 2 a list of
    ``[layer, node, index, kwargs]``, in which every input repeats the kwargs (keras 2.15.0,
    engine/node.py, ``Node.serialize``), or leaves them out.

    Raises:
        ModelFileError: Neither of the two.
    """
    if isinstance(node, dict) and not node.keys() & {"args", "kwargs"}:
        # keras 2.15.0: a layer called on a dict, each value a [layer, node, index, kwargs].
        return Node((_link(node),), {}, None)
    if isinstance(node, dict):
        args, kwargs = node.get("args", []), node.get("kwargs", {})
        if isinstance(args, list) and isinstance(kwargs, dict) and not _is_keras_tensor(kwargs):
            return Node(tuple(_revive(args)), _revive(kwargs), _first_shape(args))
    elif isinstance(node, list):
        entries = [node] if _is_source(node) or _is_constant(node) else node
        if entries and all(_is_source(entry) or _is_constant(entry) for entry in entries):
            given = [_link(entry) for entry in entries]
            kwargs = entries[0][3] if len(entries[0]) > 3 else {}
            if isinstance(kwargs, dict):
                return Node((given[0] if len(given) == 1 else given,), _link(kwargs), None)
    raise ModelFileError(f"model config: cannot read the inbound node {node!r:.80}")


def read_sources(value: object) -> list[Source]:
    """Reads ``input_layers`` or ``output_layers``: one source, or lists or dicts of sources.

    The sources of a dict are in the order of its keys, whichever the file has (keras 3.15.1,
    models/functional.py: ``tree.flatten``; 2.15.0, engine/functional.py: ``tf.nest.flatten``).
    """
    if _is_source(value):
        return [Source(*value[:3])]
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if not isinstance(value, list):
        raise ModelFileError(f"model config: expected a list of tensors, received {value!r:.80}")
    return [source for item in value for source in read_sources(item)]


def sources(argument: Argument) -> Iterator[Source]:
    """Yields every `Source` in an argument, in order."""
    if isinstance(argument, Source):
        yield argument
    elif isinstance(argument, (list, tuple)):
        for item in argument:
            yield from sources(item)
    elif isinstance(argument, dict):
        yield from sources(list(argument.values()))


def map_sources(argument: Argument, resolve: Callable[[Source], Ref]) -> Argument:
    """The argument with every `Source` in it replaced by the tensor it names."""
    if isinstance(argument, Source):
        return resolve(argument)
    if isinstance(argument, list):
        return [map_sources(item, resolve) for item in argument]
    if isinstance(argument, dict):
        return {key: map_sources(item, resolve) for key, item in argument.items()}
    return argument


def _is_source(value: object) -> TypeGuard[list[Any]]:
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and type(value[1]) is int
        and type(value[2]) is int
    )


def _is_constant(value: object) -> bool:
    """A plain value among the inputs of a Keras 2 node (keras 2.15.0, engine/node.py)."""
    return isinstance(value, list) and len(value) >= 3 and value[0] == _CONSTANT


def _is_keras_tensor(value: dict[str, Any]) -> bool:
    return value.get("class_name") == "__keras_tensor__"


def _revive(value: Any) -> Any:
    """Puts a `Source` in the place of every ``__keras_tensor__``."""
    if isinstance(value, list):
        return [_revive(item) for item in value]
    if isinstance(value, dict):
        if _is_keras_tensor(value):
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, dict) else None
            if not _is_source(history):
                raise ModelFileError(f"model config: cannot read the tensor {value!r:.80}")
            return Source(*history[:3])
        return {key: _revive(item) for key, item in value.items()}
    return value


def _link(value: Any) -> Any:
    """Puts a `Source` in the place of every tensor in the kwargs of a Keras 2 node."""
    if _is_source(value):
        return Source(*value[:3])
    if _is_constant(value):
        return value[2]
    if isinstance(value, list):
        return [_link(item) for item in value]
    if isinstance(value, dict):
        return {key: _link(item) for key, item in value.items()}
    return value


def _first_shape(args: list[Any]) -> Shape | None:
    """The shape that the first positional ``__keras_tensor__`` of a node states."""
    first = args[0] if args else None
    if isinstance(first, dict) and _is_keras_tensor(first):
        return read_shape(first["config"].get("shape"))
    return None
