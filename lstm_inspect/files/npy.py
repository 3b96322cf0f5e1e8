"""Reads arrays from ``.npy`` and ``.npz`` files."""

import math
import mmap
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, LimitError, ModelFileError
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.files.mapped_file import read_or_map
from lstm_inspect.files.whole_file import read_all
from lstm_inspect.files.zip_archive import FileBytes, ZipArchive

_NPY = b"\x93NUMPY"

# The header that NumPy writes (numpy/lib/format.py, `_write_array_header`); under Python 2 it wrote
# sizes as "3L". The header is never evaluated. Structured dtypes, which are written as a list or in
# version 3, do not match, because they are not plain numbers.
_HEADER = re.compile(
    rb"\x93NUMPY..(?:..|....)"
    rb"\{\s*'descr':\s*'(?P<descr>[<>|=]?[a-zA-Z?]\d{0,9}(?:\[\w{1,8}\])?)'"
    rb",\s*'fortran_order':\s*(?P<order>True|False)"
    rb",\s*'shape':\s*\((?P<shape>(?:\d{1,19}L?,\s*)*(?:\d{1,19}L?)?)\),?\s*\}",
    re.DOTALL,
)
_LONGEST_HEADER = 10_000
_BLOCK = 1 << 17
_SNIFFED = 256
_TEXT = re.compile(rb"[\t\r\n\x20-\x7e]+")


def read_arrays(
    path: str | Path,
    expected: str = "a .npy or .npz file of numbers",
    *,
    limits: Limits = DEFAULT_LIMITS,
    limit: str = "input_bytes",
) -> Array | dict[str, Array]:
    """Reads a ``.npy`` (one array) or an ``.npz`` (arrays by name), told apart by content.

    A large file is mapped: its arrays are read when their numbers are used, except for those that
    an ``.npz`` compresses.

    Args:
        path: The file.
        expected: What the file should be, as the error says it.
        limits: What the file may ask for.
        limit: The name of the limit on what is read into memory.

    Returns:
        Read-only arrays that share the memory of the file's bytes.

    Raises:
        InputError: The file does not exist, is damaged, is neither of the two, or holds pickled
            objects.
        LimitError: The file asks for more than the limits allow.
    """
    path = Path(path)
    with _refused(path, expected):
        if path.is_dir():
            raise ValueError("a folder")
        try:
            data = read_or_map(path, limits, limit)
        except ModelFileError as error:
            raise InputError(str(error)) from error
        return _arrays_in(data, path, limits, limit)


def read_array_stream(stream: BinaryIO, name: Path, limits: Limits) -> Array:
    """Reads a ``.npy`` from a stream, such as standard input.

    Args:
        stream: The stream, which is read to its end.
        name: What to call it.
        limits: How large it may be.

    Raises:
        InputError: The stream is empty, cannot be read, or is not a ``.npy``.
        LimitError: It is larger than the limit.
    """
    with _refused(name, "a .npy file of numbers"):
        try:
            data = read_all(stream, name, limits, "input_bytes")
        except ModelFileError as error:
            raise InputError(str(error)) from error
        if not data:
            raise ValueError("nothing")
        array = _arrays_in(data, name, limits, "input_bytes")
        if isinstance(array, dict):
            raise ValueError(f"an .npz of {len(array)}")
        return array


def _arrays_in(
    data: bytes | mmap.mmap, path: Path, limits: Limits, limit: str
) -> Array | dict[str, Array]:
    start = data[:_SNIFFED]
    if start.startswith(_NPY):
        return _Header(data, len(data)).array(data)
    if start.startswith(ZipArchive.SIGNATURE):
        archive = ZipArchive(data, str(path), limits)
        members = {key: archive.read(name, limit) for key, name in _keys(archive).items()}
        return {key: _Header(member, len(member)).array(member) for key, member in members.items()}
    if _TEXT.fullmatch(start):
        raise ValueError('text; save it with numpy.save("x.npy", array), batch first')
    raise ValueError(f"another kind of file (its first bytes are {start[:6]!r})")


@contextmanager
def open_arrays(path: Path, expected: str, limits: Limits) -> "Iterator[dict[str, NpyMember]]":
    """Opens an ``.npz`` and leaves its arrays on disk, so the file may be larger than memory.

    Args:
        path: The file.
        expected: What the file should be, as the error says it.
        limits: What its directory may ask for.

    Raises:
        InputError: The file does not exist, is damaged, or is not an ``.npz``.
        LimitError: Its directory asks for more than the limits allow.
    """
    refused = partial(_refused, path, expected)
    with refused():
        if not path.is_file():
            raise ValueError("a folder or device" if path.exists() else "nothing: no such file")
    with path.open("rb") as file:
        with refused():
            archive = ZipArchive(FileBytes(file), str(path), limits)
            members = {
                key: NpyMember(archive, name, refused) for key, name in _keys(archive).items()
            }
        yield members


