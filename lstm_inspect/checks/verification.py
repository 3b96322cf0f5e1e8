"""Compares a replay with genuine Keras: layer by layer, and as a whole if Keras loads the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from lstm_inspect.checks.comparison import Comparison, difference, folded
from lstm_inspect.checks.diff.two_arrays import Tolerance
from lstm_inspect.checks.served_model import compare_served
from lstm_inspect.checks.whole_model import compare_whole
from lstm_inspect.errors import InputError, one_line
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.oracle import run_recurrence
from lstm_inspect.model import Call, Model, Recurrence, Ref
from lstm_inspect.notation import advice
from lstm_inspect.notebooks import as_html
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import select_calls
from lstm_inspect.replay.run import Replay, Replayed
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

    def __repr__(self) -> str:
        """The verdict, and how each layer was compared, in one line."""
        verdict = "agrees" if self.agrees else "differs" if self.differs else "nothing compared"
        layers = ", ".join(f"{layer.path} ({layer.proof})" for layer in self.layers)
        return one_line(f"<Verification: {verdict}; {layers}>")

    def _repr_html_(self) -> str:
        """What was compared, and what is proven of each layer, for notebooks."""
        layers = (layer._asdict() for layer in self.layers)
        return as_html(repr(self), (each.as_json() for each in self.comparisons), layers)

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


def replay_to_compare(model: Model, inputs: Any, options: ReplayOptions) -> Replayed:
    """Replays a model, and computes what `compare` needs besides what the options record.

    Raises:
        InputError: The options leave out steps or units, or round what they record.
    """
    if options.is_part:
        cuts = advice(
            python="steps, last, units and dtype",
            command_line="--steps, --last, --units and --dtype",
        )
        raise InputError(f"verify: expected all steps and units as computed; leave out {cuts}")
    tensors = [Ref(path) for path in select_calls(model, options.select)]
    if model.source.format == _SERVED:
        tensors += [output.tensor for output in model.outputs]
    return Replay(model, inputs, options, also=_NEEDED, tensors=tensors).in_memory()


def compare(
    model: Model, replayed: Replayed, limits: Limits, tolerance: Tolerance | None = None
) -> Verification:
    """Compares a replay with genuine Keras, as `lstm_inspect.verify` does.

    Args:
        model: The model.
        replayed: From `replay_to_compare`.
        limits: How much memory and time Keras may take.
        tolerance: How far apart arrays may be; None allows what the dtype of a layer explains.

    Raises:
        MissingExtraError: Keras is not installed.
    """
    comparisons: list[Comparison] = []
    skipped = dict(replayed.trace.untraced)
    for call, recurrence in model.recurrent_calls:
        if call.path not in replayed.recorded:
            continue
        alone = _compare_layer(call, recurrence, replayed.recorded[call.path], limits, tolerance)
        if isinstance(alone, str):
            skipped[call.path] = alone
        else:
            comparisons += alone
    whole = _compare_model(model, replayed, limits, tolerance)
    if isinstance(whole, str):
        skipped[WHOLE_MODEL] = whole
    else:
        comparisons += whole
    return Verification(comparisons=tuple(comparisons), skipped=skipped)


def _compare_model(
    model: Model, replayed: Replayed, limits: Limits, tolerance: Tolerance | None
) -> Sequence[Comparison] | str:
    """Compares a run of the whole model, or says in one line why it cannot."""
    if replayed.ready.is_fed:
        return "the output, the x or the initial state of a layer was given"
    compare_all = compare_served if model.source.format == _SERVED else compare_whole
    return compare_all(model, replayed, limits, tolerance)


def _compare_layer(
    call: Call,
    recurrence: Recurrence,
    recorded: LayerTrace,
    limits: Limits,
    tolerance: Tolerance | None,
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
    comparisons = [difference(call.path, "h", h, theirs, recurrence, tolerance)]
    for state, expected in zip(recurrence.states, last, strict=True):
        final = folded(recorded.signals[state], folds)[:, order][:, -1]
        comparisons.append(
            difference(call.path, f"last {state}", final, expected, recurrence, tolerance)
        )
    return comparisons
