"""The array type, and casts to the dtypes of models, among them bfloat16, which NumPy lacks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

NamedArray = tuple[str, Array]
"""The name that a file has for an array, and the array."""

FLOATS = ("float16", "bfloat16", "float32", "float64")
NUMBERS = (*FLOATS, "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def as_floats(numbers: Any) -> Array:
    """Numbers as Keras takes them where it gives fractions: whole ones as float32."""
    array = np.asarray(numbers)
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def in_one_dtype(arrays: Sequence[Array]) -> list[Array]:
    """Arrays in one dtype, as Keras 3 combines them: whole numbers take the dtype of floats.

    Source: keras 3.15.1, backend/common/dtypes.py. NumPy would make float64 of int32 and float32.
    """
    dtypes = {array.dtype for array in arrays}
    dtype = np.result_type(*({each for each in dtypes if each.kind == "f"} or dtypes))
    return [array.astype(dtype, copy=False) for array in arrays]


def cast(array: Array, dtype: str) -> Array:
    """Casts an array to a compute dtype.

    Args:
        array: Any numbers.
        dtype: The name of a NumPy dtype, or ``"bfloat16"``. bfloat16 numbers are kept in float32,
            rounded to the nearest with ties to an even last bit, as the hardware does.
    """
    if dtype != "bfloat16":
        return array.astype(dtype, copy=False)
    numbers = np.array(array, np.float32, order="C")
    bits = numbers.view(np.uint32)
    tie = bits >> 16
    tie &= 1
    tie += 0x7FFF
    bits += tie
    bits &= 0xFFFF0000
    np.copyto(numbers, np.nan, where=np.isnan(array))
    return numbers
