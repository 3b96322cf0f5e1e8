"""Plans a replay: which calls it computes, and which it cannot."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import SelectionError
from lstm_inspect.genuine import bridge
from lstm_inspect.layers import in_numpy
from lstm_inspect.model import FED_INPUT, Call, Layer, Model, Recurrence, Ref, refs
from lstm_inspect.notation import advice
from lstm_inspect.replay.masks import hands_on_mask, mask_missing, masked_inputs
from lstm_inspect.replay.options import ReplayOptions, names_for_code

FED_MASK = ":mask"
"""A path in the feed with this suffix gives the mask of what is fed at the path."""

# All reasons of all calls would take memory that grows with the square of their number.
_MOST_REASONS = 8
_MORE_REASONS = "and more"


class Obstacle(NamedTuple):
    """A reason why a call cannot be computed.

    Attributes:
        text: The reason, in one line.
        feed: The path whose output would go round it; "" if none would, or another one does.
    """

    text: str
    feed: str = ""

    def __str__(self) -> str:
        """The reason, and what to do about it."""
        if not self.feed:
            return self.text
        array, code = f"{{{self.feed!r}: array}}", f"{{{self.feed.partition('#')[0]!r}: function}}"
        how = advice(
            python=f"its output with feed={array}, or its code with layers={code}",
            command_line=f"its output with --feed {self.feed}=FILE.npy",
        )
        return f"{self.text}; give {how}"


class Stop(NamedTuple):
    """A layer that stops what stands behind it.

    Attributes:
        layer: The layer.
        needs_keras: Whether a trace goes on once Keras is installed; if not, its output can be fed.
    """

    layer: Layer
    needs_keras: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """The calls that a replay computes.

    Attributes:
        calls: The calls in order; only those that are needed.
        recorded: The paths of the recurrent calls to record.
        tensors: The tensors that are to be computed too.
        inputs: The names of the model inputs that these calls depend on.
        read: The paths of the calls whose first output another call of the plan, or a tensor, is.
        blocked: For each selected recurrent call that cannot be replayed, the reasons, one line
            each, in the order of computation; of many, the first ones.
        feeds: The paths whose outputs would go round what blocks the calls.
        stops: The layers that stop a selected recurrent call or stand for one, each once, in the
            order of computation.
    """

    calls: tuple[Call, ...]
    recorded: frozenset[str]
    tensors: tuple[Ref, ...]
    inputs: frozenset[str]
    read: frozenset[str]
    blocked: Mapping[str, tuple[str, ...]]
    feeds: tuple[str, ...]
    stops: tuple[Stop, ...]


def plan_replay(model: Model, options: ReplayOptions, also: Collection[Ref] = ()) -> Plan:
    """Plans the replay of the recurrent layers of a model.

    Args:
        model: The model.
        options: What to record, and how.
        also: Tensors to compute too; those that cannot be computed are left out.

    Raises:
        SelectionError: A pattern, a path of the feed, or a name of a custom layer matches none.
    """
    feed = options.feed
    selected = dict.fromkeys(select_calls(model, options.select))
    _check_feed(model, feed)
    _check_code(model, options.layers)
    obstacles: dict[str, tuple[Obstacle, ...]] = {}
    in_the_way: dict[str, Call] = {}
    never_said = _never_said(model)
    for call in model.calls:
        before = [each for ref in needs_of(call, feed) for each in obstacles.get(ref.path, ())]
        own = [] if call.path in feed else [*_obstacles(call, model, options, never_said)]
        if own:
            in_the_way[call.path] = call
        if any(each.feed for each in own):  # what is fed here goes round what stands before
            before = [Obstacle(each.text) for each in before]
        reasons = [*_once(before + own)]
        if len(reasons) > _MOST_REASONS:
            reasons = [*reasons[: _MOST_REASONS - 2], Obstacle(_MORE_REASONS), reasons[-1]]
        obstacles[call.path] = tuple(reasons)
    recorded = frozenset(
        call.path
        for call, _ in model.recurrent_calls
        if call.path in selected and not obstacles[call.path] and call.path not in feed
    )
    tensors = tuple(ref for ref in also if not obstacles.get(ref.path))
    needed = needed_for(model, [*recorded, *(ref.path for ref in tensors)], feed)
    calls = [call for call in model.calls if call.path in needed and call.path not in feed]
    return Plan(
        calls=tuple(calls),
        recorded=recorded,
        tensors=tensors,
        inputs=frozenset(each.name for each in model.inputs if each.tensor in needed),
        read=frozenset(
            ref.path
            for ref in (*tensors, *(ref for call in calls for ref in needs_of(call, feed)))
            if ref.index == 0
        ),
        blocked={
            path: tuple(str(each).removeprefix(f"{path}: ") for each in obstacles[path])
            for path in selected
            if obstacles[path]
        },
        feeds=tuple(
            dict.fromkeys(each.feed for path in selected for each in obstacles[path] if each.feed)
        ),
        stops=_stops(model, feed, selected, in_the_way),
    )


def _once(obstacles: Sequence[Obstacle]) -> Iterator[Obstacle]:
    """Yields each reason once, with what goes round it if one of them has that."""
    feeds = {each.text: each.feed for each in obstacles if each.feed}
    for text in dict.fromkeys(each.text for each in obstacles):
        yield Obstacle(text, feeds.get(text, ""))


def _stops(
    model: Model, feed: Collection[str], selected: Collection[str], in_the_way: Mapping[str, Call]
) -> tuple[Stop, ...]:
    """Those of the layers in the way that a selected call depends on."""
    needed = needed_for(model, selected, feed)
    stops = {}
    for path, call in in_the_way.items():
        if path in needed and isinstance(layer := call.layer, Layer):
            runs_in_keras = layer.lacks is None and bridge.can_build(layer)
            in_training = call.in_training and layer.acts_in_training
            stops[layer.name] = Stop(layer, runs_in_keras and not in_training)
    return tuple(stops.values())


def needed_for(model: Model, paths: Iterable[str], feed: Collection[str] = ()) -> set[str]:
    """The paths of the inputs and calls that some calls depend on, and their own."""
    needed = set(paths)
    for call in reversed(model.calls):
        if call.path in needed:
            needed |= {ref.path for ref in needs_of(call, feed)}
    return needed


def needs_of(call: Call, feed: Collection[str]) -> tuple[Ref, ...]:
    """The tensors that a call reads, except those that the feed replaces."""
    if call.path in feed:
        return ()
    if call.path + FED_INPUT in feed:
        return tuple(refs(tuple(call.kwargs.values())))
    return call.needs


def select_calls(model: Model, patterns: Sequence[str]) -> list[str]:
    """The paths of the recurrent calls that match one of some patterns.

    Those of which the file lacks the weights are among them.

    Raises:
        SelectionError: The model has no recurrent layer, or a pattern matches none.
    """
    paths = [call.path for call in model.calls if call.layer.is_recurrent]
    if not paths:
        raise SelectionError(f"{model.source.path}: no recurrent layer; it has {_classes(model)}")
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise SelectionError(
                f"layer {pattern}: matches no recurrent layer; there are {', '.join(paths)}"
            )
    return [path for path in paths if any(fnmatchcase(path, pattern) for pattern in patterns)]


def _check_feed(model: Model, feed: Collection[str]) -> None:
    if not feed:
        return
    masked = masked_inputs(model)
    outputs = [call.path for call in model.calls]
    inputs = [call.path + FED_INPUT for call, _ in model.recurrent_calls]
    masks = []
    for call in model.calls:
        path, x = call.path, call.path + FED_INPUT
        if path in feed or x in feed:
            masks.append(path + FED_MASK)
            may_be_masked = path in masked and (x in feed or hands_on_mask(call))
            if may_be_masked and path + FED_MASK not in feed:
                raise mask_missing(path)
    for path in feed:
        if path not in (*outputs, *inputs, *masks):
            there = ", ".join((*outputs, *inputs))
            raise SelectionError(f"feed {path}: no layer of that path; there are {there}")


def _check_code(model: Model, names: Collection[str]) -> None:
    known = {name for layer in model.plain_layers for name in names_for_code(layer)}
    for name in names:
        if name not in known:
            raise SelectionError(
                f"layers {name}: no layer of that name or class; there are {_classes(model)}"
            )


def _classes(model: Model) -> str:
    return ", ".join(layer.label for layer in model.plain_layers) or "no layers"


def _obstacles(
    call: Call, model: Model, options: ReplayOptions, never_said: Collection[str]
) -> Iterator[Obstacle]:
    """Yields each reason why a call cannot be computed."""
    match call.layer:
        case Recurrence() as recurrence:
            if call.in_training and recurrence.drops:
                yield Obstacle(f"{call.path} has dropout and is called with training=True")
            if recurrence.open_fields:
                yield Obstacle(f"{call.path}: {_left_open(recurrence, model, never_said)}")
            for activation in recurrence.activations.values():
                if activation is not None and activation not in ACTIVATIONS:
                    yield Obstacle(
                        f"{call.path} has an activation that is not built in ({activation})"
                    )
        case Layer() as layer:
            if call.in_training and layer.acts_in_training:
                yield Obstacle(f"{layer.label} is called with training=True")
            if options.code_of(layer) is not None:
                return
            if layer.lacks is None and in_numpy(layer, call.args, call.kwargs):
                return
            if layer.lacks is not None:
                yield Obstacle(f"{layer.label}: {layer.lacks}")
            elif not bridge.can_build(layer):
                code = "" if layer.code is None else f": its code is {layer.code}"
                yield Obstacle(f"{layer.label} cannot be run{code}", feed=call.path)
            elif not bridge.is_installed(layer):
                yield Obstacle(f'{layer.label} needs Keras: pip install "lstm-inspect[tensorflow]"')


# What most layers have; the user has to say it.
_TYPICAL = {
    "recurrent_activation": "sigmoid",
    "go_backwards": "false",
    "reset_after": "true",
    "forget_bias": "1.0",
    "cell_clip": "none",
    "proj_clip": "none",
}


def _never_said(model: Model) -> frozenset[str]:
    """The fields that the file leaves open for every recurrent layer that has them."""
    left_open, said = set[str](), set[str]()
    for recurrence in model.recurrent:
        fields = {*recurrence.kind.activations, *recurrence.kind.options, "go_backwards"}
        left_open.update(recurrence.open_fields)
        said.update(fields.difference(recurrence.open_fields))
    return frozenset(left_open - said)


def _left_open(recurrence: Recurrence, model: Model, never_said: Collection[str]) -> str:
    """What a file does not say, and how to say it."""
    fields = recurrence.open_fields
    ways = []
    if model.source.config is None:
        how = advice(python="config=FILE", command_line="--config FILE")
        ways.append(f"pass the output of model.to_json() with {how}")
    if "convolution" not in fields:
        # A glob says it for all layers at once, and would contradict what a file says of some.
        values = {
            f"{'*' if name in never_said else recurrence.path}.{name}": _TYPICAL.get(name, "tanh")
            for name in fields
        }
        options = " ".join(f"--assume '{key}={value}'" for key, value in values.items())
        pairs = ", ".join(f"{key!r}: {value!r}" for key, value in values.items())
        how = advice(python=f"assume={{{pairs}}}", command_line=options)
        ways.append(f"say for example {how}")
    said = f"the file does not say its {', '.join(fields)}"
    return "; ".join([said, *([", or ".join(ways)] if ways else [])])
