"""Reads contracts from JSON and TOML files and from the command line, and writes them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
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
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.nested import LOOK_INSIDE, leaves, rewritten

_RANGE = re.compile(r"(-?\d{1,18})?\.\.(-?\d{1,18})?")
_LONGEST_TEXT = 1000  # a longer glob takes fnmatch quadratic time
_BITS = 64
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, eq=False)
class Contract:
    """What a model must be: any part of what ``shapes --format json`` prints.

    For example ``{"layers": [{"path": "encoder*", "units": 6}]}``. What a contract does not mention
    is free.

    - The ``path`` of a layer may be a glob.
    - A number may be a range: ``{"min": 1, "max": 8}``, or one of the two.
    - A list of layers or inputs may be ``{"exactly": [...]}``, which forbids others.
    - A size that an input leaves open is null or ``"any"``.

    Attributes:
        content: The fields, as plain data.
        path: The file of the contract; None if it does not come from a file.

    Raises:
        ContractError: The contract mentions a field that no model has, or mentions nothing.
    """

    content: Mapping[str, Any]
    path: Path | None = None

    def __post_init__(self) -> None:
        """Checks the fields; tuples, as Python writes shapes, count as lists."""
        object.__setattr__(self, "content", rewritten(self.content, _list_of_tuple))
        check_content(self.content, "contract" if self.path is None else str(self.path))


def is_contract(path: Path) -> bool:
    """Whether a file is a contract, by its name: ``.json`` (not ``.weights.json``) or ``.toml``."""
    name = path.name.lower()
    return name.endswith((".json", ".toml")) and not name.endswith(".weights.json")


def read_contract(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Contract:
    """Reads a contract.

    Args:
        path: The contract.
        limits: How large it may be.

    Raises:
        ContractError: The file is missing or damaged, or mentions a field that no model has.
        LimitError: The file is larger than a limit allows.
    """
    path = Path(path)
    try:
        data = read_bytes(path, limits, "config_bytes")
        if path.suffix.lower() == ".toml":
            content = _toml(data, path, limits)
        else:
            content = parse_object(data, str(path), limits)
    except ModelFileError as error:
        raise ContractError(str(error)) from error
    for each in leaves(content):
        if type(each) is int and each.bit_length() > _BITS:
            raise ContractError(f"{path}: expected numbers of at most {_BITS} bits")
        if isinstance(each, str) and len(each) > _LONGEST_TEXT:
            raise ContractError(f"{path}: expected texts of at most {_LONGEST_TEXT} characters")
    return Contract(content, path)


def write_contract(
    path: Path, content: Mapping[str, Any], may_replace: Callable[[Path], bool]
) -> None:
    """Writes a contract as JSON.

    Args:
        path: The file.
        content: The contract.
        may_replace: Tells whether an existing file may be replaced.

    Raises:
        ContractError: The name does not end in ``.json``.
        OutputError: The file cannot be written, or must not be replaced.
    """
    check_contract_name(path)
    with replacing(path, may_replace) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def check_contract_name(path: Path) -> None:
    """Refuses a file name for a new contract that does not end in ``.json``.

    Raises:
        ContractError: The name does not end in ``.json``.
    """
    if path.suffix.lower() != ".json":
        raise ContractError(
            f"{path}: a contract is written as JSON; give it a name that ends in .json"
        )


def expectations(given: Sequence[str]) -> Contract:
    """Makes a contract from the values of ``--expect``.

    For example ``encoder.units=256``, ``rnn.states.h=(batch,256)`` and ``parameters=..9000``.

    Raises:
        ContractError: A value does not have this form.
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
        if not at and words[0] in fields - TOP_FIELDS:
            raise ContractError(
                f"--expect {each}: expected the layer in front, such as LAYER.{each}, or *.{each} "
                "for each layer"
            )
        if not at and words[0] not in TOP_FIELDS - ROW_NAMES.keys():
            raise ContractError(
                f"--expect {each}: expected LAYER.FIELD=VALUE; field {words[-1]}: "
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


def _toml(data: bytes, path: Path, limits: Limits) -> dict[str, Any]:
    import tomllib

    # tomllib takes quadratic time for a dotted key.
    for key in re.split(rb"[^\w\"'. \t-]+", data):
        limits.check("json_depth", key.count(b"."), f"{path}: a dotted key")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{path}: not valid TOML ({error})") from error


def _value(text: str, given: str) -> Any:
    if text[:1] in ("(", "["):
        if text[-1] != {"(": ")", "[": "]"}[text[0]]:
            raise ContractError(
                f"--expect {given}: expected a shape such as (batch,256), received {text}"
            )
        sizes = [_value(each.strip(), given) for each in text[1:-1].split(",") if each.strip()]
        if "None" in sizes:
            raise ContractError(
                f"--expect {given}: expected a word for an open size (batch, timesteps, any), "
                "received None"
            )
        return sizes
    if (bounds := _RANGE.fullmatch(text)) and any(bounds.groups()):
        named = zip(("min", "max"), bounds.groups(), strict=True)
        return {name: int(bound) for name, bound in named if bound is not None}
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    return _WORDS.get(text, text)


def _list_of_tuple(value: Any) -> Any:
    return rewritten(list(value), _list_of_tuple) if isinstance(value, tuple) else LOOK_INSIDE
