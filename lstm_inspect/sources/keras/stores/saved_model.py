"""Reads SavedModel folders, which tf.keras up to 2.15 wrote for a path without an extension."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.json_text import optional_text, parse_object
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.genuine.packages import import_tensorflow
from lstm_inspect.nested import LOOK_INSIDE, rewritten
from lstm_inspect.sources.keras.stores.saved_file import SavedFile, VariableList

SAVED_MODEL = "saved_model.pb"
"""The file that makes a folder a SavedModel."""


def read_saved_model(folder: Path, limits: Limits) -> SavedFile:
    """Reads the config and the variables of a SavedModel, but never its graph.

    Layout: keras 2.15.0, saving/legacy/saved_model/save.py. The config is in the metadata of the
    root node. TensorFlow 2.5 and later write that node to keras_metadata.pb, earlier versions to
    saved_model.pb. The variables are in a TensorFlow checkpoint.

    Raises:
        ModelFileError: The folder is damaged, or Keras did not save it.
        LimitError: A file in it asks for more than a limit allows.
        MissingExtraError: TensorFlow is not installed.
    """
    tf = import_tensorflow(f"{folder}, a SavedModel folder,")
    data = read_bytes(folder / SAVED_MODEL, limits, "file_bytes")
    root = parse_object(
        _root_metadata(folder, data, limits), f"{folder}: the metadata of its root", limits
    )
    return SavedFile(
        path=folder,
        format="saved_model",
        keras_version=optional_text(root.get("keras_version"), f"{folder}: keras_version"),
        config=rewritten({key: root.get(key) for key in ("class_name", "config")}, _list_of_tuple),
        weights=VariableList(variables=tuple(_variables(folder, tf))),
        data=data,
    )


def _root_metadata(folder: Path, saved_model: bytes, limits: Limits) -> str | bytes:
    metadata = folder / "keras_metadata.pb"
    if metadata.is_file():
        for node in _length_delimited(read_bytes(metadata, limits, "file_bytes"), 1):
            fields = {number: next(_length_delimited(node, number), b"") for number in (3, 5)}
            if fields[3] == b"root":
                return fields[5]
        raise ModelFileError(f"{metadata}: expected a root node, received none; it is damaged")
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel()
    try:
        message.ParseFromString(saved_model)
        text = message.meta_graphs[0].object_graph_def.nodes[0].user_object.metadata
    except (DecodeError, IndexError) as error:
        raise ModelFileError(f"{folder}: saved_model.pb is damaged") from error
    if not text:
        raise ModelFileError(f"{folder}: expected a SavedModel of tf.keras, received another one")
    return str(text)


_ORDERED = re.compile(
    r"(?:variables/(\d+)|layer_with_weights-(\d+)/.+)/\.ATTRIBUTES/VARIABLE_VALUE"
)


def _variables(folder: Path, tf: ModuleType) -> list[tuple[str, Array]]:
    """The name and the value of each variable, layer by layer."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        checkpoint = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        graph.ParseFromString(checkpoint.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"{folder}: its variables cannot be read ({reason})") from error
    # The keys are variables/0/..., variables/1/... in a model saved with its traces, and
    # layer_with_weights-0/cell/kernel/... in one saved without (save_traces=False).
    found = [
        (int(match[1] or match[2]), attribute.full_name, attribute.checkpoint_key)
        for node in graph.nodes
        for attribute in node.attributes
        if (match := _ORDERED.fullmatch(attribute.checkpoint_key))
    ]
    in_order = sorted(found, key=lambda each: each[0])
    return [(name, checkpoint.get_tensor(key)) for _, name, key in in_order]


def _length_delimited(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yields the values of one field of a protobuf message: texts, bytes or nested messages.

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

    try:
        while at < len(message):
            field, wire_type = divmod(varint(), 8)
            length = varint()
            if wire_type == 2:
                if field == wanted:
                    yield message[at : at + length]
                at += length
            elif wire_type != 0:
                raise IndexError
    except IndexError:
        raise ModelFileError("keras_metadata.pb is damaged") from None


def _list_of_tuple(value: Any) -> Any:
    """Turns a tuple or a TensorShape of the metadata into a list.

    The metadata writes a tuple as ``{"class_name": "__tuple__", "items": [...]}``
    (legacy/saved_model/json_utils.py).
    """
    if isinstance(value, dict) and value.get("class_name") in ("__tuple__", "TensorShape"):
        return rewritten(value.get("items"), _list_of_tuple)
    return LOOK_INSIDE
