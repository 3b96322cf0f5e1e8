"""Figures of recorded signals: their range, and what units and gates do over time."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite, isnan
from statistics import median
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.notation import with_nulls
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.rows import check_alike, rows_of, timesteps_of, width_of
from lstm_inspect.traces.stored_trace import StoredLayer, StoredSignal, StoredTrace

GATES = ("i", "f", "o", "z", "r")
"""The signals that are gates: numbers from 0, closed, to 1, open."""

KEEPING = ("f", "z")
"""The gates that say how much of a state is kept: f of an LSTM, z of a GRU."""

LOW, HIGH = 0.05, 0.95
"""Below and above them a gate is saturated."""

STILL = 1e-6
"""A unit whose numbers lie no further apart never moves."""


@dataclass(frozen=True, kw_only=True)
class SignalFigures:
    """The figures of one signal. A figure that the signal does not have is None.

    Attributes:
        layer: The path of the layer.
        signal: The signal.
        shape: The shape of its array.
        low: Its smallest finite number; NaN if it has none.
        mean: The mean of its finite numbers.
        high: Its largest finite number.
        std: The standard deviation of its finite numbers.
        nonfinite: How many of its numbers are NaN or infinite.
        timesteps: How many the sequences have, of which perhaps a part was recorded; None for an
            initial state.
        units: The unit at each place of the next ones, if only some were recorded; None for all.
        first_nonfinite: The first timestep that the layer reads with a number that is not finite.
        closed: Of a gate, the share of finite numbers below `LOW`. Masked timesteps do not count
            here and in the next three.
        opened: Of a gate, the share of finite numbers above `HIGH`.
        half_life: Of a gate that keeps a state, after how many timesteps half of it is left, for
            each unit: ``-1 / mean(log2(gate))``, where no gate is below 2**-126. Infinite if the
            gate is always open, NaN without a finite number.
        dead: The units that never move over two timesteps or more, of all samples together.
        growth: Of c, the largest |c| in the last quarter of the timesteps that the layer reads,
            divided by that in the first half; None if only some timesteps were recorded.
    """

    layer: str
    signal: str
    shape: tuple[int, ...]
    timesteps: int | None
    units: tuple[int, ...] | None
    low: float
    mean: float
    high: float
    std: float
    nonfinite: int
    first_nonfinite: int | None = None
    closed: float | None = None
    opened: float | None = None
    half_life: tuple[float, ...] | None = None
    dead: tuple[int, ...] | None = None
    growth: float | None = None

    @property
    def key(self) -> str:
        """Its key in a dump."""
        return f"{self.layer}/{self.signal}"

    @property
    def middle_half_life(self) -> float | None:
        """The median of the half-lives of the units that have one."""
        return (
            None
            if self.half_life is None
            else median(life for life in self.half_life if not isnan(life))
        )

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON data, with None for NaN and infinity."""
        lives = None if self.half_life is None else [*map(_or_none, self.half_life)]
        named = asdict(self)
        del named["layer"]
        return with_nulls({**named, "half_life": lives})


