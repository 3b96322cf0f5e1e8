"""Compares what recurrent layers get and give with a run of the whole model in genuine Keras."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.checks.comparison import Comparison, difference, folded
from lstm_inspect.checks.diff.two_arrays import Tolerance, distances
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.oracle import LayerValues, run_whole_model
from lstm_inspect.layers import Value, form_of
from lstm_inspect.model import Call, Convolve, Layer, Model, Recurrence, Ref, refs
from lstm_inspect.replay.run import Replayed

_THEANO = "tf_keras pads convolutions otherwise than Theano, which ran the model"


class _LayerCall(NamedTuple):
    """One call of a recurrent layer, a Bidirectional or a stack of cells in the replay.

    Attributes:
        parts: The calls of its recurrences; those of a layer of one recurrence are one.
        x: Its input, with the axes of TimeDistributed layers folded into the batch.
        outputs: Its outputs, likewise; of a layer that is no Bidirectional, the first one.
    """

    parts: Sequence[tuple[Call, Recurrence]]
    x: Array
    outputs: Sequence[Array]

    @property
    def name(self) -> str:
        """The name of the layer, which all of its calls have in common."""
        call, recurrence = self.parts[0]
        part = "" if call.part_of is None else call.path.removeprefix(call.part_of)
        return recurrence.path.removesuffix(part)


def compare_whole(
    model: Model, replayed: Replayed, limits: Limits, tolerance: Tolerance | None
) -> Sequence[Comparison] | str:
    """Compares x and the output of each recurrent layer, or says in one line why it cannot."""
    if unlike := _unlike_tf_keras(model, replayed):
        return unlike
    ours: dict[str, list[_LayerCall]] = defaultdict(list)
    for call in _layer_calls(model, replayed):
        ours[call.name].append(call)
    batches = [arrays for _, arrays in replayed.ready.batches()]
    theirs = run_whole_model(model, batches, [*ours], limits)
    if isinstance(theirs, str):
        return theirs
    return [
        comparison
        for name, calls in ours.items()
        for call, values in _matched(calls, theirs[name])
        for comparison in _compared(call, values, tolerance)
    ]


def _layer_calls(model: Model, replayed: Replayed) -> Iterator[_LayerCall]:
    """The calls of the recurrent layers, as far as the replay recorded them."""
    merges = {call.path: call for call in model.calls if isinstance(call.layer, Layer)}
    parts: dict[str, list[tuple[Call, Recurrence]]] = defaultdict(list)
    for call, recurrence in model.recurrent_calls:
        parts[call.part_of or call.path].append((call, recurrence))
    for path, own in parts.items():
        if all(call.path in replayed.recorded for call, _ in own):
            (first, recurrence), (last, _) = own[0], own[-1]
            # Of a stateful replay, only the last batch is compared.
            x = replayed.recorded[first.path].x[-replayed.ready.block :]
            x = folded(x, first.folds)
            outputs = [folded(replayed.tensors[Ref(last.path)].array, last.folds)]
            if path in merges:
                outputs = _merged(merges[path], replayed.tensors)
            yield _LayerCall(own, x.swapaxes(0, 1) if recurrence.time_major else x, outputs)


def _merged(merge: Call, tensors: Mapping[Ref, Value]) -> list[Array]:
    """The outputs of a Bidirectional: one, or two if it does not merge them."""
    assert isinstance(merge.layer, Layer)
    form = form_of(merge.layer, merge.kwargs)
    assert form is not None
    ways = [Value(folded(tensors[ref].array, merge.folds)) for ref in refs(merge.args)]
    return [each.array for each in form.apply(merge.layer, ways)]


def _matched(
    ours: Sequence[_LayerCall], theirs: Sequence[LayerValues]
) -> list[tuple[_LayerCall, LayerValues]]:
    """Pairs the calls of one layer here and in Keras: Keras may make them in another order."""
    left = [*theirs]
    if len(ours) == 1 and (folds := ours[0].parts[0][0].folds):
        left = [*_in_one_batch(theirs, folds, ours[0].x.ndim)]
    pairs = []
    for call in ours:
        fitting = [
            each
            for each in left
            if each.x.shape == call.x.shape
            and all(a.shape == b.shape for a, b in zip(call.outputs, each.outputs, strict=False))
        ]
        if fitting:
            nearest = min(fitting, key=lambda each: _apart(call, each))
            left = [each for each in left if each is not nearest]
            pairs.append((call, nearest))
    return pairs


def _apart(ours: _LayerCall, theirs: LayerValues) -> tuple[float, float]:
    """How far apart two calls are by x, and by the output if they read the same."""
    x, output = distances(ours.x, theirs.x), distances(ours.outputs[0], theirs.outputs[0])
    return float(x.max(initial=0)), float(output.max(initial=0))


def _in_one_batch(calls: Sequence[LayerValues], folds: int, ndim: int) -> Iterator[LayerValues]:
    """The calls of a layer in a TimeDistributed as one call with all timesteps in its batch.

    The layer itself is called once (tf_keras 2.21.0) or once for each timestep (keras 3.15.1,
    layers/rnn/time_distributed.py).
    """
    if len(calls) > 1 and folds == 1:
        x = np.stack([each.x for each in calls], 1)
        outputs = zip(*(each.outputs for each in calls), strict=True)
        calls = [LayerValues(x, [np.stack(each, 1) for each in outputs])]
    for x, outs in calls:
        if x.ndim != ndim:
            yield LayerValues(folded(x, folds), [folded(each, folds) for each in outs])
        else:
            yield LayerValues(x, outs)


def _compared(
    ours: _LayerCall, theirs: LayerValues, tolerance: Tolerance | None
) -> Iterator[Comparison]:
    reading = ours.parts[0][0].args
    for call, recurrence in ours.parts:
        if call.args == reading:  # in a stack, only the first cell reads the x of the layer
            yield difference(call.path, "x", ours.x, theirs.x, recurrence, tolerance)
        for number, (one, other) in enumerate(zip(ours.outputs, theirs.outputs, strict=False)):
            what = f"output {number}" if number else "output"
            yield difference(call.path, what, one, other, recurrence, tolerance)


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
            and call.part_of is not None
            and layer.return_sequences
            and not layer.zero_output_for_mask
            and not replayed.recorded[call.path].mask.all()
        ):
            # tf_keras emits 0 there, the Keras that was installed on its own repeats the last h
            # (tf_keras 2.21.0, layers/rnn/bidirectional.py; keras 2.2.4, layers/wrappers.py).
            return "tf_keras treats masked steps of a Bidirectional otherwise than the file's Keras"
    return None
