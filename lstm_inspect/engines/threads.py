"""Runs pieces of a batch in threads."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from itertools import pairwise

from lstm_inspect.engines.work import OnSteps


def thread_count() -> int:
    """How many threads may run at the same time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pieces_of(batch: int, count: int) -> Sequence[slice]:
    """The rows of each of some pieces of a batch, all of about one size."""
    bounds = [batch * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def run_pieces(
    run_piece: Callable[[slice, OnSteps], None],
    pieces: Sequence[slice],
    on_steps: OnSteps | None,
) -> None:
    """Runs all pieces, several at a time.

    Args:
        run_piece: Called with the rows of a piece, and with what it has to call as it goes on. That
            raises CancelledError in a piece if another one failed, or if the user stopped the run.
        pieces: The rows of each piece.
        on_steps: Called with what a piece tells, one thread at a time.
    """
    stopped = threading.Event()
    lock = threading.Lock()

    def told(more: int) -> None:
        if stopped.is_set():
            raise CancelledError
        if on_steps is not None:
            with lock:
                on_steps(more)

    if len(pieces) == 1:
        run_piece(pieces[0], told)
        return
    with ThreadPoolExecutor(thread_count()) as pool:
        try:
            for _ in pool.map(lambda rows: run_piece(rows, told), pieces):
                pass
        except BaseException:
            stopped.set()
            raise
