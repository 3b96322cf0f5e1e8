"""How shapes and names are written, in errors and tables alike."""

from collections.abc import Sequence

_ONE_OF = {"batch": "sample", "timesteps": "step", "units": "unit", "features": "feature"}


def shape_text(shape: Sequence[int | str]) -> str:
    """A shape as Python would write it, with words for the sizes that are open: (batch, 8)."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def place_text(place: Sequence[int], dims: Sequence[str]) -> str:
    """A place in an array, by the names of its axes: ``sample 0, step 3, unit 5``."""
    return ", ".join(f"{_ONE_OF.get(dim, dim)} {at}" for dim, at in zip(dims, place, strict=True))


def printable(text: str) -> str:
    """A text from a file, with escapes for what would move or colour a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
