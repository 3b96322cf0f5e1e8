"""Takes a replay to a Zarr dump on a Dask cluster: each task computes samples and writes them.

The model is opened once, and travels with the tasks as it was opened. So a worker needs no path but
that of the dump.
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lstm_inspect.errors import InputError, MissingExtraError, OutputError
from lstm_inspect.files.atomic_folder import replacing_folder
from lstm_inspect.files.free_space import check_free_space
from lstm_inspect.model import Model
from lstm_inspect.notation import advice
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.run import Replay
from lstm_inspect.replay.to_dump import BLOCK_BYTES, Written, figures_of, new_arrays, parts_of
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.recording import Trace
from lstm_inspect.traces.statistics import RunningStats
from lstm_inspect.traces.zarr_dump import ZARR, NewZarr
from lstm_inspect.version import __version__

TASK_BYTES = 256 << 20
"""About how many bytes a task reads and writes; the memory that it takes is that of a block."""


_PATIENCE_SECONDS = 10


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Makes a Dask cluster the one that computes, until the block ends.

    Args:
        address: The address of its scheduler: ``tcp://10.0.0.1:8786``.

    Raises:
        MissingExtraError: The package distributed is not installed.
        InputError: No scheduler answers there.
    """
    _import_dask()
    from distributed import Client

    try:
        client = Client(address, timeout=_PATIENCE_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--dask {address}: expected the address of a Dask scheduler, such as "
            f"tcp://10.0.0.1:8786; none answers there ({error})"
        ) from error
    with client:
        yield


