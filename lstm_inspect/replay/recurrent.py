"""Replays one call of a recurrent layer: prepares its arrays, runs the cell, and undoes that."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array, cast
from lstm_inspect.cells import CELLS, Cell
from lstm_inspect.engines import Engine, Wanted, Work
from lstm_inspect.errors import InputError
from lstm_inspect.layers import Value
from lstm_inspect.model import Recurrence
from lstm_inspect.replay.account import Account
from lstm_inspect.replay.outputs import begun, outputs_of
from lstm_inspect.replay.timesteps import Steps
from lstm_inspect.traces.cuts import Cut
from lstm_inspect.traces.kept import Kept


class Asked(NamedTuple):
    """What is asked of one call.

    Attributes:
        record: The signals to record; those that the cell does not have are left out.
        steps: The timesteps of the input to record; None for all.
        last: Whether only the last step that the layer reads is recorded.
        units: The units to record; None for all.
        sequence: Whether the sequence goes to another call.
        part: The timesteps to compute, in reading order; None for all. A forward layer is given x
            at these alone, a backward layer is given all of it.
    """

    record: Collection[str]
    steps: Cut | None = None
    last: bool = False
    units: Cut | None = None
    sequence: bool = True
    part: Steps | None = None


class Reached(NamedTuple):
    """Where a layer stands behind the last step that it read.

    Attributes:
        states: (batch, *shape) for each state of the cell, in the dtype of the cell.
        has_begun: Whether a step that counts was read, (batch,) bool; None without a mask.
    """

    states: Mapping[str, Array]
    has_begun: Array | None


class Recorded(NamedTuple):
    """What was recorded of one call.

    Attributes:
        signals: The signals, in the order in which they were asked for.
        kept: For the axes ``"timesteps"`` and ``"units"``, what was kept of them, if it is a part.
        reached: Where the layer stands behind the last step.
    """

    signals: dict[str, Array]
    kept: dict[str, Kept]
    reached: Reached


def replay_recurrence(
    path: str,
    recurrence: Recurrence,
    given: Value,
    *,
    cell: Cell,
    engine: Engine,
    mask: Array | None,
    initial_state: Sequence[Array],
    reached: Reached | None,
    asked: Asked,
    account: Account,
    on_steps: Callable[[int], None] | None,
) -> tuple[tuple[Value, ...], Recorded]:
    """Replays a recurrent layer.

    Args:
        path: The name of the call, for errors.
        recurrence: The layer.
        given: x, (batch, timesteps, features). The x of a ConvLSTM is (batch, timesteps, *spatial,
            features), or features first if the layer says so. The mask of x goes to the outputs.
        cell: Its cell, from `cell_of`.
        engine: What runs it.
        mask: The mask that the layer uses, (batch, timesteps) bool; None if it uses none.
        initial_state: An array for each state; empty for zeros.
        reached: Where the layer stands if it has read earlier timesteps of these sequences; None if
            it has not.
        asked: What to record, and whether the sequence is needed.
        account: Asked before arrays are made and steps are taken.
        on_steps: Called with how many more timesteps of how many sequences are done.

    Returns:
        The outputs of the layer as Keras gives them to the next layer, and the recorded signals,
        indexed by the timestep of the input. The sequence is left out if it is not asked for.

    Raises:
        InputError: x or an initial state does not have the shape that the weights need.
        LimitError: The replay would take more memory or steps than the limits allow.
    """
    what = f"layer {path}"
    # x may be cast twice: to the dtype of the layer and to that of its cell.
    account.reserve(4 * given.array.nbytes, what)
    x = cast(_as_given(recurrence, given.array), recurrence.dtype)
    if recurrence.time_major:
        x = x.swapaxes(0, 1)
        mask = None if mask is None else mask.swapaxes(0, 1)
    _check_x(path, recurrence, x)
    part = asked.part or Steps(0, x.shape[1], x.shape[1])
    to_read = slice(part.stop - part.start)
    account.count_steps(part.stop - part.start, what)
    working = cell.dtype
    order = recurrence.reading_order
    read = _features_last(recurrence, x.astype(working, copy=False)[:, order][:, to_read], 2)
    shapes = cell.shapes(read.shape[2:])
    states = {name: np.zeros((len(x), *shapes[name]), working) for name in recurrence.states}
    for name, state in zip(states, initial_state, strict=False):
        states[name] = _fitted_state(path, recurrence, name, state, states[name])
    if reached is not None:
        states.update(reached.states)
    places = _places(recurrence, asked, part.of)
    low, high = (bisect_left(places, part.start + at) for at in (0, x.shape[1]))
    steps = [place - part.start for place in places[low:high]]
    units = None if asked.units is None else asked.units.places(recurrence.units)
    work = Work(cell, read, states, None if mask is None else mask[:, order][:, to_read])
    wanted = Wanted(
        signals=[name for name in recurrence.kind.computed if name in asked.record],
        steps=_in_reading_order(recurrence, steps, x.shape[1]),
        units=units,
        sequence=asked.sequence and bool(recurrence.return_sequences),
    )
    copies = 2 if mask is not None or working != x.dtype else 1
    account.reserve(copies * engine.bytes_of_run(work, wanted) + x.nbytes, what)
    computed = engine.run(work, wanted, on_steps)

    def as_layer(array: Array, axis: int) -> Array:
        return cast(_features_back(recurrence, array, axis), recurrence.dtype)

    signals = {name: as_layer(array, 2)[:, order] for name, array in computed.recorded.items()}
    at = slice(None) if len(steps) == x.shape[1] else [*steps]
    signals["x"] = x[:, at]
    signals["mask"] = np.ones(x.shape[:2], bool)[:, at] if mask is None else mask[:, at]
    for name, state in states.items():
        kept = state if units is None else state[..., [*units]]
        signals[f"{name}0"] = as_layer(kept, 1)
    before = None if reached is None else reached.has_begun
    has_begun = None if mask is None else begun(recurrence, mask, before)
    outputs = outputs_of(
        recurrence,
        None if computed.sequence is None else as_layer(computed.sequence, 2),
        {name: as_layer(array, 1) for name, array in computed.final_states.items()},
        mask,
        has_begun,
        given.mask,
    )
    if recurrence.output_dtype is not None:
        dtype = recurrence.output_dtype
        outputs = tuple(Value(cast(each.array, dtype), each.mask) for each in outputs)
    parts: dict[str, Kept] = {}
    if asked.steps is not None or asked.last:
        parts["timesteps"] = Kept.of(places, part.of)
    if units is not None:
        parts["units"] = Kept.of(units, recurrence.units)
    return outputs, Recorded(
        {name: signals[name] for name in asked.record if name in signals},
        parts,
        Reached(computed.final_states, None if has_begun is None else has_begun[:, -1]),
    )


def _places(recurrence: Recurrence, asked: Asked, timesteps: int) -> Sequence[int]:
    """The steps of a whole sequence to record, in the order of the input."""
    if asked.last:
        return (0,) if recurrence.go_backwards else (timesteps - 1,)
    return range(timesteps) if asked.steps is None else asked.steps.places(timesteps)


def _in_reading_order(
    recurrence: Recurrence, steps: Sequence[int], timesteps: int
) -> Sequence[int]:
    if not recurrence.go_backwards:
        return steps
    return [timesteps - 1 - step for step in reversed(steps)]


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


def cell_of(recurrence: Recurrence) -> Cell:
    """Builds the cell of a layer, with its weights in the dtype that it computes in."""
    # Half precision is computed in single precision and rounded once, when it is recorded.
    half = recurrence.dtype in ("float16", "bfloat16")
    working = np.dtype(np.float32 if half else recurrence.dtype)
    weights = {
        name: cast(array, recurrence.dtype).astype(working)
        for name, array in recurrence.weights.items()
    }
    return CELLS[recurrence.kind](**weights, **recurrence.activations, **recurrence.options)
