"""Runs `fuzz.py` for a short time, on the same mutants every time; long runs are made by hand."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests import fuzz
from tests.fuzz_sources import Source, sources

pytestmark = pytest.mark.slow

SEED = 20261120
MUTANTS = 1000
"""The number of mutants in each of two processes."""


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_what_the_fuzzer_starts_from_is_opened(source: Source, tmp_path: Path) -> None:
    path = tmp_path / Path(source.name).name
    path.write_bytes(source.data)
    assert fuzz.outcome(source, path) == ("opened", "")


def test_a_mutant_is_the_same_every_time() -> None:
    assert [fuzz.mutant_of(1, number) for number in range(50)] == [
        fuzz.mutant_of(1, number) for number in range(50)
    ]


def run(first: int, keep: Path) -> fuzz.Tally:
    return fuzz.fuzz(SEED, first=first, mutants=MUTANTS, keep=keep)


def test_every_mutant_is_opened_or_refused_in_one_line(tmp_path: Path) -> None:
    """If a mutant ends its process, the test fails and the mutant stays in the folder."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        tallies = list(pool.map(run, (0, MUTANTS), (tmp_path, tmp_path)))
    one_of_each = {each.cause: str(each) for tally in tallies for each in tally.findings}
    assert not one_of_each, "\n\n".join(one_of_each.values())
    assert sum(tally.mutants for tally in tallies) == 2 * MUTANTS
    assert sum(tally.got_in for tally in tallies) > 0.3 * 2 * MUTANTS
    assert all(tally.counts["opened"] > 0.05 * MUTANTS for tally in tallies)
