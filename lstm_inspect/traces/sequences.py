"""Takes single sequences out of a trace: what the units of a layer do over the timesteps."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from math import prod

from lstm_inspect.errors import InputError, SelectionError
from lstm_inspect.pictures.units_over_time import UnitsOverTime
from lstm_inspect.traces.figures import GATES
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.rows import check_alike, sequences_of, timesteps_of, width_of
from lstm_inspect.traces.stored_trace import StoredLayer, StoredSignal, StoredTrace


def samples_of(trace: StoredTrace) -> Sequence[int]:
    """The samples that were recorded, by their numbers in the input."""
    for layer in trace.layers.values():
        for array, _ in layer.signals.values():
            return _places(layer.kept.get("batch"), array.shape[0])
    return ()


def one_sample(trace: StoredTrace, sample: int | None) -> Sequence[int]:
    """The number of a sample, as `units_over_time` takes it; None is the first recorded one."""
    return samples_of(trace)[:1] if sample is None else [sample]


def units_over_time(
    trace: StoredTrace, signals: Sequence[str], samples: Sequence[int]
) -> Iterator[UnitsOverTime]:
    """Takes samples out of a trace one after the other: of each, some signals of each layer.

    The rest of a dump is not kept in memory.

    Args:
        trace: The trace.
        signals: The signals; those that a layer does not have are left out. ``"all"`` is all. None
            given are h and c, as far as they were recorded.
        samples: The numbers of the samples, which rise.

    Raises:
        SelectionError: No layer has one of the signals.
        InputError: A sample was not recorded, or there is nothing to show.
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
            raise SelectionError(f"signal {name}: {_why_not(trace, name)}; there are {there}")
    signals = signals or [name for name in ("h", "c") if name in recorded] or ["all"]
    taken = [
        _of_signal(layer, name, samples)
        for layer in trace.layers.values()
        for name in recorded
        if name in layer.signals and (name in signals or "all" in signals)
    ]
    if not taken or not samples:
        raise InputError("expected signals over timesteps to show, received none; record h or c")
    for of_sample in zip(*taken, strict=True):
        yield from of_sample


def _of_signal(layer: StoredLayer, name: str, samples: Sequence[int]) -> Iterator[UnitsOverTime]:
    check_alike(layer)
    signal = layer.signals[name]
    if 0 in signal.array.shape:
        raise InputError(f"{layer.path}/{name}: expected numbers, received an empty array")
    numbers = _sequences(layer, signal, samples)
    mask = layer.signals.get("mask")
    masks = repeat(None) if mask is None else sequences_of(mask, numbers)
    for sample, found, counts in zip(samples, sequences_of(signal, numbers), masks, strict=False):
        yield UnitsOverTime(
            layer=layer.path,
            signal=name,
            sample=sample,
            numbers=found,
            steps=_places(layer.kept.get("timesteps"), timesteps_of(signal)),
            units=_places(layer.kept.get("units") if name != "x" else None, width_of(signal)),
            masked=None if counts is None else (~counts[:, 0].astype(bool)).tolist(),
            is_gate=name in GATES,
            notes=_notes_of(signal),
        )


def _sequences(layer: StoredLayer, signal: StoredSignal, samples: Sequence[int]) -> list[int]:
    """Which of the sequences in an array is the first one of each sample."""
    recorded = _places(layer.kept.get("batch"), signal.array.shape[0])
    at = {sample: place for place, sample in enumerate(recorded)}
    for sample in samples:
        if sample not in at:
            there = layer.kept.get("batch") or f"0 to {len(recorded) - 1}"
            raise InputError(f"sample {sample}: expected one of {there}")
    # Inside of a TimeDistributed, a sample has a sequence for each outer timestep.
    outer = prod(signal.array.shape[1 : signal.dims.index("timesteps")])
    return [at[sample] * outer for sample in samples]


def _why_not(trace: StoredTrace, name: str) -> str:
    is_there = any(name in layer.signals for layer in trace.layers.values())
    return "cannot be shown alone" if is_there else "was not recorded"


def _notes_of(signal: StoredSignal) -> list[str]:
    (shape, dims), notes = (signal.array.shape, signal.dims), []
    time = dims.index("timesteps")
    if prod(shape[1:time]) > 1:
        notes.append(f"the first of {prod(shape[1:time])} sequences of the sample")
    if len(shape) > time + 2:
        sizes = " x ".join(map(str, shape[time + 1 :]))
        notes.append(f"counted over {' x '.join(dims[time + 1 :])}: {sizes}")
    return notes


def _places(kept: Kept | None, size: int) -> Sequence[int]:
    return range(size) if kept is None or len(kept.places) != size else kept.places