@contextmanager
def _refused(path: Path, expected: str) -> Iterator[None]:
    """Turns a ValueError, which says what was received, into an error about the file."""
    try:
        yield
    except (InputError, LimitError):
        raise
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: expected {expected}, received {reason}") from error


def _keys(archive: ZipArchive) -> dict[str, str]:
    """Returns the member names of an ``.npz`` by the keys of their arrays."""
    keys = {name.removesuffix(".npy"): name for name in archive.names}
    if len(keys) != len(archive.names):
        raise ValueError("an .npz with two arrays of the same name")
    return keys


def blocks_of(array: Array) -> Iterator[Array]:
    """Yields the numbers of an array in C order, in the same flat blocks as an `NpyMember`."""
    flat = array.reshape(-1)
    return (flat[at : at + _BLOCK] for at in range(0, flat.size, _BLOCK))


def flat_blocks(dtype: np.dtype[Any], pieces: Iterable[Array]) -> Iterator[Array]:
    """Yields the numbers of flat arrays of any lengths in the blocks of `blocks_of`.

    A piece may change once the next is asked for; the blocks are copies.
    """
    left = np.empty(0, dtype)
    for piece in pieces:
        flat = np.concatenate([left, piece])
        whole = flat.size - flat.size % _BLOCK
        yield from blocks_of(flat[:whole])
        left = flat[whole:]
    if left.size:
        yield left


class NpyMember:
    """An array of an ``.npz`` that is read piece by piece.

    Attributes:
        shape: Its shape.
        dtype: Its dtype.
    """

    def __init__(
        self,
        archive: ZipArchive,
        name: str,
        refused: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._archive = archive
        self._name = name
        self._refused = refused
        self._header = _Header(next(archive.pieces(name), memoryview(b"")), archive.size(name))
        self.shape, self.dtype = self._header.shape, self._header.dtype

    def read(self) -> Array:
        """Reads the whole array into memory."""
        with self._refused():
            return self._header.array(self._archive.read(self._name))

    def blocks(self) -> Iterator[Array]:
        """Yields the numbers in C order; arrays of equal length are cut into equal flat blocks."""
        if self._header.fortran_order and len(self.shape) > 1:
            yield from blocks_of(self.read())
            return
        wanted, left = _BLOCK * self.dtype.itemsize, bytearray()
        skipped = self._header.size
        with self._refused():
            for piece in self._archive.pieces(self._name):
                left += piece[skipped:]
                skipped = 0
                while len(left) >= wanted:
                    yield np.frombuffer(bytes(left[:wanted]), self.dtype)
                    del left[:wanted]
        if left:
            yield np.frombuffer(bytes(left), self.dtype)


class _Header:
    """The header of a ``.npy``, read from the first bytes and checked against the file size."""

    def __init__(self, data: bytes | memoryview | mmap.mmap, size: int) -> None:
        start = bytes(data[:_LONGEST_HEADER])
        header = _HEADER.match(start)
        try:
            if header is None or start[6:8] not in (b"\x01\x00", b"\x02\x00"):
                raise ValueError("it does not describe an array of plain numbers")
            length = int.from_bytes(start[8:10] if start[6] == 1 else start[8:12], "little")
            self.size = length + (10 if start[6] == 1 else 12)
            # Only the padding of the header: the first number may look like padding too.
            padding = start[header.end() : self.size]
            if not header.end() <= self.size <= len(start) or padding.strip():
                raise ValueError("its length is not the one it claims")
            self.dtype = np.dtype(header["descr"].decode())
        except (ValueError, TypeError) as error:
            raise ValueError(f"a damaged file (it has no valid header: {error})") from error
        self.fortran_order = header["order"] == b"True"
        self.shape = tuple(int(size) for size in re.findall(rb"\d+", header["shape"]))
        if self.dtype.hasobject:
            raise ValueError("pickled objects")
        if self.dtype.itemsize == 0:
            raise ValueError(f"an array of {self.dtype}")
        claimed, held = math.prod(self.shape) * self.dtype.itemsize, size - self.size
        if claimed != held:
            raise ValueError(f"a damaged file (it claims {claimed} bytes of numbers, has {held})")

    def array(self, data: bytes | memoryview | mmap.mmap) -> Array:
        """Returns the array, given all bytes of the file."""
        if len(data) == self.size:
            return np.empty(self.shape, self.dtype)
        flat = np.frombuffer(data, self.dtype, offset=self.size)
        array = flat.reshape(self.shape, order="F" if self.fortran_order else "C")
        array.flags.writeable = False
        return array
