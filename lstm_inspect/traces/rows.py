"""Reads a recorded signal as rows: one for each timestep of each sequence, a few at a time."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError
from lstm_inspect.traces.stored_trace import StoredLayer, StoredSignal

_ROWS_BYTES = 4 << 20


def timesteps_of(signal: StoredSignal) -> int:
    """How many timesteps a signal has; 1 if it has none, as an initial state."""
    array, dims = signal
    return array.shape[dims.index("timesteps")] if "timesteps" in dims else 1


def width_of(signal: StoredSignal) -> int:
    """How many numbers a signal has at one timestep of one sequence: its units or features."""
    array, dims = signal
    first = dims.index("timesteps") + 1 if "timesteps" in dims else 1
    return math.prod(array.shape[first:])


def rows_of(signal: StoredSignal) -> Iterator[tuple[int, Array]]:
    """Yields the rows of a signal, some at a time.

    Yields:
        The number of the first row, and the rows, (rows, width). Row r is timestep
        ``r % timesteps`` of sequence ``r // timesteps``.
    """
    width = width_of(signal)
    if not width:
        return
    wanted = max(1, _ROWS_BYTES // (width * signal.array.dtype.itemsize)) * width
    pending: list[Array] = []
    size = row = 0
    for block in signal.array.blocks():
        pending.append(block)
        size += block.size
        if size >= wanted:
            joined = np.concatenate(pending)
            whole = size - size % width
            yield row, joined[:whole].reshape(-1, width)
            row += whole // width
            pending, size = [joined[whole:]], size - whole
    if size:
        yield row, np.concatenate(pending).reshape(-1, width)


def sequences_of(signal: StoredSignal, numbers: Iterable[int]) -> Iterator[Array]:
    """Yields some of the sequences of a signal, (timesteps, width) each.

    Args:
        signal: The signal.
        numbers: Which sequences; the numbers rise.
    """
    timesteps, width = timesteps_of(signal), width_of(signal)
    pieces = rows_of(signal)
    start, rows = 0, np.empty((0, width), signal.array.dtype)
    for number in numbers:
        found = np.empty((timesteps, width), signal.array.dtype)
        first, filled = number * timesteps, 0
        while filled < timesteps:
            taken = rows[first + filled - start :][: timesteps - filled]
            found[filled : filled + len(taken)] = taken
            filled += len(taken)
            if filled < timesteps:
                start, rows = next(pieces)
        yield found


def check_alike(layer: StoredLayer) -> None:
    """Refuses a layer of which signals have other numbers of sequences or of timesteps.

    Raises:
        InputError: They have.
    """
    known: dict[str, tuple[str, int]] = {}
    for name, (array, dims) in layer.signals.items():
        shared = dims.index("timesteps") + 1 if "timesteps" in dims else 1
        for dim, size in zip(dims[:shared], array.shape, strict=False):
            first, expected = known.setdefault(dim, (name, size))
            if size != expected:
                raise InputError(
                    f"{layer.path}/{name}: expected {expected} on the axis {dim} as "
                    f"{first} has, received {size}"
                )
