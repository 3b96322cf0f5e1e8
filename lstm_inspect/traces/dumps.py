"""Dumps on disk, of whatever format."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lstm_inspect.errors import InputError
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.traces.dump_format import (
    EXPECTED,
    DumpFormat,
    DumpReader,
    DumpWriter,
    StoredArray,
)
from lstm_inspect.traces.npz_dump import NPZ

FORMATS: list[DumpFormat] = [NPZ]
"""Every format of dumps; the first is that of a file name without a suffix of another."""


def is_dump(path: Path, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether a file is a dump of this tool, as far as its directory tells."""
    return any(each.recognises(path, limits) for each in FORMATS)


@contextmanager
def create_dump(path: Path) -> Iterator[DumpWriter]:
    """Opens a new dump in the format of its suffix; see `DumpFormat.create`."""
    of_suffix = [each for each in FORMATS if each.suffix == path.suffix.lower()]
    chosen = (of_suffix or FORMATS)[0]
    with chosen.create(path) as dump:
        yield dump


@contextmanager
def open_dump(
    path: Path, schema: int, limits: Limits
) -> Iterator[tuple[Mapping[str, StoredArray], dict[str, Any]]]:
    """Opens a dump whose arrays stay on disk, even one that is larger than memory.

    Args:
        path: The dump.
        schema: The newest schema number that the caller can read.
        limits: What the directory of the dump may claim.

    Yields:
        Its arrays by key, and its document.

    Raises:
        InputError: Not there, damaged, no dump, or of a newer schema.
        LimitError: Its directory claims more than is granted.
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
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: expected {EXPECTED}, received another ({error})") from error
    if document["schema"] > schema:
        raise InputError(
            f"{path}: written with schema {document['schema']}; this version reads up to {schema}, "
            "upgrade lstm-inspect"
        )
    return document
