"""Recipes for hostile and damaged files; each file is built when a test asks for it.

A recipe writes a bad file at a given path. The tables at the end of each section say what the
command line answers.
"""

import base64
import io
import json
import marshal
import os
import pickle
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from tests.conftest import (
    SAMPLES,
    Array,
    Json,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    sequential,
    write_h5,
)

Recipe = Callable[[Path], object]

KERAS = SAMPLES / "one_unit_last_h.keras"
H5 = SAMPLES / "keras-2.15" / "one_unit_last_h.h5"
NPY = SAMPLES / "one_unit_last_h.npy"

FEATURES, UNITS = 2, 2
KERNEL, RECURRENT_KERNEL, BIAS = (
    f"model_weights/lstm/lstm/lstm_cell/{name}:0" for name in ("kernel", "recurrent_kernel", "bias")
)
MEMBERS = ("metadata.json", "config.json", "model.weights.h5")


class Bad(NamedTuple):
    """A recipe for a bad file, what the error says, and what a warning before it says, if any."""

    says: str
    make: Recipe
    warns: str = ""
    command: str = "shapes"


# --- good files, to be made bad


def config_of(*layers: Json) -> Json:
    """A model of the given layers; by default one LSTM of two units on (3, 2)."""
    return sequential(*(layers or (input_layer("x", 3, FEATURES), lstm("lstm", UNITS))))


def lstm_arrays() -> list[Array]:
    """The arrays of the LSTM of `config_of`."""
    return list(lstm_weights("lstm", FEATURES, UNITS).values())


def weights_h5() -> bytes:
    """The weights of `config_of` as a ``.keras`` stores them."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, array in enumerate(lstm_arrays()):
            file[f"layers/lstm/cell/vars/{number}"] = array
    return buffer.getvalue()


def members(config: Json | bytes | str | None = None) -> dict[str, bytes]:
    """The members of a ``.keras`` zip; a config that is text is stored unchanged."""
    config = config_of() if config is None else config
    text = json.dumps(config) if isinstance(config, dict) else config
    return {
        "metadata.json": b'{"keras_version": "2.15.0"}',
        "config.json": text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"),
        "model.weights.h5": weights_h5(),
    }


def good_keras(path: Path, config: Json | bytes | str | None = None) -> Path:
    """A ``.keras`` zip."""
    path.write_bytes(zipped(*(Entry(*each) for each in members(config).items())))
    return path


def good_h5(path: Path, config: Json | None = None) -> Path:
    """A whole-model ``.h5``."""
    weights = {"lstm": lstm_weights("lstm", FEATURES, UNITS)}
    return write_h5(path, config or config_of(), weights)


def good_npy(path: Path) -> Path:
    """An input for both models."""
    with path.open("wb") as file:
        np.save(file, random(1, 3, FEATURES))
    return path


def written(content: bytes | Callable[[], bytes]) -> Recipe:
    """Writes content; large content is made only when needed, as every test forks this process."""
    return lambda path: path.write_bytes(content() if callable(content) else content)


def changed(recipe: Recipe, change: Callable[[bytes], bytes]) -> Recipe:
    """A recipe that writes the file of another recipe with changed bytes."""

    def make(path: Path) -> None:
        recipe(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def deflated(content: bytes) -> bytes:
    """A raw deflate stream."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(content) + deflater.flush()


# --- the zip, written by hand: zipfile refuses to write a wrong one


class Entry(NamedTuple):
    """A member of a zip.

    ``local`` and ``central`` override fields of its two headers. ``raw`` replaces the stored bytes;
    ``before`` and ``after`` are bytes around the member. A member that is not written is only
    listed in the directory.
    """

    name: str
    content: bytes = b""
    method: int = 0
    local: Mapping[str, Any] = {}
    central: Mapping[str, Any] = {}
    raw: bytes | None = None
    before: bytes = b""
    after: bytes = b""
    is_written: bool = True

    def both(self, **fields: Any) -> "Entry":
        """Overrides fields of both headers."""
        return self._replace(local={**self.local, **fields}, central={**self.central, **fields})


def zipped(*entries: Entry, gap: bytes = b"", **end: Any) -> bytes:
    """A zip; ``end`` overrides fields of its end (count, size, offset, disk, comment, tail)."""
    body, directory = b"", b""
    for entry in entries:
        body += entry.before
        true = _said_of(entry, len(body))
        if entry.is_written:
            body += _local_header({**true, **entry.local}) + _stored(entry) + entry.after
        directory += _central_header({**true, **entry.central})
    offset = len(body) + len(gap)
    said = {
        "disk": 0,
        "count": len(entries),
        "size": len(directory),
        "offset": offset,
        "comment": b"",
        "claimed_comment": None,
        "tail": b"",
        **end,
    }
    claimed = len(said["comment"]) if said["claimed_comment"] is None else said["claimed_comment"]
    numbers = [said[name] for name in ("disk", "disk", "count", "count", "size", "offset")]
    ending = struct.pack("<4s4H2LH", b"PK\x05\x06", *numbers, claimed)
    return b"".join((body, gap, directory, ending, said["comment"], said["tail"]))


def _stored(entry: Entry) -> bytes:
    if entry.raw is not None:
        return entry.raw
    return deflated(entry.content) if entry.method == 8 else entry.content


def _said_of(entry: Entry, at: int) -> dict[str, Any]:
    """The true values of the fields in a member's headers."""
    return {
        "name": entry.name.encode(),
        "flags": 0 if entry.name.isascii() else 0x800,
        "method": entry.method,
        "crc": zlib.crc32(entry.content),
        "stored": len(_stored(entry)),
        "size": len(entry.content),
        "extra": b"",
        "attributes": 0,
        "comment": b"",
        "header": at,
    }


def _common_header(said: Mapping[str, Any]) -> tuple[int, ...]:
    """The fields that both headers of a member have, in the same order."""
    sizes = said["crc"], said["stored"], said["size"]
    return said["flags"], said["method"], 0, 0x21, *sizes, len(said["name"]), len(said["extra"])


def _local_header(said: Mapping[str, Any]) -> bytes:
    head = struct.pack(
        "<4s5H3L2H",
        b"PK\x03\x04",
        20,
        *_common_header(said),
    )
    return b"".join((head, said["name"], said["extra"]))


def _central_header(said: Mapping[str, Any]) -> bytes:
    head = struct.pack(
        "<4s6H3L5H2L",
        b"PK\x01\x02",
        0x314,
        20,
        *_common_header(said),
        len(said["comment"]),
        0,
        0,
        said["attributes"],
        said["header"],
    )
    return b"".join((head, said["name"], said["extra"], said["comment"]))


def entries(*, method: int = 0) -> list[Entry]:
    """The members of a good ``.keras``."""
    return [Entry(name, content, method) for name, content in members().items()]


def zip_with(*more: Entry, **end: Any) -> Recipe:
    """A good ``.keras`` with more members, or another end."""
    return lambda path: path.write_bytes(zipped(*entries(), *more, **end))


def config_member(change: Callable[[Entry], Entry], *, method: int = 8) -> Recipe:
    """A ``.keras`` with a changed zip entry for config.json."""

    def make(path: Path) -> None:
        first, config, weights = entries(method=method)
        path.write_bytes(zipped(first, change(config), weights))

    return make


def metadata_member(text: bytes) -> Recipe:
    """A ``.keras`` with another metadata.json."""
    return lambda path: path.write_bytes(zipped(Entry("metadata.json", text), *entries()[1:]))


def without(name: str, *more: Entry) -> Recipe:
    """A ``.keras`` without a member."""
    return lambda path: path.write_bytes(
        zipped(*(entry for entry in entries() if entry.name != name), *more)
    )


