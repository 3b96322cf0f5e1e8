"""How shapes, places, names, numbers and advice are written, in errors, tables and JSON alike."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import Any

_COMMAND_LINE: ContextVar[bool] = ContextVar("command line", default=False)

_ONE_OF = {"batch": "sample", "timesteps": "step", "units": "unit", "features": "feature"}


def shape_text(shape: Sequence[int | str]) -> str:
    """A shape as Python would write it, with words for the sizes that are open: (batch, 8)."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def place_text(place: Sequence[int], dims: Sequence[str]) -> str:
    """A place in an array, by the names of its axes: ``sample 0, step 3, unit 5``."""
    return ", ".join(f"{_ONE_OF.get(dim, dim)} {at}" for dim, at in zip(dims, place, strict=True))


def advice(*, python: str, command_line: str) -> str:
    """What to do next, in the words of the door that the user came through."""
    return command_line if _COMMAND_LINE.get() else python


@contextmanager
def command_line_words() -> Iterator[None]:
    """Makes `advice` name options of the command line, not arguments of the Python API."""
    token = _COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _COMMAND_LINE.reset(token)


def with_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON has them, which has no NaN and no infinity: null in their place."""
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in fields.items()
    }


def printable(text: str) -> str:
    """A text from a file, with escapes for what would move or colour a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
