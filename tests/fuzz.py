"""Changes good files at random and opens them: each must open, or be refused in one line.

    python tests/fuzz.py --seconds 600 --seed 1 --keep /tmp/findings

A mutant depends only on the seed and on its number: ``--seed 1 --first 4711 --mutants 1`` makes
mutant 4711 of seed 1 again. A mutant that ends the process stays in the folder of ``--keep``.
"""

import argparse
import dataclasses
import faulthandler
import io
import json
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import h5py
import numpy as np

from lstm_inspect import InspectError, Limits, load_trace, model_shapes, open_model, trace
from lstm_inspect.errors import InspectWarning
from lstm_inspect.files.npy import read_arrays
from tests.conftest import (
    SAMPLES,
    lstm_weights,
)

LONGEST_MESSAGE = 300
LONGEST_SECONDS = 5
"""Seconds of processor time, so that other work on the machine does not count."""
LONGEST_WAIT = 60
LIMITS = Limits(parser_seconds=1)

# Errors about files whose content was not looked at.
OUTER = re.compile(
    r"expected a \.keras zip|first bytes are|damaged or truncated zip|wrong size|wrong checksum"
    r"|no superblock of a known|its superblock says|it has no valid header|is damaged \("
)

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


class Source(NamedTuple):
    """A good file, and how to open it."""

    name: str
    data: bytes
    open: Callable[[Path], object]


def open_shapes(path: Path) -> object:
    return json.dumps(model_shapes(open_model(path, limits=LIMITS)).as_json())


def open_arrays(path: Path) -> object:
    return read_arrays(path, limits=LIMITS)


@cache
def sources() -> tuple[Source, ...]:
    """Small good files of every kind that the tool reads."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = SAMPLES / "one_unit_sequences.keras"
        x = np.load(SAMPLES / "one_unit_sequences.npy")
        trace(open_model(model), x, record=("h", "c", "x", "mask")).save(folder / "dump.npz")
        np.savez(folder / "inputs.npz", a=x, b=x.astype(">i2"))
        _write_tree(folder / "tree.weights.h5")
        written = {
            path.name: path.read_bytes() for path in (*folder.glob("*.npz"), *folder.glob("*.h5"))
        }
    samples = {
        path: (SAMPLES / path).read_bytes()
        for path in (
            "one_unit_last_h.keras",
            "bidirectional_masking.keras",
            "encoder_decoder.keras",
            "keras-2.12/encoder_decoder.h5",
            "keras-2.15/one_unit_state.h5",
            "one_unit_sequences.npy",
        )
    }
    openers = {".npy": open_arrays, "inputs.npz": open_arrays, "dump.npz": load_trace}
    return tuple(
        Source(
            name,
            data,
            next((opens for end, opens in openers.items() if name.endswith(end)), open_shapes),
        )
        for name, data in sorted({**samples, **written}.items())
    )


def _write_tree(path: Path) -> None:
    """Writes weights alone as Keras 3 does, in the newest format of HDF5."""
    with h5py.File(path, "w", libver="latest") as file:
        for name in ("lstm", "lstm_1"):
            group = file.create_group(f"layers/{name}/cell/vars")
            group.attrs["name"] = f"{name}_cell"
            for index, array in enumerate(lstm_weights(name, 2, 2).values()):
                group.create_dataset(str(index), data=array)


# --- mutations: each changes bytes in place and returns a description


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
    """Changes the config in an attribute of an HDF5 file, and lets HDF5 write it."""
    image = io.BytesIO(content)
    with h5py.File(image, "r+") as file:
        config, recipe = mutate_json(rng, file.attrs["model_config"].encode())
        file.attrs["model_config"] = config.decode()
    return image.getvalue(), ["in model_config", *recipe]


def mutant_of(seed: int, number: int) -> tuple[Source, bytes, list[str]]:
    """Makes a mutant: its source, its bytes, and the changes that made them."""
    rng = random.Random(f"{seed}:{number}")
    source = rng.choice(sources())
    if source.data.startswith(b"PK") and rng.random() < 0.8:
        data, recipe = mutate_member(rng, source.data)
    elif b"model_config" in source.data and rng.random() < 0.2:
        data, recipe = mutate_config(rng, source.data)
    else:
        data, recipe = mutate_bytes(rng, source.data)
    return source, data, [source.name, *recipe]


# --- opening


class TooSlow(BaseException):
    """The alarm raises this; no code that opens a file catches it."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Finding(NamedTuple):
    """A mutant that was neither opened nor refused in one line."""

    mutant: str
    said: str

    @property
    def cause(self) -> str:
        """The last place in the package and the last line, which mutants of one bug share."""
        places = re.findall(r"lstm_inspect/(\S+)\", line (\d+)", self.said)
        last = self.said.rstrip().splitlines()[-1]
        return f"{':'.join(places[-1]) if places else ''} {re.split('[(:]', last)[0]}"

    def __str__(self) -> str:
        return f"{self.mutant}: {self.said}"


