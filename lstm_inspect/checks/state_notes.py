"""What is notable about recorded states, each in one plain sentence with its threshold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isnan
from pathlib import Path
from typing import Any

from lstm_inspect.notation import counted, with_nulls
from lstm_inspect.traces.figures import HIGH, LOW, STILL, LayerFigures, SignalFigures

SCHEMA = 1

KINDS = ("nonfinite", "dead", "saturated", "large", "growing", "forgetful", "lasting", "masked")
"""What a note may be about."""

_SATURATED = 0.5
_LARGE = 5.0
_GROWING = 1.5
_FORGETFUL = 1.0
_MASKED = 0.5
_LISTED = 8


@dataclass(frozen=True, kw_only=True)
class StateNote:
    """Something notable about a layer or one of its signals.

    Attributes:
        kind: One of `KINDS`.
        layer: The path of the layer.
        signal: The signal; None if the note is about the layer.
        value: The figure that is notable.
        threshold: The figure from which it is.
        text: The sentence.
    """

    kind: str
    layer: str
    signal: str | None
    value: float
    threshold: float
    text: str

    def as_json(self) -> dict[str, Any]:
        """The note as plain JSON data."""
        return with_nulls(asdict(self))


def notes_of(layers: Iterable[LayerFigures]) -> list[StateNote]:
    """What is notable about the figures of layers, layer by layer."""
    return [note for layer in layers for note in _of_layer(layer)]


def stats_as_json(
    dump: Path,
    model: Mapping[str, str | None],
    layers: Iterable[LayerFigures],
    notes: Iterable[StateNote],
) -> dict[str, Any]:
    """What ``stats --format json`` prints.

    Args:
        dump: The path of the dump.
        model: What the dump says of its model.
        layers: The figures of its layers.
        notes: What is notable about them.
    """
    return {
        "schema": SCHEMA,
        "dump": str(dump),
        "model": dict(model),
        "layers": [layer.as_json() for layer in layers],
        "notes": [note.as_json() for note in notes],
    }


def _of_layer(layer: LayerFigures) -> Iterator[StateNote]:
    if layer.masked is not None and layer.masked >= _MASKED:
        yield StateNote(
            kind="masked",
            layer=layer.path,
            signal=None,
            value=layer.masked,
            threshold=_MASKED,
            text=f"{layer.path}: {layer.masked:.0%} of the timesteps are masked; notable from "
            f"{_MASKED:.0%}",
        )
    for figures in layer.signals:
        yield from _of_signal(figures)


def _of_signal(figures: SignalFigures) -> Iterator[StateNote]:
    def note(kind: str, value: float, threshold: float, says: str) -> StateNote:
        return StateNote(
            kind=kind,
            layer=figures.layer,
            signal=figures.signal,
            value=value,
            threshold=threshold,
            text=f"{figures.key}: {says}",
        )

    signal = figures.signal
    if figures.nonfinite:
        verb = "is" if figures.nonfinite == 1 else "are"
        what = f"{counted(figures.nonfinite, 'number')} {verb} NaN or infinite"
        step = figures.first_nonfinite
        when = "" if step is None else f", first at timestep {step}"
        yield note("nonfinite", figures.nonfinite, 1, f"{what}{when}")
    if figures.dead:
        count = len(figures.dead)
        never = "units never move" if count > 1 else "unit never moves"
        says = f"{count} {never} by more than {STILL:g}: {_listed(figures.dead)}"
        yield note("dead", count, 1, says)
    if figures.closed is not None and figures.opened is not None:
        share = figures.closed + figures.opened
        if share >= _SATURATED:
            yield note(
                "saturated",
                share,
                _SATURATED,
                f"{share:.0%} of the gate is saturated: {figures.closed:.0%} below {LOW}, "
                f"{figures.opened:.0%} above {HIGH}; notable from {_SATURATED:.0%}",
            )
    largest = max(abs(figures.low), abs(figures.high))
    if signal == "c" and largest >= _LARGE:
        yield note(
            "large", largest, _LARGE, f"reaches {largest:.3g}; beyond {_LARGE:g}, tanh(c) is flat"
        )
    if figures.growth is not None and figures.growth >= _GROWING:
        yield note(
            "growing",
            figures.growth,
            _GROWING,
            f"the largest |c| in the last quarter of the timesteps is {figures.growth:.3g} times "
            f"that in the first half; notable from {_GROWING:g}",
        )
    middle = figures.middle_half_life
    if figures.half_life and middle is not None and figures.timesteps:
        longest = max(life for life in figures.half_life if not isnan(life))
        if middle <= _FORGETFUL:
            time = f"{middle:.2g}"
            yield note(
                "forgetful",
                middle,
                _FORGETFUL,
                f"half of the state is gone after {time} timestep{'' if time == '1' else 's'}, in "
                f"the median of the units; notable up to {_FORGETFUL:g}",
            )
        if longest >= figures.timesteps:
            place = figures.half_life.index(longest)
            unit = figures.units[place] if figures.units else place
            lasting = "for ever" if longest == inf else f"for {longest:.3g} timesteps"
            yield note(
                "lasting",
                longest,
                figures.timesteps,
                f"unit {unit} keeps half of its state {lasting}; the sequences have "
                f"{figures.timesteps}",
            )


def _listed(units: Sequence[int]) -> str:
    more = f" and {len(units) - _LISTED} more" if len(units) > _LISTED else ""
    return f"{', '.join(map(str, units[:_LISTED]))}{more}"
