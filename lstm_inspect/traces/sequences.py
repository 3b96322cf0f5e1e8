"""Takes single sequences out of a trace: what the units of a layer do over the timesteps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, SelectionError
from lstm_inspect.traces.figures import GATES
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.rows import check_alike, rows_of, timesteps_of, width_of
from lstm_inspect.traces.stored_trace import StoredLayer, StoredSignal, StoredTrace


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
    """

    layer: str
    signal: str
    sample: int
    numbers: Array
    steps: Sequence[int]
    units: Sequence[int]
    masked: Sequence[bool] | None

    @property
    def is_gate(self) -> bool:
        """Whether the numbers lie between 0 and 1."""
        return self.signal in GATES

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
                raise InputError(f"{self.layer}/{self.signal}: unit {unit} was not recorded")
        at = [places[unit] for unit in wanted]
        return replace(self, numbers=self.numbers[:, at], units=wanted)


def units_over_time(
    trace: StoredTrace, signals: Sequence[str], sample: int
) -> Iterator[UnitsOverTime]:
    """Takes one sample of some signals of each layer; the rest of a dump is not kept in memory.

    Args:
        trace: The trace.
        signals: The signals; those that a layer does not have are left out. ``"all"`` is all. None
            given are h and c, as far as they were recorded.
        sample: The number of the sample.

    Raises:
        SelectionError: No layer has one of the signals.
        InputError: The sample was not recorded.
    """
    recorded = {
        name: None
        for layer in trace.layers.values()
        for name, signal in layer.signals.items()
        if name != "mask" and "timesteps" in signal.dims
    }
    for name in signals:
        if name not in (*recorded, "all"):
            there = ", ".join(recorded) or "none"
            raise SelectionError(f"signal {name}: was not recorded; there are {there}")
    signals = signals or [name for name in ("h", "c") if name in recorded] or ["all"]
    for layer in trace.layers.values():
        check_alike(layer)
        for name in recorded:
            if name in layer.signals and (name in signals or "all" in signals):
                yield _of_signal(layer, name, sample)


def _of_signal(layer: StoredLayer, name: str, sample: int) -> UnitsOverTime:
    signal = layer.signals[name]
    if 0 in signal.array.shape:
        raise InputError(f"{layer.path}/{name}: expected numbers, received an empty array")
    number = _sequence(layer, signal, sample)
    mask = layer.signals.get("mask")
    return UnitsOverTime(
        layer=layer.path,
        signal=name,
        sample=sample,
        numbers=_rows(signal, number),
        steps=_places(layer.kept.get("timesteps"), timesteps_of(signal)),
        units=_places(layer.kept.get("units") if name != "x" else None, width_of(signal)),
        masked=None if mask is None else (~_rows(mask, number)[:, 0]).tolist(),
    )


def _sequence(layer: StoredLayer, signal: StoredSignal, sample: int) -> int:
    """Which of the sequences in an array is the first one of a sample."""
    samples = _places(layer.kept.get("batch"), signal.array.shape[0])
    if sample not in samples:
        there = layer.kept.get("batch") or f"0 to {len(samples) - 1}"
        raise InputError(f"sample {sample}: expected one of {there}")
    # Inside of a TimeDistributed, a sample has a sequence for each outer timestep.
    outer = signal.array.shape[1 : signal.dims.index("timesteps")]
    return samples.index(sample) * prod(outer)


def _rows(signal: StoredSignal, sequence: int) -> Array:
    """The timesteps of a sequence, (timesteps, width)."""
    timesteps = timesteps_of(signal)
    first, stop = sequence * timesteps, (sequence + 1) * timesteps
    found = np.empty((timesteps, width_of(signal)), signal.array.dtype)
    for start, rows in rows_of(signal):
        if start >= stop:
            break
        lower, upper = max(first, start), min(stop, start + len(rows))
        if lower < upper:
            found[lower - first : upper - first] = rows[lower - start : upper - start]
    return found


def _places(kept: Kept | None, size: int) -> Sequence[int]:
    return range(size) if kept is None or len(kept.places) != size else kept.places


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
