"""Opens and creates dumps on disk in any format."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, OutputError
from lstm_inspect.files.atomic import check_target
from lstm_inspect.files.free_space import check_free_space
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.traces.dump_format import (
    EXPECTED,
    DumpFormat,
    DumpReader,
    DumpWriter,
    NewArray,
    StoredArray,
)
from lstm_inspect.traces.h5_dump import H5
from lstm_inspect.traces.npz_dump import NPZ
from lstm_inspect.traces.zarr_dump import ZARR

FORMATS: list[DumpFormat] = [NPZ, H5, ZARR]
"""All dump formats; the first is used for a file name without a suffix."""


def is_dump(path: Path, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether a path is a dump of this tool, judged by its directory alone."""
    return any(each.recognises(path, limits) for each in FORMATS)


def check_new_dump(
    path: Path,
    *,
    sources: list[Path],
    may_replace: Callable[[Path], bool],
    compress: bool = False,
    resume: bool = False,
) -> None:
    """Refuses a path for a dump before any work is done.

    Args:
        path: Where the dump will be written.
        sources: The files that it is made from; they are never replaced.
        may_replace: Tells whether what has this name may be replaced.
        compress: Whether the dump will be compressed.
        resume: Whether it will outlive an interruption.

    Raises:
        OutputError: The path is taken, cannot be written, or names no format.
    """
    is_folder = any(each.is_folder for each in FORMATS if each.suffix == path.suffix.lower())
    check_target(path, sources=sources, may_replace=may_replace, is_folder=is_folder)
    _format_of_name(path, compress=compress, resume=resume)


def _format_of_name(path: Path, *, compress: bool = False, resume: bool = False) -> DumpFormat:
    """The format of a new dump, by the suffix of its name.

    Args:
        path: The name.
        compress: Whether the dump will be compressed.
        resume: Whether it will outlive an interruption.

    Raises:
        OutputError: No format has that suffix and can do what is asked of it; or the name is ``-``,
            which would be stdout.
    """
    able = [each for each in FORMATS if each.compresses >= compress and each.resumes >= resume]
    if path.name != "-":
        for each in FORMATS:
            if path.suffix.lower() in (each.suffix, "") and each in able:
                return each
    suffixes = " or ".join(each.suffix for each in able)
    which = "compressed result" if compress else "result"
    when = " of --resume" if resume else ""
    raise OutputError(f"{path}: expected a name ending in {suffixes} for the {which}{when}")


class NamedAxes(NamedTuple):
    """An array in memory and what its axes are, as `NewDump.add_array` takes them."""

    array: Array
    dims: tuple[str, ...]
    places: Mapping[str, tuple[int, ...]] = MappingProxyType({})


