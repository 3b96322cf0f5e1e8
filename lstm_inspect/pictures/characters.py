"""Which characters a console can show."""

from rich.console import Console


def can_write(console: Console, text: str) -> bool:
    """Whether the encoding of a console has some characters."""
    try:
        text.encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True
