"""How much a replay records, as far as the shapes tell before it is computed."""

import math
from collections.abc import Collection, Mapping

import numpy as np

from lstm_inspect.model import Call, Recurrence, Shape
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import Plan


def recorded_bytes(
    plan: Plan,
    inputs: Mapping[str, Shape | None],
    signals: Collection[str],
    options: ReplayOptions,
) -> list[int | None]:
    """How many bytes are recorded of each layer; None if a size is not known.

    Args:
        plan: The calls to compute.
        inputs: The shape of the x of each recurrent call, by its path.
        signals: The signals to record.
        options: The options of the replay.
    """
    return [
        _of_call(call.layer, inputs.get(call.path), call.folds, signals, options)
        for call in plan.calls
        if isinstance(call.layer, Recurrence) and call.path in plan.recorded
    ]


def timesteps_read(
    plan: Plan, inputs: Mapping[str, Shape | None], lengths: Mapping[str, int]
) -> dict[str, int]:
    """How many timesteps of how many sequences, their product, each recurrent call reads.

    Args:
        plan: The calls to compute.
        inputs: As for `recorded_bytes`.
        lengths: How many timesteps of a sequence a call reads, if not all.

    Returns:
        The number by the path of the call, for those whose sizes are known.
    """
    sizes = {
        call.path: _sequences(call, inputs.get(call.path), lengths)
        for call in plan.calls
        if isinstance(call.layer, Recurrence)
    }
    return {path: _product(each) for path, each in sizes.items() if None not in each}


def _sequences(call: Call, shape: Shape | None, lengths: Mapping[str, int]) -> Shape:
    """How many sequences a call reads and how many timesteps of them, as sizes of axes."""
    if shape is None:
        return (None,)
    if call.path in lengths:
        return (*shape[: 1 + call.folds], lengths[call.path])
    return shape[: 2 + call.folds]


def _of_call(
    recurrence: Recurrence,
    shape: Shape | None,
    folds: int,
    signals: Collection[str],
    options: ReplayOptions,
) -> int | None:
    if shape is None:
        return None
    *outer, timesteps = shape[: 2 + folds]
    if recurrence.time_major:
        (timesteps,), outer = outer, [timesteps]
    features = shape[2 + folds :]
    states = recurrence.state_shapes(features)
    if timesteps is None or any(None in each for each in (outer, features, *states.values())):
        return None
    if options.last:
        steps = 1
    else:
        steps = timesteps if options.steps is None else len(options.steps.places(timesteps))
    sizes = {name: _numbers(recurrence, each, options) for name, each in states.items()}
    widest = max(sizes.values())
    of_step = sum(sizes.get(name, widest) for name in recurrence.kind.computed if name in signals)
    of_step += _product(features) if "x" in signals else 0
    at_start = sum(size for name, size in sizes.items() if f"{name}0" in signals)
    dtype = options.dtype or recurrence.dtype
    itemsize = np.dtype("float32" if dtype == "bfloat16" else dtype).itemsize
    masks = steps if "mask" in signals else 0
    return _product(outer) * ((steps * of_step + at_start) * itemsize + masks)


def _numbers(recurrence: Recurrence, state: Shape, options: ReplayOptions) -> int:
    """How many numbers are kept of a state of one sequence."""
    if options.units is None:
        return _product(state)
    others = state[1:] if recurrence.channels_first else state[:-1]
    return _product(others) * len(options.units.places(recurrence.units))


def _product(sizes: Collection[int | None]) -> int:
    return math.prod(size for size in sizes if size is not None)
