"""Dumps that are trees: a layer is a group, its signals are arrays, and axes have names in it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import OutputError
from lstm_inspect.traces.dump_format import NewArray, StoredArray

DOCUMENT = "__meta__"
"""The attribute of the root that is the document."""


class _Axis(NamedTuple):
    """An axis that arrays of one group share.

    Attributes:
        path: Its path: that of the group, and its name.
        size: Its size.
        places: The places that it stands for, if only a part of the axis was kept.
    """

    path: str
    size: int
    places: tuple[int, ...] | None


class TreeFile(Protocol):
    """A file of groups and arrays that is being written."""

    def add_axis(self, path: str, size: int, places: Sequence[int] | None) -> None:
        """Adds an axis: its path, its size, and the places that it stands for, if it has any."""

    def add_array(
        self,
        path: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axes: Sequence[str],
        chunk: tuple[int, ...],
        *,
        compress: bool,
    ) -> None:
        """Adds an array in chunks on axes that were added before."""

    def write(self, path: str, at: tuple[int, ...], block: Array) -> None:
        """Writes a part of an array that was added, from an index on."""

    def write_text(self, name: str, text: str) -> None:
        """Writes a text as an attribute of the root group."""


class GroupedWriter:
    """Writes a dump as a tree; an array gets its chunks from its first block.

    Args:
        file: The file.
        path: The path of the dump, for errors.
        arrays: All arrays of the dump by key.
        chunk_bytes: How many bytes a chunk may have.
        compress: Whether to compress the arrays.

    Raises:
        OutputError: The keys cannot be those of a tree.
    """

    def __init__(
        self,
        file: TreeFile,
        path: Path,
        arrays: Mapping[str, NewArray],
        *,
        chunk_bytes: int,
        compress: bool,
    ) -> None:
        self._file = file
        self._arrays = arrays
        self._chunk_bytes = chunk_bytes
        self._compress = compress
        self._axes = _axes_of(arrays)
        self._added: set[str] = set()
        axes = dict.fromkeys(axis for each in self._axes.values() for axis in each)
        _check_tree(path, [*arrays, *(axis.path for axis in axes)])
        for axis in axes:
            file.add_axis(*axis)

    def add(self, key: str, block: tuple[int, ...]) -> None:
        """Adds an array that comes in blocks of a shape; if it is not added yet."""
        if key in self._added:
            return
        array = self._arrays[key]
        chunk = _chunk_of(block, array.dtype.itemsize, self._chunk_bytes)
        axes = [axis.path for axis in self._axes[key]]
        self._file.add_array(key, array.shape, array.dtype, axes, chunk, compress=self._compress)
        self._added.add(key)

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        """Writes a part of an array; see `DumpWriter`."""
        self.add(key, block.shape)
        self._file.write(key, at, block)

    def write_document(self, text: str) -> None:
        """Writes the document, and the arrays that have no numbers; see `DumpWriter`."""
        for key, array in self._arrays.items():
            self.add(key, array.shape)
        self._file.write_text(DOCUMENT, text)


class GroupedReader:
    """A dump as a tree that is open for reading; see `DumpReader`.

    Args:
        attributes: The attributes of the root.
        arrays: Its arrays by path.
    """

    def __init__(self, attributes: Mapping[str, Any], arrays: Mapping[str, StoredArray]) -> None:
        self._document = attributes.get(DOCUMENT)
        self.arrays = arrays

    def read_document(self) -> str | None:
        """Returns the text of the document; None if there is none.

        Raises:
            ValueError: It is not a text.
        """
        if self._document is not None and not isinstance(self._document, str):
            raise ValueError("its document is not text")
        return self._document


def _axes_of(arrays: Mapping[str, NewArray]) -> dict[str, list[_Axis]]:
    """Names the axes of each array, so that one name in a group is always one axis.

    h may be narrower than c. Its axis is then called ``h_units``.

    Returns:
        The axes of each array, by the key of the array.
    """
    known: dict[str, _Axis] = {}
    found: dict[str, list[_Axis]] = {}
    for key, array in arrays.items():
        group, _, signal = key.rpartition("/")
        found[key] = []
        for dim, size in zip(array.dims, array.shape, strict=True):
            axis = _Axis(f"{group}/{dim}".lstrip("/"), size, array.places.get(dim))
            if known.get(axis.path, axis) != axis:
                axis = axis._replace(path=f"{group}/{signal}_{dim}".lstrip("/"))
            known[axis.path] = axis
            found[key].append(axis)
    return found


def _check_tree(path: Path, leaves: list[str]) -> None:
    """Refuses names that cannot be those of groups and arrays.

    Args:
        path: The path of the dump.
        leaves: The paths of all arrays and axes, each once.

    Raises:
        OutputError: A part of a path is not a name, or one is a group as well as an array.
    """
    above = (leaf.split("/")[:-1] for leaf in leaves)
    groups = {"/".join(each[:depth]) for each in above for depth in range(1, len(each) + 1)}
    for leaf in leaves:
        parts = leaf.split("/")
        if leaf in groups or not {"", ".", ".."}.isdisjoint(parts) or "\0" in leaf:
            raise OutputError(
                f"{path}: expected names that a tree of groups can have, received {leaf!r:.80}; "
                "write an .npz"
            )


def _chunk_of(shape: tuple[int, ...], itemsize: int, most: int) -> tuple[int, ...]:
    """The chunks of an array, given the shape of the first block of it that is written.

    Args:
        shape: The shape of the block.
        itemsize: The size of a number.
        most: How many bytes a chunk may have.

    Returns:
        A part of the block, whole on the last axes. If it can, it divides the block, so that a
        later block of the same shape changes no chunk of an earlier one.
    """
    room = max(1, most // itemsize)
    chunk: list[int] = []
    for size in reversed(shape):
        fits = min(max(size, 1), max(1, room // math.prod(chunk)))
        chunk.append(next((n for n in range(fits, fits // 2, -1) if size % n == 0), fits))
    return tuple(reversed(chunk))
