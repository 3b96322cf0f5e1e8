"""How many samples a replay computes at once."""

import math
from collections.abc import Collection, Mapping

from lstm_inspect.arrays import Array
from lstm_inspect.layers import keeps_samples_apart
from lstm_inspect.model import Call, Layer, Operation, Recurrence, Ref, Shape
from lstm_inspect.replay.known_shapes import tensor_shapes
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import Plan

_NUMBER_BYTES = 4


def block_size(
    plan: Plan,
    given: Mapping[str, Array],
    signals: Collection[str],
    options: ReplayOptions,
    block_bytes: int,
) -> int | None:
    """How many samples may be computed at once.

    Args:
        plan: The calls to compute.
        given: The arrays that the replay starts from.
        signals: The signals to record.
        options: The options of the replay.
        block_bytes: How much memory the arrays of a block may take.

    Returns:
        The number of samples; None for all, because a call may mix them.
    """
    inputs, outputs = tensor_shapes(
        plan.calls, {name: array.shape for name, array in given.items()}
    )
    known = {**outputs, **{name: array.shape for name, array in given.items()}}
    if not all(_keeps_apart(call, known, options) for call in plan.calls):
        return None
    numbers = sum(
        math.prod(size or 1 for size in (outputs[call.path] or ())[1:]) for call in plan.calls
    )
    for call in plan.calls:
        if isinstance(call.layer, Recurrence) and call.path in plan.recorded:
            numbers += _recorded(call.layer, inputs.get(call.path), call.folds, signals, options)
    total = len(next(iter(given.values())))
    size = max(1, block_bytes // max(1, numbers * _NUMBER_BYTES))
    return math.ceil(total / math.ceil(total / size))


def _keeps_apart(call: Call, shapes: Mapping[str, Shape | None], options: ReplayOptions) -> bool:
    """Whether a call computes each sample from that sample alone."""
    if isinstance(call.layer, Recurrence):
        return not call.layer.time_major
    if options.code_of(call.layer) is not None:
        return False
    if isinstance(call.layer.options, Operation):

        def shape_of(ref: Ref) -> Shape | None:
            return shapes.get(ref.path) if ref.index == 0 else None

        return keeps_samples_apart(call.layer, call.args, call.kwargs, shape_of)
    return not (isinstance(call.layer, Layer) and _axis_of(call.layer) == 0)


def _axis_of(layer: Layer) -> object:
    return getattr(layer.options, "axis", None)


def _recorded(
    recurrence: Recurrence,
    shape: Shape | None,
    folds: int,
    signals: Collection[str],
    options: ReplayOptions,
) -> int:
    """How many numbers are recorded of a sample."""
    if shape is None:
        return 0
    outer, timesteps, features = shape[1 : 1 + folds], shape[1 + folds] or 1, shape[2 + folds :]
    if options.last:
        steps = 1
    elif options.steps is None:
        steps = timesteps
    else:
        steps = len(options.steps.places(timesteps))
    sizes = {
        name: math.prod(size or 1 for size in each)
        for name, each in recurrence.state_shapes(features).items()
    }
    widest = max(sizes.values())
    numbers = sum(sizes.get(name, widest) for name in recurrence.kind.computed if name in signals)
    if "x" in signals:
        numbers += math.prod(size or 1 for size in features)
    return math.prod(size or 1 for size in outer) * steps * numbers
