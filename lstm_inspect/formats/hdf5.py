"""HDF5 bytes to plain attributes and arrays."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats.saved_file import Array

# Compressed weights do not shrink to a thousandth; below this size nobody minds.
_MOST_EXPANSION = 1000
_FREE_BYTES = 1 << 24

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class Group:
    """A group of an HDF5 file: attributes (str, or lists of str), groups and arrays by name."""

    attributes: dict[str, Any] = field(default_factory=dict)
    groups: "dict[str, Group]" = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)

    def at(self, path: str) -> "Group | None":
        """The group at a path below this one; a layer's name may be such a path."""
        group: Group | None = self
        for name in path.split("/"):
            group = group.groups.get(name) if group is not None else None
        return group

    def walk(self, prefix: str = "") -> "Iterator[tuple[str, Group]]":
        """Yields (path, group) of this group and every one below it; this one's path is ``""``."""
        yield prefix.rstrip("/"), self
        for name, group in self.groups.items():
            yield from group.walk(f"{prefix}{name}/")

    def all_arrays(self) -> dict[str, Array]:
        """Every array in or below this group, by its path."""
        return {
            f"{path}/{name}".lstrip("/"): array
            for path, group in self.walk()
            for name, array in group.arrays.items()
        }


def read_hdf5(data: memoryview, what: str) -> Group:
    """Reads the tree of groups, attributes and arrays.

    Args:
        data: The bytes of the HDF5 file.
        what: What to call the file in an error.

    Returns:
        The root group. Its arrays are read-only views into ``data`` wherever the file stores them
        in one piece, which is how Keras writes them.

    Raises:
        ModelFileError: Damaged or truncated.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _read_group(file, data)
    except ModelFileError as error:
        raise ModelFileError(f"{what}: {error}") from error
    except (OSError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"{what}: damaged or truncated HDF5 data ({reason})") from error


def _read_group(group: h5py.Group, data: memoryview) -> Group:
    read = Group(attributes={name: _plain(value) for name, value in group.attrs.items()})
    for name in group:
        # Soft and external links lead out of what was read; Keras writes neither.
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        member = group[name]
        if isinstance(member, h5py.Group):
            read.groups[name] = _read_group(member, data)
        elif isinstance(member, h5py.Dataset) and _is_written(member):
            read.arrays[name] = _read_array(member, data)
    return read


def _is_written(dataset: h5py.Dataset) -> bool:
    """Whether the numbers of a dataset are in the file; HDF5 would invent those that are not.

    Raises:
        ModelFileError: It claims far more numbers than the file can hold.
    """
    if dataset.size is None:
        return False
    stored, claimed = dataset.id.get_storage_size(), dataset.size * dataset.dtype.itemsize
    if claimed > max(_FREE_BYTES, _MOST_EXPANSION * stored):
        raise ModelFileError(
            f"{dataset.name}: claims {claimed} bytes, of which the file holds {stored}"
        )
    return bool(claimed == 0 or stored > 0)


def _read_array(dataset: h5py.Dataset, data: memoryview) -> Array:
    offset = dataset.id.get_offset()
    if offset is None or dataset.id.get_storage_size() != dataset.size * dataset.dtype.itemsize:
        array = np.asarray(dataset[()])
    else:
        flat = np.frombuffer(data, dataset.dtype, count=dataset.size, offset=offset)
        array = flat.reshape(dataset.shape)
    # NumPy has no bfloat16: Keras stores its two bytes as they are, and only in a .keras says so
    # (keras 3.15.1, saving_lib.py, `H5IOStore`). They are the upper half of a float32.
    if dataset.attrs.get("dtype") == "bfloat16" or dataset.dtype == np.dtype("V2"):
        array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    array.flags.writeable = False
    return array


def _plain(value: Any) -> Any:
    """An attribute as str, list of str or number, whether the writer stored bytes or text."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value
