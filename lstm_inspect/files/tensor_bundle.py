"""TensorFlow checkpoints: an index of tensors, and shards with their numbers.

``variables.index`` is a table of sorted keys in blocks with checksums; each value is a protobuf
message that says dtype, shape, shard, offset, size and checksum of a tensor.
``variables.data-00000-of-00001`` has the numbers.

Layout: tensorflow 2.15.0, core/util/tensor_bundle/tensor_bundle.cc and
core/protobuf/tensor_bundle.proto; core/lib/io/table_format.txt for the table.
"""

import math
import struct
from collections.abc import Iterator
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


class TensorBundle:
    """A checkpoint that was read whole.

    Args:
        prefix: The path of its files without ``.index``.
        limits: How large they may be.

    Raises:
        ModelFileError: A file is missing or damaged, or the checkpoint has a form that no
            TensorFlow of our time writes.
        LimitError: The checkpoint asks for more than is granted.
    """

    def __init__(self, prefix: Path, limits: Limits) -> None:
        index = prefix.with_name(f"{prefix.name}.index")
        self._what = str(index)
        data = read_bytes(index, limits, "file_bytes")
        entries = dict(_table(memoryview(data), self._what, limits))
        header = Message(entries.pop(b"", b""), self._what)
        if header.number(2) != 0:
            raise ModelFileError(f"{self._what}: its numbers are big-endian, which is not read")
        self._entries = {
            self._key(raw): Message(entry, self._what) for raw, entry in entries.items()
        }
        shards = header.number(1)
        limits.check("checkpoint_objects", shards, self._what)
        names = [f"{prefix.name}.data-{shard:05}-of-{shards:05}" for shard in range(shards)]
        self._shards = [read_bytes(prefix.with_name(name), limits, "file_bytes") for name in names]
        self.files = {index.name: data, **dict(zip(names, self._shards, strict=True))}
        """The files that were read, by name."""
        limits.check("weight_bytes", sum(map(len, self._shards)), f"{prefix}: its arrays")

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of each tensor, in order."""
        return tuple(self._entries)

    def array(self, key: str) -> Array | None:
        """A tensor of numbers, read-only; None if it is made of something else."""
        entry = self._entries[key]
        dtype = entry.number(1)
        content = self._content(key, entry)
        if _masked_crc(content) != entry.number(6):
            raise ModelFileError(f"{self._what}: damaged (the checksum of {key} is another)")
        shape = tuple(dim.signed(1) for dim in entry.message(2).messages(2))
        if dtype == _BFLOAT16:
            half = np.frombuffer(content, "<u2")
            flat: Array = (half.astype("<u4") << 16).view("<f4")
        elif dtype in _DTYPES and len(content) % np.dtype(_DTYPES[dtype]).itemsize == 0:
            flat = np.frombuffer(content, _DTYPES[dtype])
        else:
            return None
        if min(shape, default=0) < 0 or math.prod(shape) != flat.size:
            raise ModelFileError(
                f"{self._what}: damaged ({key} has {flat.size} numbers, its shape is {shape})"
            )
        array = flat.reshape(shape)
        array.flags.writeable = False
        return array

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
        if entry.messages(7):
            raise ModelFileError(
                f"{self._what}: {key} is a partitioned variable, which is not read"
            )
        if shard >= len(self._shards) or offset + size > len(self._shards[shard]):
            raise ModelFileError(f"{self._what}: damaged ({key} lies beyond the end of its shard)")
        return memoryview(self._shards[shard])[offset : offset + size]


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
