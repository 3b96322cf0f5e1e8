"""The ``.npz`` dump: keys ``<path>/<signal>``, and ``__meta__`` with a JSON string."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lstm_inspect.arrays import StoredArray, open_arrays, read_arrays
from lstm_inspect.dumps.target import replace_atomically
from lstm_inspect.errors import InputError, ModelFileError
from lstm_inspect.formats import Array, FileBytes, ZipArchive
from lstm_inspect.limits import DEFAULT_LIMITS, Limits

_META = "__meta__"
_EXPECTED = "a dump that `lstm-inspect trace` wrote"


def save_dump(path: str | Path, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Writes a dump that ``numpy.load(path, allow_pickle=False)`` reads.

    Args:
        path: Where to; what stands there is replaced once the new file is whole.
        arrays: Key to array.
        meta: JSON data about them.

    Raises:
        OutputError: It cannot be written there.
    """
    members = {_META: np.asarray(json.dumps(meta)), **arrays}
    replace_atomically(Path(path), partial(_write, members))


def _write(members: Mapping[str, Array], file: BinaryIO) -> None:
    """Writes an ``.npz`` as np.savez does, but lets go of the file when it is interrupted."""
    archive = zipfile.ZipFile(file, "w")
    try:
        for key, array in members.items():
            # A new ZipInfo has the time 1980: equal traces give equal bytes.
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                # In C order an array can be read piece by piece.
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
        archive.close()
    except BaseException:
        archive.fp = None  # else it would write on, whenever it is collected
        raise


def load_dump(
    path: str | Path, schema: int, limits: Limits = DEFAULT_LIMITS
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Reads a dump: its arrays by key, and its JSON document.

    Args:
        path: Where from.
        schema: The newest schema number the caller can read.
        limits: What it may claim.

    Raises:
        InputError: Not there, damaged, no dump, or of a newer schema.
    """
    arrays = read_arrays(path, expected=_EXPECTED, limits=limits, limit="dump_bytes")
    document = arrays.pop(_META, None) if isinstance(arrays, dict) else None
    if not isinstance(arrays, dict) or document is None:
        raise InputError(f"{path}: expected {_EXPECTED}, received arrays without a document")
    return arrays, _document(path, document, schema)


@contextmanager
def open_dump(
    path: Path, schema: int, limits: Limits
) -> Iterator[tuple[dict[str, StoredArray], dict[str, Any]]]:
    """Opens a dump whose arrays stay on disk, one larger than memory too.

    The arguments and errors are those of `load_dump`.
    """
    with open_arrays(path, _EXPECTED, limits) as arrays:
        document = arrays.pop(_META, None)
        if document is None:
            raise InputError(f"{path}: expected {_EXPECTED}, received arrays without a document")
        yield arrays, _document(path, document.read(), schema)


def _document(path: str | Path, stored: Array, schema: int) -> dict[str, Any]:
    try:
        if stored.dtype.kind != "U":
            raise ValueError("its document is no text")
        # Not str(stored): NumPy makes any four bytes a character.
        order = "be" if stored.dtype.byteorder == ">" else "le"
        text = stored.tobytes().decode(f"utf-32-{order}").rstrip("\0")
        meta: dict[str, Any] = json.loads(text)
        if type(meta["schema"]) is not int:
            raise ValueError("no schema number")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: expected {_EXPECTED}, received another ({error})") from error
    if meta["schema"] > schema:
        raise InputError(
            f"{path}: written with schema {meta['schema']}; this version reads up to {schema}, "
            "upgrade lstm-inspect"
        )
    return meta


def is_dump(path: Path, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether a file is a dump of this tool, as far as its directory tells."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            return f"{_META}.npy" in ZipArchive(FileBytes(file), str(path), limits).names
        except ModelFileError:
            return False
