"""The ``.zarr`` dump: a folder of Zarr version 3, with a group for each layer.

The attribute ``__meta__`` of the root is the document. xarray opens a group:
``xarray.open_zarr(path, group="encoder", consolidated=False)``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lstm_inspect.errors import InputError, LimitError, ModelFileError
from lstm_inspect.files.atomic_folder import replacing_folder
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.zarr_on_disk import NODE, ZarrOnDisk
from lstm_inspect.files.zarr_writer import ZarrWriter
from lstm_inspect.traces.dump_format import EXPECTED, DumpReader, DumpWriter, NewArray
from lstm_inspect.traces.grouped import DOCUMENT, GroupedReader, GroupedWriter

CHUNK_BYTES = 16 << 20
"""How many bytes a chunk may have; each is a file."""


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
