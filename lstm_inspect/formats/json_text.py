"""JSON text of a model file to plain data."""

import json
from typing import Any

from lstm_inspect.errors import ModelFileError


def optional_text(value: object, what: str) -> str | None:
    """A text that a file may leave out.

    Args:
        value: What stands there.
        what: What to call it in an error.

    Raises:
        ModelFileError: It is something else.
    """
    if value is None or isinstance(value, str):
        return value
    raise ModelFileError(f"{what}: expected text, received {value!r:.60}")


def parse_object(text: bytes | str, what: str) -> dict[str, Any]:
    """Parses a JSON object.

    Args:
        text: The JSON text; bytes are UTF-8.
        what: What to call the text in an error.

    Raises:
        ModelFileError: Not JSON, or JSON whose outermost value is not an object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{what}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{what}: expected a JSON object, received {type(value).__name__}")
    return value
