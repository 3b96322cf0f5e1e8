"""Opens and creates dumps on disk in any format."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, OutputError
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.files.npy import blocks_of
from lstm_inspect.traces.dump_format import (
    EXPECTED,
    DumpFormat,
    DumpReader,
    DumpWriter,
    StoredArray,
)
from lstm_inspect.traces.npz_dump import NPZ

FORMATS: list[DumpFormat] = [NPZ]
"""All dump formats; the first is used for a file name without a suffix."""


def is_dump(path: Path, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether a file is a dump of this tool, judged by its directory alone."""
    return any(each.recognises(path, limits) for each in FORMATS)


def format_of_name(path: Path) -> DumpFormat:
    """The format of a new dump, by the suffix of its name.

    Raises:
        OutputError: No format has that suffix, or the name is ``-``, which would be stdout.
    """
    if path.name != "-":
        for each in FORMATS:
            if path.suffix.lower() in (each.suffix, ""):
                return each
    suffixes = " or ".join(each.suffix for each in FORMATS)
    raise OutputError(f"{path}: expected the name of a {suffixes} file for the result")


@contextmanager
def create_dump(path: Path, may_replace: Callable[[Path], bool]) -> Iterator[DumpWriter]:
    """Opens a new dump in the format that its suffix names; see `DumpFormat.create`."""
    with format_of_name(path).create(path, may_replace) as dump:
        yield dump


def save_dump(
    path: Path,
    arrays: Mapping[str, Array],
    document: Mapping[str, Any],
    may_replace: Callable[[Path], bool],
) -> None:
    """Writes arrays by key, and the document about them; see `DumpFormat.create`."""
    with create_dump(path, may_replace) as dump:
        for key, array in arrays.items():
            dump.write_array(key, array.shape, array.dtype, blocks_of(array))
        dump.write_document(json.dumps(document))


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
    of_content = [each for each in FORMATS if each.recognises(path, limits)]
    chosen = (of_content or FORMATS)[0]
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
