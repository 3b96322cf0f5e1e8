"""Compares what a result takes with what is free, before anything is written."""

import shutil
from pathlib import Path

from lstm_inspect.errors import OutputError
from lstm_inspect.files.atomic import output_errors, resolved


def check_free_space(path: Path, size: int) -> int | None:
    """Refuses a result for which its file system has no room.

    Args:
        path: Where it will be written.
        size: How many bytes it takes.

    Returns:
        How many bytes are free; None if the file system does not know.

    Raises:
        OutputError: Fewer bytes are free, or the folder cannot be read.
    """
    with output_errors(path):
        folder = resolved(path).parent
        total, _, free = shutil.disk_usage(folder)
    if not total:  # some file systems of networks say 0 for everything
        return None
    if size > free:
        raise OutputError(
            f"{path}: expected {size} free bytes in {folder}, found {free}; make room, or record "
            "less"
        )
    return free
