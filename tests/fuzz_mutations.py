"""The changes that `fuzz.py` makes to good files."""

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import h5py

from lstm_inspect.files.hdf5 import SIGNATURE
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.files.tensor_bundle import _table
from lstm_inspect.traces.grouped import DOCUMENT
from tests.checkpoints import table
from tests.fuzz_sources import Source, sources

WORDS = (
    0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1,
)  # fmt: skip
NUMBERS = (
    b"-1", b"0", b"1", b"1e400", b"-0", b"0.5", b"65536", b"2147483648", b"9" * 20, b"9" * 5000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 1 << 31, 1 << 64, 0.5, 1e300, float("nan"), "", "x", "lstm",
    "a/b", "..", "\n", "\x1b[2J", "\udc80", "é" * 400, [], [None], [[]], {}, {"config": {}},
    {"class_name": "LSTM"}, "LSTM", "Bidirectional", "TimeDistributed", "float16",
)  # fmt: skip

# The places where HDF5 keeps its structure: signatures, and object headers of version 1, which
# have no signature.
STRUCTURE = re.compile(
    rb"\x89HDF|TREE|SNOD|HEAP|GCOL|OHDR|OCHK|FRHP|BTHD|BTLF|FADB|FAHD"
    rb"|\x01\x00..\x01\x00\x00\x00",
    re.DOTALL,
)


# --- changes of bytes: each works in place and returns a description


def flip(rng: random.Random, data: bytearray) -> str:
    bits = [rng.randrange(8 * len(data)) for _ in range(rng.choice((1, 1, 2, 8)))]
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    return f"flip bits {bits}"


def place(rng: random.Random, data: bytearray, width: int = 1) -> int:
    """Chooses the place of a change: anywhere, or near a structure of HDF5."""
    if rng.random() < 0.6 and (found := list(STRUCTURE.finditer(data))):
        at = rng.choice(found).start() + rng.randrange(0, 96, min(width, 4))
        return min(at, len(data) - 1)
    return rng.randrange(len(data))


def replace_byte(rng: random.Random, data: bytearray) -> str:
    at = place(rng, data)
    data[at] = rng.choice((0, 1, 2, 3, 4, 0x10, 0x20, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))
    return f"byte {at} = {data[at]}"


def replace_word(rng: random.Random, data: bytearray) -> str:
    width = rng.choice((2, 4, 8))
    at = max(0, min(place(rng, data, width), len(data) - width))
    old = int.from_bytes(data[at : at + width], "little")
    near = (old + 1, old - 1, old * 2, old + 8, at, len(data), len(data) - 8, rng.choice(WORDS))
    value = rng.choice((*near, *WORDS)) % (1 << 8 * width)
    data[at : at + width] = value.to_bytes(width, "little")[: len(data) - at]
    return f"word of {width} at {at} = {value:#x}"


def replace_number(rng: random.Random, data: bytearray) -> str:
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return flip(rng, data)
    match, number = rng.choice(found), rng.choice(NUMBERS)
    data[slice(*match.span())] = number
    return f"digits at {match.start()} = {number.decode()[:24]}"


def truncate(rng: random.Random, data: bytearray) -> str:
    at = rng.randrange(1, len(data)) if len(data) > 1 else 1
    del data[at:]
    return f"truncate to {at}"


def insert(rng: random.Random, data: bytearray) -> str:
    at, count = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64, 512))
    data[at:at] = rng.choice((rng.randbytes(count), bytes(count), data[at : at + count]))
    return f"insert {count} at {at}"


def delete(rng: random.Random, data: bytearray) -> str:
    at = rng.randrange(len(data))
    count = min(rng.choice((1, 2, 4, 8, 64, 512)), len(data) - 1)
    del data[at : at + count]
    return f"delete {count} at {at}"


def copy(rng: random.Random, data: bytearray) -> str:
    count = min(rng.choice((4, 8, 24, 40, 256)), len(data))
    source, target = (min(place(rng, data, 8), len(data) - count) for _ in range(2))
    data[target : target + count] = data[source : source + count]
    return f"copy {count} from {source} to {target}"


def splice(rng: random.Random, data: bytearray) -> str:
    other = rng.choice(sources())
    at, start = rng.randrange(len(data)), rng.randrange(len(other.data))
    count = rng.choice((8, 64, 512, len(other.data)))
    data[at : at + count] = other.data[start : start + count]
    return f"splice {count} of {other.name}, {start} to {at}"


