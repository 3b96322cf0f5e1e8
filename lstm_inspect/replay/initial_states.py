"""Fits the states that a replay starts from, if they are not zeros."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, InspectWarning, SelectionError
from lstm_inspect.model import Model, fits
from lstm_inspect.notation import by_line, shape_text
from lstm_inspect.replay.inputs import check_finite
from lstm_inspect.replay.plan import Plan

InitialStates = Mapping[str, Mapping[str, Array]]
"""(batch, units) for each state, by the path of the call and the name of the state."""


def bind_initial_states(
    given: Mapping[str, Any], model: Model, plan: Plan, batch: int, *, allow_nonfinite: bool
) -> InitialStates:
    """Fits the given states to the recurrent calls of a replay.

    Args:
        given: (batch, units) for each state, by ``<path>/h0`` and ``<path>/c0``; empty for zeros.
        model: The model.
        plan: The calls to compute. States of other calls are left out.
        batch: How many sequences start from them.
        allow_nonfinite: Whether NaN and infinity cause a warning instead of an error.

    Raises:
        SelectionError: No recurrent call has such a state.
        InputError: A state is missing beside another one, has another shape, or holds no numbers.

    Warns:
        InspectWarning: A call starts from zeros, though others do not; or from states that the
            model gives it, though there are some for it.
    """
    calls = {call.path: (call, layer) for call, layer in model.recurrent_calls}
    keys = [f"{path}/{state}0" for path, (_, layer) in calls.items() for state in layer.states]
    for key in given:
        if key not in keys:
            raise SelectionError(
                f"initial state {key}: no recurrent layer has it; there are {', '.join(keys)}"
            )
    bound: dict[str, dict[str, Array]] = {}
    remarks = []
    for path, (call, recurrence) in calls.items():
        own = {state: f"{path}/{state}0" for state in recurrence.states}
        has = [key for key in own.values() if key in given]
        if not given or call not in plan.calls:
            continue
        if not has and not call.kwargs.get("initial_state"):
            remarks.append((path, ": starts from zeros; no initial state is given for it"))
        elif has and call.kwargs.get("initial_state"):
            remarks.append((path, ": starts from the states that the model gives it, not from h0"))
        elif has:
            if len(has) != len(own):
                raise InputError(
                    f"layer {path}: expected the initial states {' and '.join(own.values())}, "
                    f"received {has[0]} alone"
                )
            expected = recurrence.state_shapes(())
            bound[path] = {
                state: _fitted(key, given[key], (batch, *(None,) * call.folds, *expected[state]))
                for state, key in own.items()
            }
            for state, key in own.items():
                what = f"initial state {key}:"
                check_finite(what, bound[path][state], allow_nonfinite, InputError)
    for remark in by_line(remarks):
        warnings.warn(InspectWarning(remark), stacklevel=4)
    return bound


def _fitted(key: str, given: Any, expected: tuple[int | None, ...]) -> Array:
    state = np.asarray(given)
    if state.dtype.kind not in "iufb" or not fits(state.shape, expected):
        sizes = shape_text(["any" if size is None else size for size in expected])
        raise InputError(
            f"initial state {key}: expected numbers of shape {sizes}, "
            f"received {shape_text(state.shape)} of {state.dtype}"
        )
    return state
