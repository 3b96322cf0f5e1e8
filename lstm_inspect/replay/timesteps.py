"""Which timesteps of each tensor a replay needs, and whether it can take them piece by piece."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lstm_inspect.arrays import Array
from lstm_inspect.engines import TIME_BLOCK
from lstm_inspect.errors import InputError
from lstm_inspect.layers import form_of, mixes_timesteps
from lstm_inspect.model import FED_INPUT, Call, Layer, Operation, Recurrence, Ref, Shape, refs
from lstm_inspect.notation import advice
from lstm_inspect.replay.known_shapes import TensorShapes
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import FED_MASK, Plan, needs_of


class Steps(NamedTuple):
    """Timesteps of a sequence, in the order in which they are read.

    Attributes:
        start: The first one.
        stop: The one behind the last.
        of: How many the whole sequence has.
    """

    start: int
    stop: int
    of: int


class _Needed(NamedTuple):
    """What is needed of a tensor.

    Attributes:
        steps: How many of its first timesteps; 0 if it has none.
        whole: Why it is needed as a whole; empty if it is not.
    """

    steps: int = 0
    whole: str = ""


class Part(NamedTuple):
    """A part of a replay along time.

    Attributes:
        steps: Its timesteps; None for all.
        of_calls: The timesteps that a call computes, by its path, if they are not all.
        divided: The names of the given arrays that have timesteps, if these are divided.
    """

    steps: Steps | None
    of_calls: Mapping[str, Steps]
    divided: frozenset[str]

    def of(self, given: Mapping[str, Array]) -> Mapping[str, Array]:
        """This part of the arrays that a replay starts from."""
        if self.steps is None:
            return given
        at = slice(self.steps.start, self.steps.stop)
        return {
            name: array[:, at] if name in self.divided else array for name, array in given.items()
        }


def parts(plan: Plan, shapes: TensorShapes, options: ReplayOptions) -> Sequence[Part]:
    """Divides a replay along time, and leaves out timesteps that nothing recorded depends on.

    Args:
        plan: The calls to compute.
        shapes: The shapes of the tensors.
        options: The options of the replay. ``time_chunk`` is the length of a part, rounded up to
            whole blocks of timesteps, so that the parts give the same bits as the whole.

    Raises:
        InputError: A call needs other timesteps than those of one part; the error names it.
    """
    if options.time_chunk is not None:
        return _pieces(plan, shapes, options, _in_blocks(options.time_chunk))
    if options.steps is None:
        return [Part(None, {}, frozenset())]
    needed = _needed(plan, shapes, options)
    of_calls = {}
    for call in plan.calls:
        count, whole = needed[call.path]
        if not whole:
            timesteps = _timesteps(call, shapes.inputs.get(call.path))
            of_calls[call.path] = Steps(0, count, timesteps or count)
    return [Part(None, of_calls, frozenset())]


def timesteps_computed(divided: Sequence[Part]) -> Mapping[str, int]:
    """How many timesteps each call computes in all parts, by its path, if they are not all."""
    return {
        path: sum(part.of_calls[path].stop - part.of_calls[path].start for part in divided)
        for path in divided[0].of_calls
    }


def _pieces(plan: Plan, shapes: TensorShapes, options: ReplayOptions, length: int) -> list[Part]:
    option = advice(python="time_chunk", command_line="--time-chunk")
    given, needed = shapes.given, _needed(plan, shapes, options)
    recurrent = [call.path for call in plan.calls if isinstance(call.layer, Recurrence)]
    for path, (count, whole) in needed.items():
        if whole and (count or path in recurrent):
            raise InputError(f"{option}: expected timesteps that can be computed in order; {whole}")
    divided = {name for name in given if name in needed and needed[name].steps}
    lengths = {name: shape[1] or 0 for name in sorted(divided) if (shape := given[name])}
    if len({*lengths.values()}) != 1:
        sizes = ", ".join(f"{name} {size}" for name, size in lengths.items())
        raise InputError(f"{option}: expected inputs of one length, received {sizes or 'none'}")
    (timesteps,) = {*lengths.values()}
    stop = max(needed[name].steps for name in divided)
    masks = {name.removesuffix(FED_INPUT) + FED_MASK for name in divided}
    steps = [Steps(at, min(at + length, stop), timesteps) for at in range(0, stop, length)]
    return [
        Part(each, dict.fromkeys(recurrent, each), frozenset(divided | masks)) for each in steps
    ]


def _needed(plan: Plan, shapes: TensorShapes, options: ReplayOptions) -> Mapping[str, _Needed]:
    """What is needed of the output of each call and of each given array."""
    recurrences = {
        each.path: each.layer for each in plan.calls if isinstance(each.layer, Recurrence)
    }
    needed: dict[str, _Needed] = {}
    later: set[Recurrence] = set()  # those that are called behind the call at hand

    def need(path: str, steps: int, whole: str) -> None:
        had = needed.get(path, _Needed())
        needed[path] = _Needed(max(had.steps, steps), had.whole or whole)

    def read(ref: Ref, steps: int, whole: str, reader: str) -> None:
        recurrence = recurrences.get(ref.path)
        if recurrence and (ref.index or not recurrence.return_sequences):
            steps, whole = 0, f"{reader} takes the final state of {ref.path}"
        need(ref.path, steps, whole)

    for ref in plan.tensors:
        read(ref, 0, f"{ref.path} is compared as a whole", "a comparison")
    for call in reversed(plan.calls):
        steps, whole = needed.get(call.path, _Needed())
        needs = needs_of(call, options.feed)
        if not isinstance(call.layer, Recurrence):
            if _may_mix(call, call.layer, shapes.outputs, options):
                whole = whole or f"{call.path} may compute a timestep from others"
            for ref in needs:
                read(ref, steps, whole, call.path)
            continue
        recurrence = call.layer
        timesteps = _timesteps(call, shapes.inputs.get(call.path))
        if timesteps is None:
            whole = whole or f"the length of what {call.path} reads is not known"
        else:
            goes_on = options.stateful and recurrence.stateful  # to the next batch
            if goes_on or (steps and recurrence.go_backwards):
                steps = timesteps
            elif call.path in plan.recorded:
                steps = max(steps, _recorded_to(recurrence, options, timesteps))
            steps = min(_in_blocks(steps), timesteps)
        if recurrence.stateful and recurrence in later:
            whole = whole or f"{recurrence.path} is called twice and keeps its states"
        later.add(recurrence)
        needed[call.path] = _Needed(steps, whole)
        if recurrence.go_backwards:
            whole = whole or f"{call.path} reads the last timestep first"
        elif recurrence.time_major or call.folds:
            whole = whole or f"the timesteps of {call.path} are not on the axis behind the batch"
        states = {*refs(call.kwargs.get("initial_state", ()))}
        for ref in needs:
            if ref in states:
                read(ref, 0, f"{call.path} starts from {ref.path}", call.path)
            else:
                read(ref, steps, whole, call.path)
        if call.path + FED_INPUT in shapes.given:
            need(call.path + FED_INPUT, steps, whole)
    return needed


def _in_blocks(steps: int) -> int:
    """A number of timesteps, rounded up to whole blocks of an engine."""
    return -(-steps // TIME_BLOCK) * TIME_BLOCK


def _timesteps(call: Call, shape: Shape | None) -> int | None:
    """The length of the sequences that a recurrent call reads, given the shape of them."""
    if shape is None or not isinstance(call.layer, Recurrence):
        return None
    return shape[0] if call.layer.time_major else shape[1 + call.folds]


def _recorded_to(recurrence: Recurrence, options: ReplayOptions, timesteps: int) -> int:
    """How many timesteps a layer has to read until all are recorded that are asked for."""
    if options.steps is None:
        return timesteps
    places: tuple[int, ...] = options.steps.places(timesteps)
    return timesteps - places[0] if recurrence.go_backwards else places[-1] + 1


def _may_mix(
    call: Call, layer: Layer, shapes: Mapping[str, Shape | None], options: ReplayOptions
) -> bool:
    """Whether a call may compute a timestep from others too."""
    runs_here = isinstance(layer.options, Operation) or form_of(layer, call.kwargs)
    if options.code_of(layer) is not None or not runs_here:
        return True
    return not call.folds and mixes_timesteps(
        layer,
        call.args,
        call.kwargs,
        lambda ref: shapes.get(ref.path) if ref.index == 0 else None,
    )
