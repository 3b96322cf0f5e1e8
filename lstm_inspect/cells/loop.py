"""The loop over time, the same for every cell."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.kind import CellKind

# Timesteps are projected in blocks of this size: large enough for an efficient matrix product,
# small in comparison with the arrays that are recorded.
_BLOCK_BYTES = 16 << 20


class Cell(Protocol):
    """One step of a recurrence; `lstm_inspect.cells.LstmCell` explains each member."""

    kind: CellKind
    dtype: np.dtype[Any]

    def shapes(self, features: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        """The shape of each state and gate without batch and timesteps, for the shape of x_t."""

    def numbers(self, features: tuple[int, ...]) -> int:
        """How many numbers one timestep of one sequence takes, for the shape of x_t."""

    def project(self, x: Array) -> Array:
        """Computes the part of a step that needs no state, for many timesteps at once."""

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Computes one timestep: writes its states into ``out`` and returns its gates."""


def run(
    cell: Cell,
    x: Array,
    *,
    initial_state: Mapping[str, Array],
    mask: Array | None,
    record: Collection[str],
    on_step: Callable[[int, int], None] | None = None,
) -> dict[str, Array]:
    """Runs a cell over a sequence, first timestep first.

    Args:
        cell: The cell.
        x: (batch, timesteps, *features), in the cell's dtype.
        initial_state: (batch, *shape) for each of the cell's states.
        mask: (batch, timesteps) bool, or None. At a step where it is False, the states stay as they
            were. The gates are still recorded as computed.
        record: The gates to record in addition to the states.
        on_step: Called after every step with the timesteps done and the number of all timesteps.

    Returns:
        (batch, timesteps, *shape) for each of the cell's states and each gate in ``record``.
    """
    batch, timesteps, *features = x.shape
    shapes = cell.shapes(tuple(features))
    states = tuple(cell.kind.states)
    gates = [gate for gate in cell.kind.gates if gate in record]
    recorded = {
        name: np.empty((batch, timesteps, *shapes[name]), cell.dtype) for name in (*states, *gates)
    }
    previous = initial_state
    block = max(1, _BLOCK_BYTES // max(1, _bytes_of_step(cell, x)))
    for start in range(0, timesteps, block):
        sequence = np.ascontiguousarray(x[:, start : start + block].swapaxes(0, 1))
        for t, projected in enumerate(cell.project(sequence), start):
            out = {state: recorded[state][:, t] for state in states}
            computed = cell.step(projected, previous, out)
            for gate in gates:
                recorded[gate][:, t] = computed[gate]
            if mask is not None:
                for state in states:
                    masked = ~mask[:, t].reshape(batch, *(1 for _ in shapes[state]))
                    np.copyto(out[state], previous[state], where=masked)
            previous = out
            if on_step is not None:
                on_step(t + 1, timesteps)
    return recorded


def bytes_of_run(cell: Cell, x: Array, record: Collection[str]) -> int:
    """How much memory `run` takes for these arguments."""
    shapes = cell.shapes(x.shape[2:])
    numbers = sum(math.prod(shapes[name]) for name in {*cell.kind.states, *record} & {*shapes})
    step, recorded = _bytes_of_step(cell, x), x.shape[0] * x.shape[1] * numbers
    # A step has a few arrays of its own that are as wide as its gates.
    block = max(min(_BLOCK_BYTES, x.shape[1] * step), step)
    needed: int = recorded * cell.dtype.itemsize + block + 4 * step
    return needed


def _bytes_of_step(cell: Cell, x: Array) -> int:
    numbers = len(x) * cell.numbers(x.shape[2:])
    itemsize: int = cell.dtype.itemsize
    return numbers * itemsize