def body_size(entry: Entry) -> int:
    """How many bytes a stored member takes before the directory of the zip."""
    return len(_local_header(_said_of(entry, 0))) + len(entry.content)


def overlapping(path: Path) -> None:
    """A member whose content is the header and the content of another member."""
    one, two, three = entries()
    held = _local_header(_said_of(two, 0)) + two.content
    quoting = Entry("quoting", held)
    at = body_size(one) + body_size(quoting) - len(held)
    inner = two._replace(is_written=False, central={"header": at})
    path.write_bytes(zipped(one, quoting, inner, three))


def one_content_twice(path: Path) -> None:
    """Two entries of the directory that point to one content."""
    one, two, three = entries()
    again = Entry("again.json", is_written=False, central={"header": body_size(one)})
    path.write_bytes(zipped(one, two, three, again))


BOMB = 64 << 20


def bomb(path: Path, member: str = "config.json", *, claims: int | None = None) -> None:
    """64 MiB of zeros in 64 kB; the headers may claim fewer."""
    zeros = bytes(BOMB)
    entry = Entry(member, zeros, 8)
    if claims is not None:
        entry = entry.both(size=claims)
    rest = [each for each in entries() if each.name != member]
    path.write_bytes(zipped(*rest, entry))


def many_members(path: Path) -> None:
    path.write_bytes(zipped(*entries(), *(Entry(f"assets/{n}") for n in range(4094))))


def large_directory(path: Path) -> None:
    comment = bytes(60_000)
    padded = [Entry(f"assets/{n}", central={"comment": comment}) for n in range(18)]
    path.write_bytes(zipped(*entries(), *padded))


def zip64_end(**said: int) -> Callable[[bytes], bytes]:
    """A zip64 end before the end of a zip, with other values than it."""

    def change(data: bytes) -> bytes:
        end = data.rindex(b"PK\x05\x06")
        count, _, size, offset = struct.unpack_from("<2H2L", data, end + 8)
        true = {"count": count, "size": size, "offset": offset, "at": end, **said}
        record = struct.pack(
            "<4sQ2H2L4Q",
            b"PK\x06\x06",
            44,
            45,
            45,
            0,
            0,
            true["count"],
            true["count"],
            true["size"],
            true["offset"],
        )
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, true["at"], 1)
        masked = data[end : end + 12] + b"\xff" * 8 + data[end + 20 :]
        return data[:end] + record + locator + masked

    return change


