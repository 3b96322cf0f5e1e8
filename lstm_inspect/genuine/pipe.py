"""Messages between the program and the process in which Keras runs.

A message is plain data with arrays in it: lists, tuples, dicts, slices, ``...``. It travels as its
size, one JSON text, and then the bytes of its arrays. Nothing in it can name code.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np

from lstm_inspect.arrays import Array

_SIZE_BYTES = 8
_KINDS = "biufc"


def write_message(stream: IO[bytes], message: Any) -> None:
    """Writes a message.

    Raises:
        TypeError: It holds something that is neither plain data nor an array of numbers.
    """
    arrays: list[Array] = []
    text = json.dumps(_packed(message, arrays)).encode()
    stream.write(len(text).to_bytes(_SIZE_BYTES, "little") + text)
    for array in arrays:
        stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    stream.flush()


def read_message(stream: IO[bytes], reserve: Callable[[int], None]) -> Any:
    """Reads a message; its arrays can be written to.

    Args:
        stream: The other side's messages.
        reserve: Called before each array is read, with the bytes of all arrays up to it.

    Raises:
        EOFError: The stream ends before the message does.
    """
    size = int.from_bytes(_read(stream, _SIZE_BYTES), "little")
    held = 0

    def read_array(dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
        nonlocal held
        size = dtype.itemsize * math.prod(shape)
        held += size
        reserve(held)
        return np.frombuffer(_read(stream, size), dtype).reshape(shape)

    return _unpacked(json.loads(_read(stream, size)), read_array)


def _read(stream: IO[bytes], size: int) -> bytearray:
    data = bytearray(size)
    left = memoryview(data)
    while left:
        count = stream.readinto(left)  # type: ignore[attr-defined]  # a pipe has it
        if not count:
            raise EOFError
        left = left[count:]
    return data


def _packed(value: Any, arrays: list[Array]) -> Any:
    """A value as JSON; everything that JSON lacks becomes ``{kind: content}``."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
        arrays.append(value)
        return {"array": [value.dtype.str, *value.shape]}
    if value is ...:
        return {"ellipsis": []}
    if isinstance(value, slice):
        return {"slice": _packed([value.start, value.stop, value.step], arrays)}
    if isinstance(value, list):
        return [_packed(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_packed(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[key, _packed(item, arrays)] for key, item in value.items()]}
    raise TypeError(f"no message can hold {type(value).__name__}")


def _unpacked(value: Any, read_array: Callable[..., Array]) -> Any:
    match value:
        case {"array": [str(dtype), *shape]}:
            return read_array(np.dtype(dtype), shape)
        case {"ellipsis": _}:
            return ...
        case {"slice": limits}:
            return slice(*_unpacked(limits, read_array))
        case {"tuple": items}:
            return tuple(_unpacked(item, read_array) for item in items)
        case {"dict": items}:
            return {key: _unpacked(item, read_array) for key, item in items}
        case [*items]:
            return [_unpacked(item, read_array) for item in items]
    return value
