"""Bytes on disk to a `SavedFile`: plain config, arrays under the file's own keys, version.

The only room that knows zipfile and h5py, or reads the JSON of a model file.
"""

from pathlib import Path

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats import hdf5, keras_zip
from lstm_inspect.formats.keras_h5 import read_keras_h5
from lstm_inspect.formats.keras_zip import read_keras_zip
from lstm_inspect.formats.saved_file import Array, LayerWeights, SavedFile, VariableTree

__all__ = ["Array", "LayerWeights", "SavedFile", "VariableTree", "read_model_file"]


def read_model_file(path: str | Path) -> SavedFile:
    """Reads a model file by its content, whatever its extension.

    Raises:
        ModelFileError: Not there, not readable, damaged, or in a format not read yet.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"{path}: no such file")
    if not path.is_file():
        raise ModelFileError(f"{path}: expected a .keras or .h5 file, received a folder or device")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    if data.startswith(keras_zip.SIGNATURE):
        return read_keras_zip(path, data)
    if data.startswith(hdf5.SIGNATURE):
        return read_keras_h5(path, data)
    raise ModelFileError(
        f"{path}: neither a .keras zip nor an HDF5 file (its first bytes are {data[:8]!r})"
    )