def write_on_cluster(
    model: Model,
    inputs: Any,
    options: ReplayOptions,
    path: Path,
    may_replace: Callable[[Path], bool],
    *,
    compress: bool,
    begin: Callable[[int, int | None], None] = lambda size, free: None,
) -> Written:
    """Computes a replay on the Dask cluster that is connected, or in threads if none is.

    Args:
        model: The model.
        inputs: As for `lstm_inspect.trace`, of arrays of Dask or NumPy.
        options: What to record, and how.
        path: The path of the dump, on a file system that all workers see.
        may_replace: Tells whether what has this name may be replaced.
        compress: Whether to compress it.
        begin: Called with the size of the dump, and how much is free there if the system knows.

    Raises:
        MissingExtraError: Dask is not installed.
        InputError: A sample cannot be computed without others, or the inputs do not fit.
        OutputError: The dump cannot be written there, or a worker does not see it.
        InspectError: The replay raises it; see `lstm_inspect.trace`.
    """
    dask = _import_dask()
    if path.suffix.lower() != ZARR.suffix:
        raise OutputError(f"{path}: expected a name ending in {ZARR.suffix} for a Dask cluster")
    _check_samples_stand_alone(model, options)
    given = {"inputs": inputs, "feed": options.feed, "initial_state": options.initial_state}
    samples = _samples_of(given)
    kept: dict[str, Kept] = {}
    if options.samples is not None:
        kept = {"batch": Kept.of(options.samples.places(samples), samples)}
        given = _each(given, lambda array: array[kept["batch"].taking])
        options = replace(options, samples=None)
        samples = _samples_of(given)
    # All machines take one engine, whatever is installed on each and however large a task is.
    engine = "numpy" if options.engine == "auto" else options.engine
    options = replace(options, progress=None, engine=engine)
    (first,) = _computed(_each(given, lambda array: array[:1]))
    ready = _replay(model, first, options)
    _check_calls(ready)
    block = next(ready.blocks())
    layers = {
        path: replace(layer, kept={**layer.kept, **kept}) for path, layer in block.layers.items()
    }
    trace = Trace(layers=layers, untraced=ready.untraced, model=ready.model)
    arrays = new_arrays(block._replace(of=samples, layers=layers))
    nbytes = sum(array.size * array.dtype.itemsize for array in arrays.values())
    read = sum(each.array.nbytes for each in ready.given.values())
    # A power of two: the chunks of every array divide it, so no two tasks write one chunk.
    size = 1 << int(math.log2(max(1, TASK_BYTES // (read + nbytes // samples))))
    begin(nbytes, check_free_space(path, nbytes))
    figures: defaultdict[str, RunningStats] = defaultdict(RunningStats)
    with replacing_folder(path, may_replace) as folder:
        dump = NewZarr(folder, path, arrays, size, compress=compress)
        job = dask.delayed(_Job(model, options, dump, folder))
        task = dask.delayed(_compute, pure=False)
        tasks = [
            task(job, start, _each(given, _slicing(start, start + size)))
            for start in range(0, samples, size)
        ]
        for each in _computed(*tasks):
            for key, part in each.items():
                figures[key].merge(part)
        dump.finish(trace.document())
    return Written(trace, figures_of(arrays, figures), ready.hint)


def _computed(*tasks: Any) -> Any:
    with warnings.catch_warnings():
        # The tasks carry the model, so that no worker is the only one to have it.
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        return _import_dask().compute(*tasks)


@dataclass(frozen=True)
class _Job:
    """What all tasks have in common.

    Attributes:
        model: The model.
        options: The options of the replay.
        dump: The dump, of which all arrays are announced.
        folder: Its folder.
        version: That of who hands out the tasks.
    """

    model: Model
    options: ReplayOptions
    dump: NewZarr
    folder: Path
    version: str = __version__


def _compute(job: _Job, start: int, given: Mapping[str, Any]) -> dict[str, RunningStats]:
    """Computes the samples of a task and writes them, in the process of a worker.

    Args:
        job: What all tasks have in common.
        start: The number of the first sample.
        given: The inputs and the feed of these samples.

    Returns:
        The statistics of the arrays by key.
    """
    if job.version != __version__:
        raise InputError(
            f"a worker has lstm-inspect {__version__}, expected {job.version} on all of them"
        )
    if not job.folder.is_dir():
        raise OutputError(
            f"{job.folder}: a worker does not see this folder; the dump has to be on a file system "
            "that all workers see"
        )
    figures: defaultdict[str, RunningStats] = defaultdict(RunningStats)
    for block in _replay(job.model, given, job.options).blocks():
        for key, (first, *others), part in parts_of(block):
            figures[key].add(part)
            job.dump.write(key, (start + first, *others), part)
    job.dump.sync()
    return dict(figures)


def _replay(model: Model, given: Mapping[str, Any], options: ReplayOptions) -> Replay:
    asked = replace(options, feed=given["feed"], initial_state=given["initial_state"])
    return Replay(model, given["inputs"], asked, block_bytes=BLOCK_BYTES)


def _import_dask() -> Any:
    try:
        import dask
        import dask.array
        import distributed  # noqa: F401 - so that a missing extra is one error
    except ImportError as error:
        how = 'pip install "lstm-inspect[dask]"'
        raise MissingExtraError(f"Dask is not installed; install it with: {how}") from error
    return dask


def _check_samples_stand_alone(model: Model, options: ReplayOptions) -> None:
    """Refuses what makes a sample depend on its place among others."""
    if options.stateful:
        both = advice(
            python="stateful: expected False", command_line="--dask: expected none with --stateful"
        )
        raise InputError(f"{both}; the tasks of a cluster have no order")
    for each in model.inputs:
        if each.shape and each.shape[0] is not None:
            raise InputError(
                f"input {each.name}: expected any batch size, to compute samples in tasks; the "
                f"model has batches of {each.shape[0]}; trace it on one machine"
            )


def _check_calls(ready: Replay) -> None:
    if mixing := ready.mixing_call():
        raise InputError(
            f"layer {mixing}: may compute a sample from others too, so it cannot be split into "
            "tasks; trace it on one machine"
        )


def _samples_of(given: Mapping[str, Any]) -> int:
    """How many samples all arrays have."""
    sizes: list[float] = []
    _each(given, lambda array: sizes.append(array.shape[0] if array.shape else 0))
    if not sizes or len({*sizes}) > 1 or not sizes[0] > 0:
        raise InputError(
            "inputs: expected arrays with the same known number of samples, received "
            f"{', '.join(map(str, sizes)) or 'none'}; compute_chunk_sizes() of Dask finds it out"
        )
    return int(sizes[0])


def _slicing(start: int, stop: int) -> Callable[[Any], Any]:
    return lambda array: array[start:stop]


def _each(given: Any, change: Callable[[Any], Any]) -> Any:
    """What was given as inputs, with each array changed."""
    match given:
        case None:
            return None
        case Mapping():
            return {name: _each(each, change) for name, each in given.items()}
        case list() | tuple():
            return [_each(each, change) for each in given]
        case _ if hasattr(given, "shape"):
            return change(given)
        case _:
            raise InputError(
                f"inputs: expected arrays of Dask or NumPy, received {type(given).__qualname__}"
            )
