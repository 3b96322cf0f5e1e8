"""Reads an HDF5 file whose arrays are in chunks and stay on disk, as dumps have them.

A confined process says where each chunk lies. NumPy reads it from there, and zlib inflates it, so
no filter of HDF5 runs.
"""

import math
import mmap
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.chunked import ChunkedArray, check_stored, inflated
from lstm_inspect.files.confined import run_confined
from lstm_inspect.files.hdf5 import check_end
from lstm_inspect.files.hdf5_survey import survey
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.zip_archive import FileBytes

# Numbers of filters that every HDF5 has (H5Zpublic.h).
_DEFLATE, _SHUFFLE = 1, 2
_COMPRESSED = [_SHUFFLE, _DEFLATE]


class Hdf5OnDisk:
    """An open HDF5 file.

    Args:
        file: The file; it stays open as long as arrays are read.
        what: The name of the file in errors.
        limits: What the file may ask for.

    Attributes:
        attributes: The texts of the root group by name.
        arrays: Its arrays by path that are in chunks or have no numbers. A dump has no others.

    Raises:
        ModelFileError: The file is damaged, or refers to other files.
        LimitError: It asks for more than the limits allow.
    """

    def __init__(self, file: BinaryIO, what: str, limits: Limits) -> None:
        data = FileBytes(file)
        check_end(data[:64], len(data), what)
        # The child reads the pages that it needs; if the file shrinks, the child ends, not we.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        parse = partial(survey, memoryview(mapped), what, limits)
        found = run_confined(parse, what, limits, len(data))
        self.attributes: Mapping[str, Any] = found["groups"][""]
        try:
            self.arrays = {
                path: _array(data, f"{what}: {path}", lies, limits)
                for path, lies in found["arrays"].items()
                if "chunk" in lies or 0 in lies["shape"]
            }
        except ValueError as error:
            raise ModelFileError(str(error)) from error


def read_attributes(path: Path, limits: Limits) -> Mapping[str, Any]:
    """Returns the texts of the root group of a file by name; the errors are those of Hdf5OnDisk."""
    with path.open("rb") as file:
        return Hdf5OnDisk(file, str(path), limits).attributes


def _array(data: FileBytes, what: str, lies: Mapping[str, Any], limits: Limits) -> ChunkedArray:
    dtype, shape = np.dtype(lies["dtype"]), tuple(lies["shape"])
    chunk = tuple(lies.get("chunk", [1] * len(shape)))
    filters, chunks = lies.get("filters", []), lies.get("chunks", [])
    if filters not in ([], _COMPRESSED):
        raise ValueError(f"{what}: expected chunks that are plain, or shuffled and deflated")
    size = math.prod(chunk) * dtype.itemsize
    places = {}
    for first, offset, stored, left_out in chunks:
        if left_out or (stored != size and not filters):
            raise ValueError(f"{what}: a chunk of another form than the others")
        places[tuple(at // step for at, step in zip(first, chunk, strict=True))] = offset, stored
    if len(places) != math.prod(
        -(-whole // step) for whole, step in zip(shape, chunk, strict=True)
    ):
        raise ValueError(f"{what}: some of its chunks are missing")

    def fetch(place: tuple[int, ...]) -> bytes:
        offset, stored = places[place]
        check_stored(stored, size, what)
        content = data[offset : offset + stored]
        if not filters:
            return content
        shuffled = np.frombuffer(inflated(content, size, what, wbits=zlib.MAX_WBITS), np.uint8)
        return shuffled.reshape(dtype.itemsize, -1).T.tobytes()

    said = np.dtype(bool) if lies["is_said_bool"] else dtype
    return ChunkedArray(shape, said, chunk, fetch, what, limits)
