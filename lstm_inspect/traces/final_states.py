"""The states after the last step of a recorded layer, from which another replay may start."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError
from lstm_inspect.traces.dump_format import StoredArray
from lstm_inspect.traces.kept import Kept

STATES = ("h", "c")


def final_state(
    key: str, array: StoredArray, dims: Sequence[str], kept: Mapping[str, Kept], direction: str
) -> Array:
    """Takes the last step that a layer reads from a state at each timestep.

    Args:
        key: The key of the state, for errors.
        array: The state at each timestep; only one block of it is in memory.
        dims: Its axes.
        kept: What was kept of these axes.
        direction: The direction of the layer; the last step of ``"backward"`` is step 0.

    Returns:
        The state, without the axis of the timesteps.

    Raises:
        InputError: The last step or some of the units were not kept.
    """
    axis = dims.index("timesteps")
    timesteps = array.shape[axis]
    steps, units = kept.get("timesteps"), kept.get("units")
    last = (0 if direction == "backward" else steps.size - 1) if steps else None
    if timesteps == 0 or (steps and last not in (steps.places[0], steps.places[-1])):
        raise InputError(f"{key}: expected the last step that the layer reads, kept are {steps}")
    if units:
        raise InputError(f"{key}: expected all units, kept are {units}")
    at = 0 if direction == "backward" else timesteps - 1
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    size = math.prod(after)
    starts = (np.arange(math.prod(before)) * timesteps + at) * size
    places = (starts[:, np.newaxis] + np.arange(size)).reshape(-1)
    state = np.empty(places.size, array.dtype)
    start = 0
    for block in array.blocks():
        first, stop = np.searchsorted(places, (start, start + block.size))
        state[first:stop] = block[places[first:stop] - start]
        start += block.size
    return state.reshape(*before, *after)
