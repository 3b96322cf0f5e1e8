"""Figures of recorded signals: their range, and what units and gates do over time."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.notation import with_nulls
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
        first_nonfinite: The earliest timestep with one of them.
        closed: Of a gate, the share of numbers below `LOW`. Masked steps do not count here and in
            the next two.
        opened: Of a gate, the share of numbers above `HIGH`.
        half_life: Of a gate that keeps a state, after how many timesteps half of it is left, for
            each unit: ``-1 / mean(log2(gate))``. Infinite if the gate is always open.
        dead: The units that never move over all samples and timesteps.
        growth: Of c, the largest |c| in the last quarter of the timesteps that the layer reads,
            divided by that in the first half.
    """

    layer: str
    signal: str
    shape: tuple[int, ...]
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
    is_gate = name in GATES
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    of_step = np.zeros(timesteps)
    finite_count = nonfinite = closed = opened = gate_count = 0
    total = squares = 0.0
    logs = np.zeros(width)
    first_nonfinite: int | None = None
    for start, rows in rows_of(signal):
        steps = np.arange(start, start + len(rows)) % timesteps
        finite = np.isfinite(rows)
        if not finite.all():
            bad = steps[~finite.all(axis=1)]
            first = int(bad.min())
            first_nonfinite = first if first_nonfinite is None else min(first_nonfinite, first)
        numbers = np.where(finite, rows, np.nan).astype(np.float64)
        low = np.fmin(low, np.fmin.reduce(numbers))
        high = np.fmax(high, np.fmax.reduce(numbers))
        count = int(finite.sum())
        finite_count += count
        nonfinite += rows.size - count
        total += float(np.nansum(numbers))
        with np.errstate(over="ignore"):  # of numbers beyond 1e154 the std is infinite
            squares += float(np.nansum(numbers * numbers))
        if name == "c":
            np.maximum.at(of_step, steps, np.nan_to_num(np.fmax.reduce(abs(numbers), axis=1)))
        if is_gate:
            read = numbers if counts is None else numbers[counts[start : start + len(rows)]]
            gate_count += len(read)
            closed += int((read < LOW).sum())
            opened += int((read > HIGH).sum())
            logs += np.nansum(np.log2(np.clip(read, np.finfo(np.float32).tiny, 1)), axis=0)
    mean = total / finite_count if finite_count else np.nan
    spread = squares / finite_count - mean * mean if finite_count else np.nan
    kept = layer.kept.get("timesteps")
    return SignalFigures(
        layer=layer.path,
        signal=name,
        shape=tuple(signal.array.shape),
        low=float(low.min(initial=np.inf)) if finite_count else np.nan,
        mean=mean,
        high=float(high.max(initial=-np.inf)) if finite_count else np.nan,
        std=float(np.sqrt(max(spread, 0.0))) if finite_count else np.nan,
        nonfinite=nonfinite,
        first_nonfinite=_place(kept.places if kept else None, first_nonfinite),
        closed=closed / (gate_count * width) if gate_count else None,
        opened=opened / (gate_count * width) if gate_count else None,
        half_life=_half_lives(logs, gate_count) if name in KEEPING and gate_count else None,
        dead=_dead(layer, low, high) if is_over_time and name != "x" else None,
        growth=_growth(of_step[:: -1 if layer.direction == "backward" else 1])
        if name == "c"
        else None,
    )


def _or_none(number: float) -> float | None:
    return number if isfinite(number) else None


def _place(places: Sequence[int] | None, index: int | None) -> int | None:
    """The step or unit that stands at an index, of which perhaps a part was kept."""
    return index if places is None or index is None else places[index]


def _half_lives(logs: Array, count: int) -> tuple[float, ...]:
    means = logs / count
    with np.errstate(divide="ignore"):
        return tuple(float(each) for each in np.where(means < 0, -1 / means, np.inf))


def _dead(layer: StoredLayer, low: Array, high: Array) -> tuple[int, ...]:
    kept = layer.kept.get("units")
    places = kept.places if kept and len(kept.places) == len(low) else None
    found = np.flatnonzero((high >= low) & (high - low <= STILL))
    return tuple(int(unit) if places is None else places[unit] for unit in found)


def _growth(of_step: Array) -> float | None:
    """The growth of what is largest in each timestep, in the order in which they are read."""
    quarter = len(of_step) // 4
    if not quarter:
        return None
    before, last = float(of_step[: 2 * quarter].max()), float(of_step[-quarter:].max())
    return last / before if before else None
