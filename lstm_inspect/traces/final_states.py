"""The states after the last step of a trace, from which another replay may start."""

import math

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError
from lstm_inspect.traces.stored_trace import StoredLayer, StoredSignal, StoredTrace

_STATES = ("h", "c")


def final_states(trace: StoredTrace) -> dict[str, Array]:
    """Takes the states after the last step of each layer, from which the next replay may start.

    Returns:
        (batch, units) for each recorded state of each layer, by its key: ``<path>/h0``.

    Raises:
        InputError: The last step that a layer reads, or some of its units, were not recorded.
    """
    return {
        f"{path}/{state}0": _final_state(f"{path}/{state}", layer, layer.signals[state])
        for path, layer in trace.layers.items()
        for state in _STATES
        if state in layer.signals
    }


def _final_state(key: str, layer: StoredLayer, signal: StoredSignal) -> Array:
    """Takes the last step that a layer reads; only one block of the state is in memory."""
    array, dims = signal
    kept, direction = layer.kept, layer.direction
    axis = dims.index("timesteps")
    timesteps = array.shape[axis]
    steps, units = kept.get("timesteps"), kept.get("units")
    last = (0 if direction == "backward" else steps.size - 1) if steps else None
    if timesteps == 0 or (steps and last not in (steps.runs[0][0], steps.runs[-1][-1])):
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
