"""Bytes on disk to a `SavedFile`: plain config, arrays under the file's own keys, version.

The only room that knows zipfile and h5py, or reads the JSON of a model file.
"""

import stat
from pathlib import Path
from typing import Any

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats import hdf5, keras_zip
from lstm_inspect.formats.json_text import optional_text, parse_object
from lstm_inspect.formats.keras_h5 import read_keras_h5
from lstm_inspect.formats.keras_zip import read_keras_zip
from lstm_inspect.formats.saved_file import (
    Array,
    LayerWeights,
    SavedFile,
    VariableList,
    VariableTree,
)
from lstm_inspect.formats.saved_model import read_saved_model
from lstm_inspect.formats.shards import read_shards

__all__ = [
    "Array",
    "LayerWeights",
    "SavedFile",
    "VariableList",
    "VariableTree",
    "read_config_file",
    "read_model_file",
]


def read_model_file(path: str | Path) -> SavedFile:
    """Reads a model file by its content, whatever its extension, or a SavedModel folder.

    Raises:
        ModelFileError: Not there, not readable, damaged, or no file of Keras.
    """
    path = Path(path)
    if path.is_dir():
        return read_saved_model(path)
    data = _read_bytes(path)
    if data.startswith(keras_zip.SIGNATURE):
        return read_keras_zip(path, data)
    if data.startswith(hdf5.SIGNATURE):
        return read_keras_h5(path, data)
    if data.lstrip().startswith(b"{"):
        return read_shards(path, data, parse_object(data, str(path)))
    raise ModelFileError(
        f"{path}: neither a .keras zip nor an HDF5 file (its first bytes are {data[:8]!r})"
    )


def read_config_file(path: str | Path) -> tuple[dict[str, Any], str | None]:
    """Reads a model's config, without its weights.

    Args:
        path: What ``model.to_json()`` gave, or a ``.keras`` or ``.h5`` of the same architecture.

    Returns:
        The config, and the Keras version that the file states or None.

    Raises:
        ModelFileError: Not there, not readable, damaged, or without a config.
    """
    path = Path(path)
    data = _read_bytes(path)
    if data.lstrip().startswith(b"{"):
        config = parse_object(data, str(path))
        return config, optional_text(config.get("keras_version"), f"{path}: keras_version")
    file = read_model_file(path)
    if file.config is None:
        raise ModelFileError(
            f"{path}: expected a model's config, received weights alone; "
            "give what model.to_json() gave, or a whole model"
        )
    return dict(file.config), file.keras_version


def _read_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ModelFileError(f"{path}: expected a model file, received a folder or device")
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
