"""How many samples a replay computes at once."""

import math
from collections.abc import Mapping

from lstm_inspect.layers import mixes_samples
from lstm_inspect.model import Call, Recurrence, Ref, Shape
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import Plan

_NUMBER_BYTES = 4


def block_size(
    plan: Plan,
    outputs: Mapping[str, Shape | None],
    held: int,
    options: ReplayOptions,
    *,
    samples: int,
    block_bytes: int,
) -> int | None:
    """How many samples may be computed at once.

    Args:
        plan: The calls to compute.
        outputs: The shape of what each call gives, of all samples.
        held: How many bytes are read and recorded of all samples, as far as that is known.
        options: The options of the replay.
        samples: How many samples there are.
        block_bytes: How much memory the arrays of a block may take.

    Returns:
        The number of samples; None for all, as they fit or as a call may mix them.
    """
    numbers = sum(
        math.prod(size or 1 for size in (outputs[call.path] or ())[1:]) for call in plan.calls
    )
    of_sample = numbers * _NUMBER_BYTES + held // samples
    size = max(1, block_bytes // max(1, of_sample))
    if size >= samples or mixing_call(plan, outputs, options):
        return None
    return math.ceil(samples / math.ceil(samples / size))


def mixing_call(
    plan: Plan, outputs: Mapping[str, Shape | None], options: ReplayOptions
) -> str | None:
    """The path of a call that may compute a sample from others too; None if none may.

    Args:
        plan: The calls to compute.
        outputs: The shape of what each call gives.
        options: The options of the replay.
    """
    return next((call.path for call in plan.calls if _may_mix(call, outputs, options)), None)


def _may_mix(call: Call, shapes: Mapping[str, Shape | None], options: ReplayOptions) -> bool:
    """Whether a call may compute a sample from others too."""
    if isinstance(call.layer, Recurrence):
        return call.layer.time_major

    def shape_of(ref: Ref) -> Shape | None:
        return call.inner_shape(shapes.get(ref.path)) if ref.index == 0 else None

    is_own_code = options.code_of(call.layer) is not None
    return is_own_code or mixes_samples(call.layer, call.args, call.kwargs, shape_of)
