"""Writing a file so that whoever looks sees the old one or the whole new one, and no debris."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lstm_inspect.errors import OutputError


def replace_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Writes a file beside its place and renames it into it once it is whole and on disk.

    Raises:
        OutputError: The folder is not there or not writable, or the disk is full.
    """
    # A link stays a link, to the new file.
    path = path.resolve()
    beside = path.with_name(f".{path.name[:200]}.{os.urandom(4).hex()}.tmp")
    try:
        with beside.open("xb") as file:
            try:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


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
            f"{path}: exists and is no earlier result of this command; choose another name, or "
            "replace it with --force"
        )
