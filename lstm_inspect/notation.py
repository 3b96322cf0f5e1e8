"""Writes shapes, positions, names, numbers and advice alike in errors, tables and JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import Any

_COMMAND_LINE: ContextVar[bool] = ContextVar("command line", default=False)

_ONE_OF = {"batch": "sample", "timesteps": "step", "units": "unit", "features": "feature"}


def shape_text(shape: Sequence[int | str]) -> str:
    """Writes a shape as Python does, with words for open sizes: ``(batch, 8)``."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def counted(count: int, what: str) -> str:
    """Writes how many there are of something: ``1 feature``, ``2 features``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def sizes_text(shapes: Mapping[str, Sequence[int | str]]) -> str:
    """Writes named shapes, those of one shape together: ``h, c: 3 x 7 x 6; mask: 3 x 7``."""
    names: dict[str, list[str]] = {}
    for name, shape in shapes.items():
        names.setdefault(" x ".join(map(str, shape)), []).append(name)
    return "; ".join(f"{', '.join(each)}: {sizes}" for sizes, each in names.items())


def place_text(place: Sequence[int], dims: Sequence[str]) -> str:
    """Writes a position in an array with the names of its axes: ``sample 0, step 3, unit 5``."""
    return ", ".join(f"{_ONE_OF.get(dim, dim)} {at}" for dim, at in zip(dims, place, strict=True))


def by_line(said: Iterable[tuple[str, str]]) -> list[str]:
    """Writes what is said of paths, each line once: ``lstm, lstm_1: the file lacks its bias``.

    Args:
        said: Pairs of a path and what stands behind it: ``": the file lacks its bias"``.
    """
    paths: dict[str, list[str]] = {}
    for path, line in said:
        paths.setdefault(line, []).append(path)
    return [f"{', '.join(each)}{line}" for line, each in paths.items()]


def advice(*, python: str, command_line: str) -> str:
    """Returns what to do next, in words of the interface in use: Python or the command line."""
    return command_line if _COMMAND_LINE.get() else python


@contextmanager
def command_line_words() -> Iterator[None]:
    """Makes `advice` name command-line options instead of arguments of the Python API."""
    token = _COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _COMMAND_LINE.reset(token)


def with_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields with None for NaN and infinity, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in fields.items()
    }


def printable(text: str) -> str:
    """Escapes the characters of a text that could move the cursor or color a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