IN_PLACE = (flip, replace_byte, replace_byte, replace_word, replace_word, replace_word, copy)
ANY = (*IN_PLACE, replace_number, truncate, insert, delete, splice)


def mutate_bytes(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    """Changes bytes a few times; an HDF5 file mostly still states its right length."""
    data = bytearray(content)
    is_hdf5 = content.startswith(b"\x89HDF")
    choices = IN_PLACE if is_hdf5 and rng.random() < 0.8 else ANY
    recipe = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        if data:
            recipe.append(rng.choice(choices)(rng, data))
    if is_hdf5 and len(data) != len(content) and len(data) > 48 and rng.random() < 0.8:
        struct.pack_into("<Q", data, 40 if data[8] == 0 else 28, len(data))
        recipe.append("say the new length")
    return bytes(data), recipe


def mutate_json(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    """Changes a few values of a JSON document; the result is still JSON."""
    document = json.loads(content)
    recipe = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        slots = list(_slots(document))
        if not slots:
            break
        holder, key = rng.choice(slots)
        match rng.randrange(4):
            case 0:
                del holder[key]
                recipe.append(f"delete {key!r}")
            case 1:
                other, other_key = rng.choice(slots)
                # A copy: JSON cannot hold a value inside itself.
                holder[key] = json.loads(json.dumps(other[other_key]))
                recipe.append(f"{key!r} = that of {other_key!r}")
            case _:
                holder[key] = deepcopy(rng.choice(VALUES))
                recipe.append(f"{key!r} = {holder[key]!r:.40}")
    return json.dumps(document).encode("utf-8"), recipe


def _slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields each place in a JSON value: the list or dict, and the key or index in it."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _slots(value[key])


def mutate_member(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    """Changes a member of a zip and writes the zip again, with the right checksum."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    chosen = rng.choice([*members, *(name for name in members if name.endswith(".h5"))])
    is_json = chosen.endswith(".json") and rng.random() < 0.8
    mutant, recipe = (mutate_json if is_json else mutate_bytes)(rng, members[chosen])
    with zipfile.ZipFile(packed, "w", rng.choice((0, 8))) as target:
        for name, member in members.items():
            target.writestr(name, mutant if name == chosen else member)
    return packed.getvalue(), [f"in {chosen}", *recipe]


def mutate_config(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    """Changes the JSON text in an attribute of an HDF5 file, and lets HDF5 write it."""
    image = io.BytesIO(content)
    with h5py.File(image, "r+") as file:
        name = "model_config" if "model_config" in file.attrs else DOCUMENT
        config, recipe = mutate_json(rng, file.attrs[name].encode())
        file.attrs[name] = config.decode()
    return image.getvalue(), [f"in {name}", *recipe]


def mutate_document(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    """Changes the document of a Zarr dump, which is a JSON text in JSON."""
    node = json.loads(content)
    document, recipe = mutate_json(rng, node["attributes"][DOCUMENT].encode())
    node["attributes"][DOCUMENT] = document.decode()
    return json.dumps(node).encode(), [f"in {DOCUMENT}", *recipe]


def mutate_table(rng: random.Random, content: bytes) -> tuple[bytes, list[str]]:
    """Changes an entry in the index of a checkpoint, and writes it with the right checksums."""
    entries = {key: bytes(value) for key, value in _table(memoryview(content), "", DEFAULT_LIMITS)}
    key = rng.choice([*entries])
    value, recipe = mutate_bytes(rng, entries.pop(key))
    if rng.random() < 0.2:
        key, more = mutate_bytes(rng, key or b"key")
        recipe += ["in its key", *more]
    return table(sorted({**entries, key: value}.items())), [f"in {key!r:.40}", *recipe]


def mutate(rng: random.Random, source: Source) -> tuple[bytes, list[str]]:
    """Makes a mutant of a source: its bytes, and the changes that made them."""
    data, changes = source.data, [mutate_bytes]
    if data.startswith(b"PK"):
        changes = [mutate_member] * 4 + [mutate_bytes]
    elif source.name.endswith(".json") and DOCUMENT.encode() in data:
        changes = [mutate_document] * 3 + [mutate_json] * 2 + [mutate_bytes]
    elif source.name.endswith(".json"):
        changes = [mutate_json] * 4 + [mutate_bytes]
    elif source.name.endswith(".index"):
        changes = [mutate_table] * 4 + [mutate_bytes]
    elif data.startswith(SIGNATURE) and (b"model_config" in data or DOCUMENT.encode() in data):
        changes = [mutate_config] * 2 + [mutate_bytes] * 3
    return rng.choice(changes)(rng, data)
