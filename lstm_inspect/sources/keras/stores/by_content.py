"""Tells Keras files apart by their content and reads them into a `SavedFile`."""

from pathlib import Path
from typing import Any

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files import hdf5
from lstm_inspect.files.content import Content, read_content
from lstm_inspect.files.json_text import optional_text, parse_object
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.yaml_text import parse_yaml_object
from lstm_inspect.files.zip_archive import ZipArchive
from lstm_inspect.sources.keras.stores.keras_h5 import read_keras_h5
from lstm_inspect.sources.keras.stores.keras_zip import read_keras_zip
from lstm_inspect.sources.keras.stores.object_graph import has_objects
from lstm_inspect.sources.keras.stores.saved_file import SavedFile
from lstm_inspect.sources.keras.stores.saved_model import read_checkpoint, read_saved_model
from lstm_inspect.sources.keras.stores.shards import read_shards

_SNIFFED = 64

# A config in YAML may begin with any of its keys.
_YAML = b"class_name:"
_YAML_SNIFFED = 1 << 16


def is_of_keras(content: Content) -> bool:
    """Whether Keras can have saved something: objects in a checkpoint, or a file of its formats."""
    if content.bundle is not None:
        return has_objects(content.bundle)
    is_file = content.data.startswith((ZipArchive.SIGNATURE, hdf5.SIGNATURE))
    return is_file or _is_json(content.data)


def read_saved_file(content: Content, limits: Limits) -> SavedFile:
    """Reads what `is_of_keras` accepts.

    Args:
        content: What the path names.
        limits: How much it may ask for.

    Raises:
        ModelFileError: The file is damaged, or Keras did not save it after all.
        LimitError: The file asks for more than a limit allows.
    """
    path, data = content.path, content.data
    if content.bundle is not None:
        read = read_saved_model if content.is_saved_model else read_checkpoint
        return read(content, content.bundle, limits)
    if data.startswith(ZipArchive.SIGNATURE):
        return read_keras_zip(path, data, limits)
    if data.startswith(hdf5.SIGNATURE):
        return read_keras_h5(path, data, limits)
    if content.stands_alone:
        raise ModelFileError(
            f"{path}: expected a model in one file, received JSON, which names other files; "
            "pass its path"
        )
    return read_shards(path, data, parse_object(data, str(path), limits), limits)


def read_config_file(path: Path, limits: Limits) -> tuple[dict[str, Any], str | None]:
    """Reads the config of a model without its weights.

    Args:
        path: The output of ``model.to_json()`` or ``model.to_yaml()``, or a ``.keras`` or ``.h5``
            with this architecture.
        limits: How much it may ask for.

    Returns:
        The config, and the Keras version; None if the file does not state a version.

    Raises:
        ModelFileError: The file is missing, unreadable or damaged, or has no config.
        LimitError: The file asks for more than a limit allows.
    """
    content = read_content(path, limits)
    if content.bundle is None and (config := _config_text(content, limits)) is not None:
        return config, optional_text(config.get("keras_version"), f"{path}: keras_version")
    expected = f"{path}: expected the config of a model, as model.to_json() gives it"
    if not is_of_keras(content):
        first = f"another file (its first bytes are {content.data[:8]!r})"
        raise ModelFileError(f"{expected}; received {first}")
    file = read_saved_file(content, limits)
    if file.config is None:
        raise ModelFileError(f"{expected}, or a whole model; received weights alone")
    return dict(file.config), file.keras_version


def _config_text(content: Content, limits: Limits) -> dict[str, Any] | None:
    """The config in a file that is JSON or YAML; None for a file that is neither."""
    path, data = content.path, content.data
    if _is_json(data):
        return parse_object(data, str(path), limits)
    if _YAML in data[:_YAML_SNIFFED] and not is_of_keras(content):
        return parse_yaml_object(_utf8(path, data), str(path), limits)
    return None


def _utf8(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ModelFileError(f"{path}: expected YAML in UTF-8, received other bytes") from None


def _is_json(data: bytes) -> bool:
    return data[:_SNIFFED].lstrip().startswith(b"{")
