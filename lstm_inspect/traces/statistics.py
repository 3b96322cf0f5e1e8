"""Statistics of recorded arrays."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.notation import with_nulls


@dataclass(frozen=True, slots=True)
class ArrayStats:
    """The statistics of one array of a dump.

    Attributes:
        key: Its key in a dump, ``<path>/<signal>``.
        shape: Its shape.
        dtype: Its dtype.
        low: Its smallest finite number; NaN if it has none.
        mean: The mean of its finite numbers, summed in float64.
        high: Its largest finite number.
        nonfinite: How many of its numbers are NaN or infinite.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    mean: float
    high: float
    nonfinite: int

    def as_json(self) -> dict[str, Any]:
        """The statistics as plain JSON data, with None for NaN."""
        return with_nulls(asdict(self))


def stats_of(arrays: Mapping[str, Array]) -> Iterator[ArrayStats]:
    """Yields the statistics of arrays by key."""
    for key, array in arrays.items():
        yield _stats(key, array)


def _stats(key: str, array: Array) -> ArrayStats:
    finite = np.isfinite(array)
    nonfinite = int(array.size - np.count_nonzero(finite))
    numbers = array[finite] if nonfinite else array
    low, mean, high = np.nan, np.nan, np.nan
    if numbers.size:
        low, mean, high = numbers.min(), numbers.mean(dtype=np.float64), numbers.max()
    return ArrayStats(
        key, array.shape, str(array.dtype), float(low), float(mean), float(high), nonfinite
    )
