"""How shapes, places, names and numbers are written, in errors, tables and JSON alike."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

_ONE_OF = {"batch": "sample", "timesteps": "step", "units": "unit", "features": "feature"}


def shape_text(shape: Sequence[int | str]) -> str:
    """A shape as Python would write it, with words for the sizes that are open: (batch, 8)."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def place_text(place: Sequence[int], dims: Sequence[str]) -> str:
    """A place in an array, by the names of its axes: ``sample 0, step 3, unit 5``."""
    return ", ".join(f"{_ONE_OF.get(dim, dim)} {at}" for dim, at in zip(dims, place, strict=True))


def with_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON has them, which has no NaN and no infinity: null in their place."""
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in fields.items()
    }


def printable(text: str) -> str:
    """A text from a file, with escapes for what would move or colour a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
