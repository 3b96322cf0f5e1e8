"""The ``.npz`` dump: arrays ``<path>/<signal>``, and ``__meta__`` with the document as a string."""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import LimitError, ModelFileError
from lstm_inspect.files.atomic import replacing
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.npy import NpyMember, open_arrays
from lstm_inspect.files.zip_archive import FileBytes, ZipArchive
from lstm_inspect.traces.dump_format import EXPECTED, DumpReader, DumpWriter, StoredArray

_DOCUMENT = "__meta__"


class _Writer:
    """Writes the members of an ``.npz`` one after the other."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def write_array(
        self, key: str, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[Array]
    ) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        # A new ZipInfo always has the time 1980, so equal traces give equal bytes.
        member = zipfile.ZipInfo(f"{key}.npy")
        with self._archive.open(member, "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                file.write(np.ascontiguousarray(block).data)

    def write_document(self, text: str) -> None:
        stored = np.asarray(text)
        self.write_array(_DOCUMENT, stored.shape, stored.dtype, [stored.reshape(-1)])


class _Reader:
    """An ``.npz`` that is open for reading."""

    def __init__(self, arrays: Mapping[str, NpyMember]) -> None:
        self._document = arrays.get(_DOCUMENT)
        self.arrays: Mapping[str, StoredArray] = {
            key: array for key, array in arrays.items() if key != _DOCUMENT
        }

    def read_document(self) -> str | None:
        if self._document is None:
            return None
        stored = self._document.read()
        if stored.dtype.kind != "U":
            raise ValueError("its document is not text")
        # str(stored) would accept any four bytes as a character.
        order = "be" if stored.dtype.byteorder == ">" else "le"
        return stored.tobytes().decode(f"utf-32-{order}").rstrip("\0")


class _Npz:
    """The ``.npz`` format; ``numpy.load(path, allow_pickle=False)`` reads it."""

    suffix = ".npz"

    def recognises(self, path: Path, limits: Limits) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            try:
                return f"{_DOCUMENT}.npy" in ZipArchive(FileBytes(file), str(path), limits).names
            except (LimitError, ModelFileError):
                return False

    @contextmanager
    def create(self, path: Path, may_replace: Callable[[Path], bool]) -> Iterator[DumpWriter]:
        with replacing(path, may_replace) as file, _archive(file) as archive:
            yield _Writer(archive)

    @contextmanager
    def open(self, path: Path, limits: Limits) -> Iterator[DumpReader]:
        with open_arrays(path, EXPECTED, limits) as arrays:
            yield _Reader(arrays)


NPZ = _Npz()
"""The ``.npz`` format of dumps."""


@contextmanager
def _archive(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Opens a zip like that of np.savez, which releases the file if writing is interrupted."""
    archive = zipfile.ZipFile(file, "w")
    try:
        yield archive
        archive.close()
    except BaseException:
        archive.fp = None  # or it would write on when it is garbage-collected
        raise
