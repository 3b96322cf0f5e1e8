"""Nested lists, tuples and dicts: the two ways to walk over them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

LOOK_INSIDE: Final = object()
"""What a rule of `rewritten` gives for a value that it does not replace."""


def leaves(value: Any) -> Iterator[Any]:
    """Yields what is in nested lists, tuples and dicts and is none of these, in order."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, Mapping):
        yield from leaves(list(value.values()))
    else:
        yield value


def rewritten(value: Any, rule: Callable[[Any], Any]) -> Any:
    """Rewrites a nested value from the outside in.

    Args:
        value: Lists, tuples and dicts of anything.
        rule: Gets each value, nested ones before what is in them. It gives what replaces the value,
            or `LOOK_INSIDE`.

    Returns:
        New lists, tuples and dicts. What is none of these and is not replaced stays as it is.
    """
    replaced = rule(value)
    if replaced is not LOOK_INSIDE:
        return replaced
    if isinstance(value, list):
        return [rewritten(item, rule) for item in value]
    if isinstance(value, tuple):
        return tuple(rewritten(item, rule) for item in value)
    if isinstance(value, Mapping):
        return {key: rewritten(item, rule) for key, item in value.items()}
    return value
