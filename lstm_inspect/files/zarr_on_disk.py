"""Reads a Zarr folder of version 3 whose arrays stay on disk. The package zarr is not needed.

Only what dumps have is read: regular chunks of plain numbers, perhaps compressed with gzip. So no
name in the folder chooses what code runs.
"""

import math
import os
import zlib
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from lstm_inspect.arrays import NUMBERS
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.chunked import ChunkedArray, check_stored, inflated
from lstm_inspect.files.json_text import parse_object
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.whole_file import opened, read_bytes, read_opened

NODE = "zarr.json"
"""The file that describes a group or an array."""

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_ENCODING = {"name": "default", "configuration": {"separator": "/"}}
_GZIP = zlib.MAX_WBITS | 16
_MOST_AXES = 32
"""As many as NumPy 1 and HDF5 can have."""


class ZarrOnDisk:
    """A Zarr folder.

    Args:
        folder: The folder.
        limits: What it may ask for.

    Attributes:
        attributes: The attributes of the root group.
        arrays: Its arrays by path.

    Raises:
        ModelFileError: The folder is damaged, holds what no dump has, or cannot be read.
        LimitError: It asks for more than the limits allow.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._files = set(self._walk(folder, ""))
        self._node_bytes = 0
        root: Mapping[str, Any] = {}
        self.arrays: dict[str, ChunkedArray] = {}
        for name in sorted(each for each in self._files if each.rpartition("/")[2] == NODE):
            path, about = name.removesuffix(NODE).rstrip("/"), self._node(name)
            if about["node_type"] == "array":
                self.arrays[path] = self._array(path, about)
            elif not path:
                root = about
        if not root:
            raise self._refusal("it has no root group of Zarr version 3")
        attributes = root.get("attributes", {})
        if not isinstance(attributes, dict):
            raise self._refusal("its attributes are not a JSON object")
        self.attributes: Mapping[str, Any] = attributes
        if self._files:
            raise self._refusal(f"{min(self._files)!r:.60} is no part of it")

    def _walk(self, folder: Path, prefix: str) -> Iterator[str]:
        """Yields the path of each file; a link is refused, as it may lead elsewhere."""
        todo, count = [(folder, prefix)], 0
        try:
            while todo:
                folder, prefix = todo.pop()
                with os.scandir(folder) as entries:
                    for entry in entries:
                        count += 1
                        self._limits.check("zarr_files", count, str(self._folder), so_far=True)
                        path = prefix + entry.name
                        if entry.is_dir(follow_symlinks=False):
                            todo.append((folder / entry.name, f"{path}/"))
                        elif entry.is_file(follow_symlinks=False):
                            yield path
                        else:
                            raise self._refusal(f"{path!r:.60} is a link or a device")
        except OSError as error:
            raise ModelFileError(f"{folder}: cannot be read ({error.strerror})") from error

    def _node(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        text = read_bytes(path, self._limits, "config_bytes")
        self._node_bytes += len(text)
        self._limits.check("config_bytes", self._node_bytes, str(self._folder), so_far=True)
        node = parse_object(text, str(path), self._limits)
        if node.get("zarr_format") != 3 or node.get("node_type") not in ("group", "array"):
            raise self._refusal(f"{name} describes no group or array of Zarr version 3")
        self._files.remove(name)
        return node

    def _array(self, path: str, about: Mapping[str, Any]) -> ChunkedArray:
        what = f"{self._folder}: {path}"
        try:
            shape, chunk = (
                _sizes(about["shape"]),
                _sizes(about["chunk_grid"]["configuration"]["chunk_shape"]),
            )
            if about["chunk_grid"]["name"] != "regular" or about["chunk_key_encoding"] != _ENCODING:
                raise ValueError("chunks that are not a regular grid")
            if about["data_type"] not in NUMBERS or about["data_type"] == "bfloat16":
                raise ValueError(f"numbers of type {about['data_type']!r:.40}")
            plain, *more = about["codecs"]
            if plain != _BYTES or [each["name"] for each in more] not in ([], ["gzip"]):
                raise ValueError("codecs other than bytes and gzip")
            if about.get("storage_transformers"):
                raise ValueError("storage transformers")
            dtype = np.dtype(about["data_type"]).newbyteorder("<")
            size = math.prod(chunk) * dtype.itemsize
            is_compressed = bool(more)

            def fetch(place: tuple[int, ...]) -> bytes:
                file = self._folder / path / "c" / "/".join(map(str, place))
                with opened(file) as (descriptor, stored):
                    check_stored(stored, size, str(file))
                    content = read_opened(file, descriptor, stored, self._limits, "dump_bytes")
                if is_compressed:
                    return inflated(content, size, str(file), wbits=_GZIP)
                if len(content) != size:
                    raise ModelFileError(f"{file}: expected {size} bytes, found {len(content)}")
                return content

            array = ChunkedArray(shape, dtype, chunk, fetch, what, self._limits)
            counts = [-(-whole // step) for whole, step in zip(shape, chunk, strict=True)]
            if math.prod(counts) > len(self._files):
                raise ValueError("chunks that are missing")
            # product() makes a list of each range, also where another is empty.
            for place in product(*map(range, counts)) if 0 not in counts else ():
                self._files.remove(f"{path}/c/{'/'.join(map(str, place))}")
        except (ValueError, KeyError, TypeError) as error:
            raise self._refusal(f"{path!r:.60} is no array of a dump ({error})") from error
        return array

    def _refusal(self, reason: str) -> ModelFileError:
        return ModelFileError(f"{self._folder}: {reason}")


def _sizes(numbers: Any) -> tuple[int, ...]:
    if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(f"sizes {numbers!r:.40}")
    if len(numbers) > _MOST_AXES:
        raise ValueError(f"{len(numbers)} axes, more than {_MOST_AXES}")
    return tuple(numbers)
