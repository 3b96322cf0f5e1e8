"""Arrays from ``.npy`` and ``.npz`` files."""

import io
import math
from pathlib import Path

import numpy as np

from lstm_inspect.errors import InputError, LimitError, ModelFileError
from lstm_inspect.formats import Array, ZipArchive, read_bytes
from lstm_inspect.limits import DEFAULT_LIMITS, Limits

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"

# Version 3 is for names of fields in UTF-8, and fields are not read.
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_LONGEST_HEADER = 10_000


def read_arrays(
    path: str | Path,
    expected: str = "a .npy or .npz file of numbers",
    *,
    limits: Limits = DEFAULT_LIMITS,
    limit: str = "input_bytes",
) -> Array | dict[str, Array]:
    """Reads a ``.npy`` (one array) or an ``.npz`` (arrays by name), told apart by content.

    Args:
        path: Where from.
        expected: What to say in an error that the file should be.
        limits: What the file may claim.
        limit: The name of the one that holds for its size.

    Returns:
        Read-only arrays that share the memory of the file's bytes.

    Raises:
        InputError: Not there, damaged, neither of the two, or pickled objects.
        LimitError: It claims more than is granted.
    """
    path = Path(path)

    def refusal(received: object) -> InputError:
        return InputError(f"{path}: expected {expected}, received {received}")

    if path.is_dir():
        raise refusal("a folder")
    try:
        data = read_bytes(path, limits, limit)
    except ModelFileError as error:
        raise InputError(str(error)) from error
    try:
        if data.startswith(_NPY):
            return _array(data)
        if data.startswith(_ZIP):
            archive = ZipArchive(data, str(path), limits)
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.names}
    except LimitError:
        raise
    except ValueError as error:
        raise refusal(str(error).removeprefix(f"{path}: ")) from error
    raise refusal(f"something else (its first bytes are {data[:6]!r})")


def _array(data: bytes | memoryview) -> Array:
    """An array from the bytes of a ``.npy``, which have to be those it claims and no others."""
    header = io.BytesIO(data[:_LONGEST_HEADER])
    try:
        version = np.lib.format.read_magic(header)
        shape, fortran_order, dtype = _READERS[version](header)
    except (KeyError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"a damaged one (its header is none: {error})") from error
    if dtype.hasobject:
        raise ValueError("pickled objects")
    if dtype.itemsize == 0 or dtype.names or dtype.subdtype:
        raise ValueError(f"an array of {dtype}")
    claimed, held = math.prod(shape) * dtype.itemsize, len(data) - header.tell()
    if claimed != held:
        raise ValueError(f"a damaged one (it claims {claimed} bytes of numbers and has {held})")
    flat = np.frombuffer(data, dtype, offset=header.tell()) if held else np.empty(0, dtype)
    array = flat.reshape(shape, order="F" if fortran_order else "C")
    array.flags.writeable = False
    return array
