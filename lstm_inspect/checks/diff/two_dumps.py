"""Compares two traces, in memory or dumped: their layers, their signals, then their numbers."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lstm_inspect.checks.diff.two_arrays import EXACT, Tolerance, findings_of, parting
from lstm_inspect.checks.findings import Finding
from lstm_inspect.errors import InputError
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.notation import place_text
from lstm_inspect.traces.dump_format import ArrayInMemory, StoredArray
from lstm_inspect.traces.dumps import open_dump
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.recording import SCHEMA, Trace, describing, kept_of


class _Signal(NamedTuple):
    """A recorded array, in memory or in a dump, with the names of its axes."""

    array: StoredArray
    dims: tuple[str, ...]


class _Recording(NamedTuple):
    """What of a trace is compared.

    Attributes:
        layers: The cell and the direction of each recurrent layer, by path.
        kept: What each layer has of an axis of which it has a part.
        signals: The arrays by path and signal.
    """

    layers: Mapping[str, Mapping[str, str]]
    kept: Mapping[str, Mapping[str, Kept]]
    signals: Mapping[tuple[str, str], _Signal]


_FACTS = ("cell", "direction")


def diff_dumps(
    one: str | Path,
    other: str | Path,
    tolerance: Tolerance = EXACT,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Finding]:
    """Compares two dumps piece by piece, as they may be larger than memory.

    Args:
        one: The path of a dump that `Trace.save` or ``lstm-inspect trace`` wrote.
        other: The path of the dump to compare with it.
        tolerance: How far apart two numbers may be; not at all unless it is given.
        limits: How large the dumps may be.

    Returns:
        A finding for each difference of the second dump from the first. For a signal it has the
        first number that differs, counted sample by sample, and the largest difference.

    Raises:
        InputError: One of the files is damaged, or is not a dump.
        LimitError: The directory of a dump claims more than the limits allow.
    """
    one, other = Path(one), Path(other)
    with open_dump(one, SCHEMA, limits) as first, open_dump(other, SCHEMA, limits) as second:
        mine, its = _recording(one, *first), _recording(other, *second)
        return list(_diff(mine, its, other, tolerance))


def diff_traces(one: Trace, other: Trace, file: Path, tolerance: Tolerance) -> list[Finding]:
    """Compares two traces in memory, as `diff_dumps` does; the findings name ``file``."""
    mine, its = (
        _Recording(
            layers={
                path: {fact: getattr(layer, fact) for fact in _FACTS}
                for path, layer in trace.items()
            },
            kept={path: layer.kept for path, layer in trace.items()},
            signals={
                (path, signal): _Signal(ArrayInMemory(array), layer.dims_of(signal))
                for path, layer in trace.items()
                for signal, array in layer.signals.items()
            },
        )
        for trace in (one, other)
    )
    return list(_diff(mine, its, file, tolerance))


def _recording(
    path: Path, arrays: Mapping[str, StoredArray], meta: Mapping[str, Any]
) -> _Recording:
    with describing(path):
        layers = {
            layer: {fact: str(described[fact]) for fact in _FACTS}
            for layer, described in meta["layers"].items()
        }
        kept = {
            layer: kept_of(layer, described, arrays) for layer, described in meta["layers"].items()
        }
        signals = {
            (layer, signal): _Signal(arrays[f"{layer}/{signal}"], tuple(map(str, stated["dims"])))
            for layer, described in meta["layers"].items()
            for signal, stated in described["signals"].items()
        }
    for (layer, name), signal in signals.items():
        array = signal.array
        if len(signal.dims) != len(array.shape) or array.dtype.kind not in "fiub":
            raise InputError(
                f"{path}: expected {layer}/{name} to be numbers with the axes {signal.dims}, "
                f"received {array.shape} of {array.dtype}"
            )
    return _Recording(layers, kept, signals)


def _diff(mine: _Recording, its: _Recording, file: Path, tolerance: Tolerance) -> Iterator[Finding]:
    apart = set()
    for layer in [path for path in mine.layers if path in its.layers]:
        ours, theirs = mine.kept[layer], its.kept[layer]
        for dim in sorted({*ours, *theirs}):
            if ours.get(dim) != theirs.get(dim):
                apart.add(layer)
                expected, found = (str(kept.get(dim, "all")) for kept in (ours, theirs))
                yield Finding(
                    rule="value", file=file, layer=layer, field=dim, expected=expected, found=found
                )
        for fact in _FACTS:
            expected, found = mine.layers[layer][fact], its.layers[layer][fact]
            if expected != found:
                yield Finding(
                    rule="value", file=file, layer=layer, field=fact, expected=expected, found=found
                )
    for (layer, name), signal in mine.signals.items():
        finding = partial(Finding, file=file, layer=layer)
        other = its.signals.get((layer, name))
        if layer in apart:
            continue  # other steps or units: their numbers say nothing of each other
        if other is None:
            there = [its_name for its_layer, its_name in its.signals if its_layer == layer]
            yield finding(rule="missing", field=name, expected=name, found=there)
            continue
        dtypes = signal.array.dtype.name, other.array.dtype.name
        if dtypes[0] != dtypes[1]:
            yield finding(rule="value", field=f"{name}.dtype", expected=dtypes[0], found=dtypes[1])
        if signal.array.shape != other.array.shape:
            shapes = list(signal.array.shape), list(other.array.shape)
            yield finding(rule="value", field=name, expected=shapes[0], found=shapes[1])
        else:
            pairs = zip(signal.array.blocks(), other.array.blocks(), strict=True)
            parts = parting(signal.array.shape, pairs, tolerance)
            about = partial(finding, field=name)
            place = partial(_place, dims=signal.dims, kept=mine.kept[layer])
            yield from findings_of(parts, about, place)
    for layer, name in its.signals:
        if (layer, name) not in mine.signals:
            yield Finding(
                rule="extra", file=file, layer=layer, field=name, expected=None, found=name
            )


def _place(at: tuple[int, ...], dims: Sequence[str], kept: Mapping[str, Kept]) -> str:
    """A place, with the steps and units of the layer where the array has a part of them."""
    places = (
        kept[dim].places[index] if dim in kept else index
        for dim, index in zip(dims, at, strict=True)
    )
    return place_text([*places], dims)
