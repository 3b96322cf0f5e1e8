"""The ``.npz`` dump: arrays ``<path>/<signal>``, and ``__meta__`` with the document as a string."""

import io
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import LimitError, ModelFileError
from lstm_inspect.files.atomic import replacing
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.npy import NpyMember, open_arrays
from lstm_inspect.files.stored_zip import StoredMember, StoredZip
from lstm_inspect.files.zip_archive import FileBytes, ZipArchive
from lstm_inspect.traces.dump_format import (
    EXPECTED,
    DumpReader,
    DumpWriter,
    NewArray,
    StoredArray,
)

_DOCUMENT = "__meta__"


class _Writer:
    """Writes each block at its place in the ``.npz``."""

    def __init__(self, archive: StoredZip, arrays: Mapping[str, NewArray]) -> None:
        self._archive = archive
        self._arrays = arrays
        self._members = {
            key: self._add(key, each.shape, each.dtype) for key, each in arrays.items()
        }

    def _add(
        self, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> tuple[StoredMember, int]:
        """Adds a ``.npy`` with its header; returns where in it the numbers start."""
        header = io.BytesIO()
        described = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(header, described)
        start = header.tell()
        member = self._archive.add(f"{key}.npy", start + math.prod(shape) * dtype.itemsize)
        member.write(0, header.getvalue())
        return member, start

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        member, start = self._members[key]
        for first, run in _runs(self._arrays[key].shape, at, block):
            member.write(start + first * block.itemsize, np.ascontiguousarray(run).data)

    def write_document(self, text: str) -> None:
        stored = np.asarray(text)
        member, start = self._add(_DOCUMENT, stored.shape, stored.dtype)
        member.write(start, stored.tobytes())


def _runs(shape: tuple[int, ...], at: tuple[int, ...], block: Array) -> Iterator[tuple[int, Array]]:
    """Yields the parts of a block that lie in the array in one piece, and where each begins."""
    cut = len(shape)
    while cut and block.shape[cut - 1] == shape[cut - 1]:
        cut -= 1
    outer = max(cut - 1, 0)  # the last axis that is cut is in one piece too
    for index in np.ndindex(block.shape[:outer]):
        place = (*map(operator.add, at, index), *at[outer:])
        first = 0
        for axis, length in zip(place, shape, strict=True):
            first = first * length + axis
        yield first, block[(*index, ...)]


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
    is_folder = False
    compresses = False
    resumes = False

    def recognises(self, path: Path, limits: Limits) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            try:
                return f"{_DOCUMENT}.npy" in ZipArchive(FileBytes(file), str(path), limits).names
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
        with replacing(path, may_replace) as file:
            archive = StoredZip(file)
            yield _Writer(archive, arrays)
            archive.finish()

    @contextmanager
    def open(self, path: Path, limits: Limits) -> Iterator[DumpReader]:
        with open_arrays(path, EXPECTED, limits) as arrays:
            yield _Reader(arrays)


NPZ = _Npz()
"""The ``.npz`` format of dumps."""
