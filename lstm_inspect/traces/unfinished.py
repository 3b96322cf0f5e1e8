"""A dump that outlives an interruption: what is done of it stays in a folder beside its place.

``states.h5.partial`` holds

- ``numbers``, a Zarr folder, whatever the format of the dump: files of chunks can be written again;
- ``state.json``, which says what the dump is made from and how many samples of it are on disk.

The state is written when the numbers that it tells of are on disk. What came after it is written
again.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, ModelFileError
from lstm_inspect.files.atomic import name_beside, output_errors, replacing, resolved
from lstm_inspect.files.atomic_folder import bring_to_disk, name_folder, sync
from lstm_inspect.files.free_space import check_free_space
from lstm_inspect.files.interruptions import interruptions_held
from lstm_inspect.files.json_text import parse_object
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.files.sole_use import sole_use
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.traces.dump_format import NewArray
from lstm_inspect.traces.dumps import create_dump
from lstm_inspect.traces.statistics import RunningStats
from lstm_inspect.traces.zarr_dump import ZARR, NewZarr

_NUMBERS = "numbers"
_STATE = "state.json"


def partial_of(path: Path) -> Path:
    """The folder that has what is done of a dump."""
    path = resolved(path)
    return path.with_name(f"{path.name}.partial")


class _State(NamedTuple):
    """How far a dump is.

    Attributes:
        made_from: As for `unfinished_dump`.
        samples: How many samples are on disk.
        figures: The statistics of these, by the key of the array.
        document: What the process that began it says of the dump; empty before the first block.
    """

    made_from: Mapping[str, str]
    samples: int
    figures: defaultdict[str, RunningStats]
    document: Mapping[str, Any]


class UnfinishedDump:
    """A dump that can be gone on with; `unfinished_dump` opens it.

    Attributes:
        samples: How many samples are on disk; go on with the next.
        figures: The statistics of these by the key of the array, to be gone on with.
    """

    def __init__(self, path: Path, folder: Path, state: _State, *, compress: bool) -> None:
        self._path = path
        self._folder = folder
        self._made_from = state.made_from
        self.samples = state.samples
        self.figures = state.figures
        self._compress = compress
        self._arrays: Mapping[str, NewArray] = {}
        self._document = state.document
        self._zarr: NewZarr

    def begin(
        self, arrays: Mapping[str, NewArray], block: int, document: Mapping[str, Any]
    ) -> int | None:
        """Says what the dump will have, before the first number of this process.

        Args:
            arrays: Its arrays by key.
            block: How many samples a block has.
            document: The document about the arrays, if no earlier process has said it.

        Returns:
            How many bytes are free there; None if the system does not know.

        Raises:
            OutputError: There is no room for it.
        """
        self._arrays = arrays
        self._document = self._document or document
        (total,) = {array.shape[0] for array in arrays.values()}
        size = sum(array.size * array.dtype.itemsize for array in arrays.values())
        copied = 0 if self._is_zarr else size
        free = check_free_space(self._path, copied + size * (total - self.samples) // total)
        folder = self._folder / _NUMBERS
        self._zarr = NewZarr(folder, self._path, arrays, block, compress=self._compress)
        return free

    @property
    def _is_zarr(self) -> bool:
        return self._path.suffix.lower() == ZARR.suffix

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        """Writes a part of an array; see `NewDump.write`."""
        self._zarr.write(key, at, block)

    def keep(self, samples: int) -> None:
        """Brings to disk what was written, and then the state that tells of it.

        Args:
            samples: How many samples of each array were written; fewer than all.
        """
        self._zarr.sync()
        self.samples = samples
        state = {
            "made_from": dict(self._made_from),
            "samples": samples,
            "stats": {key: each.as_json() for key, each in self.figures.items()},
            "document": self._document,
        }
        _write_state(self._folder, state)

    def finish(self, may_replace: Callable[[Path], bool]) -> None:
        """Gives the dump its name, when all numbers are written.

        Raises:
            OutputError: The name is taken meanwhile.
        """
        if self._is_zarr:
            self._zarr.finish(self._document)
            folder = self._folder / _NUMBERS
            bring_to_disk(folder)
            with interruptions_held():
                name_folder(self._path, folder, may_replace)
                _remove(self._folder)
            return
        with create_dump(self._path, may_replace, compress=self._compress) as dump:
            for key, array in self._arrays.items():
                dump.add_array(key, *array)
            for key in self._arrays:
                for at, part in self._zarr.parts(key):
                    dump.write(key, at, part)
            dump.write_document(self._document)
        with interruptions_held():
            _remove(self._folder)


@contextmanager
def unfinished_dump(
    path: Path,
    made_from: Mapping[str, str],
    may_replace: Callable[[Path], bool],
    *,
    samples: int,
    compress: bool = False,
) -> Iterator[UnfinishedDump]:
    """Opens what is done of a dump, or begins it; the dump gets its name when the block ends.

    If an exception leaves the block, or the process is killed, what is on disk stays.

    Args:
        path: The path of the dump.
        made_from: What its numbers depend on, each by the name that an error gives it.
        may_replace: Tells whether what has this name at the end may be replaced.
        samples: How many samples it will have.
        compress: Whether to compress it.

    Raises:
        InputError: What is there was made from something else, or is damaged.
        OutputError: The dump cannot be written there.
    """
    path = resolved(path)
    folder = partial_of(path)
    with output_errors(path):
        if not (folder / _NUMBERS).is_dir() and folder.exists():
            _read_state(folder)  # refuses a folder that is not ours
            _remove(folder)  # the dump had its name when the process was killed
        if not folder.exists():
            _begin(folder, made_from)
        with sole_use(folder):
            state = _read_state(folder)
            _check_same(folder, state.made_from, made_from)
            if not 0 <= state.samples < samples:
                raise _other(folder, f"{state.samples} of {samples} samples are done")
            dump = UnfinishedDump(path, folder, state, compress=compress)
            try:
                yield dump
                dump.finish(may_replace)
            except BaseException as error:
                if dump.samples:
                    error.add_note(f"{folder} has what is done; the same command goes on with it")
                else:
                    with interruptions_held():
                        _remove(folder)
                raise


def _begin(folder: Path, made_from: Mapping[str, str]) -> None:
    beside = name_beside(folder)
    try:
        (beside / _NUMBERS).mkdir(parents=True)
        _write_state(
            beside, {"made_from": dict(made_from), "samples": 0, "stats": {}, "document": {}}
        )
        sync(beside)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync(folder.parent)


def _write_state(folder: Path, state: Mapping[str, Any]) -> None:
    with replacing(folder / _STATE, lambda path: True) as file:
        file.write(json.dumps(state, indent=1).encode())


def _read_state(folder: Path) -> _State:
    path = folder / _STATE
    try:
        content = read_bytes(path, DEFAULT_LIMITS, "config_bytes")
        state = parse_object(content, str(path), DEFAULT_LIMITS)
        figures = {key: RunningStats.from_json(each) for key, each in state["stats"].items()}
        return _State(
            {name: str(value) for name, value in state["made_from"].items()},
            int(state["samples"]),
            defaultdict(RunningStats, figures),
            {**state["document"]},
        )
    except (ModelFileError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _other(folder, f"{error!s:.200}") from error


def _other(folder: Path, reason: str) -> InputError:
    return InputError(
        f"{folder}: expected what an earlier run has left, received another folder ({reason}); "
        "delete it, or choose another name"
    )


def _check_same(folder: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuses to go on with what was made from something else."""
    for name in {**before, **now}:
        expected, received = (each.get(name, "none") for each in (before, now))
        if received != expected:
            raise InputError(
                f"{folder}: expected {name:.60} {expected:.60} as when it was begun, "
                f"received {received:.60}; delete this folder, or choose another name"
            )


def _remove(folder: Path) -> None:
    """Deletes a folder that has lost its name first, so that nothing goes on with a part of it."""
    nameless = name_beside(folder)
    folder.rename(nameless)
    shutil.rmtree(nameless)
