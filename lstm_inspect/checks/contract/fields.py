"""The fields that a contract may mention, and what each may be.

An unknown field is an error: otherwise a misspelled field would never be checked, or never be kept.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from difflib import get_close_matches
from math import isfinite
from typing import Any

from lstm_inspect.cells import CELLS
from lstm_inspect.errors import ContractError
from lstm_inspect.shapes import SCHEMA

ROW_NAMES = {"layers": "path", "inputs": "name"}
"""The lists whose rows have a name, and the field that holds it."""

_BOUNDS = ("min", "max")

Check = Callable[[Any, str], None]


def is_range(value: Any) -> bool:
    """Whether a value in a contract is a range."""
    return isinstance(value, Mapping) and bool(value) and value.keys() <= set(_BOUNDS)


def rows_of(listed: Any) -> list[Mapping[str, Any]]:
    """Gives the rows of a list of layers or inputs in a contract, with ``exactly`` or without."""
    rows: list[Mapping[str, Any]] = listed["exactly"] if isinstance(listed, Mapping) else listed
    return rows


def check_content(content: Any, what: str) -> None:
    """Refuses a contract that mentions a field that no model has, or that mentions nothing.

    Raises:
        ContractError: The contract does; the message names the place.
    """
    _object(_TOP)(content, what)
    mentioned = {name: value for name, value in content.items() if name != "schema"}
    if not any(value is not None and value not in ([], {}) for value in mentioned.values()):
        raise ContractError(f"{what}: checks nothing; mention a layer, an input or a field")


def unknown(name: str, known: Collection[str]) -> str:
    """Words for an error about an unknown name: the closest known names, or all of them."""
    close = get_close_matches(name, known, n=3)
    return (
        f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(known))}"
    )


def _refusal(what: str, expected: str, value: Any) -> ContractError:
    return ContractError(f"{what}: expected {expected}, received {value!r:.60}")


def _object(known: Mapping[str, Check]) -> Check:
    def check(value: Any, what: str) -> None:
        if not isinstance(value, Mapping):
            raise _refusal(what, "an object", value)
        for name, each in value.items():
            if name not in known:
                raise ContractError(f"{what}: no such field: {name}; {unknown(str(name), known)}")
            known[name](each, f"{what}: {name}")

    return check


def _one_of(*types: type, expected: str) -> Check:
    def check(value: Any, what: str) -> None:
        if type(value) not in types:
            raise _refusal(what, expected, value)

    return check


_text = _one_of(str, expected="a string")
_text_or_null = _one_of(str, type(None), expected="a string or null")
_flag = _one_of(bool, type(None), expected="true, false or null")


def _number(value: Any, what: str) -> None:
    if not is_range(value):
        if type(value) is not int:
            raise _refusal(what, "a whole number or a range {min, max}", value)
        return
    bounds = [value[name] for name in _BOUNDS if name in value]
    numbers = all(type(bound) in (int, float) and isfinite(bound) for bound in bounds)
    if not numbers or bounds != sorted(bounds):
        raise _refusal(what, "a range of numbers, min no larger than max", value)


def _size(value: Any, what: str) -> None:
    if not isinstance(value, str) and value is not None:
        _number(value, what)


def _list_of(check_item: Check) -> Check:
    def check(value: Any, what: str) -> None:
        if not isinstance(value, list):
            raise _refusal(what, "a list", value)
        for item in value:
            check_item(item, what)

    return check


_shape = _list_of(_size)


def _shape_or_null(value: Any, what: str) -> None:
    if value is not None:
        _shape(value, what)


def _rows(listed: str) -> Check:
    name = ROW_NAMES[listed]

    def check(value: Any, what: str) -> None:
        if isinstance(value, Mapping):
            _object({"exactly": lambda rows, where: None})(value, what)
            value = value.get("exactly")
        if not isinstance(value, list) or not all(
            isinstance(row, Mapping) and isinstance(row.get(name), str) for row in value
        ):
            raise ContractError(f"{what}: expected a list of objects with a {name}")
        for row in value:
            _object(FIELDS[listed])(row, f"{what}: {row[name]}")

    return check


def _schema(value: Any, what: str) -> None:
    if type(value) is not int or not 1 <= value <= SCHEMA:
        raise ContractError(
            f"{what}: {value!r:.20}; this version reads up to {SCHEMA}, upgrade lstm-inspect"
        )


def _weights(value: Any, what: str) -> None:
    _object(dict.fromkeys((name for kind in CELLS for name in kind.weights), _shape))(value, what)


def _states(value: Any, what: str) -> None:
    _object(dict.fromkeys((name for kind in CELLS for name in kind.states), _shape))(value, what)


_any_value = _one_of(
    str, int, bool, list, type(None), expected="a value as shapes --format json prints it"
)


def _option(type_: type) -> Check:
    """Gives the check for an option of a cell: a flag, or the fields of its dataclass."""
    if type_ is bool:
        return _flag
    if type_ is float:
        return _one_of(float, int, type(None), expected="a number or null")
    return _object({each.name: _any_value for each in fields(type_)})


FIELDS: dict[str, dict[str, Check]] = {
    "layers": {
        **dict.fromkeys(("path", "cell", "direction", "dtype"), _text),
        **dict.fromkeys(("units", "features", "parameters"), _number),
        "weights": _weights,
        **dict.fromkeys(("states", "sequences"), _states),
        **{name: _text_or_null for kind in CELLS for name in kind.activations},
        **dict.fromkeys(("return_sequences", "return_state", "stateful"), _flag),
        **dict.fromkeys(("blocked_by", "notes"), _list_of(_text)),
        **{name: _option(type_) for kind in CELLS for name, type_ in kind.options.items()},
    },
    "inputs": {"name": _text, "shape": _shape_or_null, "dtype": _text},
}
"""The fields of a row in each list, with the check for each field."""

_TOP: dict[str, Check] = {
    "schema": _schema,
    "file": _object(dict.fromkeys(("name", "format", "keras_version", "model"), _text_or_null)),
    "inputs": _rows("inputs"),
    "layers": _rows("layers"),
    "incomplete": _list_of(_text),
    "parameters": _number,
}

TOP_FIELDS = frozenset(_TOP)
"""The fields at the top of a contract, ``layers`` and ``inputs`` among them."""
