"""Writes TensorFlow checkpoints and SavedModel folders, byte by byte.

`tests/keras/test_checkpoints_of_tensorflow.py` lets TensorFlow read what this module writes.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from tests.conftest import Array, Json

DTYPES = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "int64": 9,
    "bool": 10,
    "uint16": 17,
    "float16": 19,
    "uint32": 22,
    "uint64": 23,
}
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def data(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def masked_crc(content: bytes) -> int:
    crc: int = google_crc32c.value(content)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def block(entries: Sequence[tuple[bytes, bytes]], *, kind: int = 0) -> bytes:
    """A block of a table in which no key shares its beginning with the one before."""
    content = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in entries
    )
    content += struct.pack("<II", 0, 1)
    return content + bytes([kind]) + struct.pack("<I", masked_crc(content + bytes([kind])))


def table(entries: Sequence[tuple[bytes, bytes]], *, kind: int = 0) -> bytes:
    def handle(start: int, whole: bytes) -> bytes:
        return varint(start) + varint(len(whole) - 5)

    blocks = block(entries, kind=kind)
    meta = block([])
    index = block([(entries[-1][0] + b"~", handle(0, blocks))])
    footer = handle(len(blocks), meta) + handle(len(blocks) + len(meta), index)
    return blocks + meta + index + footer.ljust(40, b"\0") + MAGIC


def entry(dtype: int, shape: Sequence[int], offset: int, content: bytes, crc: int) -> bytes:
    dims = b"".join(data(2, number(1, size)) for size in shape)
    fixed = varint(6 << 3 | 5) + struct.pack("<I", crc)
    place = number(4, offset) + number(5, len(content))
    return number(1, dtype) + data(2, dims) + place + fixed


class Graph:
    """The object graph of a checkpoint, grown attribute by attribute; 0 is the root."""

    def __init__(self) -> None:
        self.children: list[dict[str, int]] = [{}]
        self.keys: dict[int, str] = {}

    def add(self, path: str, key: str | None = None, number: int | None = None) -> int:
        """Adds the objects along a path; the last one may be a variable, or an object again."""
        at = 0
        *outer, last = path.split("/")
        for name in outer:
            at = self._child(at, name, None)
        found = self._child(at, last, number)
        if key is not None:
            self.keys[found] = key
        return found

    def _child(self, at: int, name: str, number: int | None) -> int:
        if name not in self.children[at]:
            if number is None:
                self.children.append({})
                number = len(self.children) - 1
            self.children[at][name] = number
        return self.children[at][name]

    def encoded(self) -> bytes:
        nodes = []
        for at, children in enumerate(self.children):
            node = b"".join(
                data(1, number(1, child) + data(2, name)) for name, child in children.items()
            )
            if at in self.keys:
                node += data(2, data(1, "VARIABLE_VALUE") + data(3, self.keys[at]))
            nodes.append(data(1, node))
        return b"".join(nodes)


def write_bundle(prefix: Path, arrays: Mapping[str, Array], graph: bytes | None = None) -> Path:
    """Writes a checkpoint with one shard."""
    entries = {b"": number(1, 1)}
    shard = b""
    for key, array in arrays.items():
        content = np.ascontiguousarray(array).tobytes()
        crc = masked_crc(content)
        entries[key.encode()] = entry(
            DTYPES[array.dtype.name], array.shape, len(shard), content, crc
        )
        shard += content
    if graph is not None:
        size = varint(len(graph))
        # The length counts as a fixed number in its own checksum, and so in that of the whole.
        fixed = struct.pack("<I" if len(graph) < 1 << 32 else "<Q", len(graph))
        length_crc = struct.pack("<I", masked_crc(fixed))
        content = size + length_crc + graph
        crc = masked_crc(fixed + length_crc + graph)
        entries[GRAPH_KEY.encode()] = entry(7, (), len(shard), content, crc)
        shard += content
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(sorted(entries.items())))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(shard)
    return prefix


def write_saved_model(
    folder: Path,
    metadata: Mapping[str, Json],
    graph: Graph,
    arrays: Mapping[str, Array],
) -> Path:
    """Writes a SavedModel folder; ``metadata`` is by path: ``root``, ``root.lstm`` ..."""
    folder.mkdir(parents=True)
    nodes = [
        data(1, number(2, at) + data(3, path) + data(5, json.dumps(content)))
        for at, (path, content) in enumerate(metadata.items())
    ]
    (folder / "saved_model.pb").write_bytes(number(1, 1))
    (folder / "keras_metadata.pb").write_bytes(b"".join(nodes))
    write_bundle(folder / "variables" / "variables", arrays, graph.encoded())
    return folder


def metadata_of(config: Json, keras_version: str = "2.15.0") -> Json:
    """What Keras says of an object of a SavedModel."""
    plain: dict[str, Any] = {**config, "keras_version": keras_version, "backend": "tensorflow"}
    return plain
