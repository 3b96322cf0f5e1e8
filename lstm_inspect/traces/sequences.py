"""Takes single sequences out of a trace: what the units of a layer do over the timesteps."""

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, SelectionError
from lstm_inspect.pictures.units_over_time import UnitsOverTime
from lstm_inspect.traces.figures import GATES
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.rows import check_alike, rows_of, timesteps_of, width_of
from lstm_inspect.traces.stored_trace import StoredLayer, StoredSignal, StoredTrace


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
        is_gate=name in GATES,
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
