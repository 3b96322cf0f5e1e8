"""The ``.zarr`` dump: a folder of Zarr version 3, with a group for each layer.

The attribute ``__meta__`` of the root is the document. xarray opens a group:
``xarray.open_zarr(path, group="encoder", consolidated=False)``.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, LimitError, ModelFileError
from lstm_inspect.files.atomic_folder import replacing_folder
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.zarr_on_disk import NODE, ZarrOnDisk
from lstm_inspect.files.zarr_writer import ZarrWriter
from lstm_inspect.traces.dump_format import EXPECTED, DumpReader, DumpWriter, NewArray
from lstm_inspect.traces.grouped import DOCUMENT, GroupedReader, GroupedWriter

CHUNK_BYTES = 16 << 20
"""How many bytes a chunk may have; each is a file."""


class NewZarr:
    """A Zarr dump that is being made by several processes, at one time or one after the other.

    A part may be written again. Only parts that share no chunk may be written at one time.

    Args:
        folder: Its folder. It is empty, or has parts of the same dump from before.
        path: The path of the dump, for errors.
        arrays: Its arrays by key; each has the samples first.
        block: How many samples come at once; the chunks divide it if it is a power of two.
        compress: Whether to compress it.

    Raises:
        OutputError: The keys cannot be those of a tree.
    """

    def __init__(
        self,
        folder: Path,
        path: Path,
        arrays: Mapping[str, NewArray],
        block: int,
        *,
        compress: bool,
    ) -> None:
        self._file = ZarrWriter(folder)
        self._tree = GroupedWriter(
            self._file, path, arrays, chunk_bytes=CHUNK_BYTES, compress=compress
        )
        for key, array in arrays.items():
            self._tree.add(key, (min(block, array.shape[0]), *array.shape[1:]))

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        """Writes a part of an array; ``at`` is as for `NewDump.write`."""
        self._tree.write(key, (*at, *(0,) * (block.ndim - len(at))), block)

    def sync(self) -> None:
        """Brings to disk what was written since the last time."""
        self._file.sync()

    def parts(self, key: str) -> Iterator[tuple[tuple[int, ...], Array]]:
        """Yields the parts of an array that is complete, each with the index that it begins at."""
        return self._file.chunks(key)

    def finish(self, document: Mapping[str, Any]) -> None:
        """Makes the folder a dump, when all numbers are written."""
        self._file.remove_leftovers()
        self._tree.write_document(json.dumps(document))


class _Zarr:
    """The ``.zarr`` format."""

    suffix = ".zarr"
    is_folder = True
    compresses = True
    resumes = True

    def recognises(self, path: Path, limits: Limits) -> bool:
        if not (path / NODE).is_file():
            return False
        try:
            return DOCUMENT in ZarrOnDisk(path, limits).attributes
        except (LimitError, ModelFileError):
            return False

    @contextmanager
    def create(
        self,
        path: Path,
        arrays: Mapping[str, NewArray],
        may_replace: Callable[[Path], bool],
        *,
        compress: bool,
    ) -> Iterator[DumpWriter]:
        with replacing_folder(path, may_replace) as folder:
            file = ZarrWriter(folder)
            yield GroupedWriter(file, path, arrays, chunk_bytes=CHUNK_BYTES, compress=compress)

    @contextmanager
    def open(self, path: Path, limits: Limits) -> Iterator[DumpReader]:
        try:
            stored = ZarrOnDisk(path, limits)
            yield GroupedReader(stored.attributes, stored.arrays)
        except ModelFileError as error:
            raise InputError(f"{path}: expected {EXPECTED}, received another ({error})") from error


ZARR = _Zarr()
"""The ``.zarr`` format of dumps."""
