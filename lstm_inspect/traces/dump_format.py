"""What a format of dumps has to offer: named arrays, and one JSON document about them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.npy import blocks_of

EXPECTED = "a dump that `lstm-inspect trace` wrote"
"""What an error says that a file should be."""


class StoredArray(Protocol):
    """An array that is read piece by piece, or as a whole."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""

    def read(self) -> Array:
        """The array, in memory."""

    def blocks(self) -> Iterator[Array]:
        """Its numbers in C order, in the flat blocks of `lstm_inspect.files.npy.blocks_of`."""


@dataclass(frozen=True, eq=False)
class ArrayInMemory:
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
        """The array itself."""
        return self.array

    def blocks(self) -> Iterator[Array]:
        """Its numbers in C order, in flat blocks."""
        return blocks_of(self.array)


class DumpWriter(Protocol):
    """A dump that is being written; it gets its name once it is whole."""

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
    """A dump that is open.

    Attributes:
        arrays: Its arrays by key; they can be read while the dump is open.
    """

    arrays: Mapping[str, StoredArray]

    def read_document(self) -> str | None:
        """The text of its document; None if it has none.

        Raises:
            ValueError: It is damaged.
        """


class DumpFormat(Protocol):
    """A format of dumps on disk: one module each."""

    suffix: str

    def recognises(self, path: Path, limits: Limits) -> bool:
        """Whether a file is a dump of this format, as far as its directory tells."""

    def create(self, path: Path) -> AbstractContextManager[DumpWriter]:
        """Opens a new dump, which replaces what stands at the path when the block ends.

        Raises:
            OutputError: It cannot be written there.
        """

    def open(self, path: Path, limits: Limits) -> AbstractContextManager[DumpReader]:
        """Opens a dump to read; its arrays stay on disk.

        Raises:
            InputError: Not there, damaged, or of another format.
            LimitError: Its directory claims more than is granted.
        """
