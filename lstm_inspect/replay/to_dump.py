"""Takes a replay to a dump, block by block, so that its size is no matter of memory."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple, Protocol

from lstm_inspect.arrays import Array
from lstm_inspect.files.free_space import check_free_space
from lstm_inspect.replay.block import Block
from lstm_inspect.replay.run import Replay
from lstm_inspect.traces.dump_format import NewArray
from lstm_inspect.traces.dumps import NewDump, create_dump
from lstm_inspect.traces.recording import Trace
from lstm_inspect.traces.statistics import ArrayStats, RunningStats
from lstm_inspect.traces.unfinished import UnfinishedDump

BLOCK_BYTES = 32 << 20
"""The bytes that a block may take: one is computed while the one before is written."""


class Written(NamedTuple):
    """A dump that was written.

    Attributes:
        trace: What the dump says of itself; its arrays are those of the first block.
        stats: The statistics of each array.
        hint: As for `Replay`.
    """

    trace: Trace
    stats: Sequence[ArrayStats]
    hint: str | None


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
    if ready.nbytes is not None:
        follower.begin(ready.nbytes, check_free_space(path, ready.nbytes))
    with create_dump(path, may_replace, compress=compress) as dump:

        def begin(trace: Trace, arrays: Mapping[str, NewArray]) -> None:
            for key, array in arrays.items():
                dump.add_array(key, *array)
            if ready.nbytes is None:
                follower.begin(dump.nbytes, check_free_space(path, dump.nbytes))

        def write(block: Block, stopped: Event) -> None:
            write_block(dump, block, figures, follower, stopped)

        trace, arrays = write_behind(ready, ready.blocks(), begin, write)
        dump.write_document(trace.document())
    return Written(trace, figures_of(arrays, figures), ready.hint)


def write_behind(
    ready: Replay,
    blocks: Iterator[Block],
    begin: Callable[[Trace, Mapping[str, NewArray]], None],
    write: Callable[[Block, Event], None],
) -> tuple[Trace, Mapping[str, NewArray]]:
    """Writes each block in a thread while the next one is computed.

    Args:
        ready: The replay.
        blocks: Its blocks, or the last ones of them.
        begin: Called with what this returns, before the first block is written.
        write: Called with each block, and with an event that tells it to stop.

    Returns:
        What a dump says of itself; its arrays are those of the first block. And all arrays of the
        dump by key.
    """
    trace: Trace | None = None
    stopped = Event()
    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        try:
            for block in blocks:
                if trace is None:
                    trace = Trace(layers=block.layers, untraced=ready.untraced, model=ready.model)
                    arrays = new_arrays(block)
                    begin(trace, arrays)
                if writing:
                    writing.result()
                writing = writer.submit(write, block, stopped)
            if writing:
                writing.result()
        except BaseException:
            stopped.set()
            raise
    assert trace is not None
    return trace, arrays


def new_arrays(block: Block) -> dict[str, NewArray]:
    """The arrays of a dump by key, given the first block, or the first timesteps of another one."""
    arrays = {}
    for path, layer in block.layers.items():
        for signal, array in layer.signals.items():
            place = block.place(layer, signal)
            assert place is not None, f"{path}/{signal} is not in the block"
            dims = layer.dims_of(signal)
            arrays[f"{path}/{signal}"] = NewArray(place.shape, array.dtype, dims, layer.places)
    return arrays


def write_block(
    dump: NewDump | UnfinishedDump,
    block: Block,
    figures: Mapping[str, RunningStats],
    follower: Follower,
    stopped: Event,
) -> None:
    """Writes a block, and adds it to the statistics of the arrays."""
    for key, at, part in parts_of(block):
        if stopped.is_set():
            return
        figures[key].add(part)
        dump.write(key, at, part)
        follower.wrote(part.nbytes)


def parts_of(block: Block) -> Iterator[tuple[str, tuple[int, ...], Array]]:
    """Yields a block in parts that are soon written: the key of the array, the place, the part."""
    for path, layer in block.layers.items():
        for signal, array in layer.signals.items():
            if place := block.place(layer, signal):
                first, *others = place.at
                for start, part in _parts(array):
                    yield f"{path}/{signal}", (first + start, *others), part


def _parts(array: Array) -> Iterator[tuple[int, Array]]:
    """Yields an array in parts that are soon written, and where on the first axis each begins."""
    rows = max(1, BLOCK_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def figures_of(
    arrays: Mapping[str, NewArray], figures: Mapping[str, RunningStats]
) -> Sequence[ArrayStats]:
    """The statistics of the arrays of a dump, in their order."""
    return [figures[key].of(key, array.shape, array.dtype) for key, array in arrays.items()]
