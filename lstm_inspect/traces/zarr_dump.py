"""The ``.zarr`` dump: a folder of Zarr version 3, with a group for each layer.

The attribute ``__meta__`` of the root is the document. xarray opens a group:
``xarray.open_zarr(path, group="encoder", consolidated=False)``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, LimitError, ModelFileError
from lstm_inspect.files.atomic_folder import replacing_folder
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.zarr_on_disk import NODE, ZarrOnDisk
from lstm_inspect.files.zarr_writer import ZarrWriter
from lstm_inspect.traces.dump_format import (
    EXPECTED,
    DumpReader,
    DumpWriter,
    NewArray,
    StoredArray,
)
from lstm_inspect.traces.grouped import axes_of, check_tree, chunk_of, groups_of

_DOCUMENT = "__meta__"
_CHUNK_BYTES = 16 << 20  # each chunk is a file


class _Writer:
    """Writes a Zarr folder; an array gets its chunks from its first block."""

    def __init__(
        self, file: ZarrWriter, path: Path, arrays: Mapping[str, NewArray], *, compress: bool
    ) -> None:
        self._file = file
        self._arrays = arrays
        self._compress = compress
        self._axes = axes_of(arrays)
        self._added: set[str] = set()
        axes = dict.fromkeys(axis for each in self._axes.values() for axis in each)
        check_tree(path, [*arrays, *(axis.path for axis in axes)])
        for group in groups_of(arrays):
            file.write_group(group, {})
        for axis in axes:
            if axis.places is not None:
                places = np.asarray(axis.places, "int64")
                name = axis.path.rpartition("/")[2]
                file.add_array(
                    axis.path, places.shape, places.dtype, [name], places.shape, compress=False
                )
                file.write(axis.path, (0,), places)

    def _add(self, key: str, block: tuple[int, ...]) -> None:
        array = self._arrays[key]
        chunk = chunk_of(block, array.dtype.itemsize, _CHUNK_BYTES)
        dims = [axis.path.rpartition("/")[2] for axis in self._axes[key]]
        self._file.add_array(key, array.shape, array.dtype, dims, chunk, compress=self._compress)
        self._added.add(key)

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        if key not in self._added:
            self._add(key, block.shape)
        self._file.write(key, at, block)

    def write_document(self, text: str) -> None:
        for key, array in self._arrays.items():
            if key not in self._added:  # it has no numbers
                self._add(key, array.shape)
        self._file.write_group("", {_DOCUMENT: text})


class _Reader:
    """A Zarr folder that is open for reading."""

    def __init__(self, folder: ZarrOnDisk) -> None:
        self._document = folder.attributes.get(_DOCUMENT)
        self.arrays: Mapping[str, StoredArray] = folder.arrays

    def read_document(self) -> str | None:
        if self._document is not None and not isinstance(self._document, str):
            raise ValueError("its document is not text")
        return self._document


class _Zarr:
    """The ``.zarr`` format."""

    suffix = ".zarr"
    is_folder = True
    compresses = True

    def recognises(self, path: Path, limits: Limits) -> bool:
        if not (path / NODE).is_file():
            return False
        try:
            return _DOCUMENT in ZarrOnDisk(path, limits).attributes
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
            yield _Writer(ZarrWriter(folder), path, arrays, compress=compress)

    @contextmanager
    def open(self, path: Path, limits: Limits) -> Iterator[DumpReader]:
        try:
            yield _Reader(ZarrOnDisk(path, limits))
        except ModelFileError as error:
            raise InputError(f"{path}: expected {EXPECTED}, received another ({error})") from error


ZARR = _Zarr()
"""The ``.zarr`` format of dumps."""
