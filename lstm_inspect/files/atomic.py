"""Writing a file so that everyone sees the old one or the whole new one, and nothing else."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lstm_inspect.errors import OutputError
from lstm_inspect.files.interruptions import interruptions_held
from lstm_inspect.notation import advice


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file that gets its name when the block ends, once it is whole and on disk.

    If the block is left by an exception, nothing changes. Where the system can, the file has no
    name until the end: not even a killed process leaves it behind.

    Args:
        path: Its name; a file that has it is replaced.

    Raises:
        OutputError: The folder is not there or not writable, or the disk is full.
    """
    try:
        path = path.resolve()  # a link stays a link, to the new file
        beside = path.with_name(f".lstm-inspect.{os.urandom(8).hex()}.tmp")
        descriptor, has_name = _open_new(beside)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
                if not has_name:
                    with interruptions_held():
                        _give_name(descriptor, path, beside)
            if has_name:  # Windows renames no open file
                beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except RuntimeError as error:  # Python before 3.13, of links in a circle
        raise OutputError(f"{path}: cannot be written ({error})") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _open_new(beside: Path) -> tuple[int, bool]:
    """Opens a new file, without a name if the file system has such files.

    Returns:
        Its descriptor, and whether it has the name ``beside``.
    """
    if sys.platform == "linux":
        try:
            return os.open(beside.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), False
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.open(beside, flags, 0o666), True


def _give_name(descriptor: int, path: Path, beside: Path) -> None:
    """Gives an open file without a name its name.

    A link cannot replace a file. If the name is taken, the file is first linked beside it, and that
    name then replaces the other; nothing slow stands between the two.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    # Without a folder descriptor Python would link the entry in /proc, not what it points to.
    link = partial(os.link, f"/proc/self/fd/{descriptor}", dst_dir_fd=folder)
    try:
        try:
            link(path.name)
        except FileExistsError:
            link(beside.name)
        else:
            os.fsync(folder)
            return
    finally:
        os.close(folder)
    beside.replace(path)


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
        how = advice(python="delete the file", command_line="replace the file with --force")
        raise OutputError(f"{path}: exists and is no earlier result; choose another name, or {how}")
