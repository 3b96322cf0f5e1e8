"""Contracts from JSON and TOML files and from the command line, checked for what they mention."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_inspect.errors import ContractError, ModelFileError
from lstm_inspect.formats import parse_object, read_bytes
from lstm_inspect.limits import DEFAULT_LIMITS
from lstm_inspect.shapes import SCHEMA

ROW_NAMES = {"layers": "path", "inputs": "name"}
"""The lists whose rows are found by a name, and which field that is."""

FIELDS = {
    "layers": frozenset(
        {
            *("path", "cell", "units", "features", "direction", "dtype", "parameters"),
            *("weights", "states", "sequences", "convolution"),
            *("activation", "recurrent_activation", "reset_after"),
            *("return_sequences", "return_state", "stateful"),
            *("blocked_by", "notes"),
        }
    ),
    "inputs": frozenset({"name", "shape", "dtype"}),
}
"""The fields that a row may mention."""

_TOP = frozenset({"schema", "file", "incomplete", "parameters", *ROW_NAMES})
_BOUNDS = frozenset({"min", "max"})
_RANGE = re.compile(r"(-?\d+)?\.\.(-?\d+)?")


@dataclass(frozen=True, eq=False)
class Contract:
    """What a model is held to: any part of what ``shapes --format json`` prints.

    What is not mentioned is free. The ``path`` of a layer may be a glob. In the place of a number
    there may stand ``{"min": 1, "max": 8}``, or one of both; in that of a list of layers or inputs
    ``{"exactly": [...]}``, which forbids others.

    Attributes:
        content: The part, as plain data.
        path: Where it was read from; None for one that was not.

    Raises:
        ContractError: It mentions what no model has.
    """

    content: Mapping[str, Any]
    path: Path | None = None

    def __post_init__(self) -> None:
        """Checks what it mentions."""
        _check(self.content, "contract" if self.path is None else str(self.path))


def rows_of(listed: Any) -> list[Mapping[str, Any]]:
    """The rows of a list of layers or inputs in a contract, whether others are forbidden or not."""
    rows: list[Mapping[str, Any]] = listed["exactly"] if isinstance(listed, dict) else listed
    return rows


def is_range(value: Any) -> bool:
    """Whether a value of a contract is a range."""
    return isinstance(value, dict) and bool(value) and value.keys() <= _BOUNDS


def is_contract(path: Path) -> bool:
    """Whether a file is a contract, by its name: ``.json`` (no ``.weights.json``) or ``.toml``."""
    return path.suffix in (".json", ".toml") and not path.name.endswith(".weights.json")


def read_contract(path: Path) -> Contract:
    """Reads a contract.

    Raises:
        ContractError: Not there, damaged, or it mentions what no model has.
    """
    try:
        data = read_bytes(path, DEFAULT_LIMITS, "config_bytes")
        if path.suffix == ".toml":
            content = _toml(data, path)
        else:
            content = parse_object(data, str(path), DEFAULT_LIMITS)
    except ModelFileError as error:
        raise ContractError(str(error)) from error
    return Contract(content, path)


def expectations(given: Sequence[str]) -> Contract:
    """A contract from ``encoder.units=256``, ``rnn.states.h=(batch,256)``, ``parameters=..9000``.

    Raises:
        ContractError: One is not of that form.
    """
    content: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        *path, last = name.split(".")
        if not equals or not last:
            raise ContractError(f"--expect {each}: expected LAYER.FIELD=VALUE or FIELD=VALUE")
        value = _value(text.strip())
        words = [*path, last]
        at = max((n for n, word in enumerate(words) if n and word in FIELDS["layers"]), default=0)
        for word in reversed(words[at + 1 :]):
            value = {word: value}
        if not at and path and words[0] not in _TOP:
            fields = ", ".join(sorted(FIELDS["layers"]))
            raise ContractError(
                f"--expect {each}: expected LAYER.FIELD=VALUE, FIELD one of {fields}"
            )
        if at:
            row = {"path": ".".join(words[:at]), words[at]: value}
            content.setdefault("layers", []).append(row)
        else:
            content[words[0]] = value
    return Contract(content)


def _toml(data: bytes, path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        raise ContractError(f"{path}: not valid TOML ({error})") from error


def _value(text: str) -> Any:
    if text[:1] in ("(", "["):
        return [_value(each.strip()) for each in text[1:-1].split(",") if each.strip()]
    if (bounds := _RANGE.fullmatch(text)) and any(bounds.groups()):
        named = zip(("min", "max"), bounds.groups(), strict=True)
        return {name: int(bound) for name, bound in named if bound is not None}
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return {"true": True, "false": False, "null": None}.get(text, text)


def _check(content: Mapping[str, Any], what: str) -> None:
    """Refuses a contract that would be kept or broken for the wrong reason: by a misspelt field."""
    _check_fields(content, _TOP, what)
    schema = content.get("schema", SCHEMA)
    if type(schema) is not int or schema > SCHEMA:
        raise ContractError(
            f"{what}: of schema {schema!r}; this version reads up to {SCHEMA}, upgrade lstm-inspect"
        )
    for listed, name in ROW_NAMES.items():
        if listed not in content:
            continue
        rows = content[listed]
        if isinstance(rows, dict):
            _check_fields(rows, frozenset({"exactly"}), f"{what}: {listed}")
            rows = rows.get("exactly")
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and isinstance(row.get(name), str) for row in rows
        ):
            raise ContractError(f"{what}: expected {listed} to be a list of objects with a {name}")
        for row in rows:
            _check_fields(row, FIELDS[listed], f"{what}: {listed}: {row[name]}")


def _check_fields(given: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    for field in given:
        if field not in known:
            raise ContractError(
                f"{what}: no such field: {field}; there are {', '.join(sorted(known))}"
            )
