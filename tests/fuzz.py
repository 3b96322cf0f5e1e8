"""Changes good files at random and opens them: each must open, or be refused in one line.

    python tests/fuzz.py --seconds 600 --seed 1 --keep /tmp/findings

A mutant depends only on the seed and on its number: ``--seed 1 --first 4711 --mutants 1`` makes
mutant 4711 of seed 1 again. A mutant that ends the process stays in the folder of ``--keep``.
"""

import argparse
import dataclasses
import faulthandler
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

from lstm_inspect import InspectError
from lstm_inspect.errors import InspectWarning
from tests.fuzz_mutations import mutate
from tests.fuzz_sources import Source, sources

LONGEST_MESSAGE = 300
LONGEST_SECONDS = 5
"""Seconds of processor time, so that other work on the machine does not count."""
LONGEST_WAIT = 60

# Errors about files whose content was not looked at.
OUTER = re.compile(
    r"expected a \.keras zip|expected a saved model or|first bytes are|damaged or truncated zip"
    r"|wrong size|wrong checksum"
    r"|no superblock of a known|its superblock says|it has no valid header|is damaged \("
    r"|the checksum of"
)


def mutant_of(seed: int, number: int) -> tuple[Source, bytes, list[str]]:
    """Makes a mutant: its source, its bytes, and the changes that made them."""
    rng = random.Random(f"{seed}:{number}")
    kind = rng.choice(sorted({source.kind for source in sources()}))
    source = rng.choice([source for source in sources() if source.kind == kind])
    data, recipe = mutate(rng, source)
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
    with (
        warnings.catch_warnings(record=True) as warned,
        alarm(LONGEST_WAIT),
        patch("lstm_inspect.genuine.bridge.is_installed", return_value=False),
    ):
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
        path = keep / f"{seed}-{number}-{Path(source.name).name}"
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
