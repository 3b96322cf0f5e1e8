"""The loop over time, the same for every cell."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy as np

from lstm_inspect.cells.activations import Array

# Enough timesteps at once to make the projection one large matrix product, few enough that its
# result stays small beside what is recorded.
_BLOCK_BYTES = 16 << 20


class Cell(Protocol):
    """One step of a recurrence; `lstm_inspect.cells.LstmCell` says what each member means."""

    states: tuple[str, ...]
    signals: tuple[str, ...]
    units: int
    dtype: np.dtype[Any]

    def state_shape(self, features: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a state without the batch, from that of x_t."""

    def project(self, x: Array) -> Array:
        """The part of a step that does not depend on the state, for many timesteps at once."""

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Computes one timestep: its states into ``out``, and its gates."""


def run(
    cell: Cell,
    x: Array,
    *,
    initial_state: Mapping[str, Array],
    mask: np.ndarray[Any, np.dtype[np.bool_]] | None,
    record: Collection[str],
    on_step: Callable[[int, int], None] | None = None,
) -> dict[str, Array]:
    """Runs a cell over a sequence, first timestep first.

    Args:
        cell: What to run.
        x: (batch, timesteps, *features), of the cell's dtype.
        initial_state: (batch, *state_shape) for each of the cell's states.
        mask: (batch, timesteps) bool, or None. Where False, the states are carried over; gates
            are recorded as computed.
        record: Signals of the cell to record besides its states.
        on_step: Called with (timesteps done, timesteps in all) after every step.

    Returns:
        (batch, timesteps, *state_shape) for each of the cell's states and each name in ``record``.
    """
    batch, timesteps, *features = x.shape
    shape = cell.state_shape(tuple(features))
    recorded = {
        name: np.empty((batch, timesteps, *shape), cell.dtype)
        for name in cell.signals
        if name in cell.states or name in record
    }
    gates = [name for name in recorded if name not in cell.states]
    kept = None if mask is None else ~mask.reshape(batch, timesteps, *(1 for _ in shape))
    previous = initial_state
    step_bytes = max(1, batch * cell.project(x[:1, :1].swapaxes(0, 1)).nbytes)
    block = max(1, _BLOCK_BYTES // step_bytes)
    for start in range(0, timesteps, block):
        sequence = np.ascontiguousarray(x[:, start : start + block].swapaxes(0, 1))
        for t, projected in enumerate(cell.project(sequence), start):
            out = {state: recorded[state][:, t] for state in cell.states}
            computed = cell.step(projected, previous, out)
            for gate in gates:
                recorded[gate][:, t] = computed[gate]
            if kept is not None:
                for state in cell.states:
                    np.copyto(out[state], previous[state], where=kept[:, t])
            previous = out
            if on_step is not None:
                on_step(t + 1, timesteps)
    return recorded