def hidden_zip64(path: Path) -> None:
    """A zip64 end and its locator in the comment of the last member, for a directory elsewhere."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, 178, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    path.write_bytes(zipped(*entries(), Entry("x", central={"comment": record + locator})))


def in_comment(path: Path) -> None:
    """A second zip in the comment of the first; the file ends with the end of the second."""
    path.write_bytes(zipped(*entries(), comment=zipped(Entry("config.json", b"{}"))))


def unicode_path(path: Path) -> None:
    """A member with another name in the Info-ZIP field for Unicode names."""
    name = b"metadata.json"
    fields = struct.pack("<BL", 1, zlib.crc32(b"notes.txt")) + name
    extra = struct.pack("<2H", 0x7075, len(fields)) + fields
    more = Entry("notes.txt", b"{}").both(extra=extra)
    path.write_bytes(zipped(*entries(), more))


ZIP64_EXTRA = struct.pack("<2HQ", 1, 8, 2**63 - 1)

NOT_WHOLE = "damaged or truncated zip archive"
UNLIKE = "the header of config.json differs from its directory entry"
OVERLAP = "its members overlap or leave gaps"
ELSEWHERE = "expected plain names of members"

ZIPS = {
    "a member twice": Bad("two members of the same name", zip_with(Entry("config.json", b"{}"))),
    "names that differ in case": Bad("only in case or", zip_with(Entry("CONFIG.json", b"{}"))),
    "names that differ in accents": Bad(
        "only in case or", zip_with(Entry("caf\xe9"), Entry("cafe\u0301"))
    ),
    "name of the folder above": Bad(ELSEWHERE, zip_with(Entry("../config.json"))),
    "name through the folder above": Bad(ELSEWHERE, zip_with(Entry("assets/../../config.json"))),
    "absolute name": Bad(ELSEWHERE, zip_with(Entry("/etc/passwd"))),
    "name with backslashes": Bad(ELSEWHERE, zip_with(Entry("..\\config.json"))),
    "name with control characters": Bad(ELSEWHERE, zip_with(Entry("\x1b[2Jconfig.json"))),
    "name with a line end": Bad(ELSEWHERE, zip_with(Entry("config.json\nerror: none"))),
    "name with a null": Bad(ELSEWHERE, zip_with(Entry("config.json\0.txt"))),
    "name written from the right": Bad(ELSEWHERE, zip_with(Entry("\u202enosj.gifnoc"))),
    "no name": Bad(ELSEWHERE, zip_with(Entry(""))),
    "name that is not UTF-8": Bad(
        "name is not UTF-8", zip_with(Entry("x").both(name=b"\xff\xfe", flags=0x800))
    ),
    "symbolic link": Bad(
        "is a symbolic link", zip_with(Entry("link", b"/etc", central={"attributes": 0xA1FF << 16}))
    ),
    "overlap": Bad(OVERLAP, overlapping),
    "one content twice": Bad("the header of again.json differs", one_content_twice),
    "gap between members": Bad(OVERLAP, config_member(lambda e: e._replace(before=b"gap"))),
    "gap in front of the directory": Bad(OVERLAP, zip_with(gap=b"gap")),
    "descriptor without its flag": Bad(
        OVERLAP, config_member(lambda e: e._replace(after=b"D" * 16))
    ),
    "junk in front": Bad(
        "expected a .keras zip, an HDF5 file",
        changed(good_keras, lambda data: b"#!/bin/sh\n" + data),
    ),
    "zip in front": Bad(NOT_WHOLE, changed(good_keras, lambda data: data + data)),
    "junk behind": Bad("something follows its end", zip_with(tail=b"junk")),
    "null bytes behind": Bad("something follows its end", zip_with(tail=bytes(512))),
    "comment shorter than said": Bad("something follows its end", zip_with(claimed_comment=7)),
    "comment longer than said": Bad(
        "something follows its end", zip_with(comment=b"notes", claimed_comment=1)
    ),
    "zip64 end in the comment of a member": Bad("a zip64 end that its end", hidden_zip64),
    "zip in the comment": Bad(NOT_WHOLE, in_comment),
    "end of a zip in the comment": Bad(
        NOT_WHOLE, zip_with(comment=b"PK\x05\x06" + bytes(18), claimed_comment=22)
    ),
    "two names, local and listed": Bad(
        UNLIKE, config_member(lambda e: e._replace(local={"name": b"metadat.jsn"}))
    ),
    "two methods": Bad(UNLIKE, config_member(lambda e: e._replace(local={"method": 0}))),
    "two sizes": Bad(UNLIKE, config_member(lambda e: e._replace(local={"size": 3}))),
    "two stored sizes": Bad(UNLIKE, config_member(lambda e: e._replace(local={"stored": 3}))),
    "two checksums": Bad(UNLIKE, config_member(lambda e: e._replace(local={"crc": 3}))),
    "two sets of flags": Bad(UNLIKE, config_member(lambda e: e._replace(local={"flags": 1}))),
    "header past the end": Bad(
        "ends too early", config_member(lambda e: e._replace(central={"header": 0x7FFFFFFF}))
    ),
    "header elsewhere": Bad(UNLIKE, config_member(lambda e: e._replace(central={"header": 3}))),
    "larger than said": Bad(
        "config.json is damaged", config_member(lambda e: e.both(size=len(e.content) - 1))
    ),
    "smaller than said": Bad(
        "config.json is damaged", config_member(lambda e: e.both(size=len(e.content) + 1))
    ),
    "said to be empty": Bad(
        "config.json is damaged", config_member(lambda e: e.both(size=0, crc=0))
    ),
    "stored larger than said": Bad(
        "config.json has two sizes",
        config_member(lambda e: e.both(size=len(e.content) - 1), method=0),
    ),
    "stored past the end": Bad(OVERLAP, config_member(lambda e: e.both(stored=0x7FFFFFFF))),
    "another checksum": Bad("config.json is damaged", config_member(lambda e: e.both(crc=1))),
    "another checksum, stored": Bad(
        "config.json is damaged", config_member(lambda e: e.both(crc=1), method=0)
    ),
    "no deflate stream": Bad(
        "config.json is damaged", config_member(lambda e: e._replace(raw=b"\xff" * 40))
    ),
    "deflate stream that is cut": Bad(
        "config.json is damaged", config_member(lambda e: e._replace(raw=deflated(e.content)[:-9]))
    ),
    "two deflate streams": Bad(
        "config.json is damaged", config_member(lambda e: e._replace(raw=deflated(e.content) * 2))
    ),
    "encrypted": Bad("config.json is encrypted", config_member(lambda e: e.both(flags=1))),
    "strongly encrypted": Bad("is encrypted", config_member(lambda e: e.both(flags=0x41))),
    "patched": Bad("is encrypted", config_member(lambda e: e.both(flags=0x20))),
    "masked headers": Bad("is encrypted", config_member(lambda e: e.both(flags=0x2000))),
    "bzip2": Bad("compressed with method 12", config_member(lambda e: e.both(method=12))),
    "lzma": Bad("compressed with method 14", config_member(lambda e: e.both(method=14))),
    "deflate64": Bad("compressed with method 9", config_member(lambda e: e.both(method=9))),
    "zstandard": Bad("compressed with method 93", config_member(lambda e: e.both(method=93))),
    "members that are claimed": Bad("more than the limit zip_members=4096", zip_with(count=0xFFFE)),
    "members too many": Bad("4097 is more than the limit zip_members=4096", many_members),
    "directory that is claimed": Bad("limit zip_directory_bytes", zip_with(size=2 << 20)),
    "directory too large": Bad("limit zip_directory_bytes=1048576", large_directory),
    "fewer members than there are": Bad(NOT_WHOLE, zip_with(count=2)),
    "more members than there are": Bad(NOT_WHOLE, zip_with(count=4)),
    "directory elsewhere": Bad("directory is not where", zip_with(offset=4)),
    "several disks": Bad("directory is not where", zip_with(disk=1)),
    "bomb as config": Bad("is more than the limit", bomb),
    "bomb as weights": Bad(
        "more than the limit expansion=100", partial(bomb, member="model.weights.h5")
    ),
    "config of 180 MB": Bad(
        "more than the limit config_bytes",
        config_member(
            lambda e: e._replace(content=np.random.default_rng(0).bytes(2 << 20) + bytes(180 << 20))
        ),
    ),
    "bomb that claims little": Bad("config.json is damaged", partial(bomb, claims=1000)),
    "bomb as metadata": Bad("is more than the limit", partial(bomb, member="metadata.json")),
    "member of 8 EiB": Bad(
        "more than the limit expansion",
        config_member(lambda e: e.both(size=0xFFFFFFFF, extra=ZIP64_EXTRA)),
    ),
    "member of 4 GiB without its size": Bad(
        "is more than the limit", config_member(lambda e: e.both(size=0xFFFFFFFF))
    ),
    "zip64 sizes that are cut": Bad(
        "ends too early",
        config_member(lambda e: e.both(size=0xFFFFFFFF, extra=ZIP64_EXTRA[:6])),
    ),
    "zip64 end that is missing": Bad(NOT_WHOLE, zip_with(count=0xFFFF)),
    "zip64 end elsewhere": Bad("zip64 end is not where", changed(good_keras, zip64_end(at=0))),
    "zip64 end of 2**60 members": Bad(
        "limit zip_members", changed(good_keras, zip64_end(count=2**60))
    ),
    "zip64 end of a directory elsewhere": Bad(
        "directory is not where", changed(good_keras, zip64_end(offset=2**63))
    ),
    "cut": Bad(NOT_WHOLE, changed(good_keras, lambda data: data[:-1])),
    "without a directory": Bad("it has no directory", changed(good_keras, lambda data: data[:200])),
    **{
        f"without {name}": Bad(f"a .keras file with {name}, received a zip", without(name))
        for name in MEMBERS
    },
    "weights as pickles": Bad(
        "received a model.weights.npz of pickled objects",
        without("model.weights.h5", Entry("model.weights.npz", b"")),
    ),
    "no member": Bad("expected a .keras zip, an HDF5 file", written(zipped())),
    "name in an extra field": Bad("", unicode_path),
}


# --- containers


def fifo(path: Path) -> None:
    os.mkfifo(path)


def zeros_without_end(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    """A sparse file: three gigabytes that take no space on disk."""
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(3 << 30)


def h5_then_zip(path: Path) -> None:
    good_h5(path)
    data = path.read_bytes()
    good_keras(path)
    path.write_bytes(data + path.read_bytes())


def userblock(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["layers/lstm/cell/vars/0"] = np.ones(4)
    with path.open("r+b") as raw:
        raw.write(b"#!/bin/sh\n")


def superblock_end(end: int) -> Recipe:
    """An ``.h5`` whose superblock states a wrong size."""
    return changed(good_h5, lambda data: data[:40] + struct.pack("<Q", end) + data[48:])


def no_model(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), a=np.ones(3))
    path.with_suffix(".npz").rename(path)


CONTAINERS = {
    "missing": Bad("no such file", lambda path: None),
    "fifo": Bad("expected a file, received a folder, pipe or device", fifo),
    "folder": Bad("received a folder", Path.mkdir),
    "device without an end": Bad("received a folder, pipe or device", zeros_without_end),
    "link to nothing": Bad("no such file", lambda path: path.symlink_to("nothing")),
    "link to itself": Bad("cannot be read", lambda path: path.symlink_to(path.name)),
    "empty": Bad("it is empty", written(b"")),
    "text": Bad("expected a .keras zip, an HDF5 file", written(b"a model")),
    "escapes": Bad("expected a .keras zip, an HDF5 file", written(b"\x1b[2J\x1b]0;a\x07")),
    "pickle": Bad("it is a pickle", written(pickle.dumps({}))),
    "3 GB": Bad("3221225472 is more than the limit file_bytes=2147483648", sparse),
    "npz": Bad("a .keras file with config.json, received a zip", no_model),
    "signature of a zip": Bad(NOT_WHOLE, written(b"PK\x03\x04")),
    "signature of HDF5": Bad("no superblock of a known version", written(b"\x89HDF\r\n\x1a\n")),
    "HDF5 of version 9": Bad(
        "no superblock of a known version",
        changed(good_h5, lambda data: data[:8] + b"\x09" + data[9:]),
    ),
    "HDF5 and zip": Bad("damaged or truncated HDF5 data", h5_then_zip),
    "HDF5 with junk behind": Bad("its superblock says", changed(good_h5, lambda data: data + b"x")),
    "HDF5 that is cut": Bad("its superblock says", changed(good_h5, lambda data: data[:-1])),
    "HDF5 with a user block": Bad("expected a .keras zip, an HDF5 file", userblock),
    "HDF5 that says it is smaller": Bad("its superblock says 96 bytes", superblock_end(96)),
    "HDF5 that says it is larger": Bad("its superblock says", superblock_end(2**40)),
    "HDF5 of size -1": Bad("its superblock says", superblock_end(2**64 - 1)),
    "shard in the folder above": Bad(
        "expected shards beside the index, received '../secret.h5'",
        written(b'{"weight_map": {"a": "../secret.h5"}}'),
    ),
    "shard at an absolute path": Bad(
        "expected shards beside the index", written(b'{"weight_map": {"a": "/etc/passwd"}}')
    ),
    "shard that is a number": Bad(
        "expected shards beside the index", written(b'{"weight_map": {"a": 3}}')
    ),
    "shard that is missing": Bad(
        "expected its shard b.weights.h5 in the same folder",
        written(b'{"weight_map": {"a": "b.weights.h5"}}'),
    ),
    "shard with a null in its name": Bad(
        "bad: ", written(b'{"weight_map": {"a": "b\\u0000c.weights.h5"}}')
    ),
    "shard that is the folder above": Bad("bad: ", written(b'{"weight_map": {"a": ".."}}')),
    "shard that is its index": Bad("bad: ", written(b'{"weight_map": {"a": "bad"}}')),
    "index without a map": Bad("expected an index of weights in shards", written(b"{}")),
}


# --- JSON


def lstm_with(**config: Any) -> Json:
    """The config of a model whose LSTM has other options."""
    return config_of(input_layer("x", 3, FEATURES), lstm("lstm", **{"units": UNITS, **config}))


def unsized(**config: Any) -> str:
    return json.dumps(lstm_with(**config))


def nested(depth: int) -> str:
    return '{"a": ' + "[" * depth + "]" * depth + "}"


def with_key(text: str) -> str:
    """A good config with one more member, as text."""
    return json.dumps(config_of())[:-1] + f', "more": {text}}}'


def dense_layers(count: int) -> Json:
    return config_of(*(layer("Attend", f"attend_{n}" + "\x1b[31m") for n in range(count)))


NO_JSON = "config.json: not valid JSON"


def doubling(levels: int) -> Json:
    """Models within models, each of which calls the next one twice."""
    recurrent = lstm("lstm", UNITS, "x", return_sequences=True)
    return _doubled(
        functional(input_layer("x", 3, FEATURES), recurrent, inputs=["x"], outputs=["lstm"]), levels
    )


def doubling_nothing(levels: int) -> Json:
    """The same around a model that gives back its input."""
    return _doubled(functional(input_layer("x", 3, FEATURES), inputs=["x"], outputs=["x"]), levels)


def _doubled(model: Json, levels: int) -> Json:
    for number in range(levels):
        name = f"model_{number}"
        calls = [[["x", 0, 0, {}]], [[name, 0, 0, {}]]]
        inner = {**model, "name": name, "inbound_nodes": calls}
        inner["config"] = {**model["config"], "name": name}
        model = functional(
            input_layer("x", 3, FEATURES), inner, inputs=["x"], outputs=[(name, 1, 0)]
        )
    return model


def config_text(text: "Text") -> Recipe:
    """A ``.keras`` with this text as its config.json."""
    return lambda path: good_keras(path, text() if callable(text) else text)


Text = str | bytes | Json | Callable[[], str | Json]

# id: (what the error says, the text of the config)
TEXTS: dict[str, tuple[str, Text]] = {
    "no text": (NO_JSON, ""),
    "null bytes": (NO_JSON, bytes(100)),
    "cut": (NO_JSON, '{"class_name": '),
    "more behind it": (NO_JSON, '{"class_name": "Sequential"} {}'),
    "single quotes": (NO_JSON, "{'class_name': 3}"),
    "comment": (NO_JSON, with_key("3 /* three */")),
    "comma too many": (NO_JSON, '{"class_name": 3,}'),
    "nested 100,000 deep": (
        "100001 is more than the limit json_depth=128",
        lambda: nested(100_000),
    ),
    "objects nested 100,000 deep": (
        "limit json_depth=128",
        lambda: '{"a":' * 100_000 + "1" + "}" * 100_000,
    ),
    "nested and not closed": ("limit json_depth=128", lambda: '{"a": ' + "[" * 100_000),
    "closed and not opened": (NO_JSON, lambda: '{"a": 1' + "]" * (15 << 20)),
    "a text of 15 MB": (NO_JSON, lambda: with_key('"' + "x" * (15 << 20) + '"') + "!"),
    "values too many": (
        "is more than the limit json_values=200000",
        lambda: with_key(str([0] * 200_000)),
    ),
    "members too many": (
        "is more than the limit json_values=200000",
        lambda: with_key(json.dumps({str(n): n for n in range(200_000)})),
    ),
    "NaN": ("NaN is not a JSON number", with_key("NaN")),
    "Infinity": ("Infinity is not a JSON number", with_key("[Infinity]")),
    "-Infinity": ("-Infinity is not a JSON number", with_key("-Infinity")),
    "1e999": ("1e999 is too large for a float64", with_key("1e999")),
    "5000 digits": ("a number has 5000 digits", with_key("9" * 5000)),
    "5000 decimals": (NO_JSON, with_key("1" + "0" * 5000 + ".5")),
    "exponent of 5000 digits": (NO_JSON, with_key("1e" + "9" * 5000)),
    "hexadecimal": (NO_JSON, with_key("0x10")),
    "a name twice": ("'more' appears twice in one object", with_key('1, "more": 2')),
    "a name twice, once escaped": ("'more' appears twice", with_key('1, "mor\\u0065": 2')),
    "a name of escapes twice": ("appears twice", with_key('{"\\u001b[2J": 1, "\\u001b[2J": 2}')),
    "byte order mark": (NO_JSON, b"\xef\xbb\xbf" + json.dumps(config_of()).encode()),
    "UTF-16": (NO_JSON, json.dumps(config_of()).encode("utf-16")),
    "UTF-16 without a mark": (NO_JSON, json.dumps(config_of()).encode("utf-16-le")),
    "UTF-32": (NO_JSON, json.dumps(config_of()).encode("utf-32")),
    "no UTF-8": (NO_JSON, json.dumps(config_of()).encode().replace(b"lstm", b"l\xff\xfetm")),
    "overlong UTF-8": (NO_JSON, json.dumps(config_of()).encode().replace(b"lstm", b"l\xc0\xaftm")),
    "half a character in UTF-8": (NO_JSON, with_key('"\ud800"')),
    "half a character, escaped": (NO_JSON, with_key('"\\ud800"')),
    "half a character, as a name": (NO_JSON, with_key('{"\\udfff": 1}')),
    "control character in a text": (NO_JSON, with_key('"\x1b[2J"')),
    "list": ("expected a JSON object, received list", "[]"),
    "null": ("expected a JSON object, received NoneType", "null"),
    "text": ("expected a JSON object, received str", '"Sequential"'),
    "number": ("expected a JSON object, received int", "3"),
    "true": ("expected a JSON object, received bool", "true"),
    "16 MB": (
        "is more than the limit config_bytes=16777216",
        lambda: with_key('"' + "x" * (16 << 20) + '"'),
    ),
    "text without an end": (NO_JSON, lambda: '{"a": "' + "x" * (1 << 20)),
    "escaped quotes without an end": (NO_JSON, lambda: '{"a": "' + '\\"' * 50_000),
    "backslashes without an end": (NO_JSON, lambda: '{"a": "' + "\\" * 500_001),
    "object without anything": ("expected a layer with class_name and config", "{}"),
    "layers that are a text": (
        "expected layers to be a list",
        sequential() | {"config": {"layers": "x"}},
    ),
    "layers that are null": (
        "expected layers to be a list",
        sequential() | {"config": {"layers": None}},
    ),
    "layers that are numbers": (
        "expected a layer with",
        sequential() | {"config": {"layers": [1]}},
    ),
    "no layers": ("expected layers, received none", sequential()),
    "calls of nothing that double 40 times": (
        "20001 is more than the limit graph_calls",
        lambda: doubling_nothing(40),
    ),
    "20,000 layers that nobody knows": ("no recurrent layer", lambda: dense_layers(20_000)),
    "class name of escapes": (
        "no recurrent layer",
        config_of(layer("\x1b[2J\nerror: Attend", "\x1b]0;title\x07\u202e\u2028")),
    ),
    "calls that double 17 times": ("bad: ", lambda: doubling(17)),
    "60 models of one name": (
        "expected a name of its own for each layer, received two layers called model",
        lambda: config_of(lstm("lstm", UNITS)) | {"config": {"layers": [config_of()] * 60}},
    ),
}

_UNITS: dict[str, Any] = {
    "-1": -1,
    "0": 0,
    "text": "8",
    "true": True,
    "8.5": 8.5,
    "2.0": 2.0,
    "null": None,
    "list": [8],
    "object": {"value": 2},
    "1e9": 1e9,
    "10**9": 10**9,
    "2**63-1": 2**63 - 1,
    "10**19": 10**19,
    "escapes": "\x1b[2J" * 100,
}

# Options of an LSTM that make no sense, or that contradict its arrays.
_OPTIONS: dict[str, tuple[str, Any]] = {
    **{f"units {name}": ("units", value) for name, value in _UNITS.items()},
    "use_bias false as text": ("use_bias", "false"),
    "use_bias 2": ("use_bias", 2),
    "go_backwards null": ("go_backwards", None),
    "return_sequences 1.0": ("return_sequences", 1.0),
    "return_state text": ("return_state", ""),
    "stateful list": ("stateful", []),
    "activation number": ("activation", 3),
    "activation list": ("activation", ["tanh"]),
    "dtype number": ("dtype", 32),
    "dtype policy of a number": ("dtype", {"config": 3}),
    "dtype policy of a list": ("dtype", {"config": ["float32"]}),
    "dtype policy of a text": ("dtype", {"config": "float32"}),
}
_SAYS = {"units": "lstm", "dtype": "dtype"}

JSONS = {
    **{name: Bad(says, config_text(text)) for name, (says, text) in TEXTS.items()},
    **{
        name: Bad(
            _SAYS.get(key, f"expected {key} to be"),
            partial(good_keras, config=lstm_with(**{key: value})),
        )
        for name, (key, value) in _OPTIONS.items()
    },
    "in an h5: wrong units": Bad(
        "expected units to be a positive whole number",
        partial(good_h5, config=lstm_with(units="8")),
    ),
    "use_bias without a bias": Bad(
        "expected 2 arrays", partial(good_keras, config=lstm_with(use_bias=False))
    ),
    "metadata that is no object": Bad(
        "metadata.json: expected a JSON object", metadata_member(b"[]")
    ),
    "metadata of escapes": Bad(
        "keras_version: expected text", metadata_member(b'{"keras_version": ["\\u001b[2J"]}')
    ),
    "version that is none": Bad(
        "keras_version: expected a version such as 2.15.0, received '\\x1b[2J'",
        metadata_member(b'{"keras_version": "\\u001b[2J"}'),
    ),
    "metadata of 2 MB": Bad(
        "is more than the limit metadata_bytes=1048576", metadata_member(bytes(2 << 20))
    ),
}


# --- HDF5


def h5_with(change: Callable[[h5py.File], object]) -> Recipe:
    """A good ``.h5``, changed with h5py."""

    def make(path: Path) -> None:
        good_h5(path)
        with h5py.File(path, "a") as file:
            change(file)

    return make


def in_place_of_the_kernel(**storage: Any) -> Recipe:
    """A good ``.h5`` whose kernel is stored in another way."""

    def change(file: h5py.File) -> None:
        del file[KERNEL]
        file.create_dataset(KERNEL, **storage)

    return h5_with(change)


SECRET = np.arange(1, 17, dtype="<f4").reshape(2, 8)


def external_storage(path: Path) -> None:
    secret = path.with_name("secret.bin")
    secret.write_bytes(SECRET.tobytes())
    in_place_of_the_kernel(
        shape=SECRET.shape, dtype="<f4", external=[(secret.name, 0, SECRET.nbytes)]
    )(path)


def secret_h5(path: Path) -> Path:
    secret = path.with_name("secret.h5")
    with h5py.File(secret, "w") as file:
        file["kernel"] = SECRET
    return secret


def external_link(path: Path) -> None:
    secret = secret_h5(path)

    def change(file: h5py.File) -> None:
        del file[KERNEL]
        file[KERNEL] = h5py.ExternalLink(secret.name, "/kernel")

    h5_with(change)(path)


def virtual(path: Path, source: str | None = None) -> None:
    """A virtual array that reads from another file, or from its own file."""
    secret = source or secret_h5(path).name

    def change(file: h5py.File) -> None:
        del file[KERNEL]
        layout = h5py.VirtualLayout(SECRET.shape, "<f4")
        name = KERNEL if source == "." else "kernel"
        layout[...] = h5py.VirtualSource(secret, name, SECRET.shape, "<f4")
        file.create_virtual_dataset(KERNEL, layout)

    h5_with(change)(path)


def link(value: object, at: str = KERNEL) -> Recipe:
    def change(file: h5py.File) -> None:
        file.pop(at, None)
        file[at] = value

    return h5_with(change)


def levels(depth: int) -> Recipe:
    return h5_with(lambda file: file.create_group("/".join("g" * depth)))


def groups(count: int) -> Recipe:
    def make(path: Path) -> None:
        with h5py.File(path, "w", libver="latest") as file:
            for number in range(count):
                h5py.h5g.create(file.id, b"%d" % number)

    return make


def attributes(count: int) -> Recipe:
    def make(path: Path) -> None:
        with h5py.File(path, "w", libver="latest") as file:
            space = h5py.h5s.create(h5py.h5s.SCALAR)
            for number in range(count):
                h5py.h5a.create(file.id, b"%d" % number, h5py.h5t.STD_U8LE, space)

    return make


def in_place_of_arrays(**arrays: Array | None) -> Recipe:
    """A good ``.h5`` in which arrays of the LSTM are replaced or missing."""

    def change(file: h5py.File) -> None:
        for name, array in arrays.items():
            at = f"model_weights/lstm/lstm/lstm_cell/{name}:0"
            del file[at]
            if array is not None:
                file[at] = array

    return h5_with(change)


def one_more_array(path: Path) -> None:
    def change(file: h5py.File) -> None:
        group = file["model_weights/lstm"]
        group["lstm/more:0"] = np.ones(3)
        group.attrs["weight_names"] = [*group.attrs["weight_names"], "lstm/more:0"]

    h5_with(change)(path)


def one_more_variable(path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["layers/lstm/cell/vars/3"] = np.ones(3)

    weights_changed(change)(path)


def weights_changed(change: Callable[[h5py.File], object]) -> Recipe:
    """A ``.keras`` whose weights are changed with h5py."""

    def make(path: Path) -> None:
        metadata, config, weights = entries()
        buffer = io.BytesIO(weights.content)
        with h5py.File(buffer, "a") as file:
            change(file)
        path.write_bytes(zipped(metadata, config, Entry(weights.name, buffer.getvalue())))

    return make


def not_finite(value: float) -> Recipe:
    return in_place_of_arrays(bias=np.array([0, value, *[0] * 6], "<f4"))


def set_attribute(name: str, value: Any, group: str = "/") -> Recipe:
    def change(file: h5py.File) -> None:
        file[group].attrs[name] = value

    return h5_with(change)


def texts_in_one_place(path: Path) -> None:
    """A list of 400 texts of a megabyte that all point to the same megabyte of the file."""
    size = 1_000_003
    good_h5(path)
    with h5py.File(path, "a") as file:
        texts = np.array(["x" * size, *["y"] * 399], object)
        file.attrs.create("notes", texts, dtype=h5py.string_dtype())
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<L", size))
    first = data[at : at + 16]
    for number in range(400):
        data[at + 16 * number : at + 16 * number + 16] = first
    path.write_bytes(data)


def bits_of(precision: int) -> Recipe:
    """A kernel of floats with an unusual number of mantissa bits."""

    def change(file: h5py.File) -> None:
        del file[KERNEL]
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_fields(31, 23, 8, 23 - precision, precision)
        group, _, name = KERNEL.rpartition("/")
        space = h5py.h5s.create_simple((2, 8))
        dataset = h5py.h5d.create(file[group].id, name.encode(), kind, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((2, 8), "f4"))

    return h5_with(change)


def root_in_root(file: h5py.File) -> None:
    file["model_weights/loop"] = file["/"]


def dag(file: h5py.File) -> None:
    """Groups in levels; every level links the next one twice."""
    group = file.create_group("dag")
    for _ in range(20):
        below = group.create_group("a")
        group["b"] = below
        group = below


NO_LSTM = "lstm (LSTM): 2 units; the file holds "
NEVER_WRITTEN = "was never written: the file holds no numbers for it"
NO_NUMBERS = "does not hold floating-point or whole numbers"
IN_CHUNKS = "is stored in chunks, which Keras never writes"
LINK = "is a soft or external link, which may lead elsewhere"
TWICE = "is linked more than once"


def unread(make: Recipe, reason: str) -> Bad:
    """An array that cannot be read: the tool warns, and the layer counts as without weights."""
    return Bad(NO_LSTM, make, warns=f"not read: {KERNEL} {reason}")


kernel = in_place_of_the_kernel

HDF5S = {
    "external storage": Bad("are stored in another file", external_storage),
    "external link": Bad(LINK, external_link),
    "external link beside the weights": Bad(LINK, link(h5py.ExternalLink("none", "/"), "aside")),
    "soft link": Bad(LINK, link(h5py.SoftLink(f"/{BIAS}"))),
    "soft link to nothing": Bad(LINK, link(h5py.SoftLink("/nothing"), "aside")),
    "soft link to itself": Bad(LINK, link(h5py.SoftLink("/aside"), "aside")),
    "virtual array": Bad("is a virtual array; its numbers are stored elsewhere", virtual),
    "virtual array of itself": Bad("is a virtual array", partial(virtual, source=".")),
    "cycle": Bad(TWICE, h5_with(root_in_root)),
    "a group twice": Bad(TWICE, h5_with(lambda f: f.__setitem__("again", f["model_weights"]))),
    "an array twice": Bad(TWICE, h5_with(lambda f: f.__setitem__("again", f[KERNEL]))),
    "a million paths": Bad(TWICE, h5_with(dag)),
    "40 levels": Bad("33 is more than the limit hdf5_depth=32", levels(40)),
    "3,000 levels": Bad("33 is more than the limit hdf5_depth=32", levels(3000)),
    "20,001 groups": Bad("more than the limit hdf5_objects=20000", groups(20_001)),
    "20,001 attributes": Bad("more than the limit hdf5_objects=20000", attributes(20_001)),
    "4 TB in chunks": Bad(
        "more than the limit weight_bytes",
        kernel(shape=(2**20, 2**20), dtype="f4", chunks=(64, 64)),
    ),
    "4 TB in one piece": Bad(
        "more than the limit weight_bytes", kernel(shape=(2**20, 2**20), dtype="f4")
    ),
    "2**64 bytes": Bad(
        "more than the limit weight_bytes",
        kernel(shape=(2**31, 2**31), dtype="f4", chunks=(64, 64)),
    ),
    "never written": unread(kernel(shape=(2, 8), dtype="f4"), NEVER_WRITTEN),
    "never written, with a fill value": unread(
        kernel(shape=(2, 8), dtype="f4", fillvalue=1e30), NEVER_WRITTEN
    ),
    "in chunks": unread(kernel(data=SECRET, chunks=(1, 8)), IN_CHUNKS),
    "in compressed chunks": unread(
        kernel(data=SECRET, chunks=(2, 8), compression="gzip", shuffle=True, fletcher32=True),
        IN_CHUNKS,
    ),
    "in chunks of a format with plugins": unread(
        kernel(data=SECRET, chunks=(2, 8), compression="lzf"), IN_CHUNKS
    ),
    "complex numbers": unread(kernel(data=SECRET.astype("c8")), NO_NUMBERS),
    "compound numbers": unread(kernel(data=np.zeros((2, 8), "f4,f4")), NO_NUMBERS),
    "arrays as numbers": unread(kernel(shape=(2, 8), dtype=np.dtype(("f4", (3,)))), NO_NUMBERS),
    "texts of one size": unread(kernel(data=np.full((2, 8), b"abcd")), NO_NUMBERS),
    "texts": unread(kernel(data=[["a"] * 8] * 2, dtype=h5py.string_dtype()), NO_NUMBERS),
    "lists of any length": unread(kernel(shape=(2, 8), dtype=h5py.vlen_dtype("f4")), NO_NUMBERS),
    "true and false": unread(kernel(data=SECRET > 3), NO_NUMBERS),
    "words for numbers": unread(
        kernel(shape=(2, 8), dtype=h5py.enum_dtype({"a": 1}, "i4"), data=np.ones((2, 8), "i4")),
        NO_NUMBERS,
    ),
    "references": unread(kernel(shape=(2, 8), dtype=h5py.ref_dtype), NO_NUMBERS),
    "opaque bytes": unread(kernel(data=np.zeros((2, 8), "V4")), NO_NUMBERS),
    "long double": unread(kernel(data=SECRET.astype(np.longdouble)), NO_NUMBERS),
    "numbers of 17 bits": unread(bits_of(10), NO_NUMBERS),
    "no array": unread(kernel(data=h5py.Empty("f4")), NO_NUMBERS),
    "kernel of another shape": Bad(
        "expected kernel of shape", in_place_of_arrays(kernel=random(2, 9))
    ),
    "kernel of another rank": Bad("layer lstm", in_place_of_arrays(kernel=random(16))),
    "kernel that is a number": Bad("layer lstm", in_place_of_arrays(kernel=random())),
    "kernel without features": Bad("layer lstm", in_place_of_arrays(kernel=random(0, 8))),
    "kernel without features, run": Bad(
        "lstm", in_place_of_arrays(kernel=random(0, 8)), command="trace"
    ),
    "kernel for other features": Bad(
        "lstm", in_place_of_arrays(kernel=random(5, 8)), command="trace"
    ),
    "recurrent kernel of another shape": Bad(
        "expected recurrent_kernel of shape (2, 8)",
        in_place_of_arrays(recurrent_kernel=random(3, 8)),
    ),
    "recurrent kernel that is a number": Bad(
        "layer lstm", in_place_of_arrays(recurrent_kernel=random())
    ),
    "bias of another shape": Bad("expected bias of shape (8,)", in_place_of_arrays(bias=random(7))),
    "bias that is a number": Bad("layer lstm", in_place_of_arrays(bias=random())),
    "CuDNN's bias on other kernels": Bad(
        "layer lstm", in_place_of_arrays(bias=random(16), kernel=random(2, 9))
    ),
    "an array of the list missing": Bad(NO_LSTM, in_place_of_arrays(bias=None)),
    "an array of the tree missing": Bad(
        "expected arrays 0, 1 ... without a gap, received 0, 2",
        weights_changed(lambda file: file.pop("layers/lstm/cell/vars/1")),
    ),
    "an array of the list too many": Bad("received 4", one_more_array),
    "an array of the tree too many": Bad("received 4", one_more_variable),
    "a group for an array": Bad(
        NO_LSTM, h5_with(lambda f: (f.pop(KERNEL), f.create_group(KERNEL)))
    ),
    "NaN as weight": Bad(
        "weight bias is not finite, first nan at [1]; allow it with --allow-nonfinite",
        not_finite(float("nan")),
        command="trace",
    ),
    "infinity as weight": Bad(
        "weight bias is not finite, first -inf at [1]", not_finite(float("-inf")), command="trace"
    ),
    "link that is not UTF-8": Bad(
        "expected names in UTF-8", h5_with(lambda file: h5py.h5g.create(file.id, b"\xff\x1b"))
    ),
    "link of escapes": Bad(LINK, link(h5py.SoftLink("/"), "\x1b[2J\n\u202e")),
    "config that is missing": Bad(
        "expected a model or weights that Keras saved",
        h5_with(lambda file: (file.attrs.pop("model_config"), file.pop("model_weights"))),
    ),
    "config that is a number": Bad("model_config", set_attribute("model_config", 3)),
    "config that is a list of texts": Bad(
        "expected its model_config to be text", set_attribute("model_config", ["a", "b"])
    ),
    "config that is no JSON": Bad(
        "model_config: not valid JSON", set_attribute("model_config", "Sequential")
    ),
    "config that is empty": Bad("model_config: not valid JSON", set_attribute("model_config", "")),
    "config that is not UTF-8": Bad(
        "expected text in UTF-8",
        set_attribute(
            "model_config", np.bytes_(json.dumps(config_of()).encode().replace(b"model", b"m\xff"))
        ),
    ),
    "layer names that are a text": Bad(
        "bad", set_attribute("layer_names", "lstm", "model_weights")
    ),
    "layer names that are numbers": Bad(
        "bad", set_attribute("layer_names", [1, 2], "model_weights")
    ),
    "layer names that lead elsewhere": Bad(
        "bad", set_attribute("layer_names", ["../../etc/passwd"], "model_weights")
    ),
    "weight names that lead elsewhere": Bad(
        NO_LSTM, set_attribute("weight_names", ["/etc/passwd"] * 3, "model_weights/lstm")
    ),
    "one array three times": Bad(
        NO_LSTM,
        set_attribute("weight_names", ["lstm/lstm_cell/kernel:0"] * 3, "model_weights/lstm"),
    ),
    "texts that lie in one place": Bad(
        "takes more memory than the limit parser_bytes", texts_in_one_place
    ),
    "in a zip: external link": Bad(
        "model.weights.h5: layers/aside is a soft or external link",
        weights_changed(lambda f: f.__setitem__("layers/aside", h5py.ExternalLink("a", "/"))),
    ),
    "in a zip: truncated": Bad(
        "model.weights.h5: damaged or truncated HDF5 data",
        lambda path: path.write_bytes(
            zipped(*entries()[:2], Entry(MEMBERS[2], weights_h5()[:900]))
        ),
    ),
}


# --- code in a config


class Fires:
    """An object that makes a folder when a pickle of it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def lambda_code(path: Path) -> str:
    """The code of a Lambda, as Keras 2 writes it; it makes a folder."""
    code = compile(f"lambda x: __import__('os').mkdir({str(path)!r})", "<lambda>", "eval")
    (function,) = (each for each in code.co_consts if hasattr(each, "co_code"))
    return base64.b64encode(marshal.dumps(function)).decode()


