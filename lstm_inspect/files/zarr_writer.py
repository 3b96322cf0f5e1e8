"""Writes a Zarr folder of version 3: JSON about each node, and a file of plain numbers a chunk.

The package zarr is not used. It writes from threads of its own, which go on when the program is
interrupted. Layout: the Zarr core specification, version 3.1.
"""

import gzip
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.files.atomic import STEP_BYTES, left_in, name_beside, release
from lstm_inspect.files.atomic_folder import sync

_LEVEL = 1


class _Chunks(NamedTuple):
    """How an array is stored."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    compress: bool


class ZarrWriter:
    """Writes groups and arrays into a folder, which exists.

    A chunk gets its name when its file is complete. So it may be written again, also while another
    process writes the same numbers, and whoever is killed leaves the old chunk or the new one.

    Args:
        folder: The folder. It is empty, or has parts of the same arrays from before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arrays: dict[str, _Chunks] = {}
        self._unsynced: deque[Path] = deque()  # threads may write different chunks
        self._unsynced_bytes = 0

    def write_text(self, name: str, text: str) -> None:
        """Writes a text as the only attribute of the root group."""
        self._write_group("", {name: text})

    def add_axis(self, path: str, size: int, places: Sequence[int] | None) -> None:
        """Adds an axis: an array, if it stands for other places than those from 0 on."""
        if places is not None:
            numbers = np.asarray(places, np.int64)
            self.add_array(path, (size,), numbers.dtype, [path], (size,), compress=False)
            self.write(path, (0,), numbers)

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
        """Adds an array on some axes; all its numbers have to be written."""
        codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
        if compress:
            codecs.append({"name": "gzip", "configuration": {"level": _LEVEL}})
        about = {
            "node_type": "array",
            "shape": shape,
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": dtype.type(0).item(),
            "codecs": codecs,
            "dimension_names": [axis.rpartition("/")[2] for axis in axes],
            "attributes": {},
        }
        above = path.split("/")[:-1]
        for depth in range(1, len(above) + 1):
            self._write_group("/".join(above[:depth]), {})
        self._write_node(path, about)
        self._arrays[path] = _Chunks(shape, dtype.newbyteorder("<"), chunk, compress)

    def _write_group(self, path: str, attributes: Mapping[str, Any]) -> None:
        self._write_node(path, {"node_type": "group", "attributes": attributes})

    def _write_node(self, path: str, about: Mapping[str, Any]) -> None:
        folder = self._folder / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "zarr.json").write_text(json.dumps({"zarr_format": 3, **about}))

    def write(self, path: str, at: tuple[int, ...], block: Array) -> None:
        """Writes a part of an array that was added, from an index on."""
        array = self._arrays[path]
        ends = [start + size for start, size in zip(at, block.shape, strict=True)]
        spans = (
            range(start // step, -(-end // step))
            for start, end, step in zip(at, ends, array.chunk, strict=True)
        )
        for place in product(*spans):
            first = [number * step for number, step in zip(place, array.chunk, strict=True)]
            starts = [max(one, other) for one, other in zip(first, at, strict=True)]
            stops = [min(*each) for each in zip(_ends(first, array.chunk), ends, strict=True)]
            within = _part(starts, stops, first)
            last = [min(*each) for each in zip(_ends(first, array.chunk), array.shape, strict=True)]
            file = self._chunk_file(path, place)
            if (starts, stops) == (first, last) or not file.exists():
                chunk = np.zeros(array.chunk, array.dtype)
            else:
                chunk = _read_chunk(file, array)
            chunk[within] = block[_part(starts, stops, at)]
            packed = (
                gzip.compress(chunk.tobytes(), _LEVEL, mtime=0) if array.compress else chunk.data
            )
            self._write_chunk(path, file, packed)

    def _write_chunk(self, path: str, file: Path, packed: bytes | memoryview) -> None:
        # Not the folder of the array: where another process gave up and deleted it, it stays away.
        for folder in reversed(file.relative_to(self._folder / path).parents[:-1]):
            (self._folder / path / folder).mkdir(exist_ok=True)
        beside = name_beside(file)
        with beside.open("xb", buffering=0) as opened:
            size = opened.write(packed)
            release(opened.fileno())
        beside.replace(file)
        self._unsynced.append(file)
        self._unsynced_bytes += size
        if self._unsynced_bytes >= STEP_BYTES:
            self.sync()

    def chunks(self, path: str) -> Iterator[tuple[tuple[int, ...], Array]]:
        """Yields the parts of an array that is complete, each with the index that it begins at."""
        array = self._arrays[path]
        counts = (-(-size // step) for size, step in zip(array.shape, array.chunk, strict=True))
        for place in product(*map(range, counts)):
            at = tuple(number * step for number, step in zip(place, array.chunk, strict=True))
            within = tuple(
                slice(min(step, size - start))
                for start, step, size in zip(at, array.chunk, array.shape, strict=True)
            )
            yield at, _read_chunk(self._chunk_file(path, place), array)[within]

    def _chunk_file(self, path: str, place: Sequence[int]) -> Path:
        return self._folder / path / "c" / "/".join(map(str, place))

    def sync(self) -> None:
        """Brings to disk what was written since the last time."""
        self._unsynced_bytes = 0
        files: set[Path] = set()
        with suppress(IndexError):
            while True:
                files.add(self._unsynced.popleft())
        above = {folder for file in files for folder in file.relative_to(self._folder).parents}
        for each in (*files, *(self._folder / folder for folder in above)):
            sync(each)

    def remove_leftovers(self) -> None:
        """Removes what killed processes have left."""
        for left in [*left_in(self._folder)]:
            left.unlink()


def _read_chunk(file: Path, array: _Chunks) -> Array:
    stored = file.read_bytes()
    content = gzip.decompress(stored) if array.compress else stored
    return np.frombuffer(bytearray(content), array.dtype).reshape(array.chunk)


def _ends(first: Sequence[int], sizes: Sequence[int]) -> list[int]:
    return [start + size for start, size in zip(first, sizes, strict=True)]


def _part(starts: Sequence[int], stops: Sequence[int], origin: Sequence[int]) -> tuple[slice, ...]:
    """A box as an index of an array that begins at an origin."""
    return tuple(
        slice(start - zero, stop - zero)
        for start, stop, zero in zip(starts, stops, origin, strict=True)
    )
