"""Compares a replay with genuine Keras: layer by layer, and as a whole if Keras loads the model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.oracle import genuine_recurrence, run_recurrence, run_whole_model
from lstm_inspect.model import Call, Model, Recurrence
from lstm_inspect.notation import with_nulls
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.run import Replayed, replay
from lstm_inspect.traces.recording import LayerTrace

SCHEMA = 1

# Keras sums in another order, and the difference grows over a sequence. Relative to the largest
# number, 256 float32 steps of an LSTM on large inputs differ from float64 by 2.6e-5 here and by
# 4e-6 in Keras.
TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 5e-3, "bfloat16": 4e-2}

# The signals that a genuine layer starts from, and those that it computes.
_NEEDED = ("x", "mask", "h0", "c0", "h", "c")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One array of a replay, compared with the array that Keras computes.

    Attributes:
        path: The path of the recurrence.
        what: ``"h"``, ``"last c"`` ..., or ``"output"`` for the layer's output in the whole model.
        absolute: The largest absolute difference.
        relative: The same, relative to the largest number, or to 1 if that is larger.
        place: The place of the largest difference: (sample, step, unit), or (sample, unit) for a
            last state.
        tolerance: The largest ``relative`` that is allowed.
    """

    path: str
    what: str
    absolute: float
    relative: float
    place: tuple[int, ...]
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance; NaN never is."""
        return self.relative <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain JSON data; a difference that is NaN or infinite becomes null."""
        return {**with_nulls(asdict(self)), "agrees": self.agrees}


@dataclass(frozen=True, eq=False, kw_only=True)
class Verification:
    """The result of comparing a replay with Keras.

    Attributes:
        comparisons: Every array that was compared.
        skipped: Why something was not compared: one line by path, or by ``"the whole model"``.
    """

    comparisons: tuple[Comparison, ...]
    skipped: Mapping[str, str]

    @property
    def agrees(self) -> bool:
        """Whether at least one array was compared, and all of them agree."""
        return bool(self.comparisons) and all(each.agrees for each in self.comparisons)

    def as_json(self) -> dict[str, Any]:
        """The verification as plain JSON data."""
        return {
            "schema": SCHEMA,
            "agrees": self.agrees,
            "comparisons": [each.as_json() for each in self.comparisons],
            "skipped": dict(self.skipped),
        }


def verify(model: Model, inputs: Any = None, options: ReplayOptions | None = None) -> Verification:
    """Replays a model, and runs each of its recurrent layers in genuine Keras on the same x.

    Each layer gets the x, mask and initial states of the replay. If today's Keras loads the whole
    file in safe mode, the outputs of its recurrent layers are compared too.

    Args:
        model: From `lstm_inspect.open_model`.
        inputs: As for `lstm_inspect.trace`.
        options: The options of the replay; ``record`` is ignored.

    Raises:
        MissingExtraError: Keras is not installed.
    """
    replayed = replay(model, inputs, replace(options or ReplayOptions(), record=_NEEDED))
    comparisons: list[Comparison] = []
    skipped = dict(replayed.trace.untraced)
    for call, recurrence in model.recurrent_calls:
        if call.path not in replayed.trace:
            continue
        found = list(_compare_layer(call, recurrence, replayed.trace[call.path]))
        comparisons += found
        if not found:
            skipped[call.path] = f"today's Keras has no {recurrence.cell} layer"
    whole = _compare_whole(model, replayed)
    if isinstance(whole, str):
        skipped["the whole model"] = whole
    else:
        comparisons += whole
    return Verification(comparisons=tuple(comparisons), skipped=skipped)


def _compare_layer(
    call: Call, recurrence: Recurrence, recorded: LayerTrace
) -> Iterator[Comparison]:
    genuine = genuine_recurrence(recurrence)
    if genuine is None:
        return
    axes = 1 + call.folds

    def folded(array: Array) -> Array:
        return array.reshape(-1, *array.shape[axes:])

    x, mask = folded(recorded.x), folded(recorded.mask)
    initial = [folded(recorded.signals[f"{state}0"]) for state in recurrence.states]
    outputs = run_recurrence(genuine, recurrence, x, mask, initial)
    sequence, *last = outputs
    order = recurrence.reading_order
    h = folded(recorded.h)
    counts = mask.reshape(mask.shape + (1,) * (h.ndim - mask.ndim))
    # At a masked step the layer's output is not its state.
    yield _difference(call.path, "h", h, np.where(counts, sequence[:, order], h), recurrence)
    for state, expected in zip(recurrence.states, last, strict=True):
        final = folded(recorded.signals[state])[:, order][:, -1]
        yield _difference(call.path, f"last {state}", final, expected, recurrence)


def _difference(
    path: str, what: str, ours: Array, theirs: Array, recurrence: Recurrence
) -> Comparison:
    apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    place = np.unravel_index(int(np.argmax(apart)), apart.shape)
    absolute = float(apart[place])
    return Comparison(
        path=path,
        what=what,
        absolute=absolute,
        relative=absolute / max(1.0, float(np.abs(theirs).max())),
        place=tuple(int(axis) for axis in place),
        tolerance=TOLERANCES[recurrence.dtype],
    )


def _activations(model: Model) -> set[str | None]:
    activations: set[str | None] = set()
    for call in model.calls:
        if isinstance(call.layer, Recurrence):
            activations.update(call.layer.activations.values())
        else:
            activations.add(call.layer.activation)
    return activations


def _compare_whole(model: Model, replayed: Replayed) -> Sequence[Comparison] | str:
    """Compares the outputs of the recurrent layers, or says in one line why it cannot."""
    names = [
        call.path
        for call, _ in model.recurrent_calls
        if call.path in replayed.outputs and "/" not in call.path and "#" not in call.path
    ]
    if replayed.is_fed:
        return "the output or the x of a layer was fed"
    if not names:
        return "its recurrent layers are all inside other layers"
    if "hard_sigmoid_0.2" in _activations(model):
        return "today's Keras computes hard_sigmoid differently from the Keras that saved it"
    outputs = run_whole_model(model, replayed.given, names)
    if isinstance(outputs, str):
        return outputs
    by_path = {call.path: recurrence for call, recurrence in model.recurrent_calls}
    return [
        _difference(name, "output", replayed.outputs[name].array, output, by_path[name])
        for name, output in zip(names, outputs, strict=True)
    ]