def called(class_name: str, **entry: Any) -> Json:
    """An entry of a config that names code."""
    config = entry.pop("config", {})
    return {**layer(class_name, "trap"), "config": {"name": "trap", **config}, **entry}


def traps(fired: Path) -> dict[str, Json]:
    """Layers that make a careless reader run code, which makes ``fired``, or open a path."""
    os_system = {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    }
    return {
        "Lambda": called(
            "Lambda",
            config={"function": [lambda_code(fired), None, None], "function_type": "lambda"},
        ),
        "Lambda of Keras 3": called(
            "Lambda",
            module="keras.layers",
            config={
                "function": {
                    "class_name": "__lambda__",
                    "config": {"code": lambda_code(fired), "defaults": None, "closure": None},
                }
            },
        ),
        "Lambda of os.system": called(
            "Lambda",
            module="keras.layers",
            config={"function": os_system, "arguments": {"command": f"mkdir {fired}"}},
        ),
        "os.system as layer": called(
            "system", module="os", config={"command": f"mkdir {fired}"}, registered_name=None
        ),
        "subprocess as layer": called(
            "Popen", module="subprocess", config={"args": ["mkdir", str(fired)]}
        ),
        "exec as layer": called(
            "exec", module="builtins", config={"source": f"import os; os.mkdir({str(fired)!r})"}
        ),
        "get_file": called(
            "function",
            module="keras.utils",
            config={"fname": "a", "origin": f"file://{fired}", "extract": True},
            registered_name="get_file",
        ),
        "enable_unsafe_deserialization": called(
            "function",
            module="keras.config",
            registered_name="enable_unsafe_deserialization",
        ),
        "custom class": called("Attend", module="evil.layers", registered_name="evil>Attend"),
        "TFSMLayer": called(
            "TFSMLayer", module="keras.layers", config={"filepath": str(fired.parent)}
        ),
        "StringLookup of a file": called(
            "StringLookup", module="keras.layers", config={"vocabulary": "/etc/passwd"}
        ),
        "StringLookup of an address": called(
            "StringLookup", module="keras.layers", config={"vocabulary": "http://127.0.0.1:9/"}
        ),
        "TorchModuleWrapper": called(
            "TorchModuleWrapper",
            module="keras.layers",
            config={"module": base64.b64encode(pickle.dumps(Fires(fired))).decode()},
        ),
    }


