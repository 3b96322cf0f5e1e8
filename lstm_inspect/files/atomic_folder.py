"""Writes a folder that gets its name once it is complete and on disk."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lstm_inspect.files.atomic import (
    check_replaceable,
    name_beside,
    output_errors,
    release,
    resolved,
)
from lstm_inspect.files.interruptions import interruptions_held


@contextmanager
def replacing_folder(path: Path, may_replace: Callable[[Path], bool]) -> Iterator[Path]:
    """Makes a new folder that gets its name when the block ends, once all of it is on disk.

    If an exception leaves the block, nothing changes. A folder cannot replace another in one step:
    the old one is first renamed, and deleted when the new one has the name.

    Args:
        path: The name of the folder.
        may_replace: Tells whether what has this name at the end may be replaced.

    Yields:
        The folder to write into.

    Raises:
        OutputError: The folder above does not exist or is not writable, or the disk is full; or
            there is now something that must not be replaced.
    """
    with output_errors(path):
        path = resolved(path)
        beside = name_beside(path)
        try:
            beside.mkdir()
            yield beside
            bring_to_disk(beside)
            with interruptions_held():
                name_folder(path, beside, may_replace)
        except BaseException:
            with interruptions_held():
                shutil.rmtree(beside, ignore_errors=True)
            raise


def bring_to_disk(folder: Path) -> None:
    """Brings a folder and all that is in it to disk."""
    for place, _, files in os.walk(folder):
        for each in (*(Path(place, name) for name in files), Path(place)):
            sync(each)


def sync(path: Path) -> None:
    """Brings one file, or the names in one folder, to disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
        if path.is_file():
            release(descriptor)
    finally:
        os.close(descriptor)


def name_folder(path: Path, beside: Path, may_replace: Callable[[Path], bool]) -> None:
    """Gives its name to a folder that is complete and on disk; call it without interruptions.

    Args:
        path: The name.
        beside: The folder, on the same file system.
        may_replace: Tells whether what has this name may be replaced.

    Raises:
        OutputError: It may not.
    """
    if not path.exists():
        beside.rename(path)
        sync(path.parent)
        return
    check_replaceable(path, may_replace)
    old = name_beside(path)
    path.rename(old)
    try:
        beside.rename(path)
    except BaseException as error:
        try:
            old.rename(path)
        except OSError:
            error.add_note(f"{old} is what had the name before; rename it")
        raise
    try:
        sync(path.parent)
    finally:
        shutil.rmtree(old)
