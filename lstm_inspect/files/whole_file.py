"""Reads a whole file once, so that everything said about the file is about the same bytes."""

import os
import stat
from pathlib import Path

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits

# O_NONBLOCK: do not wait for the writer of a pipe. O_BINARY: keep line ends on Windows.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bytes(path: Path, limits: Limits, limit: str) -> bytes:
    """Reads a whole file.

    Args:
        path: The file; a link is followed.
        limits: How large the file may be.
        limit: The name of the limit on its size.

    Raises:
        ModelFileError: The file does not exist, cannot be read, changes, or is not a regular file.
        LimitError: The file is larger than the limit.
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
        is_url = path.parts[:1] and path.parts[0] in ("http:", "https:", "gs:", "s3:")
        hint = "; it is a URL: download the file first" if is_url else ""
        raise ModelFileError(f"{path}: no such file{hint}") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) != status.st_size:
        raise ModelFileError(f"{path}: the file changed while it was read; try again")
    return data
