"""One signal of one sequence: what all pictures show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import isfinite
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError


class Cells(NamedTuple):
    """Numbers in as many cells as there is room for.

    Attributes:
        means: The mean of each cell, row by row; not finite if one of its numbers is not.
        of_units: Which units each row has, by their index.
        of_steps: Which timesteps each column has, by their index.
    """

    means: Sequence[Sequence[float]]
    of_units: Sequence[slice]
    of_steps: Sequence[slice]


@dataclass(frozen=True, eq=False, kw_only=True)
class UnitsOverTime:
    """One signal of one sequence.

    Attributes:
        layer: The path of the layer.
        signal: The signal.
        sample: The number of the sample.
        numbers: (timesteps, units).
        steps: The timestep at each index.
        units: The unit at each index.
        masked: Whether each timestep is masked; None if the mask was not recorded.
        is_gate: Whether the numbers go from 0, closed, to 1, open.
        notes: What else is to be said of it, in a few words each.
    """

    layer: str
    signal: str
    sample: int
    numbers: Array
    steps: Sequence[int]
    units: Sequence[int]
    masked: Sequence[bool] | None
    is_gate: bool
    notes: Sequence[str] = ()

    @property
    def heading(self) -> str:
        """Which signal of which sample it is."""
        return f"{self.layer}/{self.signal}, sample {self.sample}"

    @property
    def axis(self) -> str:
        """What a column of the numbers is: a feature of x, a unit of other signals."""
        return "feature" if self.signal == "x" else "unit"

    def cells(self, rows: int, columns: int) -> Cells:
        """Fits it into cells: units downwards, timesteps to the right.

        Args:
            rows: How many rows there may be.
            columns: How many columns there may be.
        """
        of_units = _groups(len(self.units), min(rows, len(self.units)))
        of_steps = _groups(len(self.steps), min(columns, len(self.steps)))
        means: list[list[float]] = _means(self.numbers.T, of_units, of_steps).tolist()
        return Cells(means, of_units, of_steps)

    def scale(self, means: Sequence[Sequence[float]]) -> tuple[float, float]:
        """The ends of the scale of some cells: 0 and 1 for a gate; else even around 0."""
        if self.is_gate:
            return 0.0, 1.0
        sizes = (abs(number) for row in means for number in row if isfinite(number))
        largest = max(sizes, default=0.0) or 1.0
        return -largest, largest

    @property
    def ends(self) -> list[tuple[float, float]]:
        """The smallest and the largest finite number of each unit; NaN if it has none."""
        numbers = np.where(np.isfinite(self.numbers), self.numbers, np.nan)
        low, high = np.fmin.reduce(numbers), np.fmax.reduce(numbers)
        return [(float(least), float(most)) for least, most in zip(low, high, strict=True)]

    def at_units(self, wanted: Sequence[int]) -> "UnitsOverTime":
        """Some of the units.

        Raises:
            InputError: One of them was not recorded.
        """
        places = {unit: place for place, unit in enumerate(self.units)}
        for unit in wanted:
            if unit not in places:
                raise InputError(f"{self.layer}/{self.signal}: {self.axis} {unit} was not recorded")
        at = [places[unit] for unit in wanted]
        return replace(self, numbers=self.numbers[:, at], units=wanted)


def by_layer(shown: Iterable[UnitsOverTime]) -> list[list[UnitsOverTime]]:
    """Divides signals, which come layer by layer, into those of each layer."""
    return [[*layer] for _, layer in groupby(shown, key=lambda each: each.layer)]


def _groups(size: int, count: int) -> list[slice]:
    """Divides an axis into cells that differ by one index at most."""
    ends = [size * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _means(numbers: Array, rows: Sequence[slice], columns: Sequence[slice]) -> Array:
    """The mean of each cell; one with a number that is not finite is not finite."""
    wide = numbers.astype(np.float64)
    of_rows = np.add.reduceat(wide, [row.start for row in rows], axis=0)
    sums = np.add.reduceat(of_rows, [column.start for column in columns], axis=1)
    heights = np.array([row.stop - row.start for row in rows])
    widths = np.array([column.stop - column.start for column in columns])
    means: Array = sums / (heights[:, np.newaxis] * widths)
    return means
