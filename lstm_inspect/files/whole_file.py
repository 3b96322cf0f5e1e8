"""Reads a whole file once, so that everything said about the file is about the same bytes."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits

# O_NONBLOCK: do not wait for the writer of a pipe. O_BINARY: keep line ends on Windows.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_PART = 1 << 20


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
    with opened(path) as (descriptor, size):
        return read_opened(path, descriptor, size, limits, limit)


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, int]]:
    """Opens a file.

    Args:
        path: The file; a link is followed.

    Yields:
        Its descriptor and its size.

    Raises:
        ModelFileError: The file does not exist, cannot be read, or is not a regular file.
    """
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ModelFileError(f"{path}: expected a file, received a folder, pipe or device")
            yield descriptor, status.st_size
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        is_url = path.parts[:1] and path.parts[0] in ("http:", "https:", "gs:", "s3:")
        hint = "; it is a URL: download the file first" if is_url else ""
        raise ModelFileError(f"{path}: no such file{hint}") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error


def read_opened(path: Path, descriptor: int, size: int, limits: Limits, limit: str) -> bytes:
    """Reads a whole file that is open; the rest is as for `read_bytes`."""
    limits.check(limit, size, str(path))
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read(size + 1)
    if len(data) != size:
        raise ModelFileError(f"{path}: the file changed while it was read; try again")
    return data


def read_all(stream: BinaryIO, name: Path, limits: Limits, limit: str) -> bytes:
    """Reads a stream to its end.

    Args:
        stream: The stream.
        name: What to call it.
        limits: How much it may hold.
        limit: The name of the limit on that.

    Raises:
        ModelFileError: The stream cannot be read.
        LimitError: It holds more than the limit.
    """
    data = bytearray()
    try:
        while part := stream.read(_PART):
            data += part
            limits.check(limit, len(data), str(name), so_far=True)
    except OSError as error:
        raise ModelFileError(f"{name}: cannot be read ({error.strerror})") from error
    return bytes(data)
