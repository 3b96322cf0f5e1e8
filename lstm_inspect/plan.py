"""What a replay would compute, decided before any number moves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import SelectionError
from lstm_inspect.layers import form_of
from lstm_inspect.model import Call, Layer, Model, Recurrence


@dataclass(frozen=True, eq=False)
class Plan:
    """The calls to compute.

    Attributes:
        calls: In order; only what a recurrent layer to be recorded depends on.
        recorded: Paths of the recurrent calls to record.
        inputs: Names of the model inputs these calls depend on.
        blocked: For each selected recurrent call that cannot be replayed, what stops it, in the
            order of computation: ``"conv (Conv2D) has no NumPy form yet"``.
    """

    calls: tuple[Call, ...]
    recorded: frozenset[str]
    inputs: frozenset[str]
    blocked: Mapping[str, tuple[str, ...]]


def plan_replay(model: Model, patterns: Sequence[str] = ("*",)) -> Plan:
    """Plans the replay of a model's recurrent layers.

    Args:
        model: The model.
        patterns: Which recurrent layers to record: paths, or globs over them.

    Raises:
        SelectionError: A pattern matches no recurrent layer.
    """
    selected = _select(model, patterns)
    obstacles: dict[str, tuple[str, ...]] = {}
    for call in model.calls:
        before = [each for ref in call.needs for each in obstacles.get(ref.path, ())]
        own = _obstacles(call) if model.why_unwired is None else [model.why_unwired]
        obstacles[call.path] = tuple(dict.fromkeys([*before, *own]))
    recorded = frozenset(path for path in selected if not obstacles[path])
    needed = set(recorded)
    calls = []
    for call in reversed(model.calls):
        if call.path in needed:
            needed |= {ref.path for ref in call.needs}
            calls.append(call)
    return Plan(
        calls=tuple(reversed(calls)),
        recorded=recorded,
        inputs=frozenset(each.name for each in model.inputs if each.name in needed),
        blocked={path: obstacles[path] for path in selected if obstacles[path]},
    )


def _select(model: Model, patterns: Sequence[str]) -> list[str]:
    paths = [call.path for call, _ in model.recurrent_calls]
    if not paths:
        raise SelectionError(f"{model.file.path}: no recurrent layer; it has {_classes(model)}")
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise SelectionError(
                f"layer {pattern}: matches no recurrent layer; there are {', '.join(paths)}"
            )
    return [path for path in paths if any(fnmatchcase(path, pattern) for pattern in patterns)]


def _classes(model: Model) -> str:
    layers = [call.layer for call in model.calls if isinstance(call.layer, Layer)]
    return ", ".join(f"{layer.name} ({layer.class_name})" for layer in layers) or "no layers"


def _obstacles(call: Call) -> Iterator[str]:
    """What of a call cannot be computed in NumPy."""
    match call.layer:
        case Recurrence() as recurrence:
            for activation in (recurrence.activation, recurrence.recurrent_activation):
                if activation is not None and activation not in ACTIVATIONS:
                    yield f"{call.path} has an activation that is not built in ({activation})"
        case Layer() as layer if form_of(layer, call.kwargs) is None:
            yield f"{layer.name} ({layer.class_name}) has no NumPy form yet"
