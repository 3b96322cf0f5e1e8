"""Packs bytes into text that a page carries and its script unpacks."""

import zlib
from base64 import b64encode

import numpy as np

from lstm_inspect.arrays import Array

MOST_PACKED = 4
"""Bytes of text that a rounded number takes at most: three bytes, written in base64."""

_KEPT_BITS = 13
_LEVEL = 6


def rounded(numbers: Array) -> Array:
    """Rounds float32 numbers to 13 bits after the leading one: about four digits.

    The rest of each is zero, so that it takes little room once it is packed.
    """
    dropped = 23 - _KEPT_BITS
    bits = numbers.view(np.uint32)
    up = bits + np.uint32(1 << (dropped - 1))
    kept = ((up >> np.uint32(dropped)) << np.uint32(dropped)).view(np.float32)
    return np.where(np.isfinite(kept), kept, numbers)  # the largest ones stay as they are


def packed_numbers(numbers: Array) -> str:
    """Packs numbers: all first bytes, then all second ones and so on.

    Numbers that are near each other differ in their last bytes only, so bytes of one rank take less
    room together.

    Args:
        numbers: float32, of any shape, in C order.
    """
    little = np.ascontiguousarray(numbers, "<f4").reshape(-1, 1)
    return packed_bytes(little.view(np.uint8).T.tobytes())


def packed_bytes(data: bytes) -> str:
    """Deflates bytes and writes them in base64."""
    return b64encode(zlib.compress(data, _LEVEL)).decode("ascii")
