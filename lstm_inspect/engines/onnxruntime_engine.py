"""Runs the graph of a cell in onnxruntime, with pieces of the batch in threads."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from lstm_inspect.cells import Cell
from lstm_inspect.engines.onnx_graph import (
    GraphForm,
    bytes_of_weights,
    model_of,
    name_of_every,
    name_of_initial,
    name_of_last,
    why_no_graph,
)
from lstm_inspect.engines.threads import pieces_of, run_pieces, thread_count
from lstm_inspect.engines.work import Computed, OnSteps, Wanted, Work, bytes_of_results

# A run of the graph covers as many timesteps as have x and all signals in this size: so many that
# what each run costs beside its steps does not count, and so few that they are still in the cache
# when they are copied to where they are recorded.
_BLOCK_BYTES = 4 << 20

# A piece of a batch needs that many sequences to use the processor's vectors well, and that many
# multiplications to be worth a thread. They take about 25 ms; the system was measured to need 10 ms
# until a new thread has a core of its own.
_LEAST_PIECE = 16
_LEAST_MULTIPLICATIONS = 10**9
# A piece is no larger than so much in a step or so many sequences, which stay in the cache.
_MOST_PIECE_BYTES = 512 << 10
_MOST_PIECE = 256

_SESSIONS: WeakKeyDictionary[Cell, dict[GraphForm, Any]] = WeakKeyDictionary()
"""The sessions of each cell that is alive."""


def version() -> str:
    """The name of the engine and the version of onnxruntime."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def why_not(cell: Cell) -> str | None:
    """Why it cannot run a cell, in a few words; None if it can."""
    return why_no_graph(cell)


def run(work: Work, wanted: Wanted, on_steps: OnSteps | None = None) -> Computed:
    """Runs a cell over sequences; see `Engine.run`.

    The graph of a cell is built at its first run, and kept as long as the cell.
    """
    kind = work.cell.kind
    outputs = {*wanted.signals, *([kind.output] if wanted.sequence else [])}
    signals = tuple(name for name in kind.computed if name in outputs)
    form = GraphForm(masked=work.mask is not None, signals=signals)
    session = _session(work.cell, form)
    computed = Computed.room_for(work, wanted)
    run_piece = partial(_run_piece, session, signals, work, wanted, computed)
    run_pieces(run_piece, _pieces(work), on_steps)
    return computed


def _run_piece(
    session: Any,
    signals: tuple[str, ...],
    work: Work,
    wanted: Wanted,
    computed: Computed,
    rows: slice,
    told: OnSteps,
) -> None:
    """Runs some of the sequences, and writes what came of them."""
    x = work.x[rows]
    mask = None if work.mask is None else work.mask[rows]
    states = work.cell.kind.states
    previous = {state: work.initial_state[state][rows] for state in states}
    asked = [*map(name_of_last, states), *map(name_of_every, signals)]
    block = max(1, _BLOCK_BYTES // max(1, _bytes_of_step(work, len(x))))
    for start in range(0, x.shape[1], block):
        feeds = {name_of_initial(state): array for state, array in previous.items()}
        feeds["x"] = np.ascontiguousarray(x[:, start : start + block].swapaxes(0, 1))
        if mask is not None:
            feeds["mask"] = np.ascontiguousarray(mask[:, start : start + block].T[..., np.newaxis])
        given = dict(zip(asked, session.run(asked, feeds), strict=True))
        previous = {state: given[name_of_last(state)] for state in states}
        of_block = {name: given[name_of_every(name)] for name in signals}
        computed.keep(work, wanted, rows, start, of_block)
        told(len(x) * len(feeds["x"]))
    for state, array in previous.items():
        computed.final_states[state][rows] = array


def bytes_of_run(work: Work, wanted: Wanted) -> int:
    """How much memory `run` takes."""
    batch, timesteps = work.x.shape[:2]
    step = _bytes_of_step(work, batch)
    block = max(min(thread_count() * _BLOCK_BYTES, timesteps * step), step)
    # A graph is written down, read and packed; each block of x and signals is there twice.
    needed: int = bytes_of_results(work, wanted) + 4 * bytes_of_weights(work.cell) + 3 * block
    return needed


def _pieces(work: Work) -> Sequence[slice]:
    """The rows of each piece of the batch."""
    batch, timesteps = len(work.x), work.x.shape[1]
    weights = bytes_of_weights(work.cell) // work.cell.dtype.itemsize
    multiplications = batch * timesteps * weights
    worth = min(batch // _LEAST_PIECE, multiplications // _LEAST_MULTIPLICATIONS)
    most = max(_MOST_PIECE, _MOST_PIECE_BYTES // max(1, _bytes_of_step(work, 1)))
    return pieces_of(batch, max(1, math.ceil(batch / most), min(thread_count(), worth)))


def _bytes_of_step(work: Work, batch: int) -> int:
    """What x and all signals of one timestep take."""
    numbers = sum(map(math.prod, (work.x.shape[2:], *work.shapes.values())))
    itemsize: int = work.cell.dtype.itemsize
    return batch * numbers * itemsize


def _session(cell: Cell, form: GraphForm) -> Any:
    """The session that runs a graph of a cell, built if there is none yet."""
    sessions = _SESSIONS.setdefault(cell, {})
    if form not in sessions:
        sessions[form] = _built(cell, form)
    return sessions[form]


def _built(cell: Cell, form: GraphForm) -> Any:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    # Threads take parts of the batch instead: they meet once a run, and not in each product. On a
    # busy machine, two threads that spin for each other took up to 1.6 times the processor's time.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # What goes wrong is raised; nothing is written to stderr beside.
    options.log_severity_level = 4
    return InferenceSession(model_of(cell, form), options, providers=["CPUExecutionProvider"])
