"""Statistics of recorded arrays."""

from collections.abc import Iterator, Mapping, Sequence
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


class RunningStats:
    """The statistics of an array that comes in parts."""

    def __init__(self) -> None:
        self._low, self._high, self._total = np.inf, -np.inf, 0.0
        self._count = self._nonfinite = 0

    def add(self, part: Array) -> None:
        """Adds a part of the array."""
        total = float(part.sum(dtype=np.float64))
        numbers = part
        if not np.isfinite(total):  # as one of the numbers is not
            numbers = part[np.isfinite(part)]
            total = float(numbers.sum(dtype=np.float64))
        self._nonfinite += part.size - numbers.size
        if numbers.size:
            self._low = min(self._low, float(numbers.min()))
            self._high = max(self._high, float(numbers.max()))
            self._total += total
            self._count += numbers.size

    def merge(self, other: "RunningStats") -> None:
        """Adds the parts that another one has."""
        self._low, self._high = min(self._low, other._low), max(self._high, other._high)
        self._total += other._total
        self._count += other._count
        self._nonfinite += other._nonfinite

    def as_json(self) -> list[Any]:
        """The sums as plain JSON data, from which `from_json` goes on."""
        ends = [self._low, self._high] if self._count else [None, None]
        return [*ends, self._total, self._count, self._nonfinite]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> "RunningStats":
        """Goes on with the sums that `as_json` wrote.

        Raises:
            ValueError: The data are not five numbers.
            TypeError: As for ValueError.
        """
        figures = cls()
        low, high, total, count, nonfinite = data
        figures._total, figures._count, figures._nonfinite = (
            float(total),
            int(count),
            int(nonfinite),
        )
        if figures._count:
            figures._low, figures._high = float(low), float(high)
        return figures

    def of(self, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ArrayStats:
        """The statistics of all parts.

        Args:
            key: The key of the array.
            shape: The shape of the whole array.
            dtype: Its dtype.
        """
        low, mean, high = np.nan, np.nan, np.nan
        if self._count:
            low, mean, high = self._low, self._total / self._count, self._high
        return ArrayStats(key, shape, str(dtype), low, mean, high, self._nonfinite)


def stats_of(arrays: Mapping[str, Array]) -> Iterator[ArrayStats]:
    """Yields the statistics of arrays by key."""
    for key, array in arrays.items():
        figures = RunningStats()
        figures.add(array)
        yield figures.of(key, array.shape, array.dtype)
