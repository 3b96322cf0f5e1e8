"""Reads SavedModel folders, which tf.keras up to 2.15 wrote for a path without an extension."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.content import SAVED_MODEL, Content
from lstm_inspect.files.json_text import optional_text, parse_object
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.protobuf import Message
from lstm_inspect.files.tensor_bundle import TensorBundle
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.nested import LOOK_INSIDE, rewritten
from lstm_inspect.sources.keras.stores.object_graph import read_object_graph
from lstm_inspect.sources.keras.stores.saved_file import SavedFile, StatedLayer

_METADATA = "keras_metadata.pb"
_ROOT = "root"


def read_checkpoint(content: Content, bundle: TensorBundle, limits: Limits) -> SavedFile:
    """Reads weights that ``save_weights("cp.ckpt")`` of tf.keras wrote.

    Args:
        content: The checkpoint.
        bundle: Its variables.
        limits: How much it may ask for.

    Raises:
        ModelFileError: It is damaged.
        LimitError: It asks for more than a limit allows.
    """
    return SavedFile(
        path=content.path,
        format="checkpoint",
        keras_version=None,
        config=None,
        weights=read_object_graph(bundle, str(content.path), limits),
        data=content.data,
        files=content.files,
    )


def read_saved_model(content: Content, bundle: TensorBundle, limits: Limits) -> SavedFile:
    """Reads the configs and the variables of a SavedModel, but never its graph of operations.

    Layout: keras 2.15.0, saving/legacy/saved_model/save.py. The config is in the metadata of the
    root node. TensorFlow 2.5 and later write the metadata to keras_metadata.pb, earlier versions to
    saved_model.pb. The variables are in a TensorFlow checkpoint.

    Args:
        content: The folder.
        bundle: Its variables.
        limits: How much it may ask for.

    Raises:
        ModelFileError: The folder is damaged.
        LimitError: A file in it asks for more than a limit allows.
    """
    folder, data = content.path, content.data
    described = folder / _METADATA
    metadata = (
        {_METADATA: read_bytes(described, limits, "file_bytes")} if described.is_file() else {}
    )
    texts = dict(_metadata(folder, data, metadata.get(_METADATA)))
    root = _parsed(texts[_ROOT], folder, _ROOT, limits) if _ROOT in texts else {}
    graph = read_object_graph(bundle, str(folder), limits)
    has_config = isinstance(root.get("config"), dict)
    is_wired = has_config and "layers" in root["config"]
    return SavedFile(
        path=folder,
        format="saved_model",
        keras_version=optional_text(root.get("keras_version"), f"{folder}: keras_version"),
        config={key: root.get(key) for key in ("class_name", "config")} if has_config else None,
        weights=graph,
        stated_layers=()
        if is_wired
        else tuple(
            StatedLayer(attributes, number, _parsed(text, folder, path, limits))
            for path, text in texts.items()
            if (attributes := tuple(path.split(".")[1:]))
            and (number := graph.at(0, *attributes)) is not None
        ),
        data=data,
        files=metadata | content.files,
    )


def _metadata(
    folder: Path, saved_model: bytes, metadata: bytes | None
) -> Iterator[tuple[str, str]]:
    """Yields the path of each object of Keras, such as ``root.lstm``, and its metadata."""
    if metadata is not None:
        for node in Message(metadata, str(folder / _METADATA)).messages(1):
            yield node.text(3), node.text(5)
        return
    what = str(folder / SAVED_MODEL)
    graphs = Message(saved_model, what).messages(2)
    nodes = graphs[0].message(7).all_data(1) if graphs else []
    if not nodes:
        raise ModelFileError(f"{what} is damaged (it has no objects)")
    if text := Message(nodes[0], what).message(4).text(3):
        yield _ROOT, text


def _parsed(text: str, folder: Path, path: str, limits: Limits) -> dict[str, Any]:
    found = parse_object(text, f"{folder}: the metadata of {path}", limits)
    plain: dict[str, Any] = rewritten(found, _list_of_tuple)
    return plain


def _list_of_tuple(value: Any) -> Any:
    """Turns a tuple or a TensorShape of the metadata into a list.

    The metadata writes a tuple as ``{"class_name": "__tuple__", "items": [...]}``
    (legacy/saved_model/json_utils.py).
    """
    if isinstance(value, dict) and value.get("class_name") in ("__tuple__", "TensorShape"):
        return rewritten(value.get("items"), _list_of_tuple)
    return LOOK_INSIDE
