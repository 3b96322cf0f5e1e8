"""Writes a zip whose members are stored, not compressed, so that each number has its place at once.

zipfile writes one member after the other; here all members are written side by side. If they are
written in order, the bytes are those of zipfile.

Layout: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 and 4.5.3.
"""

import struct
import sys
import zlib
from typing import BinaryIO

_LOCAL = struct.Struct("<4s5H3L2H")
_WIDE_SIZES = struct.Struct("<2H2Q")
_ENTRY = struct.Struct("<4s4B4H3L5H2L")
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")

_VERSION = 45  # the first with zip64
_SYSTEM = 0 if sys.platform == "win32" else 3  # as zipfile does
_MODE = 0o600 << 16
_UTF8 = 0x800
_DATE = 0x21  # 1980-01-01, the first day there is: equal content gives equal bytes
_ZIP64 = 0x0001
# zipfile writes larger numbers than these into the zip64 fields (CPython 3.11, zipfile.py).
_LARGEST = (1 << 31) - 1
_MOST = (1 << 16) - 1
_IN_EXTRA = 0xFFFFFFFF
_PIECE = 1 << 20


class StoredMember:
    """A member of a `StoredZip`; `StoredZip.add` makes it.

    Args:
        file: The file of the zip.
        name: The name of the member.
        header: Where its local header begins.
        size: Its size.

    Attributes:
        end: Where it ends.
    """

    def __init__(self, file: BinaryIO, name: str, header: int, size: int) -> None:
        self._file = file
        self._name = name.encode("ascii" if name.isascii() else "utf-8")
        self._flags = 0 if name.isascii() else _UTF8
        self._header = header
        self._start = header + _LOCAL.size + len(self._name) + _WIDE_SIZES.size
        self._size = size
        self._crc = self._summed = 0
        self.end = self._start + size

    def write(self, at: int, data: "bytes | memoryview") -> None:
        """Writes bytes at their place in the member, counted from its start."""
        self._file.seek(self._start + at)
        self._file.write(data)
        if at == self._summed:
            self._sum(data)

    def _sum(self, data: "bytes | memoryview") -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._summed += memoryview(data).nbytes

    def write_header(self) -> None:
        """Writes the local header, once all bytes of the member are written."""
        self._file.seek(self._start + self._summed)
        while self._summed < self._size:  # what did not come in order
            self._sum(self._file.read(min(_PIECE, self._size - self._summed)))
        sizes = (self._crc, _IN_EXTRA, _IN_EXTRA)
        lengths = (len(self._name), _WIDE_SIZES.size)
        self._file.seek(self._header)
        self._file.write(
            _LOCAL.pack(b"PK\x03\x04", _VERSION, self._flags, 0, 0, _DATE, *sizes, *lengths)
            + self._name
            + _WIDE_SIZES.pack(_ZIP64, 16, self._size, self._size)
        )

    def entry(self) -> bytes:
        """Its entry in the directory."""
        wide = [self._size, self._size] if self._size > _LARGEST else []
        size = _IN_EXTRA if wide else self._size
        header = self._header
        if header > _LARGEST:
            wide.append(header)
            header = _IN_EXTRA
        extra = struct.pack(f"<2H{len(wide)}Q", _ZIP64, 8 * len(wide), *wide) if wide else b""
        versions = (_VERSION, _SYSTEM, _VERSION, 0)
        about = (self._flags, 0, 0, _DATE, self._crc, size, size, len(self._name), len(extra))
        places = (0, 0, 0, _MODE, header)
        return _ENTRY.pack(b"PK\x01\x02", *versions, *about, *places) + self._name + extra


class StoredZip:
    """A new zip, whose members may be written side by side.

    Args:
        file: An empty file that can be written and read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members: list[StoredMember] = []
        self._end = 0

    def add(self, name: str, size: int) -> StoredMember:
        """Adds a member of a name and a size behind the others; its bytes are written later."""
        member = StoredMember(self._file, name, self._end, size)
        self._end = member.end
        self._members.append(member)
        return member

    def finish(self) -> None:
        """Writes the headers and the directory; all members have been written."""
        for member in self._members:
            member.write_header()
        directory = b"".join(member.entry() for member in self._members)
        self._file.seek(self._end)
        self._file.write(directory + self._ending(len(directory)))

    def _ending(self, size: int) -> bytes:
        count, offset, ending = len(self._members), self._end, b""
        if count > _MOST or max(offset, size) > _LARGEST:
            counts = (count, count, size, offset)
            versions = (_VERSION, _VERSION, 0, 0)
            ending = _END64.pack(b"PK\x06\x06", _END64.size - 12, *versions, *counts)
            ending += _END64_LOCATOR.pack(b"PK\x06\x07", 0, offset + size, 1)
            count, size, offset = min(count, _MOST), min(size, _IN_EXTRA), min(offset, _IN_EXTRA)
        return ending + _END.pack(b"PK\x05\x06", 0, 0, count, count, size, offset, 0)
