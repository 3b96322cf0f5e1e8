"""Compares two arrays of one shape number by number, in pieces that fit into memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.checks.findings import Finding
from lstm_inspect.errors import InputError


@dataclass(frozen=True)
class Tolerance:
    """How far apart numbers a and b may be: ``|a - b| <= absolute + relative * |a|``.

    Raises:
        InputError: One of the two is not a finite number of at least 0.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        """Checks the numbers: with a tolerance of NaN, no two arrays would differ."""
        for value in (self.absolute, self.relative):
            if not 0 <= value < np.inf:
                raise InputError(f"tolerance: expected a number of at least 0, received {value}")


EXACT = Tolerance()
"""No two numbers may differ."""


class Parting(NamedTuple):
    """Where two arrays differ, and by how much.

    Attributes:
        first: The place of the first number that differs.
        expected: The number at ``first`` in the first array.
        found: The number at ``first`` in the second array.
        largest: The largest absolute difference; infinite if only one of the two is NaN.
        largest_place: The place of the largest difference.
    """

    first: tuple[int, ...]
    expected: float
    found: float
    largest: float
    largest_place: tuple[int, ...]


def distances(a: Array, b: Array) -> Array:
    """The absolute difference of each two numbers: 0 for two NaN, NaN if one of the two is NaN."""
    with np.errstate(invalid="ignore"):
        apart: Array = np.abs(a - b)
    apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0
    return apart


def _whole_distances(a: Array, b: Array) -> Array:
    """The same of whole numbers, which float64 would round before they are compared."""
    larger, smaller = (extreme(a, b).astype(np.uint64) for extreme in (np.maximum, np.minimum))
    return (larger - smaller).astype(np.float64)


def parting(
    shape: tuple[int, ...], pieces: Iterable[tuple[Array, Array]], tolerance: Tolerance
) -> Parting | None:
    """Compares two arrays.

    Args:
        shape: The shape of both arrays.
        pieces: The numbers of both in C order, piece by piece: pairs of flat arrays of one length.
        tolerance: How far apart numbers may be. Two NaN agree.

    Returns:
        Where the arrays differ; None if all numbers agree.
    """
    first: tuple[int, float, float] | None = None
    largest, largest_at, at = 0.0, 0, 0
    for one, other in pieces:
        with np.errstate(invalid="ignore"):  # a NaN may be a signalling one
            a, b = one.astype(np.float64, copy=False), other.astype(np.float64, copy=False)
        is_whole = one.dtype == other.dtype and one.dtype.kind in "iu"
        apart = _whole_distances(one, other) if is_whole else distances(a, b)
        apart[np.isnan(apart)] = np.inf
        with np.errstate(invalid="ignore"):
            share = np.where(np.isfinite(a), tolerance.relative * np.abs(a), 0)
        parts = apart > tolerance.absolute + share
        if parts.any():
            where = int(np.argmax(parts))
            first = first or (at + where, float(a[where]), float(b[where]))
            most = int(np.argmax(np.where(parts, apart, -1)))
            if apart[most] > largest:
                largest, largest_at = float(apart[most]), at + most
        at += a.size
    if first is None:
        return None
    return Parting(_place(first[0], shape), first[1], first[2], largest, _place(largest_at, shape))


def findings_of(
    parts: Parting | None, finding: Callable[..., Finding], place: Callable[[tuple[int, ...]], str]
) -> Iterator[Finding]:
    """Yields the finding about two arrays that differ; nothing if they agree.

    Args:
        parts: The result of `parting`.
        finding: Makes a finding from what is known of the numbers.
        place: Writes a place in these arrays.
    """
    if parts is not None:
        yield finding(
            rule="numbers",
            expected=parts.expected,
            found=parts.found,
            place=place(parts.first),
            largest=parts.largest,
            largest_place=place(parts.largest_place),
        )


def _place(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.unravel_index(flat, shape))
