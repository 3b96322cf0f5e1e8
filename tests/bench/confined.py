"""Measures the cost of the confined process: opens a model file with it and without it, in turn.

python tests/bench/confined.py [--runs N]
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from lstm_inspect import open_model
from lstm_inspect.files import confined

MODEL = Path(__file__).parents[2] / "sample_models" / "stacked.keras"
AT_MOST = 25


def milliseconds(is_confined: bool) -> float:
    confined.IS_CONFINED = is_confined
    started = time.perf_counter()
    open_model(MODEL)
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=51, help="pairs of runs")
    runs: int = parser.parse_args().runs
    pairs = [(milliseconds(True), milliseconds(False)) for _ in range(runs + 1)][1:]
    within, without = (statistics.median(side) for side in zip(*pairs, strict=True))
    cost = statistics.median(one - other for one, other in pairs)
    print(f"confined {within:.1f} ms, not confined {without:.1f} ms, cost {cost:.1f} ms", end="")
    print(f" (at most {AT_MOST})")
    sys.exit(cost > AT_MOST)


if __name__ == "__main__":
    main()
