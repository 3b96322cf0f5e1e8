"""The interface of a dump format: named arrays, and one JSON document about them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
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


class DumpWriter(Protocol):
    """A dump that is being written; it gets its name once it is complete."""

    def write_array(
        self, key: str, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[Array]
    ) -> None:
        """Writes one array.

        Args:
            key: The key of the array.
            shape: Its shape.
            dtype: Its dtype.
            blocks: Its numbers in C order, block by block.
        """

    def write_document(self, text: str) -> None:
        """Writes the JSON document about the arrays."""


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
    """A format of dumps on disk; each has a module of its own."""

    suffix: str

    def recognises(self, path: Path, limits: Limits) -> bool:
        """Whether a file is a dump of this format, judged by its directory alone."""

    def create(
        self, path: Path, may_replace: Callable[[Path], bool]
    ) -> AbstractContextManager[DumpWriter]:
        """Opens a new dump, which gets its name when the block ends.

        Args:
            path: The file.
            may_replace: Tells whether an existing file may be replaced.

        Raises:
            OutputError: The dump cannot be written there.
        """

    def open(self, path: Path, limits: Limits) -> AbstractContextManager[DumpReader]:
        """Opens a dump for reading; its arrays stay on disk.

        Raises:
            InputError: The dump does not exist, is damaged, or has another format.
            LimitError: Its directory asks for more than the limits allow.
        """
