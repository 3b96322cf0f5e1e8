"""Writing a file so that whoever looks sees the old one or the whole new one, and no debris."""

import errno
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lstm_inspect.errors import OutputError
from lstm_inspect.signals import signals_held


def replace_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file that gets its name once it is whole and on disk.

    Where the system can, it has no name until then: not even a killed process leaves debris.

    Raises:
        OutputError: The folder is not there or not writable, or the disk is full.
    """
    try:
        path = path.resolve()  # a link stays a link, to the new file
        beside = path.with_name(f".lstm-inspect.{os.urandom(8).hex()}.tmp")
        descriptor, is_named = _open_new(beside)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                write(file)
                file.flush()
                os.fsync(descriptor)
                if not is_named:
                    with signals_held():
                        if _name(descriptor, path, beside):
                            beside.replace(path)
            if is_named:  # Windows renames no open file
                beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except RuntimeError as error:  # Python before 3.13, of links in a circle
        raise OutputError(f"{path}: cannot be written ({error})") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _open_new(beside: Path) -> tuple[int, bool]:
    """A new file without a name, or with one where the file system has no such files."""
    if sys.platform == "linux":
        try:
            return os.open(beside.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), False
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.open(beside, flags, 0o666), True


def _name(descriptor: int, path: Path, beside: Path) -> bool:
    """Gives a file its name; true if it was taken, so that it now has the one beside."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # Without a folder descriptor Python would link the entry in /proc, not what it points to.
        name = partial(os.link, f"/proc/self/fd/{descriptor}", dst_dir_fd=folder)
        try:
            name(path.name)
        except FileExistsError:
            name(beside.name)
            return True
        os.fsync(folder)
        return False
    finally:
        os.close(folder)


def check_target(
    path: Path, *, sources: list[Path], may_replace: Callable[[Path], bool], force: bool
) -> None:
    """Refuses a place for a result before any work is done.

    Args:
        path: Where the result is to go.
        sources: Files the result is made from; they are never replaced.
        may_replace: Whether an existing file is an earlier result.
        force: Replace any other existing file too.

    Raises:
        OutputError: The place is taken or is no file, or its folder is not there.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder {path.parent} is not writable; choose another")
    if not path.exists():
        return
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a device or pipe"
        raise OutputError(f"{path}: expected a file name for the result, received {what}")
    for source in sources:
        if source.exists() and path.samefile(source):
            raise OutputError(f"{path}: is also what is read; choose another name for the result")
    if not force and not may_replace(path):
        raise OutputError(
            f"{path}: exists, and is replaced with --force alone; choose another name, or give that"
        )
