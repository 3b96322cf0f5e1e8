"""The bytes of one file, read once; whatever is said of the file is said of these."""

import os
import stat
from pathlib import Path

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits

# A pipe without a writer would be waited for; Windows would turn line ends.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bytes(path: Path, limits: Limits, limit: str) -> bytes:
    """Reads a file whole.

    Args:
        path: Where from; a link is followed.
        limits: How large it may be.
        limit: The name of the one that holds for it.

    Raises:
        ModelFileError: Not there, not readable, or no regular file.
        LimitError: Larger than the limit.
    """
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ModelFileError(f"{path}: expected a file, received a folder, pipe or device")
            limits.check(limit, status.st_size, str(path))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(status.st_size + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) != status.st_size:
        raise ModelFileError(f"{path}: changed while it was read; read it again")
    return data