TRAPS = tuple(traps(Path("fired")))


def model_with(trap: Json, *, in_front: bool) -> Json:
    """A Functional model with a trap before an LSTM or after it."""
    front, behind = ("trap", "lstm") if in_front else ("lstm", "trap")
    nodes = {front: [[["x", 0, 0, {}]]], behind: [[[front, 0, 0, {}]]]}
    recurrent = lstm("lstm", UNITS, return_sequences=True)
    layers = [
        {**each, "inbound_nodes": nodes[each["name"]]}
        for each in ((trap, recurrent) if in_front else (recurrent, trap))
    ]
    return functional(
        input_layer("x", 3, FEATURES), *layers, inputs=["x"], outputs=[(behind, 0, 0)]
    )


# --- arrays


def saved(array: object) -> Recipe:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, np.asarray(array), allow_pickle=True)

    return make


def npy_header(text: str | bytes, version: tuple[int, int] = (1, 0), body: bytes = b"") -> bytes:
    """A ``.npy`` whose header is ``text``."""
    header = text if isinstance(text, bytes) else text.encode()
    size = struct.pack("<H" if version == (1, 0) else "<L", len(header))
    return b"\x93NUMPY" + bytes(version) + size + header + body


def header_of(shape: object, descr: object = "<f4", order: object = False) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': {order!r}, 'shape': {shape!r}, }}\n"


