"""The ``.h5`` dump: a group for each layer, and ``__meta__`` at the root with the document.

xarray opens a group as netCDF: ``xarray.open_dataset(path, engine="h5netcdf", group="encoder")``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lstm_inspect.errors import InputError, LimitError, ModelFileError
from lstm_inspect.files.atomic import replacing
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.whole_file import opened
from lstm_inspect.traces.dump_format import EXPECTED, DumpReader, DumpWriter, NewArray
from lstm_inspect.traces.grouped import DOCUMENT, GroupedReader, GroupedWriter

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHUNK_BYTES = 1 << 20  # the cache that HDF5 has for the chunks of an array


class _H5:
    """The ``.h5`` format."""

    suffix = ".h5"
    is_folder = False
    compresses = True
    resumes = True

    def recognises(self, path: Path, limits: Limits) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                return False
        from lstm_inspect.files.hdf5_on_disk import read_attributes

        try:
            return DOCUMENT in read_attributes(path, limits)
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
            yield GroupedWriter(writer, path, arrays, chunk_bytes=_CHUNK_BYTES, compress=compress)

    @contextmanager
    def open(self, path: Path, limits: Limits) -> Iterator[DumpReader]:
        from lstm_inspect.files.hdf5_on_disk import Hdf5OnDisk

        try:
            with opened(path) as (descriptor, _), open(descriptor, "rb", closefd=False) as file:
                stored = Hdf5OnDisk(file, str(path), limits)
                yield GroupedReader(stored.attributes, stored.arrays)
        except ModelFileError as error:
            raise InputError(
                f"{path}: expected {EXPECTED}, received another file ({error})"
            ) from error


H5 = _H5()
"""The ``.h5`` format of dumps."""
