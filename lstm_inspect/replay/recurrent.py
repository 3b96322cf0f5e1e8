"""Replays one call of a recurrent layer: prepares its arrays, runs the cell, and undoes that."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array, cast
from lstm_inspect.cells import CELLS, Cell, bytes_of_run, run
from lstm_inspect.errors import InputError
from lstm_inspect.layers import Value
from lstm_inspect.model import Recurrence
from lstm_inspect.replay.account import Account
from lstm_inspect.replay.outputs import outputs_of


def replay_recurrence(
    path: str,
    recurrence: Recurrence,
    given: Value,
    *,
    mask: Array | None,
    initial_state: Sequence[Array],
    record: Collection[str],
    account: Account,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[tuple[Value, ...], dict[str, Array]]:
    """Replays a recurrent layer.

    Args:
        path: The name of the call, for errors.
        recurrence: The layer.
        given: x, (batch, timesteps, features). The x of a ConvLSTM is (batch, timesteps, *spatial,
            features), or features first if the layer says so. The mask of x goes to the outputs.
        mask: The mask that the layer uses, (batch, timesteps) bool; None if it uses none.
        initial_state: An array for each state; empty for zeros.
        record: Which signals to return; those that the cell does not have are left out.
        account: Asked before arrays are made and steps are taken.
        progress: Called with (path, timesteps done, timesteps in all) after every step.

    Returns:
        The outputs of the layer as Keras gives them to the next layer, and the recorded signals in
        the order of ``record``, indexed by the timestep of the input.

    Raises:
        InputError: x or an initial state does not have the shape that the weights need.
        LimitError: The replay would take more memory or steps than the limits allow.
    """
    weights = sum(array.nbytes for array in recurrence.weights.values())
    # The weights and x may be cast twice: to the dtype of the layer and to that of its cell.
    what = f"layer {path}"
    account.reserve(4 * (given.array.nbytes + weights), what)
    x = cast(_as_given(recurrence, given.array), recurrence.dtype)
    if recurrence.time_major:
        x = x.swapaxes(0, 1)
        mask = None if mask is None else mask.swapaxes(0, 1)
    _check_x(path, recurrence, x)
    account.count_steps(x.shape[1], what)
    # Half precision is computed in single precision and rounded once, when it is recorded.
    working = np.promote_types(x.dtype, np.float32)
    cell = _cell(recurrence, working)
    order = recurrence.reading_order
    read = _features_last(recurrence, x.astype(working, copy=False)[:, order], 2)
    shapes = cell.shapes(read.shape[2:])
    states = {name: np.zeros((len(x), *shapes[name]), working) for name in recurrence.states}
    for name, state in zip(states, initial_state, strict=False):
        states[name] = _fitted_state(path, recurrence, name, state, states[name])
    copies = 2 if mask is not None or working != x.dtype else 1
    account.reserve(copies * bytes_of_run(cell, read, record) + x.nbytes, what)
    computed = run(
        cell,
        read,
        initial_state=states,
        mask=None if mask is None else mask[:, order],
        record=record,
        on_step=None if progress is None else partial(progress, path),
    )
    computed = {
        name: cast(_features_back(recurrence, array, 2), recurrence.dtype)
        for name, array in computed.items()
    }
    signals = {name: array[:, order] for name, array in computed.items()}
    signals["x"] = x
    signals["mask"] = np.ones(x.shape[:2], bool) if mask is None else mask
    for name, state in states.items():
        signals[f"{name}0"] = cast(_features_back(recurrence, state, 1), recurrence.dtype)
    outputs = outputs_of(recurrence, computed, mask, given.mask)
    if recurrence.output_dtype is not None:
        dtype = recurrence.output_dtype
        outputs = tuple(Value(cast(each.array, dtype), each.mask) for each in outputs)
    return outputs, {name: signals[name] for name in record if name in signals}


def _as_given(recurrence: Recurrence, array: Array) -> Array:
    """An input in the dtype of the layer around the cell."""
    return array if recurrence.input_dtype is None else cast(array, recurrence.input_dtype)


def _features_last(recurrence: Recurrence, array: Array, axis: int) -> Array:
    """Moves the features or units of an array from ``axis`` to the end, where the cell has them."""
    return np.moveaxis(array, axis, -1) if recurrence.channels_first else array


def _features_back(recurrence: Recurrence, array: Array, axis: int) -> Array:
    """Undoes `_features_last`."""
    return np.moveaxis(array, -1, axis) if recurrence.channels_first else array


def _check_x(path: str, recurrence: Recurrence, x: Array) -> None:
    spatial = len(recurrence.window)
    feature_axis = 2 if recurrence.channels_first else -1
    if x.ndim != 3 + spatial or x.shape[feature_axis] != recurrence.features:
        axes = ["any"] * spatial
        axes.insert(0 if recurrence.channels_first else spatial, str(recurrence.features))
        raise InputError(
            f"layer {path}: expected (batch, timesteps, {', '.join(axes)}), received {x.shape}"
        )


def _fitted_state(
    path: str, recurrence: Recurrence, name: str, given: Array, zeros: Array
) -> Array:
    state = _features_last(recurrence, _as_given(recurrence, given), 1)
    if state.shape != zeros.shape:
        raise InputError(
            f"layer {path}: expected an initial {name} of shape {zeros.shape}, "
            f"received {state.shape}"
        )
    return state.astype(zeros.dtype)


def _cell(recurrence: Recurrence, working: np.dtype[Any]) -> Cell:
    """Builds the cell of a layer, with its weights in the dtype that it computes in."""
    weights = {
        name: cast(array, recurrence.dtype).astype(working)
        for name, array in recurrence.weights.items()
    }
    return CELLS[recurrence.kind](**weights, **recurrence.activations, **recurrence.options)
