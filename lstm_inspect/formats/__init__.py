"""Bytes on disk to a `SavedFile`: plain config, arrays under the file's own keys, version.

The only room that knows h5py, or reads the zip and the JSON of a model file.
"""

from pathlib import Path
from typing import Any

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats import hdf5
from lstm_inspect.formats.file_bytes import read_bytes
from lstm_inspect.formats.json_text import optional_text, parse_object
from lstm_inspect.formats.keras_h5 import read_keras_h5
from lstm_inspect.formats.keras_zip import read_keras_zip
from lstm_inspect.formats.libraries import known_holes, library_versions
from lstm_inspect.formats.saved_file import (
    Array,
    LayerWeights,
    SavedFile,
    VariableList,
    VariableTree,
)
from lstm_inspect.formats.saved_model import read_saved_model
from lstm_inspect.formats.shards import read_shards
from lstm_inspect.formats.zip_archive import FileBytes, ZipArchive
from lstm_inspect.limits import Limits

__all__ = [
    "Array",
    "FileBytes",
    "LayerWeights",
    "SavedFile",
    "VariableList",
    "VariableTree",
    "ZipArchive",
    "known_holes",
    "library_versions",
    "parse_object",
    "read_bytes",
    "read_config_file",
    "read_model_file",
]


# What people hand over in the place of a model.
_SNIFFED = 64
_OTHERS = {
    b"version https://git-lfs": "; it is a pointer of Git LFS: git lfs pull",
    b"\x93NUMPY": "; it is a .npy of an array",
}


def read_model_file(path: str | Path, limits: Limits) -> SavedFile:
    """Reads a model file by its content, whatever its extension, or a SavedModel folder.

    Raises:
        ModelFileError: Not there, not readable, damaged, or no file of Keras.
        LimitError: It claims more than is granted.
    """
    path = Path(path)
    if path.is_dir():
        return read_saved_model(path, limits)
    data = read_bytes(path, limits, "file_bytes")
    if data.startswith(ZipArchive.SIGNATURE):
        return read_keras_zip(path, data, limits)
    if data.startswith(hdf5.SIGNATURE):
        return read_keras_h5(path, data, limits)
    if data[:_SNIFFED].lstrip().startswith(b"{"):
        return read_shards(path, data, parse_object(data, str(path), limits), limits)
    hint = next((hint for start, hint in _OTHERS.items() if data.startswith(start)), "")
    raise ModelFileError(
        f"{path}: neither a .keras zip nor an HDF5 file (its first bytes are {data[:8]!r}){hint}"
    )


def read_config_file(path: str | Path, limits: Limits) -> tuple[dict[str, Any], str | None]:
    """Reads a model's config, without its weights.

    Args:
        path: What ``model.to_json()`` gave, or a ``.keras`` or ``.h5`` of the same architecture.
        limits: What it may claim.

    Returns:
        The config, and the Keras version that the file states or None.

    Raises:
        ModelFileError: Not there, not readable, damaged, or without a config.
        LimitError: It claims more than is granted.
    """
    path = Path(path)
    data = read_bytes(path, limits, "file_bytes")
    if data[:_SNIFFED].lstrip().startswith(b"{"):
        config = parse_object(data, str(path), limits)
        return config, optional_text(config.get("keras_version"), f"{path}: keras_version")
    file = read_model_file(path, limits)
    if file.config is None:
        raise ModelFileError(
            f"{path}: expected a model's config, received weights alone; "
            "give what model.to_json() gave, or a whole model"
        )
    return dict(file.config), file.keras_version
