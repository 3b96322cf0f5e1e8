"""The interface of a dump format: named arrays, and one JSON document about them."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.npy import blocks_of

EXPECTED = "a dump that `lstm-inspect trace` wrote"
"""What a file should be, as errors say it."""


class StoredArray(Protocol):
    """An array that can be read piece by piece or as a whole."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""

    def read(self) -> Array:
        """Reads the whole array into memory."""

    def blocks(self) -> Iterator[Array]:
        """Yields its numbers in C order, in the blocks of `lstm_inspect.files.npy.blocks_of`."""


class ArrayInMemory(NamedTuple):
    """An array in memory, as a `StoredArray`."""

    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        return self.array.dtype

    def read(self) -> Array:
        """Returns the array itself."""
        return self.array

    def blocks(self) -> Iterator[Array]:
        """Yields its numbers in C order, in flat blocks."""
        return blocks_of(self.array)


class NewArray(NamedTuple):
    """An array that a dump will have.

    Attributes:
        shape: Its shape.
        dtype: Its dtype.
        dims: The names of its axes.
        places: For an axis of which only a part was kept, the places of that part, by its name.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    places: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


class DumpWriter(Protocol):
    """A dump that is being written; it gets its name once it is complete."""

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        """Writes a part of an array. Parts come in any order, and no number comes twice.

        Args:
            key: The key of the array.
            at: The index of the first number of the part, for each axis.
            block: The part: of the dtype of the array, with as many axes.
        """

    def write_document(self, text: str) -> None:
        """Writes the JSON document about the arrays, when all numbers are written."""


class DumpReader(Protocol):
    """A dump that is open for reading.

    Attributes:
        arrays: Its arrays by key; they can be read while the dump is open.
    """

    arrays: Mapping[str, StoredArray]

    def read_document(self) -> str | None:
        """Returns the text of the document; None if the dump has no document.

        Raises:
            ValueError: The document is damaged.
        """


class DumpFormat(Protocol):
    """A format of dumps on disk; each has a module of its own.

    Attributes:
        suffix: That of its names.
        is_folder: Whether a dump is a folder, not a file.
        compresses: Whether it can compress.
        resumes: Whether a dump that was interrupted can be gone on with.
    """

    suffix: str
    is_folder: bool
    compresses: bool
    resumes: bool

    def recognises(self, path: Path, limits: Limits) -> bool:
        """Whether a path is a dump of this format, judged by its directory alone."""

    def create(
        self,
        path: Path,
        arrays: Mapping[str, NewArray],
        may_replace: Callable[[Path], bool],
        *,
        compress: bool,
    ) -> AbstractContextManager[DumpWriter]:
        """Opens a new dump, which gets its name when the block ends.

        Args:
            path: The path of the dump.
            arrays: All its arrays by key.
            may_replace: Tells whether what has this name may be replaced.
            compress: Whether to compress it; only if the format can.

        Raises:
            OutputError: The dump cannot be written there.
        """

    def open(self, path: Path, limits: Limits) -> AbstractContextManager[DumpReader]:
        """Opens a dump for reading; its arrays stay on disk.

        Raises:
            InputError: The dump does not exist, is damaged, or has another format.
            LimitError: Its directory asks for more than the limits allow.
        """
