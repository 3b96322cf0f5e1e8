"""Contracts from JSON and TOML files and from the command line."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_inspect.checks.contract.fields import (
    FIELDS,
    ROW_NAMES,
    TOP_FIELDS,
    check_content,
    unknown,
)
from lstm_inspect.errors import ContractError, ModelFileError
from lstm_inspect.files.atomic import replacing
from lstm_inspect.files.json_text import parse_object
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.nested import LOOK_INSIDE, rewritten

_RANGE = re.compile(r"(-?\d{1,18})?\.\.(-?\d{1,18})?")
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, eq=False)
class Contract:
    """What a model is held to: any part of what ``shapes --format json`` prints.

    What is not mentioned is free. The ``path`` of a layer may be a glob. In the place of a number
    there may stand ``{"min": 1, "max": 8}``, or one of both; in that of a list of layers or inputs
    ``{"exactly": [...]}``, which forbids others. A size that an input leaves open is null or
    ``"any"``.

    Attributes:
        content: The part, as plain data.
        path: Where it was read from; None for one that was not.

    Raises:
        ContractError: It mentions what no model has, or nothing.
    """

    content: Mapping[str, Any]
    path: Path | None = None

    def __post_init__(self) -> None:
        """Checks what it mentions; tuples, as Python writes shapes, count as lists."""
        object.__setattr__(self, "content", rewritten(self.content, _list_of_tuple))
        check_content(self.content, "contract" if self.path is None else str(self.path))


def is_contract(path: Path) -> bool:
    """Whether a file is a contract, by its name: ``.json`` (no ``.weights.json``) or ``.toml``."""
    name = path.name.lower()
    return name.endswith((".json", ".toml")) and not name.endswith(".weights.json")


def read_contract(path: Path) -> Contract:
    """Reads a contract.

    Raises:
        ContractError: Not there, damaged, or it mentions what no model has.
        LimitError: Larger than any contract.
    """
    try:
        data = read_bytes(path, DEFAULT_LIMITS, "config_bytes")
        if path.suffix.lower() == ".toml":
            content = _toml(data, path)
        else:
            content = parse_object(data, str(path), DEFAULT_LIMITS)
    except ModelFileError as error:
        raise ContractError(str(error)) from error
    return Contract(content, path)


def write_contract(path: Path, content: Mapping[str, Any]) -> None:
    """Writes what a contract holds a model to, as JSON; an existing file is replaced.

    Raises:
        ContractError: The name does not end in ``.json``.
        OutputError: It cannot be written there.
    """
    check_contract_name(path)
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def check_contract_name(path: Path) -> None:
    """Refuses a name that a contract cannot be written to.

    Raises:
        ContractError: It does not end in ``.json``.
    """
    if path.suffix.lower() != ".json":
        raise ContractError(f"{path}: a contract is written as JSON; give it a name in .json")


def expectations(given: Sequence[str]) -> Contract:
    """A contract from ``encoder.units=256``, ``rnn.states.h=(batch,256)``, ``parameters=..9000``.

    Raises:
        ContractError: One is not of that form.
    """
    content: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        words = name.split(".")
        if not equals or not all(words):
            raise ContractError(f"--expect {each}: expected LAYER.FIELD=VALUE or FIELD=VALUE")
        value = _value(text.strip(), each)
        if words[0] == "inputs" and len(words) > 2:
            row = {"name": ".".join(words[1:-1]), words[-1]: value}
            content.setdefault("inputs", []).append(row)
            continue
        fields = FIELDS["layers"].keys() - {"path"}
        at = max((n for n, word in enumerate(words) if n and word in fields), default=0)
        if not at and words[0] not in TOP_FIELDS - ROW_NAMES.keys():
            raise ContractError(
                f"--expect {each}: expected LAYER.FIELD=VALUE; of the field {words[-1]}: "
                f"{unknown(words[-1], fields)}"
            )
        for word in reversed(words[at + 1 :]):
            value = {word: value}
        if at:
            row = {"path": ".".join(words[:at]), words[at]: value}
            content.setdefault("layers", []).append(row)
        elif words[0] in content:
            raise ContractError(f"--expect {each}: {words[0]} is given twice")
        else:
            content[words[0]] = value
    return Contract(content)


def _toml(data: bytes, path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{path}: not valid TOML ({error})") from error


def _value(text: str, given: str) -> Any:
    if text[:1] in ("(", "["):
        if text[-1] != {"(": ")", "[": "]"}[text[0]]:
            raise ContractError(
                f"--expect {given}: expected a shape as (batch,256), received {text}"
            )
        return [_value(each.strip(), given) for each in text[1:-1].split(",") if each.strip()]
    if (bounds := _RANGE.fullmatch(text)) and any(bounds.groups()):
        named = zip(("min", "max"), bounds.groups(), strict=True)
        return {name: int(bound) for name, bound in named if bound is not None}
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    return _WORDS.get(text, text)


def _list_of_tuple(value: Any) -> Any:
    return rewritten(list(value), _list_of_tuple) if isinstance(value, tuple) else LOOK_INSIDE