@dataclasses.dataclass
class Tally:
    """Counts of what happened to the mutants."""

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    findings: list["Finding"] = dataclasses.field(default_factory=list)
    seconds: float = 0

    @property
    def mutants(self) -> int:
        return self.counts["opened"] + self.counts["refused"] + len(self.findings)

    @property
    def got_in(self) -> int:
        """How many mutants were looked into, not refused at once."""
        return self.mutants - self.counts["turned away"]

    def __str__(self) -> str:
        c = self.counts
        peak = max(
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        return (
            f"{self.mutants:,} mutants in {self.seconds:.0f} s: {c['refused']:,} refused "
            f"({c['turned away']:,} of them at the door), {c['opened']:,} opened, "
            f"{c['crashed']:,} crashed libhdf5 in the confined process, {c['hung']:,} hung it, "
            f"{c['out of memory']:,} met its limit of memory, {len(self.findings)} findings; "
            f"peak memory {peak >> 10} MB"
        )


def one_line(message: str) -> bool:
    return message.isprintable() and 0 < len(message) <= LONGEST_MESSAGE


def processor_time() -> float:
    """The processor time of this process and its children so far."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def outcome(source: Source, path: Path) -> tuple[str, str]:
    """Opens a file; returns ``opened``, ``refused`` or ``finding``, and the message."""
    started = processor_time()
    with warnings.catch_warnings(record=True) as warned, alarm(LONGEST_WAIT):
        warnings.simplefilter("always")
        try:
            source.open(path)
            came, message = "opened", ""
        except InspectError as error:
            came, message = "refused", str(error)
            if not one_line(message):
                return "finding", f"a refusal that is not one line of 300: {message!r}"
        except TooSlow:
            return "finding", f"took more than {LONGEST_WAIT} s"
        except Exception:
            return "finding", traceback.format_exc()
    if (taken := processor_time() - started) > LONGEST_SECONDS:
        return "finding", f"{came}, after {taken:.1f} s of processor time"
    for each in warned:
        if not issubclass(each.category, InspectWarning):
            return "finding", f"{came}, with a warning of another: {each.message!r}"
        if not one_line(str(each.message)):
            return "finding", f"{came}, with a warning that is not one line: {each.message}"
    return came, message


def fuzz(
    seed: int, *, first: int = 0, mutants: int | None = None, seconds: float | None = None,
    keep: Path,
) -> Tally:  # fmt: skip
    """Opens mutants up to a number or a time."""
    tally = Tally()
    started = time.monotonic()
    number = first
    sources()
    while mutants is None or number < first + mutants:
        if seconds is not None and time.monotonic() - started > seconds:
            break
        source, data, recipe = mutant_of(seed, number)
        path = keep / f"{seed}-{number}{Path(source.name).suffix}"
        path.write_bytes(data)
        came, message = outcome(source, path)
        if came == "finding":
            made = f"seed {seed}, mutant {number}, {recipe}"
            tally.findings.append(Finding(made, message))
        else:
            path.unlink()
            tally.counts[came] += 1
            tally.counts["turned away"] += bool(OUTER.search(message))
            if "parser_bytes" in message:
                tally.counts["out of memory"] += 1
            elif "confined process" in message:
                tally.counts["hung" if "parser_seconds" in message else "crashed"] += 1
        number += 1
    tally.seconds = time.monotonic() - started
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="stop after this time")
    parser.add_argument("--mutants", type=int, help="stop after this many")
    parser.add_argument("--first", type=int, default=0, help="the number of the first mutant")
    parser.add_argument("--keep", type=Path, help="folder for mutants that are findings")
    given = parser.parse_args()
    faulthandler.enable()
    keep = given.keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    if given.seconds is None and given.mutants is None:
        given.seconds = 60
    tally = fuzz(
        given.seed, first=given.first, mutants=given.mutants, seconds=given.seconds, keep=keep
    )
    by_cause: dict[str, list[Finding]] = {}
    for finding in tally.findings:
        by_cause.setdefault(finding.cause, []).append(finding)
    for cause, found in by_cause.items():
        print(f"{len(found)} times {cause}; the first is {found[0]}\n")
    print(tally)
    if tally.findings:
        print(f"kept in {keep}")
        sys.exit(1)


if __name__ == "__main__":
    main()
