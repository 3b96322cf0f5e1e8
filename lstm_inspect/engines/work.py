"""What an engine is given, and what it gives back."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lstm_inspect.arrays import Array
from lstm_inspect.cells import Cell

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


class Computed(NamedTuple):
    """What came of a run, in the cell's dtype.

    Attributes:
        recorded: (batch, steps, *shape) for each recorded signal.
        sequence: (batch, timesteps, *shape) of the first state, if it was wanted.
        final_states: (batch, *shape) for each state after the last step.
    """

    recorded: Mapping[str, Array]
    sequence: Array | None
    final_states: Mapping[str, Array]
