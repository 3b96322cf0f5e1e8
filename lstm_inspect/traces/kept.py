"""Which places of an axis a trace has, if it has a part of them."""

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple


class Kept(NamedTuple):
    """The places of an axis that were kept.

    Attributes:
        runs: The places in rising order, as ranges: those at one distance together.
        size: How many places the axis had.
    """

    runs: tuple[range, ...]
    size: int

    @classmethod
    def of(cls, places: Sequence[int], size: int) -> "Kept":
        """What was kept of an axis of this size: these places, which rise."""
        return cls(tuple(_runs(places)), size)

    def __str__(self) -> str:
        """The places as an option has them: ``0:100:10 of 200``."""
        return f"{','.join(map(_run_text, self.runs))} of {self.size}"

    @property
    def places(self) -> tuple[int, ...]:
        """The places; the first stands at index 0 of the array."""
        return tuple(place for run in self.runs for place in run)

    def before(self, place: int) -> int:
        """How many of the places stand before a place of the axis."""
        return sum(len(range(run.start, min(run.stop, place), run.step)) for run in self.runs)

    @property
    def taking(self) -> slice | list[int]:
        """The index that takes these places from an axis; a slice takes them without a copy."""
        if len(self.runs) == 1:
            (run,) = self.runs
            return slice(run.start, run.stop, run.step)
        return [*self.places]

    def as_json(self) -> dict[str, Any]:
        """The places as plain JSON data."""
        return {"places": [[run.start, run.stop, run.step] for run in self.runs], "of": self.size}

    @classmethod
    def from_json(cls, data: dict[str, Any], length: int) -> "Kept":
        """Reads what `as_json` wrote.

        Args:
            data: The data.
            length: How long the axis of the array is.

        Raises:
            ValueError: The data have another form, or the places are no such part of an axis.
        """
        runs, size = tuple(range(*run) for run in data["places"]), data["of"]
        if type(size) is not int or size > sys.maxsize:
            raise ValueError(f"expected the size of an axis, received {data!r:.80}")
        rises = all(run.step > 0 and run for run in runs)
        # The first place is after the start, and the last is before the end.
        ends = [range(-1, 0), *runs, range(size, size + 1)]
        if not (rises and all(one[-1] < other[0] for one, other in pairwise(ends))):
            raise ValueError(f"expected places that rise within an axis, received {data!r:.80}")
        if sum(map(len, runs)) != length:
            raise ValueError(f"expected {length} places of an axis, received {data!r:.80}")
        return cls(runs, size)


def _runs(places: Sequence[int]) -> Iterator[range]:
    start = 0
    while start < len(places):
        stop = start + 1
        step = places[stop] - places[start] if stop < len(places) else 1
        while stop < len(places) and places[stop] - places[stop - 1] == step:
            stop += 1
        if stop - start == 2 and stop < len(places):  # two places are no run if more follow
            stop, step = start + 1, 1
        yield range(places[start], places[stop - 1] + 1, step)
        start = stop


def _run_text(run: range) -> str:
    if len(run) == 1 or (len(run) == 2 and run.step > 1):
        return ",".join(map(str, run))
    return f"{run.start}:{run.stop}" + (f":{run.step}" if run.step > 1 else "")
