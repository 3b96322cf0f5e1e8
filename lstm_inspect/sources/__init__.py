"""Where models come from: each source reads the files of one framework into a `Model`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.model import Model
from lstm_inspect.sources.keras import is_of_keras, read_keras


class SourceReader(NamedTuple):
    """What reads the files of one framework.

    Attributes:
        recognises: Gets the path and the bytes of a file, or None for a folder. Tells whether its
            content is of this framework.
        read: Gets these, the path of a config or None, and the limits. Gives the model.
    """

    recognises: Callable[[Path, bytes | None], bool]
    read: Callable[[Path, bytes | None, Path | None, Limits], Model]


SOURCES = [SourceReader(is_of_keras, read_keras)]
"""Every source; the first that recognises a file reads it."""

# What people hand over instead of a model.
_HINTS = {
    b"version https://git-lfs": "; it is a pointer of Git LFS: git lfs pull",
    b"\x93NUMPY": "; it is a .npy of an array",
}


def open_model(
    path: str | Path, config: str | Path | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> Model:
    """Reads a saved model, without the framework that saved it.

    Args:
        path: A ``.keras`` zip, an ``.h5``, weights alone or a SavedModel folder; told apart by
            content.
        config: For weights alone, what ``model.to_json()`` gave, or a ``.keras`` or ``.h5`` of the
            same architecture. Without it the shapes are known, and nothing can be replayed.
        limits: What the files may claim.

    Returns:
        The model. Its arrays are read-only.

    Raises:
        ModelFileError: The file cannot be read, or contradicts itself.
        LimitError: It claims more than is granted.

    Warns:
        UnreadWeightsWarning: An array of it was never written, or is not made of numbers; its
            layer counts as without weights.
    """
    path = Path(path)
    data = None if path.is_dir() else read_bytes(path, limits, "file_bytes")
    for source in SOURCES:
        if source.recognises(path, data):
            return source.read(path, data, None if config is None else Path(config), limits)
    if data is None:
        raise ModelFileError(
            f"{path}: expected a model file or a SavedModel, received a folder without "
            "saved_model.pb"
        )
    hint = next((hint for start, hint in _HINTS.items() if data.startswith(start)), "")
    raise ModelFileError(
        f"{path}: neither a .keras zip nor an HDF5 file (its first bytes are {data[:8]!r}){hint}"
    )