@dataclass(frozen=True, kw_only=True)
class LayerFigures:
    """The figures of one layer.

    Attributes:
        path: Its path.
        cell: Its cell.
        masked: The share of masked timesteps; None if the mask was not recorded.
        signals: Its signals, in the order of the dump.
    """

    path: str
    cell: str
    masked: float | None
    signals: Sequence[SignalFigures]

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON data."""
        return {
            "path": self.path,
            "cell": self.cell,
            "masked": self.masked,
            "signals": [each.as_json() for each in self.signals],
        }


def figures_of(trace: StoredTrace) -> list[LayerFigures]:
    """The figures of each recorded layer; each signal is read once, piece by piece."""
    return [_of_layer(layer) for layer in trace.layers.values()]


def _of_layer(layer: StoredLayer) -> LayerFigures:
    check_alike(layer)
    counts: Array | None = None
    masked = None
    if "mask" in layer.signals:
        counts = layer.signals["mask"].array.read().reshape(-1).astype(bool)
        masked = 1 - float(counts.mean()) if counts.size else None
    signals = {name: each for name, each in layer.signals.items() if name != "mask"}
    return LayerFigures(
        path=layer.path,
        cell=layer.cell,
        masked=masked,
        signals=[_of_signal(layer, name, each, counts) for name, each in signals.items()],
    )


def _of_signal(
    layer: StoredLayer, name: str, signal: StoredSignal, counts: Array | None
) -> SignalFigures:
    timesteps, width = timesteps_of(signal), width_of(signal)
    is_over_time = "timesteps" in signal.dims
    kept = layer.kept.get("timesteps") if is_over_time else None
    whole = _Numbers(width)
    unmasked = whole if counts is None or not is_over_time else _Numbers(width)
    gates = _Gates(width)
    of_step = np.zeros(timesteps)
    is_bad = np.zeros(timesteps, bool)
    for start, rows in rows_of(signal):
        steps = np.arange(start, start + len(rows)) % timesteps
        finite = np.isfinite(rows)
        is_bad[steps[~finite.all(axis=1)]] = True
        numbers = np.where(finite, rows, np.nan).astype(np.float64)
        whole.add(numbers)
        read = numbers
        if counts is not None and is_over_time:
            read = numbers[counts[start : start + len(rows)]]
            unmasked.add(read)
        if name == "c":
            np.maximum.at(of_step, steps, np.nan_to_num(np.fmax.reduce(abs(numbers), axis=1)))
        if name in GATES:
            gates.add(read)
    # A layer that reads backward meets the last timestep first.
    reading = slice(None, None, -1 if layer.direction == "backward" else 1)
    bad = np.flatnonzero(is_bad)[reading]
    units = layer.kept.get("units")
    places = units.places if units and len(units.places) == width and name != "x" else None
    dead = unmasked.still if is_over_time and name != "x" and unmasked.rows > 1 else None
    return SignalFigures(
        layer=layer.path,
        signal=name,
        shape=tuple(signal.array.shape),
        timesteps=None if not is_over_time else kept.size if kept else timesteps,
        units=places,
        low=whole.lowest,
        mean=whole.mean,
        high=whole.highest,
        std=whole.std,
        nonfinite=whole.rows * width - whole.count,
        first_nonfinite=_place(kept, int(bad[0])) if is_over_time and bad.size else None,
        closed=gates.share(gates.closed) if name in GATES else None,
        opened=gates.share(gates.opened) if name in GATES else None,
        half_life=gates.half_lives if name in KEEPING and gates.counts.any() else None,
        dead=None if dead is None else tuple(places[at] if places else at for at in dead),
        growth=_growth(of_step[reading]) if name == "c" and kept is None else None,
    )


class _Numbers:
    """The figures of numbers that come in rows, with NaN for what is not finite.

    Args:
        width: How many numbers a row has.
    """

    def __init__(self, width: int) -> None:
        self.rows = self.count = 0
        self._low, self._high = np.full(width, np.inf), np.full(width, -np.inf)
        self._shift: float | None = None
        self._total = self._squares = 0.0

    def add(self, rows: Array) -> None:
        self.rows += len(rows)
        if not len(rows):
            return
        self._low = np.fmin(self._low, np.fmin.reduce(rows))
        self._high = np.fmax(self._high, np.fmax.reduce(rows))
        count = int(np.isfinite(rows).sum())
        if not count:
            return
        self.count += count
        if self._shift is None:  # of numbers around a large one, squares lose what tells them apart
            self._shift = float(rows[np.isfinite(rows)][0])
        with np.errstate(over="ignore"):  # of numbers beyond 1e154 the std is infinite
            apart = rows - self._shift
            self._total += float(np.nansum(apart))
            self._squares += float(np.nansum(apart * apart))

    @property
    def lowest(self) -> float:
        return float(self._low.min()) if self.count else np.nan

    @property
    def highest(self) -> float:
        return float(self._high.max()) if self.count else np.nan

    @property
    def mean(self) -> float:
        return self._total / self.count + (self._shift or 0.0) if self.count else np.nan

    @property
    def std(self) -> float:
        if not self.count:
            return np.nan
        if self._squares == np.inf:
            return np.inf
        mean = self._total / self.count
        return float(np.sqrt(max(self._squares / self.count - mean * mean, 0.0)))

    @property
    def still(self) -> list[int]:
        """The places of a row whose numbers never differ."""
        found = np.flatnonzero((self._high >= self._low) & (self._high - self._low <= STILL))
        return [int(place) for place in found]


class _Gates:
    """How far gates are open, of numbers that come in rows, with NaN for what is not finite."""

    def __init__(self, width: int) -> None:
        self.closed = self.opened = 0
        self.counts = np.zeros(width, np.int64)
        self._logs = np.zeros(width)

    def add(self, rows: Array) -> None:
        self.closed += int((rows < LOW).sum())
        self.opened += int((rows > HIGH).sum())
        self.counts += np.isfinite(rows).sum(axis=0)
        self._logs += np.nansum(np.log2(np.clip(rows, np.finfo(np.float32).tiny, 1)), axis=0)

    def share(self, count: int) -> float | None:
        numbers = int(self.counts.sum())
        return count / numbers if numbers else None

    @property
    def half_lives(self) -> tuple[float, ...]:
        with np.errstate(divide="ignore", invalid="ignore"):
            means = self._logs / self.counts
            lives = np.where(means < 0, -1 / means, np.where(self.counts, np.inf, np.nan))
        return tuple(map(float, lives))


def _or_none(number: float) -> float | None:
    return number if isfinite(number) else None


def _place(kept: Kept | None, index: int) -> int:
    """The timestep that stands at an index, of which perhaps a part was kept."""
    return kept.places[index] if kept else index


def _growth(of_step: Array) -> float | None:
    """The growth of what is largest in each timestep, in the order in which they are read."""
    half, quarter = len(of_step) // 2, len(of_step) // 4
    if not quarter:
        return None
    before, last = float(of_step[:half].max()), float(of_step[-quarter:].max())
    return last / before if before else None
