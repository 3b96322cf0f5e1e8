"""Parses the JSON text of a model file into plain data."""

import json
import re
from collections import Counter
from itertools import islice
from typing import Any, NoReturn

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits

# Neither pattern ever backtracks: an unfinished string ends at the end of the whole text.
_STRING = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_NUMBER = 20


def optional_text(value: object, what: str) -> str | None:
    """Returns a text that a file may leave out.

    Args:
        value: The value in the file; None if it is left out.
        what: The name of the value in errors.

    Raises:
        ModelFileError: The value is neither text nor None.
    """
    if value is None or isinstance(value, str):
        return value
    raise ModelFileError(f"{what}: expected text, received {value!r:.60}")


def parse_object(text: bytes | memoryview | str, what: str, limits: Limits) -> dict[str, Any]:
    """Parses a JSON object; refuses JSON that two readers could read in different ways.

    Args:
        text: The JSON text; bytes are UTF-8.
        what: The name of the text in errors.
        limits: How deep and how large the text may be.

    Raises:
        ModelFileError: The text is not JSON, or its outermost value is not an object.
        LimitError: The text is deeper or larger than the limits allow.
    """
    limits.check("config_bytes", len(text), what)
    try:
        decoded = text if isinstance(text, str) else str(text, "utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{what}: not valid JSON ({error})") from error
    _check_size(decoded, what, limits)
    try:
        value = json.loads(
            decoded,
            object_pairs_hook=_without_repeats,
            parse_constant=_no_number,
            parse_int=_whole_number,
            parse_float=_finite_number,
        )
        if _SURROGATE.search(decoded):
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair fails
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{what}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{what}: expected a JSON object, received {type(value).__name__}")
    return value


def _check_size(text: str, what: str, limits: Limits) -> None:
    bare = _STRING.sub("", text)
    limits.check("json_values", sum(bare.count(c) for c in ",[{") + 1, what)
    depth = deepest = 0
    for bracket in islice(_BRACKET.finditer(bare), 2 * limits.json_values):
        depth += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, depth)
    limits.check("json_depth", deepest, what)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice!r:.40} appears twice in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _finite_number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text:.40} is too large for a float64")
    return number