class NewDump:
    """A dump that is being made; `create_dump` opens it.

    Add all arrays first. The first number that is written makes the dump on disk.

    Args:
        path: The path of the dump.
        create: Makes the dump on disk, given its arrays.
    """

    def __init__(self, path: Path, create: Callable[[Mapping[str, NewArray]], DumpWriter]) -> None:
        self._path = path
        self._create = create
        self._arrays: dict[str, NewArray] = {}
        self._left = 0
        self._writer: DumpWriter | None = None

    @property
    def nbytes(self) -> int:
        """The size of the arrays that were added, in bytes."""
        return sum(each.size * each.dtype.itemsize for each in self._arrays.values())

    def add_array(
        self,
        key: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        dims: tuple[str, ...],
        places: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    ) -> None:
        """Adds an array, of which no number is written yet.

        Args:
            key: Its key, ``<path>/<signal>``.
            shape: Its shape.
            dtype: Its dtype.
            dims: The names of its axes.
            places: As `lstm_inspect.LayerTrace.kept`, for its axes and perhaps others.
        """
        assert self._writer is None, f"{key} was added after the first number"
        assert key not in self._arrays, f"{key} was added twice"
        assert shape, f"{key} has no axes"
        assert len(dims) == len(shape), f"{key} has {shape}, and the axes {dims}"
        self._arrays[key] = NewArray(shape, dtype, dims, places)
        self._left += self._arrays[key].size

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        """Writes a part of an array. Parts come in any order, and no number comes twice.

        Args:
            key: The key of the array.
            at: The index of the first number of the part on the leading axes; 0 on the others.
            block: The part: of the dtype of the array, with as many axes.

        Raises:
            OutputError: The dump has no room, or cannot be written there.
        """
        array = self._arrays[key]
        at = (*at, *(0,) * (len(array.shape) - len(at)))
        ends = (start + size for start, size in zip(at, block.shape, strict=True))
        assert all(end <= size for end, size in zip(ends, array.shape, strict=True)), key
        assert block.dtype == array.dtype, f"{key} is {array.dtype}, not {block.dtype}"
        self._left -= block.size
        self._on_disk().write(key, at, block)

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Writes the document about the arrays, when all numbers are written.

        Args:
            document: Plain JSON data.

        Raises:
            OutputError: The dump has no room, or cannot be written there.
        """
        assert self._left == 0, f"{self._left} numbers were not written, or some of them twice"
        self._on_disk().write_document(json.dumps(document))

    def _on_disk(self) -> DumpWriter:
        if self._writer is None:
            check_free_space(self._path, self.nbytes)
            self._writer = self._create(self._arrays)
        return self._writer


@contextmanager
def create_dump(
    path: Path, may_replace: Callable[[Path], bool], *, compress: bool = False
) -> Iterator[NewDump]:
    """Opens a new dump in the format that its suffix names; it gets its name when the block ends.

    Args:
        path: The path of the dump.
        may_replace: Tells whether what has this name may be replaced.
        compress: Whether to compress it.

    Raises:
        OutputError: The suffix names no format, or the dump cannot be written there.
    """
    chosen = _format_of_name(path, compress=compress)
    with ExitStack() as stack:
        yield NewDump(
            path,
            lambda arrays: stack.enter_context(
                chosen.create(path, arrays, may_replace, compress=compress)
            ),
        )


def save_dump(
    path: Path,
    arrays: Mapping[str, NamedAxes],
    document: Mapping[str, Any],
    may_replace: Callable[[Path], bool],
    *,
    compress: bool = False,
) -> None:
    """Writes arrays by key, and the document about them; the rest is as for `create_dump`."""
    with create_dump(path, may_replace, compress=compress) as dump:
        for key, (array, dims, places) in arrays.items():
            dump.add_array(key, array.shape, array.dtype, dims, places)
        for key, (array, _, _) in arrays.items():
            dump.write(key, (), array)
        dump.write_document(document)


@contextmanager
def open_dump(
    path: Path, schema: int, limits: Limits
) -> Iterator[tuple[Mapping[str, StoredArray], dict[str, Any]]]:
    """Opens a dump and leaves its arrays on disk, so the dump may be larger than memory.

    Args:
        path: The dump.
        schema: The newest schema number that the caller can read.
        limits: What the directory of the dump may ask for.

    Yields:
        Its arrays by key, and its document.

    Raises:
        InputError: The file does not exist, is damaged, is not a dump, or has a newer schema.
        LimitError: Its directory asks for more than the limits allow.
    """
    of_content = (each for each in FORMATS if each.recognises(path, limits))
    of_suffix = (each for each in FORMATS if each.suffix == path.suffix.lower())
    chosen = next(chain(of_content, of_suffix), None)
    if chosen is None and path.is_file():
        raise InputError(f"{path}: expected {EXPECTED}, received another file")
    chosen = chosen or FORMATS[0]
    with chosen.open(path, limits) as dump:
        yield dump.arrays, _document(path, dump, schema)


def _document(path: Path, dump: DumpReader, schema: int) -> dict[str, Any]:
    try:
        text = dump.read_document()
        if text is None:
            raise InputError(f"{path}: expected {EXPECTED}, received arrays without a document")
        document: dict[str, Any] = json.loads(text)
        if type(document["schema"]) is not int:
            raise ValueError("no schema number")
        if "weights" in document:
            raise InputError(f"{path}: expected {EXPECTED}, received a dump of weights")
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: expected {EXPECTED}, received another file ({error})") from error
    if document["schema"] > schema:
        raise InputError(
            f"{path}: written with schema {document['schema']}; this version reads up to {schema}; "
            "upgrade lstm-inspect"
        )
    return document
