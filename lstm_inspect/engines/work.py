"""What an engine is given, and what it gives back."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import Cell

OnSteps = Callable[[int], None]
"""Called with how many more timesteps of how many sequences are done: their product."""

TIME_BLOCK = 64
"""A run of some timesteps has the bits of a run of all, if it starts and ends at a multiple of it.

It may also end with the last timestep. BLAS chooses its order of additions by the number of rows,
so the same timesteps have to be projected together.
"""


class Work(NamedTuple):
    """A cell, and the sequences to run it over, first timestep first.

    Attributes:
        cell: The cell.
        x: (batch, timesteps, *features), in the cell's dtype.
        initial_state: (batch, *shape) for each of the cell's states.
        mask: (batch, timesteps) bool, or None. At a step where it is False, the states stay as they
            were. The gates are still recorded as computed.
    """

    cell: Cell
    x: Array
    initial_state: Mapping[str, Array]
    mask: Array | None

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each state and gate without batch and timesteps."""
        return self.cell.shapes(self.x.shape[2:])


class Wanted(NamedTuple):
    """What is kept of a run.

    Attributes:
        signals: The states and gates to record.
        steps: The timesteps to record them at, in rising order.
        units: Which units to record, by their place on the last axis; None for all.
        sequence: Whether the first state is wanted at every timestep, for the next layer.
    """

    signals: Sequence[str]
    steps: Sequence[int]
    units: Sequence[int] | None
    sequence: bool

    def is_whole(self, timesteps: int) -> bool:
        """Whether each signal is recorded at all timesteps and units."""
        return self.units is None and len(self.steps) == timesteps

    def cut(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what is recorded of a state or gate."""
        return shape if self.units is None else (*shape[:-1], len(self.units))


class Computed(NamedTuple):
    """What came of a run, in the cell's dtype.

    Attributes:
        recorded: (batch, steps, *shape) for each recorded signal.
        sequence: (batch, timesteps, *shape) of the first state, if it was wanted. It may be one of
            the recorded arrays.
        final_states: (batch, *shape) for each state after the last step.
    """

    recorded: Mapping[str, Array]
    sequence: Array | None
    final_states: Mapping[str, Array]

    @classmethod
    def room_for(cls, work: Work, wanted: Wanted) -> "Computed":
        """Arrays for what will come of a run."""
        batch, timesteps = work.x.shape[:2]
        shapes, dtype = work.shapes, work.cell.dtype
        recorded = {
            name: np.empty((batch, len(wanted.steps), *wanted.cut(shapes[name])), dtype)
            for name in wanted.signals
        }
        first = work.cell.kind.output
        sequence = None
        if wanted.sequence:
            is_recorded = first in recorded and wanted.is_whole(timesteps)
            whole = (batch, timesteps, *shapes[first])
            sequence = recorded[first] if is_recorded else np.empty(whole, dtype)
        final_states = {
            state: np.empty((batch, *shapes[state]), dtype) for state in work.cell.kind.states
        }
        return cls(recorded, sequence, final_states)

    def keep(
        self, work: Work, wanted: Wanted, rows: slice, start: int, signals: Mapping[str, Array]
    ) -> None:
        """Takes what is wanted of some timesteps of some sequences.

        Args:
            work: What is run.
            wanted: What to keep.
            rows: The sequences.
            start: The first of the timesteps.
            signals: (timesteps, sequences, *shape) for each signal that is wanted.
        """
        output = work.cell.kind.output
        stop = start + len(next(iter(signals.values()), ()))
        low, high = (bisect_left(wanted.steps, step) for step in (start, stop))
        whole = high - low == stop - start
        at = slice(None) if whole else [step - start for step in wanted.steps[low:high]]
        for name, array in self.recorded.items():
            taken = signals[name][at].swapaxes(0, 1)
            array[rows, low:high] = taken if wanted.units is None else taken[..., wanted.units]
        if self.sequence is not None and self.sequence is not self.recorded.get(output):
            self.sequence[rows, start:stop] = signals[output].swapaxes(0, 1)


def bytes_of_results(work: Work, wanted: Wanted) -> int:
    """How much memory the results of a run take."""
    batch, timesteps = work.x.shape[:2]
    shapes = work.shapes
    numbers = len(wanted.steps) * sum(
        math.prod(wanted.cut(shapes[name])) for name in wanted.signals
    )
    if wanted.sequence:
        numbers += timesteps * math.prod(shapes[work.cell.kind.output])
    needed: int = batch * numbers * work.cell.dtype.itemsize
    return needed


class Engine(Protocol):
    """A way to run cells; each engine is a module."""

    def version(self) -> str:
        """Its name and the version of its library, as a dump says them: ``"numpy 2.4.6"``."""

    def why_not(self, cell: Cell) -> str | None:
        """Why it cannot run a cell, in a few words; None if it can."""

    def run(self, work: Work, wanted: Wanted, on_steps: OnSteps | None = None) -> Computed:
        """Runs a cell over sequences.

        Args:
            work: The cell and the sequences.
            wanted: What to keep.
            on_steps: Called now and then, one thread at a time.
        """

    def bytes_of_run(self, work: Work, wanted: Wanted) -> int:
        """How much memory `run` takes."""
