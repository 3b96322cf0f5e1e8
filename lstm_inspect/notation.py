"""How shapes and names are written, in errors and tables alike."""

from collections.abc import Sequence


def shape_text(shape: Sequence[int | str]) -> str:
    """A shape as Python would write it, with words for the sizes that are open: (batch, 8)."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def printable(text: str) -> str:
    """A text from a file, with escapes for what would move or colour a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
