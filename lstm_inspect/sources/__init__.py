"""Readers of saved models: each source reads the files of one framework into a `Model`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.model import Model
from lstm_inspect.sources.keras import is_of_keras, read_keras


class SourceReader(NamedTuple):
    """The reader for the files of one framework.

    Attributes:
        recognises: Takes a path and the bytes of the file (None for a folder). Returns whether this
            framework can have saved it.
        read: Takes the same two, the path of a config (or None) and the limits. Returns the model.
    """

    recognises: Callable[[Path, bytes | None], bool]
    read: Callable[[Path, bytes | None, Path | None, Limits], Model]


SOURCES = [SourceReader(is_of_keras, read_keras)]
"""Every source. The first one that recognises a file reads it."""

# Files that people often pass instead of a model.
_HINTS = {
    b"version https://git-lfs": "; it is a Git LFS pointer, run: git lfs pull",
    b"\x93NUMPY": "; it is a .npy array, not a model",
}


def open_model(
    path: str | Path, config: str | Path | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> Model:
    """Reads a saved model, without the framework that saved it.

    Args:
        path: A ``.keras`` zip, an ``.h5`` file, a file of weights alone or a SavedModel folder. Its
            content decides which of these it is, not its name.
        config: For weights alone, the output of ``model.to_json()``, or a ``.keras`` or ``.h5`` of
            the same architecture. Without it the shapes are known, but nothing can be replayed.
        limits: How much the files may ask for.

    Returns:
        The model. Its arrays are read-only.

    Raises:
        ModelFileError: The file cannot be read, or contradicts itself.
        LimitError: The file asks for more than a limit allows.

    Warns:
        UnreadWeightsWarning: One of its arrays was never written, or is not made of numbers. Its
            layer then counts as a layer without weights.
    """
    path = Path(path)
    data = None if path.is_dir() else read_bytes(path, limits, "file_bytes")
    for source in SOURCES:
        if source.recognises(path, data):
            return source.read(path, data, None if config is None else Path(config), limits)
    if data is None:
        raise ModelFileError(
            f"{path}: expected a model file or a SavedModel folder, received a folder without "
            "saved_model.pb"
        )
    hint = next((hint for start, hint in _HINTS.items() if data.startswith(start)), "")
    raise ModelFileError(
        f"{path}: expected a .keras zip or an HDF5 file, received another file "
        f"(its first bytes are {data[:8]!r}){hint}"
    )
