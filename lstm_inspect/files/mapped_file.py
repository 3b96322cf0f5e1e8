"""Maps large files of arrays, which may be larger than memory, and reads them piece by piece."""

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.whole_file import opened, read_opened

MAPPED_FROM = 64 << 20
"""From this size on a file is mapped. A smaller one is read, and may change then."""


def read_or_map(path: Path, limits: Limits, limit: str) -> bytes | mmap.mmap:
    """Reads a whole file, or maps it if it is large.

    Args:
        path: The file; a link is followed.
        limits: How large a file may be that is read.
        limit: The name of the limit on its size.

    Raises:
        ModelFileError: The file does not exist, cannot be read, changes, or is not a regular file.
        LimitError: The file is read, and is larger than the limit.
    """
    with opened(path) as (descriptor, size):
        if size >= MAPPED_FROM:
            return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        return read_opened(path, descriptor, size, limits, limit)


def is_mapped(array: Array) -> bool:
    """Whether the numbers of an array are those of a mapped file, not in memory of their own."""
    return _map_of(array) is not None


def release(array: Array) -> None:
    """Gives back the memory that holds what was read of a mapped file; it can be read again."""
    mapped = _map_of(array)
    if mapped is not None and hasattr(mapped, "madvise"):  # Windows has no madvise
        mapped.madvise(mmap.MADV_DONTNEED)


_PIECE_BYTES = 4 << 20


def pieces(array: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Yields an array piece by piece, as views, each with the place of its first number.

    The place has an index for some of the first axes. The piece has the axes behind them, and the
    axis of the last index, on which it begins there.
    """
    if array.ndim == 0 or array.nbytes <= _PIECE_BYTES:
        yield (0,) * min(array.ndim, 1), array
        release(array)
    elif rows := _PIECE_BYTES * len(array) // array.nbytes:
        for start in range(0, len(array), rows):
            yield (start,), array[start : start + rows]
            release(array)
    else:
        for row, inner in enumerate(array):
            for place, piece in pieces(inner):
                yield (row, *place), piece


def first_where(array: Array, condition: Callable[[Array], Array]) -> tuple[int, ...] | None:
    """The place of the first number of an array for which a condition is true, in C order.

    Args:
        array: The array, of which a piece is looked at at a time.
        condition: Tells it for each number of an array.
    """
    for place, piece in pieces(array):
        found = condition(piece)
        if found.any():
            first = [int(axis) for axis in np.argwhere(found)[0]]
            return (*place[:-1], place[-1] + first[0], *first[1:]) if place else ()
    return None


def _map_of(array: Array) -> mmap.mmap | None:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    while isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, mmap.mmap) else None
