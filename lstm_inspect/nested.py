"""Walks over nested lists, tuples and dicts, to read or to rewrite them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

LOOK_INSIDE: Final = object()
"""Returned by a rule of `rewritten` for a value that it does not replace."""


def leaves(value: Any) -> Iterator[Any]:
    """Yields, in order, every value in nested lists, tuples and dicts that is not one of these."""
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
        rule: Is called with each value, and with a container before the values in it. It returns
            the replacement of the value, or `LOOK_INSIDE`.

    Returns:
        New lists, tuples and dicts. Any other value that is not replaced stays as it is.
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
