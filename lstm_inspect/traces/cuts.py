"""What is kept of an axis: ``0,5,8:16``."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError
from lstm_inspect.notation import advice

Places = str | int | slice | range | Sequence[int | slice | range] | Array | None
"""Places of an axis, as people give them: ``"0,5,8:16"``; None for all."""

_PART = re.compile(r"(-?[0-9]+)|(-?[0-9]*):(-?[0-9]*)(?::([0-9]+))?")


class Cut(NamedTuple):
    """Some places of an axis.

    Attributes:
        option: The option that asks for them.
        parts: Single places, and slices.
    """

    option: str
    parts: tuple[int | slice, ...]

    def __str__(self) -> str:
        """The places as an option has them: ``0,5,8:16``."""
        return ",".join(map(_part_text, self.parts))

    def places(self, size: int) -> tuple[int, ...]:
        """The places on an axis of this size, in rising order.

        Raises:
            InputError: A place does not exist, or there are none.
        """
        found: set[int] = set()
        for part in self.parts:
            if isinstance(part, slice):
                found.update(range(*part.indices(size)))
            elif -size <= part < size:
                found.add(part % size)
            else:
                raise InputError(
                    f"{_named(self.option)}: expected numbers below {size}, received {part}"
                )
        if not found:
            raise InputError(
                f"{_named(self.option)}: expected some of 0 to {size - 1}, received none"
            )
        return tuple(sorted(found))

    def among(self, recorded: Sequence[int]) -> tuple[int, ...]:
        """The places on an axis of which only some were recorded.

        A slice takes those of its places that were recorded. A single place stays, so that who
        looks it up can say that it is missing.

        Args:
            recorded: The places that were recorded, in rising order.

        Raises:
            InputError: A place lies behind the last one, or there are none.
        """
        size = max(recorded, default=-1) + 1
        single = {part % size for part in self.parts if isinstance(part, int) and size}
        there = {*recorded, *single}
        return tuple(place for place in self.places(size) if place in there)


def read_cut(option: str, given: Places | Cut) -> Cut | None:
    """Reads which places of an axis are wanted.

    Args:
        option: The option.
        given: ``"0,5,8:16"``, a number, a slice or range, several of these, or an array of whole
            numbers; None for all; or what was read before.

    Raises:
        InputError: It is something else.
    """
    if given is None or isinstance(given, Cut):
        return given
    parts = _parts(given)
    if not parts:
        expected = 'places such as "0,5,8:16", counted from 0'
        raise InputError(f"{_named(option)}: expected {expected}, received {given!r:.80}")
    return Cut(option, tuple(parts))


def _named(option: str) -> str:
    return advice(python=option, command_line=f"--{option}")


def _parts(given: Any) -> list[int | slice]:
    """The parts of what was given; none if a part is of another kind."""
    match given:
        case str():
            matches = [_PART.fullmatch(text.strip()) for text in given.split(",")]
            return [_part(each) for each in matches if each] if all(matches) else []
        case bool():
            return []
        case int() | np.integer():
            return [int(given)]
        case np.ndarray():
            is_list = given.ndim == 1 and given.dtype.kind in "iu"
            return [*map(int, given)] if is_list else []
        case slice():
            return [given] if given.step is None or given.step > 0 else []
        case range():
            return [*given]
        case Sequence():
            # Several in one are no part.
            each = [[] if isinstance(part, (list, tuple)) else _parts(part) for part in given]
            return [part for parts in each for part in parts] if all(each) else []
        case _:
            return []


def _part_text(part: int | slice) -> str:
    if isinstance(part, int):
        return str(part)
    start, stop, step = (
        "" if each is None else str(each) for each in (part.start, part.stop, part.step)
    )
    return f"{start}:{stop}" + (f":{step}" if step else "")


def _part(found: re.Match[str]) -> int | slice:
    single, *ends = found.groups()
    if single is not None:
        return int(single)
    start, stop, step = (int(end) if end else None for end in ends)
    return slice(start, stop, step or None)
