"""Compares a replay with genuine Keras: layer by layer, and as a whole if Keras loads the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from lstm_inspect.checks.comparison import Comparison, difference, folded
from lstm_inspect.checks.served_model import compare_served
from lstm_inspect.checks.whole_model import compare_whole
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.oracle import run_recurrence
from lstm_inspect.model import Call, Model, Recurrence
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.run import Replayed, replay
from lstm_inspect.traces.recording import LayerTrace

SCHEMA = 2

_NEEDED = ("x", "mask", "h0", "c0", "h", "c")
_SERVED = "saved_model"

WHOLE_MODEL = "the whole model"
"""The key in `Verification.skipped` that is no path."""

Proof = Literal["whole model", "layer only", "not compared"]
"""How a recurrent layer was compared.

``"whole model"``: genuine Keras, or the function that a SavedModel keeps, read the same bytes and
ran the model on the same input. ``"layer only"``: genuine Keras ran the layer on the x and the
weights of the replay.
"""


class ProvenLayer(NamedTuple):
    """What was proven of a recurrent layer.

    Attributes:
        path: Its path.
        proof: How it was compared.
        reason: Why no more was compared, in one line; None for the whole model.
    """

    path: str
    proof: Proof
    reason: str | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Verification:
    """The result of comparing a replay with Keras.

    Attributes:
        comparisons: Every array that was compared.
        skipped: Why something was not compared: one line by path, or by `WHOLE_MODEL`.
    """

    comparisons: tuple[Comparison, ...]
    skipped: Mapping[str, str]

    @property
    def agrees(self) -> bool:
        """Whether at least one array was compared, and all of them agree."""
        return bool(self.comparisons) and all(each.agrees for each in self.comparisons)

    @property
    def differs(self) -> bool:
        """Whether an array does not agree."""
        return any(not each.agrees for each in self.comparisons)

    @property
    def layers(self) -> tuple[ProvenLayer, ...]:
        """What was proven of each recurrent layer."""
        paths = dict.fromkeys([each.path for each in self.comparisons] + [*self.skipped])
        return tuple(self._proven(path) for path in paths if path != WHOLE_MODEL)

    def _proven(self, path: str) -> ProvenLayer:
        compared = {each.what for each in self.comparisons if each.path == path}
        if any(what.startswith("output") for what in compared):
            return ProvenLayer(path, "whole model", None)
        if compared:
            inside = "Keras does not call it as the replay does"
            return ProvenLayer(path, "layer only", self.skipped.get(WHOLE_MODEL, inside))
        return ProvenLayer(path, "not compared", self.skipped[path])

    @property
    def is_complete(self) -> bool:
        """Whether every recurrent layer was compared, alone or in the whole model."""
        return all(layer.proof != "not compared" for layer in self.layers)

    def as_json(self) -> dict[str, Any]:
        """The verification as plain JSON data."""
        return {
            "schema": SCHEMA,
            "agrees": self.agrees,
            "layers": [layer._asdict() for layer in self.layers],
            "comparisons": [each.as_json() for each in self.comparisons],
            "skipped": dict(self.skipped),
        }


def verify(model: Model, inputs: Any = None, options: ReplayOptions | None = None) -> Verification:
    """Replays a model, and runs each of its recurrent layers in genuine Keras on the same x.

    Each layer gets the x, mask and initial states of the replay. If Keras 3, or tf_keras for older
    files, loads the whole model in safe mode, x and the output of each recurrent layer are compared
    too.

    Args:
        model: From `lstm_inspect.open_model`.
        inputs: As for `lstm_inspect.trace`.
        options: The options of the replay; ``record`` is ignored.

    Raises:
        MissingExtraError: Keras is not installed.
    """
    options = replace(options or ReplayOptions(), record=_NEEDED)
    return compare(model, replay_to_compare(model, inputs, options), options.limits)


def replay_to_compare(model: Model, inputs: Any, options: ReplayOptions) -> Replayed:
    """Replays a model, and computes what `compare` needs besides what the options record."""
    results = model.outputs if model.source.format == _SERVED else ()
    return replay(model, inputs, options, also=_NEEDED, results=results)


def compare(model: Model, replayed: Replayed, limits: Limits) -> Verification:
    """Compares a replay with genuine Keras, as `verify` does.

    Args:
        model: The model.
        replayed: From `replay_to_compare`.
        limits: How much memory and time Keras may take.

    Raises:
        MissingExtraError: Keras is not installed.
    """
    comparisons: list[Comparison] = []
    skipped = dict(replayed.trace.untraced)
    for call, recurrence in model.recurrent_calls:
        if call.path not in replayed.recorded:
            continue
        alone = _compare_layer(call, recurrence, replayed.recorded[call.path], limits)
        if isinstance(alone, str):
            skipped[call.path] = alone
        else:
            comparisons += alone
    whole = _compare_model(model, replayed, limits)
    if isinstance(whole, str):
        skipped[WHOLE_MODEL] = whole
    else:
        comparisons += whole
    return Verification(comparisons=tuple(comparisons), skipped=skipped)


def _compare_model(model: Model, replayed: Replayed, limits: Limits) -> Sequence[Comparison] | str:
    """Compares a run of the whole model, or says in one line why it cannot."""
    if replayed.is_fed:
        return "the output or the x of a layer was fed"
    compare_all = compare_served if model.source.format == _SERVED else compare_whole
    return compare_all(model, replayed, limits)


def _compare_layer(
    call: Call, recurrence: Recurrence, recorded: LayerTrace, limits: Limits
) -> Sequence[Comparison] | str:
    """Compares the states of a layer alone, or says in one line why it cannot."""
    folds = call.folds
    x, mask = folded(recorded.x, folds), folded(recorded.mask, folds)
    initial = [folded(recorded.signals[f"{state}0"], folds) for state in recurrence.states]
    outputs = run_recurrence(recurrence, x, mask, initial, limits)
    if isinstance(outputs, str):
        return outputs
    sequence, *last = outputs
    order = recurrence.reading_order
    h = folded(recorded.h, folds)
    counts = mask.reshape(mask.shape + (1,) * (h.ndim - mask.ndim))
    # At a masked step the layer's output is not its state.
    theirs = np.where(counts, sequence[:, order], h)
    comparisons = [difference(call.path, "h", h, theirs, recurrence)]
    for state, expected in zip(recurrence.states, last, strict=True):
        final = folded(recorded.signals[state], folds)[:, order][:, -1]
        comparisons.append(difference(call.path, f"last {state}", final, expected, recurrence))
    return comparisons
