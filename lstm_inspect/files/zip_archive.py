"""Reads the members of a zip, and checks its structure, limits and checksums.

zipfile is not used. It takes the last of two members with the same name, and it reads an archive
whose local headers contradict its directory. Two readers could read different content from either.

Layout: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 and 4.5.3.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits

_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")

_LOCATOR = b"PK\x06\x07"
_STORED, _DEFLATED = 0, 8
_ENCRYPTED_OR_PATCHED = 0x2061
_HAS_DESCRIPTOR = 0x8
_UTF8 = 0x800
_IN_EXTRA = 0xFFFFFFFF
_ZIP64 = 0x0001
_NAMED_AGAIN = 0x7075  # Info-ZIP's Unicode path (APPNOTE 4.6.9), which only some readers use
_DESCRIPTORS = (0, 12, 16, 20, 24)
_ALWAYS_EXPANDS = 8 << 20
_LONGEST_END = _END.size + 0xFFFF
_PIECE = 1 << 20


@dataclass(frozen=True)
class _Member:
    """One entry of the directory."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    stored_size: int
    size: int
    header: int


class FileBytes:
    """The bytes of an open file, read on demand; for archives larger than memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        """Returns the size of the file."""
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """Reads a part of the file."""
        start, stop, _ = part.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(0, stop - start))


class ZipArchive:
    """The members of a zip by name.

    Args:
        data: The bytes of the zip: in memory, mapped, or in a file.
        what: The name of the zip in errors.
        limits: What the zip may ask for.

    Attributes:
        SIGNATURE: The first bytes of a zip.

    Raises:
        ModelFileError: The zip is damaged, or two readers could read it in different ways.
        LimitError: The zip asks for more than the limits allow.
    """

    SIGNATURE = b"PK\x03\x04"

    def __init__(self, data: "bytes | mmap.mmap | FileBytes", what: str, limits: Limits) -> None:
        self._data = data if isinstance(data, FileBytes) else memoryview(data)
        self._is_mapped = isinstance(data, mmap.mmap)
        self._what = what
        self._limits = limits
        try:
            self._members = {member.name: member for member in self._directory()}
            self._starts = self._check_cover()
        except struct.error as error:
            raise self._damaged(f"it ends too early or is inconsistent: {error}") from error

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members, in the order of the directory."""
        return tuple(self._members)

    def size(self, name: str) -> int:
        """Returns the size of a member after inflation."""
        return self._members[name].size

    def read(self, name: str, limit: str = "file_bytes") -> memoryview:
        """Returns the bytes of a member, without a copy if the zip does not compress it.

        Args:
            name: The name of the member.
            limit: The name of the limit on its size, unless the zip is mapped and does not compress
                it.

        Raises:
            KeyError: There is no such member.
            ModelFileError: The member is damaged.
            LimitError: The member is larger than the limit.
        """
        member = self._members[name]
        start = self._starts[name]
        content = memoryview(self._data[start : start + member.stored_size])
        what = f"{self._what}: {name}"
        if not (self._is_mapped and member.method == _STORED):
            self._limits.check(limit, member.size, what)
        if member.method == _DEFLATED:
            content = self._inflated(member, content)
        if len(content) != member.size or zlib.crc32(content) != member.crc:
            raise ModelFileError(f"{what} is damaged (wrong size or checksum)")
        return content

    def pieces(self, name: str) -> Iterator[memoryview]:
        """Yields the bytes of a member piece by piece.

        Raises:
            KeyError: There is no such member.
            ModelFileError: The member is damaged; this may show only after the last piece.
        """
        member = self._members[name]
        if member.method == _DEFLATED:
            yield self.read(name)
            return
        start, crc = self._starts[name], 0
        for at in range(start, start + member.size, _PIECE):
            piece = memoryview(self._data[at : min(at + _PIECE, start + member.size)])
            crc = zlib.crc32(piece, crc)
            yield piece
        if crc != member.crc:
            raise ModelFileError(f"{self._what}: {name} is damaged (wrong checksum)")

    def _inflated(self, member: _Member, content: memoryview) -> memoryview:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            inflated = inflater.decompress(content, member.size + 1)
        except zlib.error as error:
            raise ModelFileError(f"{self._what}: {member.name} is damaged ({error})") from error
        if not inflater.eof or inflater.unused_data:
            raise ModelFileError(f"{self._what}: {member.name} is damaged (wrong size)")
        return memoryview(inflated)

    def _directory(self) -> list[_Member]:
        whole = len(self._data)
        tail = bytes(self._data[max(0, whole - _LONGEST_END) :])
        found = tail.rfind(b"PK\x05\x06")
        if found < 0:
            raise self._damaged("it has no directory")
        stop = end = whole - len(tail) + found
        _, disk, first_disk, here, count, size, offset, comment = self._unpack(_END, end)
        if end + _END.size + comment != whole:
            raise self._damaged("something follows its end")
        is_wide = _IN_EXTRA in (size, offset) or count == 0xFFFF
        # zipfile obeys a zip64 end wherever its locator stands, be it the comment of a member
        # (CPython 3.11, zipfile.py, `_EndRecData64`).
        if not is_wide and self._data[max(0, end - _END64_LOCATOR.size) : end][:4] == _LOCATOR:
            raise self._damaged("it has a zip64 end that its end does not name")
        if is_wide:
            stop = end - _END64_LOCATOR.size
            sign, _, stop, _ = self._unpack(_END64_LOCATOR, max(stop, 0))
            if sign != _LOCATOR or stop + _END64.size != end - _END64_LOCATOR.size:
                raise self._damaged("its zip64 end is not where it should be")
            sign, _, _, _, disk, first_disk, here, count, size, offset = self._unpack(_END64, stop)
            if sign != b"PK\x06\x06":
                raise self._damaged("it has no zip64 end")
        self._limits.check("zip_members", count, self._what)
        self._limits.check("zip_directory_bytes", size, self._what)
        if disk or first_disk or here != count or offset + size != stop:
            raise self._damaged("its directory is not where it should be")
        self._stop = offset
        members = []
        for _ in range(count):
            member, offset = self._entry(offset)
            members.append(member)
        if offset != stop:
            raise self._damaged("the size of its directory is wrong")
        deflated = [member for member in members if member.method == _DEFLATED]
        if (expanded := sum(member.size for member in deflated)) > _ALWAYS_EXPANDS:
            ratio = -(-expanded // max(1, sum(member.stored_size for member in deflated)))
            self._limits.check("expansion", ratio, self._what)
        if len({member.name for member in members}) != count:
            raise self._damaged("it has two members of the same name")
        return members

    def _entry(self, at: int) -> tuple[_Member, int]:
        (
            sign,
            _,
            _,
            flags,
            method,
            _,
            _,
            crc,
            stored,
            size,
            name_size,
            extra_size,
            comment_size,
            _,
            _,
            attributes,
            header,
        ) = self._unpack(_ENTRY, at)
        if sign != b"PK\x01\x02":
            raise self._damaged("its directory has an invalid entry")
        at += _ENTRY.size
        raw_name = bytes(self._data[at : at + name_size])
        extra = bytes(self._data[at + name_size : at + name_size + extra_size])
        size, stored, header = _wide(extra, [size, stored, header])
        name = self._name(raw_name, flags)
        if flags & _ENCRYPTED_OR_PATCHED:
            raise self._damaged(f"{name} is encrypted")
        if method not in (_STORED, _DEFLATED):
            raise self._damaged(f"{name} is compressed with method {method}, not with deflate")
        if _NAMED_AGAIN in _fields(extra):
            raise self._damaged(f"{name} has a second name")
        if attributes >> 28 == 0xA:  # the Unix mode of a symbolic link
            raise self._damaged(f"{name} is a symbolic link")
        if method == _STORED and stored != size:
            raise self._damaged(f"{name} has two sizes")
        member = _Member(name, raw_name, flags, method, crc, stored, size, header)
        return member, at + name_size + extra_size + comment_size

    def _name(self, raw: bytes, flags: int) -> str:
        try:
            # Python imports the table of cp437 only if a name needs it.
            return raw.decode("utf-8" if flags & _UTF8 or raw.isascii() else "cp437")
        except UnicodeDecodeError as error:
            raise self._damaged(f"a member's name is not UTF-8: {raw[:40]!r}") from error

    def _check_cover(self) -> dict[str, int]:
        """Returns where the content of each member starts; refuses overlaps and gaps."""
        starts = {}
        ends = []
        members = sorted(self._members.values(), key=lambda member: member.header)
        for member in members:
            sign, _, flags, method, _, _, crc, stored, size, name_size, extra_size = self._unpack(
                _LOCAL, member.header
            )
            start = member.header + _LOCAL.size + name_size
            raw_name = bytes(self._data[member.header + _LOCAL.size : start])
            extra = bytes(self._data[start : start + extra_size])
            size, stored = _wide(extra, [size, stored])
            described = bool(flags & _HAS_DESCRIPTOR)
            if (
                sign != self.SIGNATURE
                or (method, raw_name, flags) != (member.method, member.raw_name, member.flags)
                or (crc, stored, size)
                not in [(member.crc, member.stored_size, member.size), (0, 0, 0)][: 1 + described]
            ):
                raise self._damaged(f"the header of {member.name} differs from its directory entry")
            starts[member.name] = start + extra_size
            ends.append((starts[member.name] + member.stored_size, described))
        begins = [*(member.header for member in members), self._stop]
        gaps = [begin - end for begin, (end, _) in zip(begins[1:], ends, strict=True)]
        covered = all(
            gap in (_DESCRIPTORS if described else (0,))
            for gap, (_, described) in zip(gaps, ends, strict=True)
        )
        if begins[0] != 0 or not covered or any(a > b for a, b in pairwise(begins)):
            raise self._damaged("its members overlap or leave gaps")
        return starts

    def _unpack(self, layout: struct.Struct, at: int) -> tuple[Any, ...]:
        return layout.unpack(self._data[at : at + layout.size])

    def _damaged(self, reason: str) -> ModelFileError:
        return ModelFileError(f"{self._what}: damaged or truncated zip archive ({reason})")


def _wide(extra: bytes, sizes: list[int]) -> list[int]:
    """Replaces numbers too large for 32 bits by those of the zip64 extra field, in its order."""
    if _IN_EXTRA not in sizes:
        return sizes
    fields = _fields(extra)
    if _ZIP64 not in fields:
        return sizes
    wanted = sizes.count(_IN_EXTRA)
    wide = iter(struct.unpack_from(f"<{wanted}Q", fields[_ZIP64]))
    return [next(wide) if size == _IN_EXTRA else size for size in sizes]


def _fields(extra: bytes) -> dict[int, bytes]:
    """Returns the extra fields by tag; refuses a tag twice, as readers may use either field."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag in fields:
            raise struct.error("an extra field appears twice")
        fields[tag] = extra[at + 4 : at + 4 + length]
        at += 4 + length
    return fields
