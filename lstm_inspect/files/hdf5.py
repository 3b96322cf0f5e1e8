"""Reads HDF5 bytes into plain texts and arrays."""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.confined import run_confined
from lstm_inspect.files.hdf5_survey import survey
from lstm_inspect.files.limits import Limits

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAD = 64

# Where a superblock stores the end of the file, by superblock version (HDF5 file format
# specification 3.0, section II.A). Addresses are 8 bytes long in every file that Keras writes.
_END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
_SIZE_OF_ADDRESSES = {0: 13, 1: 13, 2: 9, 3: 9}

_IN_CHUNKS = "is stored in chunks, which Keras never writes (h5repack -l CONTI removes them)"


@dataclass(frozen=True, eq=False)
class Group:
    """A group of an HDF5 file.

    Attributes:
        attributes: Its attributes by name: str, lists of str, or None for anything else.
        groups: The groups in it by name.
        arrays: The arrays in it by name.
        unread: The names of the arrays in it that have no numbers, and why.
        said_bfloat16: The names of its arrays that only an attribute calls bfloat16.
    """

    attributes: Mapping[str, str | list[str] | None] = field(default_factory=dict)
    groups: "dict[str, Group]" = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    said_bfloat16: list[str] = field(default_factory=list)

    def at(self, path: str) -> "Group | None":
        """Returns the group at a path below this one, or None; a layer name may be such a path."""
        group: Group | None = self
        for name in path.split("/"):
            group = group.groups.get(name) if group is not None else None
        return group

    def walk(self, prefix: str = "") -> "Iterator[tuple[str, Group]]":
        """Yields (path, group) for this group, whose path is ``""``, and all groups below it."""
        yield prefix.rstrip("/"), self
        for name, group in self.groups.items():
            yield from group.walk(f"{prefix}{name}/")

    def all_arrays(self) -> dict[str, Array]:
        """Returns every array in or below this group by its path."""
        return {
            f"{path}/{name}".lstrip("/"): array
            for path, group in self.walk()
            for name, array in group.arrays.items()
        }

    def all_unread(self) -> dict[str, str]:
        """Returns the paths of the arrays in or below this group that have no numbers, and why."""
        return {
            f"{path}/{name}".lstrip("/"): reason
            for path, group in self.walk()
            for name, reason in group.unread.items()
        }


def read_hdf5(data: bytes | memoryview, what: str, limits: Limits) -> Group:
    """Reads the tree of groups, attributes and arrays.

    Args:
        data: The bytes of the HDF5 file.
        what: The name of the file in errors.
        limits: What the file may ask for.

    Returns:
        The root group. Its arrays are read-only views into ``data``. Those in chunks count as not
        read: Keras writes each array in one piece.

    Raises:
        ModelFileError: The file is damaged or truncated, or it refers to other files.
        LimitError: The file asks for more than the limits allow.
    """
    check_end(data[:_HEAD], len(data), what)
    found = run_confined(partial(survey, data, what, limits), what, limits, len(data))
    limits.check("weight_bytes", found["claimed"], f"{what}: its arrays")
    groups = {path: Group(attributes) for path, attributes in found["groups"].items()}
    for path, group in groups.items():
        if path:
            above, _, name = path.rpartition("/")
            groups[above].groups[name] = group
    for path, lies in found["arrays"].items():
        above, _, name = path.rpartition("/")
        if "chunk" in lies:
            groups[above].unread[name] = _IN_CHUNKS
            continue
        groups[above].arrays[name] = _array(lies, data)
        if lies["is_said_bfloat16"]:
            groups[above].said_bfloat16.append(name)
    for path, reason in found["unread"].items():
        above, _, name = path.rpartition("/")
        groups[above].unread[name] = reason
    return groups[""]


def check_end(head: bytes | memoryview, size: int, what: str) -> None:
    """Refuses a file that is shorter or longer than its superblock says.

    Args:
        head: Its first bytes, of which 64 are enough.
        size: How many bytes it has.
        what: Its name in errors.

    Raises:
        ModelFileError: It has another size.
    """
    damaged = f"{what}: damaged or truncated HDF5 data"
    try:
        version = head[len(SIGNATURE)]
        address = head[_SIZE_OF_ADDRESSES[version]]
        (end,) = struct.unpack_from("<Q", head, _END_OF_FILE[version])
    except (IndexError, KeyError, struct.error) as error:
        raise ModelFileError(f"{damaged} (it has no superblock of a known version)") from error
    if address != 8 or end != size:
        raise ModelFileError(f"{damaged} (its superblock says {end} bytes, it has {size})")


def _array(lies: Mapping[str, Any], data: bytes | memoryview) -> Array:
    dtype, shape = np.dtype(lies["dtype"]), tuple(lies["shape"])
    count = math.prod(shape)
    if "offset" in lies:
        array = np.frombuffer(data, dtype, count, lies["offset"]).reshape(shape)
    else:
        array = np.frombuffer(bytes.fromhex(lies["hex"]), dtype).reshape(shape)
    if lies["is_bfloat16"]:  # the upper half of a float32
        array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    array.flags.writeable = False
    return array
