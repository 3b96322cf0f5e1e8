"""Takes a replay to a dump, block by block, so that its size is no matter of memory."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

from lstm_inspect.arrays import Array
from lstm_inspect.files.free_space import check_free_space
from lstm_inspect.replay.block import Block
from lstm_inspect.replay.run import Replay
from lstm_inspect.traces.dumps import NewDump, create_dump
from lstm_inspect.traces.recording import Trace
from lstm_inspect.traces.statistics import ArrayStats, RunningStats

BLOCK_BYTES = 32 << 20
"""The bytes that a block may take: one is computed while the one before is written."""


class Written(NamedTuple):
    """A dump that was written.

    Attributes:
        trace: What the dump says of itself; its arrays are those of the first block.
        stats: The statistics of each array.
    """

    trace: Trace
    stats: Sequence[ArrayStats]


class Follower(Protocol):
    """Who is told how far a dump is."""

    def begin(self, size: int, free: int | None) -> None:
        """Takes the size of its arrays, and how much is free there if the system knows.

        It is called before anything is computed, or after the first block if the shapes are not
        known before.
        """

    def wrote(self, more: int) -> None:
        """Takes how many more bytes were written."""


def write_dump(
    ready: Replay,
    path: Path,
    may_replace: Callable[[Path], bool],
    *,
    compress: bool,
    follower: Follower,
) -> Written:
    """Computes a replay and writes it.

    Args:
        ready: The replay.
        path: The path of the dump; its suffix says the format.
        may_replace: Tells whether what has this name may be replaced.
        compress: Whether to compress it.
        follower: Told how far it is.

    Raises:
        OutputError: The dump cannot be written there, or there is no room for it.
        InspectError: The replay raises it; see `lstm_inspect.trace`.
    """
    figures: defaultdict[str, RunningStats] = defaultdict(RunningStats)
    stopped = threading.Event()

    def write(dump: NewDump, block: Block) -> None:
        for path, layer in block.layers.items():
            for signal, array in layer.signals.items():
                place, key = block.place(layer, signal), f"{path}/{signal}"
                if place is None:
                    continue
                first, *others = place.at
                for start, part in _parts(array):
                    if stopped.is_set():
                        return
                    figures[key].add(part)
                    dump.write(key, (first + start, *others), part)
                    follower.wrote(part.nbytes)

    def begin(size: int) -> None:
        follower.begin(size, check_free_space(path, size))

    first: Block | None = None
    if ready.nbytes is not None:
        begin(ready.nbytes)
    with create_dump(path, may_replace, compress=compress) as dump:
        with ThreadPoolExecutor(1) as writer:
            writing: Future[None] | None = None
            try:
                for block in ready.blocks():
                    if first is None:
                        first = block
                        shapes = _add_arrays(dump, block)
                        if ready.nbytes is None:
                            begin(dump.nbytes)
                    if writing:
                        writing.result()
                    writing = writer.submit(write, dump, block)
                if writing:
                    writing.result()
            except BaseException:
                stopped.set()
                raise
        assert first is not None
        trace = Trace(layers=first.layers, untraced=ready.untraced, model=ready.model)
        dump.write_document(trace.document())
    stats = [
        figures[key].of(key, shapes[key], array.dtype) for key, array in trace.arrays().items()
    ]
    return Written(trace, stats)


def _add_arrays(dump: NewDump, block: Block) -> dict[str, tuple[int, ...]]:
    """Adds the arrays of which a block has the first part; returns their shapes by key."""
    shapes = {}
    for path, layer in block.layers.items():
        places = layer.places
        for signal, array in layer.signals.items():
            place = block.place(layer, signal)
            assert place is not None, f"{path}/{signal} is not in the first block"
            shapes[f"{path}/{signal}"] = place.shape
            dims = layer.dims_of(signal)
            dump.add_array(f"{path}/{signal}", place.shape, array.dtype, dims, places)
    return shapes


def _parts(array: Array) -> Iterator[tuple[int, Array]]:
    """Yields an array in parts that are soon written, and where on the first axis each begins."""
    rows = max(1, BLOCK_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]
