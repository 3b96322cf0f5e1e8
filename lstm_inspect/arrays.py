"""Arrays from ``.npy`` and ``.npz`` files."""

import zipfile
from pathlib import Path

import numpy as np

from lstm_inspect.errors import InputError
from lstm_inspect.formats import Array

_SIGNATURES = (b"\x93NUMPY", b"PK\x03\x04")


def read_arrays(
    path: str | Path, expected: str = "a .npy or .npz file of numbers"
) -> Array | dict[str, Array]:
    """Reads a ``.npy`` (one array) or an ``.npz`` (arrays by name), told apart by content.

    Args:
        path: Where from.
        expected: What to say in an error that the file should be.

    Raises:
        InputError: Not there, damaged, neither of the two, or pickled objects.
    """

    def refusal(received: object) -> InputError:
        return InputError(f"{path}: expected {expected}, received {received}")

    try:
        with Path(path).open("rb") as file:
            start = file.read(6)
            if not start.startswith(_SIGNATURES):
                raise refusal(f"something else (its first bytes are {start!r})")
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise refusal("a folder") from error
    except MemoryError as error:
        raise refusal("a header that claims more than memory can hold") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        pickled = "allow_pickle" in str(error)
        raise refusal("pickled objects" if pickled else f"a damaged one ({error})") from error
