"""Colors for a few words on a terminal, without Rich, whose import takes a while."""

import os
from typing import TextIO

_CODES = {"red": 31, "yellow": 33}


def shows_colors(stream: TextIO | None) -> bool:
    """Whether a stream gets colors: a terminal does; None is a stream that is closed.

    ``NO_COLOR`` and ``FORCE_COLOR`` change that (https://no-color.org, https://force-color.org).
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def colored(text: str, color: str, stream: TextIO | None) -> str:
    """A text in ``"red"`` or ``"yellow"`` if the stream shows colors, else as it is."""
    return f"\x1b[{_CODES[color]}m{text}\x1b[0m" if shows_colors(stream) else text
