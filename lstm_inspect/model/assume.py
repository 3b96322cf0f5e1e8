"""What a user says of a model where the file says nothing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import InputError, SelectionError
from lstm_inspect.model.graph import Model
from lstm_inspect.model.recurrence import Recurrence


def _flag(value: object) -> bool:
    named = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
    if not isinstance(named, bool):
        raise ValueError("true or false")
    return named


def _number(value: Any) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number):
        raise ValueError("a finite number")
    return number


def _clip(value: Any) -> float | None:
    if value in (None, "none", "None"):
        return None
    if (most := _number(value)) <= 0:
        raise ValueError("a positive number, or none")
    return most


def _activation(value: object) -> str:
    if not isinstance(value, str) or value not in ACTIVATIONS:
        close = get_close_matches(str(value), ACTIVATIONS) or ["tanh", "sigmoid", "relu"]
        raise ValueError(f"an activation of Keras such as {', '.join(close)}")
    return value


FIELDS: dict[str, Callable[[Any], Any]] = {
    "activation": _activation,
    "recurrent_activation": _activation,
    "nonlinearity": _activation,
    "go_backwards": _flag,
    "reset_after": _flag,
    "time_major": _flag,
    "forget_bias": _number,
    "cell_clip": _clip,
    "proj_clip": _clip,
}
"""The fields that can be assumed, and what reads the value of each."""

_OTHER_NAMES = {"nonlinearity": "activation"}  # the word of PyTorch for a cell without gates
_OF_LAYERS = ("go_backwards", "time_major")


def assumed(model: Model, assumptions: Mapping[str, Any]) -> Model:
    """A model with what a user says of it.

    Args:
        model: The model.
        assumptions: Values by ``GLOB.FIELD``: ``{"*.recurrent_activation": "sigmoid"}``. A value
            may be a text, as on the command line.

    Raises:
        InputError: A field or value is unknown, or the file itself says something else.
        SelectionError: A glob matches no recurrent layer that has the field.
    """
    said = {recurrence: recurrence for recurrence in model.recurrent}
    for key, given in assumptions.items():
        glob, _, field = key.rpartition(".")
        if field not in FIELDS or not glob:
            raise InputError(
                f"assume {key}: expected LAYER.FIELD with a field of {', '.join(FIELDS)}"
            )
        try:
            value = FIELDS[field](given)
        except ValueError as error:
            raise InputError(f"assume {key}={given}: expected {error}") from error
        matched = {
            recurrence
            for call, recurrence in model.recurrent_calls
            if fnmatchcase(call.path, glob) and _has(recurrence, field)
        }
        if not matched:
            paths = ", ".join(call.path for call, _ in model.recurrent_calls)
            raise SelectionError(
                f"assume {key}: matches no recurrent layer that has {field}; there are {paths}"
            )
        for recurrence in matched:
            _check_open(recurrence, field, value)
            said[recurrence] = _with(said[recurrence], field, value)
    calls = tuple(
        replace(call, layer=said[call.layer]) if isinstance(call.layer, Recurrence) else call
        for call in model.calls
    )
    return replace(model, calls=calls)


def _has(recurrence: Recurrence, field: str) -> bool:
    kind = recurrence.kind
    name = _OTHER_NAMES.get(field, field)
    if field == "nonlinearity":
        return not kind.gates
    return name in (*kind.activations, *kind.options, *_OF_LAYERS)


def _check_open(recurrence: Recurrence, field: str, value: Any) -> None:
    """Refuses a value of a field of which the file states another."""
    name = _OTHER_NAMES.get(field, field)
    stated = {**recurrence.activations, **recurrence.options}.get(
        name, getattr(recurrence, name, None)
    )
    is_open = name in recurrence.open_fields or name in recurrence.defaults
    if not is_open and stated != value:
        raise InputError(f"assume {recurrence.path}.{field}={value}: the file says {stated}")


def _with(recurrence: Recurrence, field: str, value: Any) -> Recurrence:
    name = _OTHER_NAMES.get(field, field)
    kind = recurrence.kind
    change = name
    if name in kind.activations:
        change = "activations"
    elif name in kind.options:
        change = "options"
    new = value if change == name else {**getattr(recurrence, change), name: value}
    fields: dict[str, Any] = {change: new, "defaults": recurrence.defaults - {name}}
    return replace(recurrence, **fields)
