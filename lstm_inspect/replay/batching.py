"""How many samples a replay computes at once."""

import math
from collections.abc import Collection, Mapping

from lstm_inspect.arrays import Array
from lstm_inspect.layers import mixes_samples
from lstm_inspect.model import Call, Recurrence, Ref, Shape
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
        The number of samples; None for all, as they fit or as a call may mix them.
    """
    shapes = {name: array.shape for name, array in given.items()}
    inputs, outputs = tensor_shapes(plan.calls, shapes)
    numbers = sum(
        math.prod(size or 1 for size in (outputs[call.path] or ())[1:]) for call in plan.calls
    )
    for call in plan.calls:
        if isinstance(call.layer, Recurrence) and call.path in plan.recorded:
            numbers += _recorded(call.layer, inputs.get(call.path), call.folds, signals, options)
    total = len(next(iter(given.values())))
    size = max(1, block_bytes // max(1, numbers * _NUMBER_BYTES))
    if size >= total or any(_may_mix(call, outputs, options) for call in plan.calls):
        return None
    return math.ceil(total / math.ceil(total / size))


def _may_mix(call: Call, shapes: Mapping[str, Shape | None], options: ReplayOptions) -> bool:
    """Whether a call may compute a sample from others too."""
    if isinstance(call.layer, Recurrence):
        return call.layer.time_major

    def shape_of(ref: Ref) -> Shape | None:
        return call.inner_shape(shapes.get(ref.path)) if ref.index == 0 else None

    is_own_code = options.code_of(call.layer) is not None
    return is_own_code or mixes_samples(call.layer, call.args, call.kwargs, shape_of)


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
