"""Compares two traces, in memory or dumped: their layers, their signals, then their numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from lstm_inspect.checks.diff.two_arrays import EXACT, Tolerance, findings_of, parting
from lstm_inspect.checks.findings import Finding
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.notation import place_text
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.stored_trace import StoredLayer, StoredTrace, open_trace

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
    with open_trace(one, limits) as mine, open_trace(other, limits) as its:
        return diff_traces(mine, its, other, tolerance)


def diff_traces(
    one: StoredTrace, other: StoredTrace, file: Path, tolerance: Tolerance
) -> list[Finding]:
    """Compares two traces as `diff_dumps` does; the findings name ``file``."""
    return list(_diff(one, other, file, tolerance))


def _diff(
    mine: StoredTrace, its: StoredTrace, file: Path, tolerance: Tolerance
) -> Iterator[Finding]:
    for path, layer in mine.layers.items():
        if path in its.layers:
            yield from _diff_layers(layer, its.layers[path], file, tolerance)
        else:
            yield from _missing(layer, layer.signals, {}, file)
    for path, layer in its.layers.items():
        had = mine.layers[path].signals if path in mine.layers else {}
        yield from (
            Finding(rule="extra", file=file, layer=path, field=name, expected=None, found=name)
            for name in layer.signals
            if name not in had
        )


def _missing(
    layer: StoredLayer, names: Iterable[str], there: Iterable[str], file: Path
) -> Iterator[Finding]:
    for name in names:
        yield Finding(
            rule="missing", file=file, layer=layer.path, field=name, expected=name, found=[*there]
        )


def _diff_layers(
    mine: StoredLayer, its: StoredLayer, file: Path, tolerance: Tolerance
) -> Iterator[Finding]:
    value = partial(Finding, rule="value", file=file, layer=mine.path)
    apart = [
        dim for dim in sorted({*mine.kept, *its.kept}) if mine.kept.get(dim) != its.kept.get(dim)
    ]
    for dim in apart:
        expected, found = (str(each.kept.get(dim, "all")) for each in (mine, its))
        yield value(field=dim, expected=expected, found=found)
    for fact in ("cell", "direction"):
        expected, found = getattr(mine, fact), getattr(its, fact)
        if expected != found:
            yield value(field=fact, expected=expected, found=found)
    if apart:
        return  # other steps or units: their numbers say nothing of each other
    for name, (array, dims) in mine.signals.items():
        if name not in its.signals:
            yield from _missing(mine, [name], its.signals, file)
            continue
        other = its.signals[name].array
        if array.dtype.name != other.dtype.name:
            yield value(field=f"{name}.dtype", expected=array.dtype.name, found=other.dtype.name)
        if array.shape != other.shape:
            yield value(field=name, expected=[*array.shape], found=[*other.shape])
        else:
            pairs = zip(array.blocks(), other.blocks(), strict=True)
            parts = parting(array.shape, pairs, tolerance)
            about = partial(Finding, file=file, layer=mine.path, field=name)
            yield from findings_of(parts, about, partial(_place, dims=dims, kept=mine.kept))


def _place(at: tuple[int, ...], dims: Sequence[str], kept: Mapping[str, Kept]) -> str:
    """A place, with the steps and units of the layer where the array has a part of them."""
    places = (
        kept[dim].places[index] if dim in kept else index
        for dim, index in zip(dims, at, strict=True)
    )
    return place_text([*places], dims)
