"""Writes a file so that readers see the old file or the complete new one, never a part of it."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from lstm_inspect.errors import InspectError, OutputError
from lstm_inspect.files.interruptions import interruptions_held
from lstm_inspect.notation import advice

_OPEN_FILES = Path("/proc/self/fd")
_BESIDE = ".lstm-inspect.{}.tmp"
STEP_BYTES = 128 << 20
"""How many bytes are written before they are brought to disk.

No signal ends an fsync, and one of a whole large result would take long.
"""

_RELEASE_BYTES = 16 << 20


class _Steady(io.FileIO):
    """A file that is brought to disk step by step."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "r+")
        self._pending = self._unreleased = 0

    def write(self, data: Any) -> int:
        """Writes some of the data, at most a step."""
        written = super().write(memoryview(data).cast("B")[:STEP_BYTES]) or 0
        self._pending += written
        self._unreleased += written
        if self._unreleased >= _RELEASE_BYTES:
            release(self.fileno())
            self._unreleased = 0
        if self._pending >= STEP_BYTES:
            os.fsync(self.fileno())
            self._pending = 0
        return written


def release(descriptor: int) -> None:
    """Tells the system that an open file is not needed in memory.

    Linux then begins to bring it to disk, so that an fsync has less to wait for, and forgets what
    is there: a dump that is larger than memory leaves the memory to others.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def replacing(path: Path, may_replace: Callable[[Path], bool]) -> Iterator[BinaryIO]:
    """Opens a new file that gets its name when the block ends, once it is complete and on disk.

    If an exception leaves the block, nothing changes. If the system supports it, the file has no
    name until the end, so even a killed process leaves no file behind.

    Args:
        path: The name of the file.
        may_replace: Tells whether a file that has this name at the end may be replaced.

    Raises:
        OutputError: The folder does not exist or is not writable, or the disk is full; or there is
            now a file that must not be replaced.
    """
    with output_errors(path):
        path = resolved(path)
        beside = name_beside(path)
        descriptor, has_name = _open_new(beside)
        try:
            with io.BufferedRandom(_Steady(descriptor)) as file:
                yield file
                file.flush()
                os.fsync(descriptor)
                if not has_name:
                    with interruptions_held():
                        _give_name(descriptor, path, beside, may_replace)
            if has_name:  # Windows cannot rename an open file
                if path.exists():
                    check_replaceable(path, may_replace)
                beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turns what the system says about a result into an OutputError that names its path.

    Other errors, such as those of what makes the result, stay as they are.
    """
    try:
        yield
    except InspectError:
        raise
    except OSError as error:
        refused = OutputError(f"{path}: cannot be written ({error.strerror or error})")
        for note in getattr(error, "__notes__", ()):
            refused.add_note(note)
        raise refused from error


def resolved(path: Path) -> Path:
    """Follows links, so that a link is kept, and what it points to is replaced.

    Raises:
        OutputError: They lead in a circle.
    """
    try:
        return path.resolve()
    except RuntimeError as error:  # Python before 3.13
        raise OutputError(f"{path}: cannot be written ({error})") from error


def name_beside(path: Path) -> Path:
    """A new name in the folder of a path, for what will get the name of the path."""
    return path.with_name(_BESIDE.format(os.urandom(8).hex()))


def left_in(folder: Path) -> Iterator[Path]:
    """Yields, at any depth of a folder, what has such a name still."""
    return folder.rglob(_BESIDE.format("*"))


def _open_new(beside: Path) -> tuple[int, bool]:
    """Opens a new file, without a name if the file system supports that.

    Returns:
        The descriptor of the file, and whether the file has the name ``beside``.
    """
    if sys.platform == "linux" and _OPEN_FILES.is_dir():
        try:
            return os.open(beside.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), False
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.open(beside, flags, 0o666), True


def _give_name(
    descriptor: int, path: Path, beside: Path, may_replace: Callable[[Path], bool]
) -> None:
    """Gives a name to an open file that has none.

    A link cannot replace a file. If the name is taken, the file is first linked as ``beside``, and
    then renamed over the existing file. Nothing slow happens between these two steps.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    # Without dst_dir_fd, Python would link the entry in /proc, not the file it points to.
    link = partial(os.link, _OPEN_FILES / str(descriptor), dst_dir_fd=folder)
    try:
        try:
            link(path.name)
        except FileExistsError:
            check_replaceable(path, may_replace)
            link(beside.name)
        else:
            os.fsync(folder)
            return
    finally:
        os.close(folder)
    beside.replace(path)


def check_target(
    path: Path,
    *,
    sources: list[Path],
    may_replace: Callable[[Path], bool],
    is_folder: bool = False,
) -> None:
    """Refuses a path for a result before any work is done.

    Args:
        path: Where the result will be written.
        sources: The files that the result is made from; they are never replaced.
        may_replace: Tells whether what has this name may be replaced.
        is_folder: Whether the result is a folder.

    Raises:
        OutputError: The path is taken or of another kind, or its folder is missing or not
            writable.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder {path.parent} is not writable; choose another")
    if not path.exists():
        return
    kinds = {"a file": path.is_file(), "a folder": path.is_dir()}
    expected = "a folder" if is_folder else "a file"
    if not kinds[expected]:
        what = next((kind for kind, it_is in kinds.items() if it_is), "a device or pipe")
        raise OutputError(f"{path}: expected {expected} name for the result, received {what}")
    for source in sources:
        # The source may lie in a folder that would be replaced.
        if any(
            each.exists() and path.samefile(each) for each in (source, *source.resolve().parents)
        ):
            raise OutputError(f"{path}: the result would overwrite an input; choose another name")
    check_replaceable(path, may_replace)


def check_replaceable(path: Path, may_replace: Callable[[Path], bool]) -> None:
    """Refuses to replace what may not be replaced.

    Raises:
        OutputError: It may not.
    """
    if not may_replace(path):
        how = advice(python="delete the file", command_line="replace the file with --force")
        raise OutputError(f"{path}: exists and would be overwritten; choose another name, or {how}")
