"""The ``.h5`` dump: a group for each layer, and ``__meta__`` at the root with the document.

xarray opens a group as netCDF: ``xarray.open_dataset(path, engine="h5netcdf", group="encoder")``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, LimitError, ModelFileError
from lstm_inspect.files.atomic import replacing
from lstm_inspect.files.limits import Limits
from lstm_inspect.traces.dump_format import (
    EXPECTED,
    DumpReader,
    DumpWriter,
    NewArray,
    StoredArray,
)
from lstm_inspect.traces.grouped import axes_of, check_tree, chunk_of

if TYPE_CHECKING:  # h5py takes a while to import
    from lstm_inspect.files.hdf5_on_disk import Hdf5OnDisk
    from lstm_inspect.files.hdf5_writer import Hdf5Writer

_DOCUMENT = "__meta__"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHUNK_BYTES = 1 << 20  # the cache that HDF5 has for the chunks of an array


class _Writer:
    """Writes an HDF5 file; an array gets its chunks from its first block."""

    def __init__(
        self, file: "Hdf5Writer", path: Path, arrays: Mapping[str, NewArray], *, compress: bool
    ) -> None:
        self._file = file
        self._arrays = arrays
        self._compress = compress
        self._axes = axes_of(arrays)
        self._added: set[str] = set()
        axes = dict.fromkeys(axis for each in self._axes.values() for axis in each)
        check_tree(path, [*arrays, *(axis.path for axis in axes)])
        for axis in axes:
            file.add_axis(*axis)

    def _add(self, key: str, block: tuple[int, ...]) -> None:
        array = self._arrays[key]
        chunk = chunk_of(block, array.dtype.itemsize, _CHUNK_BYTES)
        axes = [axis.path for axis in self._axes[key]]
        self._file.add_array(key, array.shape, array.dtype, axes, chunk, compress=self._compress)
        self._added.add(key)

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        if key not in self._added:
            self._add(key, block.shape)
        self._file.write(key, at, block)

    def write_document(self, text: str) -> None:
        for key, array in self._arrays.items():
            if key not in self._added:  # it has no numbers
                self._add(key, array.shape)
        self._file.write_text(_DOCUMENT, text)


class _Reader:
    """An HDF5 file that is open for reading."""

    def __init__(self, file: "Hdf5OnDisk") -> None:
        self._document = file.attributes.get(_DOCUMENT)
        self.arrays: Mapping[str, StoredArray] = file.arrays

    def read_document(self) -> str | None:
        if self._document is not None and not isinstance(self._document, str):
            raise ValueError("its document is not text")
        return self._document


class _H5:
    """The ``.h5`` format."""

    suffix = ".h5"
    is_folder = False
    compresses = True

    def recognises(self, path: Path, limits: Limits) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                return False
        from lstm_inspect.files.hdf5_on_disk import read_attributes

        try:
            return _DOCUMENT in read_attributes(path, limits)
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
        from lstm_inspect.files.hdf5_writer import writing_hdf5

        with replacing(path, may_replace) as file, writing_hdf5(file) as writer:
            yield _Writer(writer, path, arrays, compress=compress)

    @contextmanager
    def open(self, path: Path, limits: Limits) -> Iterator[DumpReader]:
        from lstm_inspect.files.hdf5_on_disk import Hdf5OnDisk

        try:
            with path.open("rb") as file:
                yield _Reader(Hdf5OnDisk(file, str(path), limits))
        except (ModelFileError, FileNotFoundError, PermissionError) as error:
            raise InputError(
                f"{path}: expected {EXPECTED}, received another file ({error})"
            ) from error


H5 = _H5()
"""The ``.h5`` format of dumps."""
