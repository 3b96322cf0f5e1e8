"""Runs a cell step by step in NumPy, with pieces of the batch in threads.

NumPy holds no lock while it computes, so two pieces run at the same time. Each has one thread of
BLAS: the products of one timestep are small, and threads of BLAS that wait for each other cost more
than they give.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import Cell, Scratch
from lstm_inspect.engines.threads import pieces_of, run_pieces, thread_count
from lstm_inspect.engines.work import TIME_BLOCK, Computed, OnSteps, Wanted, Work, bytes_of_results

# Timesteps are projected, computed and then recorded in blocks of this size: large enough for an
# efficient matrix product, small enough to stay in the cache meanwhile.
_BLOCK_BYTES = 4 << 20
# A piece of the batch takes at least so much in a step, or its thread waits for Python more than it
# computes; and it is no larger than so much or so many sequences, which stay in the cache.
_LEAST_PIECE_BYTES = 48 << 10
_MOST_PIECE_BYTES = 512 << 10
_MOST_PIECE = 256


def version() -> str:
    """The name of the engine and the version of NumPy."""
    return f"numpy {np.__version__}"


def why_not(cell: Cell) -> str | None:
    """It runs every cell: each one has its equations in NumPy."""
    return None


def run(work: Work, wanted: Wanted, on_steps: OnSteps | None = None) -> Computed:
    """Runs a cell over sequences; see `Engine.run`."""
    computed = Computed.room_for(work, wanted)
    with _one_thread_of_blas():
        run_pieces(partial(_run_piece, work, wanted, computed), _pieces(work), on_steps)
    return computed


def _run_piece(
    work: Work,
    wanted: Wanted,
    computed: Computed,
    rows: slice,
    told: OnSteps,
) -> None:
    """Runs some of the sequences, and writes what came of them."""
    cell, x = work.cell, work.x[rows]
    mask = None if work.mask is None else work.mask[rows]
    masked_at = set() if mask is None else {*np.flatnonzero(~mask.all(axis=0)).tolist()}
    block = max(1, min(_steps_of_block(_bytes_of_step(work, len(x))), x.shape[1]))
    scratch = Scratch(cell.dtype)
    previous = {state: np.array(array[rows]) for state, array in work.initial_state.items()}
    states = {state: scratch(state, (block, *array.shape)) for state, array in previous.items()}
    for start in range(0, x.shape[1], block):
        steps = np.ascontiguousarray(x[:, start : start + block].swapaxes(0, 1))
        projected = cell.project(steps, scratch)
        before: Mapping[str, Array] = previous
        for number, of_step in enumerate(projected):
            after = {state: array[number] for state, array in states.items()}
            cell.step(of_step, before, after, scratch)
            if mask is not None and (t := start + number) in masked_at:
                for state, array in after.items():
                    is_masked = ~mask[:, t].reshape(-1, *(1,) * (array.ndim - 1))
                    np.copyto(array, before[state], where=is_masked)
            before = after
        for state, array in previous.items():
            array[...] = before[state]
        of_block = {state: array[: len(steps)] for state, array in states.items()}
        computed.keep(work, wanted, rows, start, {**of_block, **cell.gates(projected)})
        told(len(x) * len(steps))
    for state, array in previous.items():
        computed.final_states[state][rows] = array


def bytes_of_run(work: Work, wanted: Wanted) -> int:
    """How much memory `run` takes."""
    batch, timesteps = work.x.shape[:2]
    # Each thread has a block, and a step has a few arrays of its own that are as wide as its gates.
    step = _bytes_of_step(work, batch)
    block = max(min(thread_count() * _BLOCK_BYTES, timesteps * step), step)
    needed: int = bytes_of_results(work, wanted) + block + 6 * step
    return needed


def _steps_of_block(step: int) -> int:
    """How many timesteps are projected together: a part of `TIME_BLOCK`.

    Args:
        step: The bytes of one timestep.
    """
    most = max(1, _BLOCK_BYTES // max(1, step))
    return min(TIME_BLOCK, 1 << (most.bit_length() - 1))


def _pieces(work: Work) -> Sequence[slice]:
    """The rows of each piece of the batch."""
    batch = len(work.x)
    of_row = max(1, _bytes_of_step(work, 1))
    most = max(_MOST_PIECE, _MOST_PIECE_BYTES // of_row)
    worth = batch * of_row // _LEAST_PIECE_BYTES
    count = max(1, math.ceil(batch / most), min(thread_count(), batch, worth))
    return pieces_of(batch, count)


def _bytes_of_step(work: Work, batch: int) -> int:
    """What x, its projection and the states of a step take."""
    shapes = work.shapes
    of_states = sum(math.prod(shapes[state]) for state in work.cell.kind.states)
    itemsize: int = work.cell.dtype.itemsize
    return batch * (work.cell.numbers(work.x.shape[2:]) + of_states) * itemsize


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _one_thread_of_blas() -> AbstractContextManager[Any]:
    limited: AbstractContextManager[Any] = _blas().limit(limits=1, user_api="blas")
    return limited
