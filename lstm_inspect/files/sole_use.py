"""Keeps a second process out of a folder that one is working in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lstm_inspect.errors import OutputError


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keeps others out until the block ends, or the process; Windows does not.

    Raises:
        OutputError: Another process is in it.
    """
    if os.name == "nt":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder}: another process is writing it; wait for it, or choose another name"
            ) from None
        yield
    finally:
        os.close(descriptor)
