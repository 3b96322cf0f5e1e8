"""Writes an HDF5 file of chunked arrays with named axes, which netCDF readers such as xarray open.

HDF5 writes into memory, and what it wrote goes to the disk when the call is over. It cannot bear
an error within a call: h5py 3.16 then crashes.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.files.hdf5_survey import h5py
from lstm_inspect.files.interruptions import interruptions_held

_LEVEL = 1
# What NAME says of an axis without coordinates (netCDF-C, nc4internal.h, `DIM_WITHOUT_VARIABLE`).
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable.{:>10}"


class _Pending(io.RawIOBase):
    """The file, and what HDF5 wrote that is not in it yet. What HDF5 calls raises no error."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = self._size = 0
        self._pieces: list[tuple[int, bytes]] = []
        self._error: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        return self._size

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append((self._at, piece))
        self._at += len(piece)
        self._size = max(self._size, self._at)
        return len(piece)

    def readinto(self, buffer: Any) -> int:
        view, start = memoryview(buffer).cast("B"), self._at
        content = bytearray(len(view))
        try:
            self._file.seek(start)
            stored = self._file.read(len(view))
            content[: len(stored)] = stored
        except OSError as error:
            self._error = error
        for at, piece in self._pieces:
            first, last = max(at, start), min(at + len(piece), start + len(view))
            if first < last:
                content[first - start : last - start] = piece[first - at : last - at]
        view[:] = content
        self._at += len(view)
        return len(view)

    def drain(self) -> None:
        """Brings what is pending into the file, and raises what went wrong."""
        pieces, self._pieces = self._pieces, []
        for at, piece in pieces:
            self._file.seek(at)
            self._file.write(piece)
        if self._error:
            raise self._error

    def finish(self) -> None:
        """Gives the file its size."""
        self.drain()
        self._file.truncate(self._size)


class Hdf5Writer:
    """A new HDF5 file; `writing_hdf5` opens it."""

    def __init__(self, pending: _Pending, root: Any) -> None:
        self._pending = pending
        self._root = root
        self._axes = 0

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Calls HDF5, which must not be interrupted, and then writes what it wrote."""
        with interruptions_held():
            yield
        self._pending.drain()

    def _add_groups_above(self, path: str) -> None:
        above = path.split("/")[:-1]
        for depth in range(1, len(above) + 1):
            group = "/".join(above[:depth])
            if group not in self._root:
                group_options = _timeless(h5py.h5p.create(h5py.h5p.GROUP_CREATE))
                h5py.h5g.create(self._root.id, group.encode(), gcpl=group_options)

    def add_axis(self, path: str, size: int, places: Sequence[int] | None) -> None:
        """Adds an axis: its path, its size, and the places that it stands for, if it has any."""
        with self._call():
            self._add_groups_above(path)
            scale = self._root.create_dataset(path, data=places, shape=(size,), dtype="i8")
            name = path.rpartition("/")[2]
            scale.make_scale(_NO_VARIABLE.format(size) if places is None else name)
            scale.attrs["_Netcdf4Dimid"] = np.int32(self._axes)
            self._axes += 1

    def add_array(
        self,
        path: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axes: Sequence[str],
        chunk: tuple[int, ...],
        *,
        compress: bool,
    ) -> None:
        """Adds an array in chunks on axes that were added before; one without numbers has none."""
        is_bool = dtype == np.bool_
        layout: dict[str, Any] = {} if 0 in shape else {"chunks": chunk}
        if compress and layout:
            layout |= {"compression": _LEVEL, "shuffle": True}
        with self._call():
            self._add_groups_above(path)
            array = self._root.create_dataset(path, shape, np.int8 if is_bool else dtype, **layout)
            if is_bool:
                array.attrs["dtype"] = "bool"
            for number, axis in enumerate(axes):
                array.dims[number].attach_scale(self._root[axis])

    def write(self, path: str, at: tuple[int, ...], block: Array) -> None:
        """Writes a part of an array that was added, from an index on."""
        part = tuple(slice(each, each + size) for each, size in zip(at, block.shape, strict=True))
        numbers = block.view(np.int8) if block.dtype == np.bool_ else block
        with self._call():
            self._root[path][part] = numbers

    def write_text(self, name: str, text: str) -> None:
        """Writes a text as an attribute of the root group; its length has no bound."""
        with self._call():
            self._root.attrs[name] = text


@contextmanager
def writing_hdf5(file: BinaryIO) -> Iterator[Hdf5Writer]:
    """Makes an HDF5 file of an empty file, which is complete when the block ends."""
    pending = _Pending(file)
    with interruptions_held():
        root = _new_file(pending)
    try:
        yield Hdf5Writer(pending, root)
    finally:
        with interruptions_held():
            root.close()
    pending.finish()


def _new_file(pending: _Pending) -> Any:
    """A new HDF5 file; what `h5py.File` makes of one has the time in it."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, pending)
    options = _timeless(h5py.h5p.create(h5py.h5p.FILE_CREATE))
    name = repr(pending).encode()
    return h5py.File(h5py.h5f.create(name, h5py.h5f.ACC_TRUNC, fcpl=options, fapl=access))


def _timeless(options: Any) -> Any:
    """Sets the options of a group that keeps the order of what is in it, and no time."""
    options.set_obj_track_times(False)
    options.set_link_creation_order(h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED)
    options.set_attr_creation_order(h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED)
    return options
