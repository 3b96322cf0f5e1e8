"""The part of a page that shows numbers: which of them it has room for, and how it holds them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.errors import InputError
from lstm_inspect.notation import counted, printable
from lstm_inspect.page.packing import MOST_PACKED, packed_numbers, rounded
from lstm_inspect.pictures.units_over_time import UnitsOverTime, by_layer

ROOM = 27_000_000
"""Bytes of text for all numbers of a page. With the library that draws it, a page stays below
30 MB."""

_MOST_STEPS = 16_384
"""Browsers draw no picture that is much wider."""

_EXACT = 16 / 3
"""Bytes of text for a number that is not rounded: four bytes, written in base64."""


@dataclass(frozen=True, kw_only=True)
class Explorer:
    """What the script of a page shows.

    Attributes:
        described: The layers, their signals and the samples, as JSON data.
        numbers: The packed numbers of each sample: (units, timesteps) by layer, signal and sample.
        notes: What the page leaves out, in sentences.
    """

    described: Mapping[str, Any]
    numbers: Sequence[Mapping[str, str]]
    notes: Sequence[str]


class _Packed(NamedTuple):
    """The numbers of a signal or a mask of one sample.

    Attributes:
        text: The numbers, packed.
        ends: The smallest and the largest finite number; infinite if there is none.
    """

    text: str
    ends: tuple[float, float]


def explorer_of(
    taken: Iterable[UnitsOverTime],
    samples: Sequence[int],
    labels: Sequence[Sequence[str]] | None,
) -> Explorer:
    """Packs samples until the room is full.

    If all samples do not fit as they are, numbers are rounded; if one does not fit even then, it
    keeps every k-th timestep.

    Args:
        taken: The signals of each sample, sample by sample; at least one.
        samples: The numbers of the samples.
        labels: A label for each timestep: one list for all samples, or one for each of them.

    Raises:
        InputError: There are other labels than timesteps, or a number is too large for float32.
    """
    groups = (list(each) for _, each in groupby(taken, key=lambda shown: shown.sample))
    first = next(groups)
    _check_labels(labels, first)
    size = sum(shown.numbers.size for shown in first)
    is_exact = size * len(samples) * _EXACT <= ROOM
    steps = max(len(shown.steps) for shown in first)
    stride = max(ceil(size * MOST_PACKED / ROOM), ceil(steps / _MOST_STEPS))
    kept: list[Mapping[str, _Packed]] = []
    filled = 0
    for group in chain([first], groups):
        of_sample = dict(_packed(group, stride, is_exact=is_exact))
        filled += sum(len(each.text) for each in of_sample.values())
        if kept and filled > ROOM:
            break
        kept.append(of_sample)
    notes = []
    if len(kept) < len(samples):
        notes.append(
            f"There is room for {len(kept)} of {counted(len(samples), 'sample')}. "
            "Choose with --samples, --layer and --signal."
        )
    if stride > 1:
        notes.append(
            f"There is room for one of {stride} timesteps. Choose with --layer and --signal."
        )
    if not is_exact:
        notes.append("Numbers are rounded to about four digits.")
    described = {
        "digits": 6 if is_exact else 4,
        "samples": list(samples[: len(kept)]),
        "layers": _layers(first, stride, kept),
        "labels": labels and [[printable(each) for each in line[::stride]] for line in labels],
    }
    numbers = [
        {f"{name}/{number}": each.text for name, each in of_sample.items()}
        for number, of_sample in enumerate(kept)
    ]
    return Explorer(described=described, numbers=numbers, notes=notes)


def _packed(
    group: Sequence[UnitsOverTime], stride: int, *, is_exact: bool
) -> Iterator[tuple[str, _Packed]]:
    """Packs the signals of a sample and the masks of its layers, by layer and signal."""
    for layer, members in enumerate(by_layer(group)):
        if members[0].masked is not None:
            masked = np.array(members[0].masked[::stride], np.float32)
            yield f"{layer}/mask", _Packed(packed_numbers(masked), (0.0, 1.0))
        for shown in members:
            numbers = shown.numbers[::stride].T
            with np.errstate(over="ignore"):
                single = numbers.astype(np.float32)
            finite = single[np.isfinite(single)]
            if finite.size != np.isfinite(numbers).sum():
                raise InputError(
                    f"{shown.layer}/{shown.signal}: expected numbers that fit float32, received "
                    "larger ones"
                )
            yield (
                f"{layer}/{shown.signal}",
                _Packed(
                    packed_numbers(single if is_exact else rounded(single)),
                    (float(finite.min(initial=np.inf)), float(finite.max(initial=-np.inf))),
                ),
            )


def _layers(
    group: Sequence[UnitsOverTime], stride: int, kept: Sequence[Mapping[str, _Packed]]
) -> list[dict[str, Any]]:
    return [
        {
            "path": printable(members[0].layer),
            "steps": [*members[0].steps[::stride]],
            "masked": members[0].masked is not None,
            "signals": [
                {
                    "name": printable(shown.signal),
                    "units": [*shown.units],
                    "axis": shown.axis,
                    "gate": shown.is_gate,
                    "notes": [*shown.notes],
                    "scale": shown.scale([each[f"{layer}/{shown.signal}"].ends for each in kept]),
                }
                for shown in members
            ],
        }
        for layer, members in enumerate(by_layer(group))
    ]


def _check_labels(labels: Sequence[Sequence[str]] | None, group: Sequence[UnitsOverTime]) -> None:
    timesteps = {len(shown.steps) for shown in group}
    for number, each in enumerate(labels or ()):
        if len(each) not in timesteps:
            expected = " or ".join(map(str, sorted(timesteps)))
            raise InputError(
                f"labels: expected {expected}, one for each timestep, received {len(each)} for "
                f"sample {number}"
            )
