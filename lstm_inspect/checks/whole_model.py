"""Compares what recurrent layers get and give with a run of the whole model in genuine Keras."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.checks.comparison import Comparison, difference
from lstm_inspect.checks.diff.two_arrays import distances
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.oracle import LayerValues, run_whole_model
from lstm_inspect.layers import Value, form_of
from lstm_inspect.model import Call, Convolve, Layer, Model, Recurrence, refs
from lstm_inspect.replay.run import Replayed

_THEANO = "tf_keras pads convolutions otherwise than Theano, which ran the model"
_CALL_NUMBER = re.compile(r"#\d+(?=/|$)")


class _LayerCall(NamedTuple):
    """One call of a recurrent layer, a Bidirectional or a stack of cells in the replay.

    Attributes:
        parts: The calls of its recurrences; those of a layer of one recurrence are one.
        x: Its input, with the axes of TimeDistributed layers folded into the batch.
        output: Its output, likewise.
    """

    parts: Sequence[tuple[Call, Recurrence]]
    x: Array
    output: Array


def compare_whole(model: Model, replayed: Replayed, limits: Limits) -> Sequence[Comparison] | str:
    """Compares x and the output of each recurrent layer, or says in one line why it cannot."""
    if replayed.is_fed:
        return "the output or the x of a layer was fed"
    if unlike := _unlike_tf_keras(model, replayed):
        return unlike
    ours: dict[str, list[_LayerCall]] = defaultdict(list)
    for path, call in _layer_calls(model, replayed):
        ours[_CALL_NUMBER.sub("", path)].append(call)
    theirs = run_whole_model(model, replayed.batches, [*ours], limits)
    if isinstance(theirs, str):
        return theirs
    return [
        comparison
        for name, calls in ours.items()
        for call, values in _matched(calls, theirs[name])
        for comparison in _compared(call, values)
    ]


def _layer_calls(model: Model, replayed: Replayed) -> list[tuple[str, _LayerCall]]:
    """The calls of the recurrent layers, with their paths, as far as the replay recorded them."""
    merges = {call.path: call for call in model.calls if isinstance(call.layer, Layer)}
    parts: dict[str, list[tuple[Call, Recurrence]]] = defaultdict(list)
    for call, recurrence in model.recurrent_calls:
        parts[call.part_of or call.path].append((call, recurrence))
    found = []
    for path, own in parts.items():
        if all(call.path in replayed.outputs for call, _ in own):
            (first, recurrence), (last, _) = own[0], own[-1]
            # Of a stateful replay, only the last batch is compared.
            samples = len(next(iter(replayed.batches[-1].values())))
            x = _folded(replayed.recorded[first.path].x[-samples:], first.folds)
            output = _folded(replayed.outputs[last.path].array, last.folds)
            if path in merges:
                output = _merged(merges[path], replayed.outputs)
            found.append(
                (path, _LayerCall(own, x.swapaxes(0, 1) if recurrence.time_major else x, output))
            )
    return found


def _merged(merge: Call, outputs: Mapping[str, Value]) -> Array:
    """The output of a Bidirectional; the first one if it has two."""
    assert isinstance(merge.layer, Layer)
    form = form_of(merge.layer, merge.kwargs)
    assert form is not None
    ways = [Value(_folded(outputs[ref.path].array, merge.folds)) for ref in refs(merge.args)]
    return form.apply(merge.layer, ways)[0].array


def _folded(array: Array, folds: int) -> Array:
    return array.reshape(-1, *array.shape[1 + folds :])


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
            if (each.x.shape, each.output.shape) == (call.x.shape, call.output.shape)
        ]
        if fitting:
            nearest = min(fitting, key=lambda each: float(distances(call.x, each.x).max()))
            left = [each for each in left if each is not nearest]
            pairs.append((call, nearest))
    return pairs


def _in_one_batch(calls: Sequence[LayerValues], folds: int, ndim: int) -> Iterator[LayerValues]:
    """The calls of a layer in a TimeDistributed as one call with all timesteps in its batch.

    The layer itself is called once (tf_keras 2.21.0) or once for each timestep (keras 3.15.1,
    layers/rnn/time_distributed.py).
    """
    if len(calls) > 1 and folds == 1:
        x, output = (np.stack([each[n] for each in calls], 1) for n in (0, 1))
        calls = [LayerValues(x, output)]
    for x, output in calls:
        is_folded = x.ndim == ndim
        yield LayerValues(*(each if is_folded else _folded(each, folds) for each in (x, output)))


def _compared(ours: _LayerCall, theirs: LayerValues) -> Iterator[Comparison]:
    reading = ours.parts[0][0].args
    for call, recurrence in ours.parts:
        if call.args == reading:  # in a stack, only the first cell reads the x of the layer
            yield difference(call.path, "x", ours.x, theirs.x, recurrence)
        yield difference(call.path, "output", ours.output, theirs.output, recurrence)


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
