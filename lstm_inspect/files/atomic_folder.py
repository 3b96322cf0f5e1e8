"""Writes a folder that gets its name once it is complete and on disk."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lstm_inspect.files.atomic import check_replaceable, name_beside, output_errors, resolved
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
            _bring_to_disk(beside)
            with interruptions_held():
                _give_name(path, beside, may_replace)
        except BaseException:
            with interruptions_held():
                shutil.rmtree(beside, ignore_errors=True)
            raise


def _bring_to_disk(folder: Path) -> None:
    for place, _, files in os.walk(folder):
        for each in (*(Path(place, name) for name in files), Path(place)):
            _sync(each)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(path: Path, beside: Path, may_replace: Callable[[Path], bool]) -> None:
    if not path.exists():
        beside.rename(path)
        _sync(path.parent)
        return
    check_replaceable(path, may_replace)
    old = beside.with_suffix(".old")
    path.rename(old)
    try:
        beside.rename(path)
    except BaseException:
        old.rename(path)
        raise
    _sync(path.parent)
    shutil.rmtree(old)