def npz(*named: tuple[str, bytes], method: int = 0) -> Recipe:
    return lambda path: path.write_bytes(zipped(*(Entry(*each, method) for each in named)))


def npy_bytes(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


def objects() -> Array:
    held = np.empty(2, object)
    held[:] = [{}, None]
    return held


X = random(1, 3, FEATURES)
X_BYTES = npy_bytes(X)
GIVEN = "expected a .npy or .npz file of numbers"
NO_HEADER = "a damaged file (it has no valid header"


def at_first(value: float, dtype: str = "f4") -> Array:
    array = np.zeros((1, 3, FEATURES), dtype)
    array.flat[0] = value
    return array


def small_bombs(count: int, size: int) -> Recipe:
    """An ``.npz`` of ``count`` arrays of zeros, each a member of ``size`` bytes."""

    def make(path: Path) -> None:
        zeros = npy_bytes(np.zeros((size - 128) // 4, "f4"))
        once = Entry("", zeros, 8, raw=deflated(zeros))
        path.write_bytes(zipped(*(once._replace(name=f"{n}.npy") for n in range(count))))

    return make


INPUTS: Sequence[tuple[str, str, Recipe]] = (
    ("missing", "no such file", lambda path: None),
    ("fifo", "received a folder, pipe or device", fifo),
    ("folder", "received a folder", Path.mkdir),
    ("device without an end", "received a folder, pipe or device", zeros_without_end),
    ("3 GB", GIVEN, sparse),
    ("empty", GIVEN, written(b"")),
    ("text", GIVEN, written(b"1,2\n3,4\n")),
    ("escapes", GIVEN, written(b"\x1b[2J\n")),
    ("pickle", GIVEN, written(pickle.dumps(Fires(Path("fired"))))),
    ("pickled objects", "received pickled objects", saved(objects())),
    ("pickled payload", "received pickled objects", saved(np.array(Fires(Path("fired")), object))),
    ("trailing bytes", "it claims 24 bytes of numbers, has 25", written(X_BYTES + b"x")),
    ("cut", "it claims 24 bytes of numbers, has 23", written(X_BYTES[:-1])),
    ("signature alone", NO_HEADER, written(b"\x93NUMPY")),
    ("version 9", NO_HEADER, written(npy_header(header_of((1, 3, 2)), (9, 0)))),
    (
        "version 3, structured",
        NO_HEADER,
        written(npy_header(header_of((1,), [("\xe9", "<f4")]), (3, 0), bytes(4))),
    ),
    ("100 TB", "it claims 120000000000000 bytes", written(npy_header(header_of((10**13, 3, 1))))),
    ("2**64 numbers", GIVEN, written(npy_header(header_of((2**32, 2**32))))),
    ("10**5000 numbers", GIVEN, written(npy_header(header_of((10**50,) * 60)))),
    ("negative shape", GIVEN, written(npy_header(header_of((-1, 3, 2)), body=bytes(24)))),
    ("two negative sizes", GIVEN, written(npy_header(header_of((-1, -3, 2)), body=bytes(24)))),
    ("shape of true", GIVEN, written(npy_header(header_of((True, 3, 2)), body=bytes(24)))),
    ("shape of 65 axes", GIVEN, written(npy_header(header_of((1,) * 65), body=bytes(4)))),
    ("shape of a fraction", NO_HEADER, written(npy_header(header_of((1.0, 3, 2)), body=bytes(24)))),
    ("shape that is a number", NO_HEADER, written(npy_header(header_of(6), body=bytes(24)))),
    (
        "order that is a text",
        NO_HEADER,
        written(npy_header(header_of((6,), order="x"), body=bytes(24))),
    ),
    ("header of 50 MB", NO_HEADER, written(lambda: npy_header(" " * (50 << 20), (2, 0)))),
    ("header of 4 GB that is not there", NO_HEADER, written(b"\x93NUMPY\x02\0\xff\xff\xff\xff{}")),
    ("header that is no dict", NO_HEADER, written(npy_header("[1, 2]\n"))),
    ("header of another dict", NO_HEADER, written(npy_header("{'descr': '<f4'}\n"))),
    ("header that calls", NO_HEADER, written(npy_header("__import__('os').mkdir('fired')\n"))),
    ("header nested deep", NO_HEADER, written(npy_header("(" * 9000))),
    ("header of signs", NO_HEADER, written(npy_header("-" * 9000 + "1"))),
    ("header of null bytes", NO_HEADER, written(npy_header(bytes(80)))),
    ("header of escapes", NO_HEADER, written(npy_header("{'\x1b[2J': 3}\n"))),
    ("header not UTF-8", NO_HEADER, written(npy_header(b"\xff" * 40))),
    ("dtype that is unknown", NO_HEADER, written(npy_header(header_of((1, 3, 2), "<q9")))),
    ("dtype that is a number", NO_HEADER, written(npy_header(header_of((1, 3, 2), 5)))),
    ("dtype of a huge text", GIVEN, written(npy_header(header_of((1, 3, 2), "<U999999999")))),
    ("dtype of nothing", GIVEN, written(npy_header(header_of((1, 3, 2), "|V0")))),
    ("dtype of arrays", GIVEN, written(npy_header(header_of((1, 3), "(2,)<f4"), body=bytes(24)))),
    ("structured", "does not describe an array of plain numbers", saved(np.zeros((1, 3), "f4,f4"))),
    ("void", "expected numbers", saved(np.zeros((1, 3, 2), "V4"))),
    ("text of one size", "expected numbers", saved(np.full((1, 3, 2), b"a"))),
    ("text array", "expected numbers", saved(np.full((1, 3, 2), "\x1b"))),
    ("complex", "expected numbers", saved(X.astype("c8"))),
    ("dates", "expected numbers", saved(np.zeros((1, 3, 2), "M8[s]"))),
    ("durations", "expected numbers", saved(np.zeros((1, 3, 2), "m8[s]"))),
    ("no sequence", "it is empty", saved(np.zeros((0, 3, 2)))),
    ("no feature", "received (1, 3, 0)", saved(np.zeros((1, 3, 0)))),
    ("a number", "received ()", saved(1.0)),
    ("rank 2", "add the batch axis", saved(X[0])),
    ("rank 4", "received (1, 1, 3, 2)", saved(X[np.newaxis])),
    ("features", "received (1, 3, 5)", saved(random(1, 3, 5))),
    ("timesteps", "received (1, 9, 2)", saved(random(1, 9, 2))),
    ("NaN", "not finite, first nan at [0, 0, 0]", saved(at_first(float("nan")))),
    ("infinity", "not finite, first inf at [0, 0, 0]", saved(at_first(float("inf")))),
    ("2**53 + 1", "expected numbers that float32 can hold", saved(at_first(2**53 + 1, "i8"))),
    ("2**24 + 1", "expected numbers that float32 can hold", saved(at_first(2**24 + 1, "i4"))),
    ("1e300", "expected numbers that float32 can hold", saved(at_first(1e300, "f8"))),
    ("npz of pickled objects", "received pickled objects", npz(("x.npy", npy_bytes(objects())))),
    ("npz of one name twice", "two members of the same name", npz(*[("x.npy", X_BYTES)] * 2)),
    ("npz of one array twice", GIVEN, npz(("x.npy", X_BYTES), ("x", npy_bytes(X * 2)))),
    ("npz of something else", GIVEN, npz(("x.npy", b"text"))),
    ("npz of unknown inputs", "no input of that name", npz(("y.npy", X_BYTES))),
    ("npz of a name of escapes", "no input of that name", npz(("\x1b[2J.npy", X_BYTES))),
    ("npz of nothing", GIVEN, npz()),
    (
        "npz with junk behind",
        "something follows its end",
        changed(npz(("x.npy", X_BYTES)), lambda d: d + b"x"),
    ),
    (
        "npz with a bomb",
        "more than the limit expansion=100",
        small_bombs(1, 64 << 20),
    ),
    (
        "npz with many small bombs",
        "more than the limit expansion",
        small_bombs(40, 8 << 20),
    ),
    ("npz that is cut", NOT_WHOLE, changed(npz(("x.npy", X_BYTES)), lambda d: d[:-30])),
    ("model", GIVEN, good_keras),
    ("HDF5", GIVEN, good_h5),
)
