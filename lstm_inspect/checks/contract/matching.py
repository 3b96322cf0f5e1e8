"""Checks a model against a contract."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from lstm_inspect.checks.contract.contracts import Contract
from lstm_inspect.checks.contract.fields import ROW_NAMES, is_range, rows_of
from lstm_inspect.checks.findings import Finding
from lstm_inspect.shapes import ModelShapes


class Difference(NamedTuple):
    """A field whose value the contract does not allow."""

    field: str
    expected: Any
    found: Any


def check_contract(contract: Contract, shapes: ModelShapes) -> list[Finding]:
    """Checks the shapes of a model; `lstm_inspect.check_contract` says more."""
    model = shapes.as_json()
    file = shapes.model.source.path
    found: list[Finding] = []
    for name, expected in contract.content.items():
        if name in ROW_NAMES:
            found += _check_rows(name, expected, model[name], file)
        elif name != "schema":
            for field, wanted, there in differences(expected, model[name], name):
                finding = Finding(
                    rule="value", file=file, layer=None, field=field, expected=wanted, found=there
                )
                found.append(finding)
    return found


def differences(expected: Any, found: Any, field: str) -> Iterator[Difference]:
    """Yields each difference of a value from a contract; what the contract leaves out is free."""
    if is_range(expected):
        is_number = type(found) in (int, float)
        low, high = expected.get("min"), expected.get("max")
        if (
            not is_number
            or (low is not None and found < low)
            or (high is not None and found > high)
        ):
            yield Difference(field, expected, found)
    elif isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            yield from differences(value, found.get(name), f"{field}.{name}")
    elif isinstance(expected, list) and isinstance(found, list):
        same = len(expected) == len(found) and not any(
            difference
            for pair in zip(expected, found, strict=True)
            for difference in differences(*pair, field)
        )
        if not same:
            yield Difference(field, expected, found)
    elif expected == "any" and found is None:
        return  # TOML has no null for an open size
    elif expected != found or isinstance(expected, bool) != isinstance(found, bool):
        yield Difference(field, expected, found)


def matching(
    row: Mapping[str, Any], found: list[dict[str, Any]], name: str
) -> list[dict[str, Any]]:
    """Gives the layers or inputs that a row is about: the one of its name, or all of its glob."""
    named = [each for each in found if each[name] == row[name]]
    return named or [each for each in found if fnmatchcase(each[name], row[name])]


def _check_rows(
    listed: str, expected: Any, found: list[dict[str, Any]], file: Path
) -> Iterator[Finding]:
    name = ROW_NAMES[listed]
    rows = rows_of(expected)
    there = [each[name] for each in found]
    for row in rows:
        mine = matching(row, found, name)
        if not mine:
            yield _of_row(listed, row[name], file, Difference("", row[name], there), "missing")
        for each in mine:
            for field, wanted in row.items():
                if field != name:
                    for difference in differences(wanted, each.get(field), field):
                        yield _of_row(listed, each[name], file, difference, "value")
    if isinstance(expected, dict):
        expected_names = {each[name] for row in rows for each in matching(row, found, name)}
        for each in found:
            if each[name] not in expected_names:
                difference = Difference("", [row[name] for row in rows], each[name])
                yield _of_row(listed, each[name], file, difference, "extra")


def _of_row(listed: str, name: str, file: Path, difference: Difference, rule: str) -> Finding:
    field = difference.field
    return Finding(
        rule=rule,
        file=file,
        layer=name if listed == "layers" else None,
        field=field if listed == "layers" else f"inputs.{name}.{field}".rstrip("."),
        expected=difference.expected,
        found=difference.found,
    )
