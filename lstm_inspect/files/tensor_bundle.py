"""TensorFlow checkpoints: an index of tensors, and shards with their numbers.

``variables.index`` is a table of sorted keys in blocks with checksums; each value is a protobuf
message that says dtype, shape, shard, offset, size and checksum of a tensor.
``variables.data-00000-of-00001`` has the numbers.

Layout: tensorflow 2.15.0, core/util/tensor_bundle/tensor_bundle.cc and
core/protobuf/tensor_bundle.proto; core/lib/io/table_format.txt for the table.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.protobuf import Message, read_varint
from lstm_inspect.files.whole_file import read_bytes

_FOOTER = 48
_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
_BLOCK_TRAILER = struct.Struct("<BI")
_UNCOMPRESSED = 0

# core/framework/types.proto
_DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "|u1",
    5: "<i2",
    6: "|i1",
    9: "<i8",
    10: "|b1",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
_BFLOAT16, _STRING = 14, 7

_MOST_AXES = 32
_LONGEST = 1 << 40
_SLICE = b"\0"
_ALL = (1 << 64) - 1
"""The length of a part that is as long as the whole."""


class TensorBundle:
    """A checkpoint. Its shards are read when the first tensor is.

    Args:
        prefix: The path of its files without ``.index``.
        limits: How large they may be.

    Attributes:
        index: The bytes of its index.

    Raises:
        ModelFileError: A file is missing or damaged, or the checkpoint has a form that no
            TensorFlow of our time writes.
        LimitError: The checkpoint asks for more than is granted.
    """

    def __init__(self, prefix: Path, limits: Limits) -> None:
        index = prefix.with_name(f"{prefix.name}.index")
        self._what = str(index)
        self._prefix = prefix
        self._limits = limits
        self.index = read_bytes(index, limits, "file_bytes")
        entries = dict(_table(memoryview(self.index), self._what, limits))
        header = Message(entries.pop(b"", b""), self._what)
        if header.number(2) != 0:
            raise ModelFileError(f"{self._what}: its numbers are big-endian, which is not read")
        self._slices = {
            raw: Message(entry, self._what)
            for raw, entry in entries.items()
            if raw.startswith(_SLICE)
        }
        self._entries = {
            self._key(raw): Message(entry, self._what)
            for raw, entry in entries.items()
            if raw not in self._slices
        }
        self._count = header.number(1)
        self._made = 0
        limits.check("checkpoint_objects", self._count, self._what)
        self._check_apart()

    def _check_apart(self) -> None:
        """Refuses tensors that share bytes, so that all together are no larger than the shards."""
        tensors = [*self._entries.values(), *self._slices.values()]
        places = sorted((each.number(3), each.number(4), each.number(5)) for each in tensors)
        for (shard, start, size), (following, at, _) in pairwise(places):
            if shard == following and start + size > at:
                raise ModelFileError(f"{self._what}: damaged (two tensors share bytes)")

    def _count_made(self, size: int) -> None:
        """Counts an array that is made beside the bytes of the shards."""
        self._made += size
        what = f"{self._prefix}: its arrays"
        self._limits.check("weight_bytes", self._made, what, so_far=True)

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of each tensor, in order; a partitioned variable is one tensor."""
        return tuple(self._entries)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The content of its files by name: the index, then the shards.

        Raises:
            ModelFileError: A shard is missing or cannot be read.
            LimitError: The shards are larger than a limit allows.
        """
        name, total, size = self._prefix.name, self._count, 0
        read = {f"{name}.index": self.index}
        for shard in range(total):
            file = f"{name}.data-{shard:05}-of-{total:05}"
            read[file] = read_bytes(self._prefix.with_name(file), self._limits, "file_bytes")
            size += len(read[file])
            self._limits.check("weight_bytes", size, f"{self._prefix}: its arrays", so_far=True)
        return read

    @cached_property
    def _shards(self) -> list[bytes]:
        return [*self.files.values()][1:]

    def array(self, key: str) -> Array | None:
        """A tensor of numbers, read-only; None if it is made of something else."""
        entry = self._entries[key]
        parts = entry.messages(7)
        array = self._joined(key, entry, parts) if parts else self._whole(key, entry)
        if array is not None:
            array.flags.writeable = False
        return array

    def _whole(self, key: str, entry: Message) -> Array | None:
        dtype = entry.number(1)
        content = self._content(key, entry)
        if _masked_crc(content) != entry.number(6):
            raise ModelFileError(f"{self._what}: damaged (the checksum of {key} is another)")
        shape = tuple(dim.signed(1) for dim in entry.message(2).messages(2))
        if len(shape) > _MOST_AXES:
            raise ModelFileError(f"{self._what}: damaged ({key} has {len(shape)} axes)")
        if dtype == _BFLOAT16:
            self._count_made(2 * len(content))
            half = np.frombuffer(content, "<u2")
            flat: Array = (half.astype("<u4") << 16).view("<f4")
        elif dtype in _DTYPES and len(content) % np.dtype(_DTYPES[dtype]).itemsize == 0:
            flat = np.frombuffer(content, _DTYPES[dtype])
        else:
            return None
        is_odd = min(shape, default=0) < 0 or max(shape, default=0) > _LONGEST
        if is_odd or math.prod(shape) != flat.size:
            raise ModelFileError(
                f"{self._what}: damaged ({key} has {flat.size} numbers, its shape is {shape})"
            )
        return flat.reshape(shape)

    def _joined(self, key: str, entry: Message, parts: Sequence[Message]) -> Array | None:
        """A partitioned variable, which has a tensor of its own for each part."""
        shape = tuple(dim.signed(1) for dim in entry.message(2).messages(2))
        misfit = ModelFileError(f"{self._what}: damaged (the parts of {key} do not fit together)")
        pieces = []
        for part in parts:
            extents = [(each.signed(1), each.number(2, _ALL)) for each in part.messages(1)]
            stored = self._slices.get(_slice_key(key, extents))
            piece = None if stored is None else self._whole(key, stored)
            if piece is None:
                raise ModelFileError(f"{self._what}: damaged (a part of {key} is missing)")
            starts = [start for start, _ in extents]
            if len(extents) != piece.ndim or piece.ndim != len(shape) or min(starts, default=0) < 0:
                raise misfit
            pieces.append((tuple(map(slice, starts, np.add(starts, piece.shape))), piece))
        total = sum(piece.size for _, piece in pieces)
        if min(shape, default=0) >= 0 and total == math.prod(shape):
            self._count_made(total * (pieces[0][1].itemsize + 1))
            joined = np.empty(shape, pieces[0][1].dtype)
            filled = np.zeros(shape, bool)
            for place, piece in pieces:
                if joined[place].shape == piece.shape:
                    joined[place], filled[place] = piece, True
            if filled.all():
                return joined
        raise misfit

    def text(self, key: str) -> bytes:
        """A tensor that is one string: its length, a checksum of that, then the bytes.

        The checksum in its entry is not looked at: it counts the length in another form
        (tensor_bundle.cc, ``WriteStringTensor``).
        """
        entry = self._entries[key]
        content = self._content(key, entry)
        size, at = read_varint(content, 0, self._what)
        if entry.number(1) != _STRING or at + 4 + size != len(content):
            raise ModelFileError(f"{self._what}: damaged ({key} is not one string)")
        return bytes(content[at + 4 :])

    def _key(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ModelFileError(f"{self._what}: a key that is not UTF-8: {raw[:40]!r}") from None

    def _content(self, key: str, entry: Message) -> memoryview:
        shard, offset, size = entry.number(3), entry.number(4), entry.number(5)
        if shard >= len(self._shards) or offset + size > len(self._shards[shard]):
            raise ModelFileError(f"{self._what}: damaged ({key} lies beyond the end of its shard)")
        return memoryview(self._shards[shard])[offset : offset + size]


def _slice_key(name: str, extents: Sequence[tuple[int, int]]) -> bytes:
    """The key of a part of a variable, which sorts as its numbers do.

    Layout: tensorflow 2.15.0, core/util/saved_tensor_slice_util.cc, ``EncodeTensorNameSlice``, and
    core/lib/strings/ordered_code.cc.
    """
    text = name.encode().replace(b"\0", b"\0\xff").replace(b"\xff", b"\xff\0") + b"\0\1"
    key = _SLICE + text + bytes([1, len(extents)] if extents else [0])
    for start, length in extents:
        key += _ordered(start) + _ordered(-1 if length == _ALL else length)
    return key


def _ordered(number: int) -> bytes:
    """A number whose first bits say how many bytes it has."""
    bits = (~number if number < 0 else number).bit_length()
    count = bits // 7 + 1
    encoded = (number & ((1 << 8 * count) - 1)).to_bytes(count, "big")
    header = ((1 << count) - 1 << 16 - count).to_bytes(2, "big").ljust(count, b"\0")
    return bytes(a ^ b for a, b in zip(encoded, header, strict=False))


def _table(data: memoryview, what: str, limits: Limits) -> Iterator[tuple[bytes, memoryview]]:
    """The entries of a table, in order: an index block names the blocks that have them."""
    if len(data) < _FOOTER or data[-len(_MAGIC) :] != _MAGIC:
        raise ModelFileError(f"{what}: damaged or truncated (it does not end as an index does)")
    footer = data[-_FOOTER:]
    _, at = _handle(footer, 0, what)
    (start, size), _ = _handle(footer, at, what)
    last = b""
    count = 0
    for _, value in _block(data, start, size, what):
        (start, size), _ = _handle(value, 0, what)
        for key, entry in _block(data, start, size, what):
            if count and key <= last:
                raise ModelFileError(f"{what}: damaged (its keys are not in order)")
            count += 1
            limits.check("checkpoint_objects", count, what, so_far=True)
            last = key
            yield key, entry


def _handle(data: memoryview, at: int, what: str) -> tuple[tuple[int, int], int]:
    start, at = read_varint(data, at, what)
    size, at = read_varint(data, at, what)
    return (start, size), at


def _block(
    data: memoryview, start: int, size: int, what: str
) -> Iterator[tuple[bytes, memoryview]]:
    """The entries of a block; each key shares its beginning with the one before."""
    stop = start + size
    if stop + _BLOCK_TRAILER.size > len(data) - _FOOTER:
        raise ModelFileError(f"{what}: damaged (a block lies beyond its end)")
    kind, crc = _BLOCK_TRAILER.unpack(data[stop : stop + _BLOCK_TRAILER.size])
    if kind != _UNCOMPRESSED:
        raise ModelFileError(f"{what}: a block is compressed, as TensorFlow never writes it")
    if crc != _masked_crc(data[start : stop + 1]):
        raise ModelFileError(f"{what}: damaged (the checksum of a block is another)")
    block = data[start:stop]
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise ModelFileError(f"{what}: damaged (a block is too short)")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at, what)
        added, at = read_varint(block, at, what)
        length, at = read_varint(block, at, what)
        if shared > len(key) or at + added + length > end:
            raise ModelFileError(f"{what}: damaged (an entry lies beyond its block)")
        key = key[:shared] + bytes(block[at : at + added])
        at += added
        yield key, block[at : at + length]
        at += length


def _masked_crc(data: memoryview) -> int:
    """CRC-32C, masked as tables store it (tensorflow, core/lib/hash/crc32c.h)."""
    import google_crc32c

    crc: int = google_crc32c.value(bytes(data))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
