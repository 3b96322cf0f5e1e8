"""SavedModel folders: what tf.keras up to 2.15 wrote for a path without an extension."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_inspect.errors import ModelFileError
from lstm_inspect.extras import import_tensorflow
from lstm_inspect.formats.json_text import optional_text, parse_object
from lstm_inspect.formats.saved_file import Array, SavedFile, VariableList


def read_saved_model(folder: Path) -> SavedFile:
    """Reads the config and the variables of a SavedModel; never its graph.

    Layout: keras 2.15.0, saving/legacy/saved_model/save.py. The config is the metadata of the
    node ``root`` in keras_metadata.pb, the variables are in a TensorFlow checkpoint.

    Raises:
        ModelFileError: No such folder of Keras, or damaged.
        MissingExtraError: TensorFlow is not installed.
    """
    metadata_file = folder / "keras_metadata.pb"
    if not metadata_file.is_file():
        raise ModelFileError(
            f"{folder}: expected a SavedModel that tf.keras wrote, received a folder "
            "without keras_metadata.pb"
        )
    data = metadata_file.read_bytes()
    try:
        nodes = {node[3]: node[5] for node in map(_fields, _repeated(data, 1))}
        root = parse_object(nodes[b"root"], f"{metadata_file}: root")
    except (KeyError, IndexError, TypeError) as error:
        raise ModelFileError(f"{metadata_file}: damaged, it has no root node") from error
    return SavedFile(
        path=folder,
        format="saved_model",
        keras_version=optional_text(root.get("keras_version"), f"{folder}: keras_version"),
        config=_without_tuples({key: root.get(key) for key in ("class_name", "config")}),
        weights=VariableList(variables=tuple(_variables(folder))),
        data=data,
    )


def _variables(folder: Path) -> Iterator[tuple[str, Array]]:
    """Each variable's name and value, in the order of the model's ``variables``."""
    tf = import_tensorflow(f"{folder}, a SavedModel folder,")
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    try:
        checkpoint = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        graph.ParseFromString(checkpoint.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"{folder}: its variables cannot be read ({reason})") from error
    names = {
        attribute.checkpoint_key: attribute.full_name
        for node in graph.nodes
        for attribute in node.attributes
    }
    number = 0
    while (key := f"variables/{number}/.ATTRIBUTES/VARIABLE_VALUE") in names:
        yield names[key], checkpoint.get_tensor(key)
        number += 1


def _repeated(message: bytes, field: int) -> Iterator[bytes]:
    """The values of a repeated field of a protobuf message."""
    return (value for number, value in _entries(message) if number == field)


def _fields(message: bytes) -> dict[int, bytes]:
    return dict(_entries(message))


def _entries(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields (field number, value) of the length-delimited fields of a protobuf message.

    The wire format: https://protobuf.dev/programming-guides/encoding/
    """
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        field, wire_type = divmod(varint(), 8)
        if wire_type == 0:
            varint()
        elif wire_type == 2:
            length = varint()
            yield field, message[at : at + length]
            at += length
        else:
            raise IndexError(f"wire type {wire_type}")


def _without_tuples(value: Any) -> Any:
    """The metadata writes tuples as objects (legacy/saved_model/json_utils.py)."""
    if isinstance(value, list):
        return [_without_tuples(item) for item in value]
    if isinstance(value, dict):
        if value.get("class_name") in ("__tuple__", "TensorShape"):
            return _without_tuples(value.get("items"))
        return {key: _without_tuples(item) for key, item in value.items()}
    return value
