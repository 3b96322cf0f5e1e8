"""Reads arrays that are stored in chunks: boxes of one shape, of which the last may stick out."""

import math
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.npy import flat_blocks

_LARGEST_CHUNK = 64 << 20


class ChunkedArray:
    """An array in chunks, of which one row of chunks is in memory at a time.

    Args:
        shape: Its shape.
        dtype: Its dtype.
        chunk: The shape of each chunk.
        fetch: Reads a chunk, given its place among the chunks on each axis: all its numbers in C
            order, also those beyond the array. Its errors are those of `read` and `blocks`.
        what: What to call it in errors.
        limits: How large a row of chunks may be.

    Raises:
        ValueError: The chunks do not fit the array, or are very large; or NumPy has no arrays of
            this shape.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunk: tuple[int, ...],
        fetch: Callable[[tuple[int, ...]], bytes],
        what: str,
        limits: Limits,
    ) -> None:
        if len(chunk) != len(shape) or not shape or min(chunk) < 1:
            raise ValueError(f"{what}: chunks of {chunk} for an array of {shape}")
        if math.prod(chunk) * dtype.itemsize > _LARGEST_CHUNK:
            raise ValueError(f"{what}: chunks of more than {_LARGEST_CHUNK} bytes")
        # NumPy multiplies the sizes that are not 0, also where the array has no numbers.
        if math.prod(size or 1 for size in shape) * dtype.itemsize > sys.maxsize:
            raise ValueError(f"{what}: an array of {shape} is too large for any memory")
        self.shape = shape
        self.dtype = dtype
        self._chunk = chunk
        self._fetch = fetch
        self._what = what
        self._limits = limits

    def read(self) -> Array:
        """Reads the whole array into memory."""
        array = np.empty(self.shape, self.dtype)
        for first, row in self._rows():
            array[first : first + len(row)] = row
        array.flags.writeable = False
        return array

    def blocks(self) -> Iterator[Array]:
        """Yields its numbers in C order, in flat blocks as all stored arrays."""
        return flat_blocks(self.dtype, (row.reshape(-1) for _, row in self._rows()))

    def _rows(self) -> Iterator[tuple[int, Array]]:
        """Yields all chunks that begin at one place of the first axis, as one array."""
        if 0 in self.shape:
            return
        counts = [-(-size // step) for size, step in zip(self.shape, self._chunk, strict=True)]
        row_shape = (min(self._chunk[0], self.shape[0]), *self.shape[1:])
        size = math.prod(row_shape) * self.dtype.itemsize
        self._limits.check("dump_bytes", size, self._what)
        row = np.empty(row_shape, self.dtype)
        for first in range(counts[0]):
            for others in product(*map(range, counts[1:])):
                numbers = np.frombuffer(self._fetch((first, *others)), self.dtype)
                starts = [at * step for at, step in zip(others, self._chunk[1:], strict=True)]
                ends = map(min, map(sum, zip(starts, self._chunk[1:], strict=True)), row.shape[1:])
                part = (slice(len(row)), *map(slice, starts, ends))
                within = tuple(slice(size) for size in row[part].shape)
                row[part] = numbers.reshape(self._chunk)[within]
            start = first * self._chunk[0]
            yield start, row[: self.shape[0] - start]


def check_stored(stored: int, size: int, what: str) -> None:
    """Refuses a chunk that takes more room than any compression of it, before it is read.

    Args:
        stored: How many bytes it takes.
        size: How many bytes it has to become.
        what: What to call it in errors.

    Raises:
        ModelFileError: It is too large.
    """
    # zlib adds at most a 32nd part and a few bytes (deflateBound in deflate.c, zlib 1.3).
    if stored > size + size // 16 + 1024:
        raise ModelFileError(f"{what}: a chunk is damaged (expected {size} bytes, found {stored})")


def inflated(stored: bytes, size: int, what: str, *, wbits: int) -> bytes:
    """Inflates a chunk.

    Args:
        stored: Its compressed bytes.
        size: How many bytes it has to become.
        what: What to call it in errors.
        wbits: The header that it has, as `zlib.decompressobj` says it.

    Raises:
        ModelFileError: It becomes fewer bytes or more, or is damaged.
    """
    inflater = zlib.decompressobj(wbits)
    try:
        data = inflater.decompress(stored, size + 1)
    except zlib.error as error:
        raise ModelFileError(f"{what}: a chunk is damaged ({error})") from error
    if len(data) != size or not inflater.eof or inflater.unused_data:
        raise ModelFileError(f"{what}: a chunk is damaged (wrong size)")
    return data
