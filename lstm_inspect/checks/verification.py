"""Compares a replay with genuine Keras: layer by layer, and as a whole if Keras loads the model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.checks.diff.two_arrays import distances
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.oracle import run_recurrence, run_whole_model
from lstm_inspect.layers import form_of
from lstm_inspect.model import Call, Convolve, Layer, Model, Recurrence
from lstm_inspect.notation import with_nulls
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.run import Replayed, replay
from lstm_inspect.traces.recording import LayerTrace

SCHEMA = 2

# Keras sums in another order, and the difference grows over a sequence. Relative to the largest
# number, 256 float32 steps of an LSTM on large inputs differ from float64 by 2.6e-5 here and by
# 4e-6 in Keras.
TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 5e-3, "bfloat16": 4e-2}

NEEDED = ("x", "mask", "h0", "c0", "h", "c")
"""The signals that a comparison needs: what a genuine layer is run on, and what it gives."""

WHOLE_MODEL = "the whole model"
"""The key in `Verification.skipped` that is no path."""

_THEANO = "tf_keras pads convolutions otherwise than Theano, which ran the model"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One array of a replay, compared with the array that Keras computes.

    Attributes:
        path: The path of the recurrence.
        what: ``"h"``, ``"last c"`` ... of the layer alone, or ``"x"`` and ``"output"`` of the layer
            in the whole model.
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
        """Whether the difference is within the tolerance."""
        return self.relative <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain JSON data; a difference that is NaN or infinite becomes null."""
        return {**with_nulls(asdict(self)), "agrees": self.agrees}


Proof = Literal["whole model", "layer only", "not compared"]
"""How a recurrent layer was compared.

``"whole model"``: genuine Keras read the same bytes and ran the model on the same input. ``"layer
only"``: it ran the layer on the x and the weights of the replay.
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
        if "output" in compared:
            return ProvenLayer(path, "whole model", None)
        if compared:
            inside = "it is inside another layer, or called twice"
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
    options = replace(options or ReplayOptions(), record=NEEDED)
    return compare(model, replay(model, inputs, options), options.limits)


def compare(model: Model, replayed: Replayed, limits: Limits) -> Verification:
    """Compares a replay with genuine Keras, as `verify` does.

    Args:
        model: The model.
        replayed: A replay of it that recorded at least the signals in `NEEDED`.
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
    whole = _compare_whole(model, replayed, limits)
    if isinstance(whole, str):
        skipped[WHOLE_MODEL] = whole
    else:
        comparisons += whole
    return Verification(comparisons=tuple(comparisons), skipped=skipped)


def _compare_layer(
    call: Call, recurrence: Recurrence, recorded: LayerTrace, limits: Limits
) -> Sequence[Comparison] | str:
    """Compares the states of a layer alone, or says in one line why it cannot."""
    axes = 1 + call.folds

    def folded(array: Array) -> Array:
        return array.reshape(-1, *array.shape[axes:])

    x, mask = folded(recorded.x), folded(recorded.mask)
    initial = [folded(recorded.signals[f"{state}0"]) for state in recurrence.states]
    outputs = run_recurrence(recurrence, x, mask, initial, limits)
    if isinstance(outputs, str):
        return outputs
    sequence, *last = outputs
    order = recurrence.reading_order
    h = folded(recorded.h)
    counts = mask.reshape(mask.shape + (1,) * (h.ndim - mask.ndim))
    # At a masked step the layer's output is not its state.
    theirs = np.where(counts, sequence[:, order], h)
    comparisons = [_difference(call.path, "h", h, theirs, recurrence)]
    for state, expected in zip(recurrence.states, last, strict=True):
        final = folded(recorded.signals[state])[:, order][:, -1]
        comparisons.append(_difference(call.path, f"last {state}", final, expected, recurrence))
    return comparisons


def _difference(
    path: str, what: str, ours: Array, theirs: Array, recurrence: Recurrence
) -> Comparison:
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    apart = distances(a, b)
    largest = np.abs(b[np.isfinite(b)]).max(initial=1.0)
    place = np.unravel_index(int(np.argmax(apart)), apart.shape)
    absolute = float(apart[place])
    return Comparison(
        path=path,
        what=what,
        absolute=absolute,
        relative=absolute / float(largest),
        place=tuple(int(axis) for axis in place),
        tolerance=TOLERANCES[recurrence.dtype],
    )


def _compare_whole(model: Model, replayed: Replayed, limits: Limits) -> Sequence[Comparison] | str:
    """Compares x and the output of each recurrent layer, or says in one line why it cannot."""
    if replayed.is_fed:
        return "the output or the x of a layer was fed"
    calls = {call.path: call for call in model.calls}
    outputs = {
        name: output
        for name in dict.fromkeys(_top_layer(call.path) for call, _ in model.recurrent_calls)
        if (output := _output_of(name, calls, replayed)) is not None
    }
    if not outputs:
        return "its recurrent layers are all inside other layers"
    if unlike := _unlike_tf_keras(model, replayed):
        return unlike
    values = run_whole_model(model, replayed.batches, [*outputs], limits)
    if isinstance(values, str):
        return values
    comparisons = []
    for call, recurrence in model.recurrent_calls:
        name = _top_layer(call.path)
        if name not in outputs:
            continue
        x, output = values[name]
        # Of a stateful replay, only the last batch is compared.
        ours = replayed.recorded[call.path].x[-len(x) :]
        theirs = x.swapaxes(0, 1) if recurrence.time_major else x
        assert ours.shape == theirs.shape, (call.path, ours.shape, theirs.shape)
        comparisons.append(_difference(call.path, "x", ours, theirs, recurrence))
        comparisons.append(_difference(call.path, "output", outputs[name], output, recurrence))
    return comparisons


def _unlike_tf_keras(model: Model, replayed: Replayed) -> str | None:
    """What tf_keras computes otherwise than the Keras that saved the model, in one line."""
    for call in model.calls:
        layer = call.layer
        if isinstance(layer, Layer):
            if isinstance(layer.options, Convolve) and layer.options.padding == "half":
                return _THEANO
            continue
        if layer.convolution is not None and layer.convolution.state_padding == "half":
            return _THEANO
        if (
            call.path in replayed.recorded
            and call.path != _top_layer(call.path)
            and layer.return_sequences
            and not layer.zero_output_for_mask
            and not replayed.recorded[call.path].mask.all()
        ):
            # tf_keras emits 0 there, the Keras that was installed on its own repeats the last h
            # (tf_keras 2.21.0, layers/rnn/bidirectional.py; keras 2.2.4, layers/wrappers.py).
            return "tf_keras treats masked steps of a Bidirectional otherwise than the file's Keras"
    return None


def _top_layer(path: str) -> str:
    """The layer that a recurrence is, or that it is a direction of."""
    name, _, direction = path.rpartition("/")
    return name if direction in ("forward", "backward") else path


def _output_of(name: str, calls: Mapping[str, Call], replayed: Replayed) -> Array | None:
    """The output of a layer of the model itself; None for one inside a model or called twice."""
    if "/" in name or "#" in name or f"{name}#2" in calls:
        return None
    if name in replayed.outputs:
        return replayed.outputs[name].array
    ways = [replayed.outputs.get(f"{name}/{way}") for way in ("forward", "backward")]
    merge = calls.get(name)
    if None in ways or merge is None or not isinstance(merge.layer, Layer):
        return None
    form = form_of(merge.layer, merge.kwargs)
    values = [way for way in ways if way is not None]
    return None if form is None else form.apply(merge.layer, values)[0].array
