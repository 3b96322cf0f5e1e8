"""Measures whole commands against the imports that they need, and against scripts with Keras.

    python tests/bench/startup.py [--runs N]

The two sides of a ratio run in turn (A B A B ...), so that other work on the machine slows both
alike. The ratio is the median of the ratios of neighboring runs.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_models"
MODEL = SAMPLES / "thirty_units_sequences_state.keras"
INPUT = SAMPLES / "thirty_units_sequences_state.npy"

BARE_IMPORTS = "import h5py, numpy, click, rich"
IMPORTS = "import numpy, h5py, click, rich.table, rich.console"
SUMMARISE = f"""
import keras
keras.models.load_model({str(MODEL)!r}).summary()
"""
PREDICT = f"""
import keras, numpy
model = keras.models.load_model({str(MODEL)!r})
numpy.savez("keras.npz", *model.predict(numpy.load({str(INPUT)!r}), verbose=0))
"""


class Cost(NamedTuple):
    """The time and memory that one process took."""

    seconds: float
    megabytes: float


class Comparison(NamedTuple):
    """Two Python command lines, and a bound on the cost of the first as a share of the second."""

    name: str
    ours: list[str]
    other: list[str]
    at_most: float


def compare(comparison: Comparison, runs: int) -> tuple[list[Cost], list[Cost]]:
    """Alternates the two sides; the first pair warms the caches and does not count."""
    pairs = [(cost_of(comparison.ours), cost_of(comparison.other)) for _ in range(runs + 1)][1:]
    ours, other = zip(*pairs, strict=True)
    return list(ours), list(other)


def cost_of(arguments: list[str]) -> Cost:
    """Runs Python once, in the current folder, and measures that process alone.

    Python may cache bytecode, as for packages that pip installed.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    started = time.perf_counter()
    process = os.posix_spawn(
        sys.executable, [sys.executable, *arguments], environment, file_actions=quiet
    )
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"exit status {os.waitstatus_to_exitcode(status)}: python {arguments}")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Cost(seconds, kilobytes / 1000)


def comparisons() -> list[Comparison]:
    tool = ["-m", "lstm_inspect"]
    shapes = [*tool, "shapes", str(MODEL)]
    trace = [*tool, "trace", str(MODEL), "--input", str(INPUT), "--out", "states.npz"]
    imports = ["-c", IMPORTS]
    check = [*tool, "check", str(MODEL), "--expect", "lstm.units=30"]
    found = [
        Comparison("shapes / its imports", shapes, imports, 1.3),
        Comparison("trace / its imports", trace, imports, 1.3),
        Comparison("check / bare imports", check, ["-c", BARE_IMPORTS], 1.5),
    ]
    if importlib.util.find_spec("keras") is None or importlib.util.find_spec("tensorflow") is None:
        print("Keras is not installed: compared with the imports alone.")
        return found
    return [
        *found,
        Comparison("shapes / Keras load, summary", shapes, ["-c", SUMMARISE], 0.1),
        Comparison("trace / Keras load, predict", trace, ["-c", PREDICT], 0.1),
    ]


def report(comparison: Comparison, runs: int) -> bool:
    ours, other = compare(comparison, runs)
    ratios = [mine.seconds / its.seconds for mine, its in zip(ours, other, strict=True)]
    ratio = statistics.median(ratios)
    columns = [f"{comparison.name:30}", f"{ratio:7.3f}", f"{comparison.at_most:8.1f}"]
    for costs in (ours, other):
        columns.append(f"{statistics.median(cost.seconds for cost in costs):7.3f} s")
        columns.append(f"{statistics.median(cost.megabytes for cost in costs):6.0f} MB")
    print(*columns, f"  {min(ratios):.3f} to {max(ratios):.3f}")
    return ratio <= comparison.at_most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=11, help="pairs of runs for each ratio")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print(f"{'wall time':30}   ratio   at most      ours                  other      spread")
        kept = [report(comparison, runs) for comparison in comparisons()]
        os.chdir(ROOT)
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
