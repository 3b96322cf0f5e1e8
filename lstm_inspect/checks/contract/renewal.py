"""Makes contracts from models: a new one, and an update after a reviewed change."""

from collections.abc import Mapping
from typing import Any

from lstm_inspect.checks.contract.contracts import Contract
from lstm_inspect.checks.contract.fields import ROW_NAMES, rows_of
from lstm_inspect.checks.contract.matching import differences, matching
from lstm_inspect.shapes import SCHEMA, ModelShapes

_HELD = (
    *("path", "cell", "units", "features", "direction"),
    *("weights", "states", "sequences", "stateful", "dtype"),
)


def contract_of(shapes: ModelShapes) -> dict[str, Any]:
    """Makes a contract on the sizes and dtypes of a model's inputs and recurrent layers."""
    model = shapes.as_json()
    return {
        "schema": SCHEMA,
        "inputs": model["inputs"],
        "layers": {"exactly": [{key: row[key] for key in _HELD} for row in model["layers"]]},
    }


def renewed(contract: Contract, shapes: ModelShapes) -> dict[str, Any]:
    """Updates a contract: each value that the model breaks becomes the model's own value.

    What the model keeps stays as it is written, globs and ranges too. A row about a layer that the
    model does not have stays too. If the layers of a glob need different values, each gets its own
    row. An ``exactly`` list gains a row for each layer or input that it lacks.
    """
    model = shapes.as_json()
    content = dict(contract.content)
    for name, expected in content.items():
        if name not in ROW_NAMES:
            content[name] = SCHEMA if name == "schema" else _renewed(expected, model[name])
            continue
        rows = _renewed_rows(rows_of(expected), model[name], ROW_NAMES[name])
        if isinstance(expected, dict):
            mine = [each for row in rows for each in matching(row, model[name], ROW_NAMES[name])]
            new = [each for each in model[name] if each not in mine]
            held = _HELD if name == "layers" else [*new[0]] if new else []
            rows += [{key: each[key] for key in held} for each in new]
            content[name] = {"exactly": rows}
        else:
            content[name] = rows
    return content


def _renewed_rows(
    rows: list[Mapping[str, Any]], found: list[dict[str, Any]], name: str
) -> list[dict[str, Any]]:
    kept = []
    for row in rows:
        mine = matching(row, found, name)
        if not mine:
            kept.append(dict(row))
            continue
        new = [
            {key: _renewed(value, each.get(key)) for key, value in row.items() if key != name}
            for each in mine
        ]
        if all(each == new[0] for each in new):
            kept += [{name: row[name], **each} for each in new[:1]]
        else:
            kept += [{name: own[name], **each} for own, each in zip(mine, new, strict=True)]
    return kept


def _renewed(expected: Any, found: Any) -> Any:
    """Gives the value in the contract if the model keeps it, else the model's own value."""
    if not any(differences(expected, found, "")):
        return expected
    if isinstance(expected, dict) and isinstance(found, dict):
        return {key: _renewed(value, found[key]) for key, value in expected.items() if key in found}
    return found
