"""The walk over the graph: recurrent layers to instrumented cells, the others to NumPy forms."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lstm_inspect.errors import InputError, SelectionError, UnsupportedLayerError
from lstm_inspect.formats import Array
from lstm_inspect.inputs import bind_inputs
from lstm_inspect.layers import Value, form_of
from lstm_inspect.model import Call, Layer, Model, ModelInput, Recurrence, Ref, flat
from lstm_inspect.plan import Plan, plan_replay
from lstm_inspect.recording import LayerTrace, Trace
from lstm_inspect.replay.folding import Folding
from lstm_inspect.replay.recurrent import CELL_SIGNALS, replay_recurrence

SIGNALS = (*dict.fromkeys(name for names in CELL_SIGNALS.values() for name in names), "x", "mask")

Progress = Callable[[str, int, int], None]
"""Called with (path, timesteps done, timesteps in all) after every step of a recurrent layer."""


def trace(
    model: Model,
    inputs: Any,
    *,
    record: Collection[str] = ("h", "c"),
    layers: Sequence[str] = ("*",),
    stateful: bool = False,
    progress: Progress | None = None,
) -> Trace:
    """Replays a model and records the signals of its recurrent layers at every timestep.

    Args:
        model: From `lstm_inspect.open_model`.
        inputs: One array, batch first, or a mapping of input name to array. Only the inputs that
            the recorded layers depend on are needed.
        record: Any of h, c, i, f, g, o (LSTM), h, z, r, n (GRU), x and mask, or ``"all"``; a layer
            records those it has, in this order.
        layers: Which recurrent layers to record: paths, or globs over them (``"encoder/*"``).
        stateful: The input is several batches of the model's own batch size, one behind the other:
            stateful layers carry their states from each to the next, as they do in Keras.
        progress: Called with (path, timesteps done, timesteps in all) after every step.

    Returns:
        The signals of each recorded layer, of the layer's compute dtype: (batch, timesteps, units);
        x is (batch, timesteps, features), mask (batch, timesteps) bool. A layer that stands behind
        one that cannot be run is left out and named in ``untraced``.

    Raises:
        InputError: An input is missing, unknown, or does not fit.
        SelectionError: A pattern or a signal matches nothing.
        UnsupportedLayerError: None of the selected layers can be replayed.
    """
    signals = _signals(record)
    plan = plan_replay(model, layers)
    untraced = {path: "; ".join(reasons) for path, reasons in plan.blocked.items()}
    if not plan.recorded:
        raise UnsupportedLayerError(
            "; ".join(f"{path} not traced: {reason}" for path, reason in untraced.items())
        )
    kinds = {layer.cell for call, layer in model.recurrent_calls if call.path in plan.recorded}
    available = {name for kind in kinds for name in (*CELL_SIGNALS[kind], "x", "mask")}
    if not available.intersection(signals):
        raise SelectionError(
            f"signal {', '.join(signals)}: no selected layer has it; "
            f"there are {', '.join(name for name in SIGNALS if name in available)}"
        )
    size = _batch_size(model) if stateful else None
    takes = tuple(_any_batch(each) for each in model.inputs) if stateful else model.inputs
    arrays = bind_inputs(takes, inputs, plan.inputs, _features_read(plan))
    replay = _Replay(plan, signals, progress)
    # What is not finite in the input was reported with its place.
    with np.errstate(invalid="ignore", over="ignore"):
        batches = [replay.run(batch) for batch in _batches(arrays, size)]
    traced = (
        batches[0]
        if len(batches) == 1
        else {path: _joined([batch[path] for batch in batches]) for path in batches[0]}
    )
    return Trace(
        layers=traced,
        untraced=untraced,
        model={
            "name": model.file.path.name,
            "sha256": model.file.sha256,
            "keras_version": model.file.keras_version,
        },
    )


def _signals(record: Collection[str]) -> tuple[str, ...]:
    asked = (record,) if isinstance(record, str) else tuple(record)
    for name in asked:
        if name not in (*SIGNALS, "all"):
            raise SelectionError(f"signal {name}: unknown; there are {', '.join(SIGNALS)} and all")
    return tuple(name for name in SIGNALS if name in asked or "all" in asked)


def _features_read(plan: Plan) -> dict[str, int]:
    """For inputs that a recurrent layer reads directly, the features it takes."""
    return {
        call.args[0].path: call.layer.features
        for call in plan.calls
        if isinstance(call.layer, Recurrence) and call.args[0].path in plan.inputs
    }


def _batch_size(model: Model) -> int:
    """The batch size of a stateful model, which Keras fixes when it builds it."""
    if not any(recurrence.stateful for recurrence in model.recurrent):
        raise InputError(f"{model.file.path}: no layer of the model is stateful")
    sizes = {each.shape[0] for each in model.inputs if each.shape}
    size = sizes.pop() if len(sizes) == 1 else None
    if size is None:
        raise InputError(f"{model.file.path}: expected a fixed batch size, its inputs have none")
    return size


def _any_batch(expected: ModelInput) -> ModelInput:
    shape = expected.shape
    return expected if shape is None else replace(expected, shape=(None, *shape[1:]))


def _batches(arrays: dict[str, Array], size: int | None) -> Iterator[dict[str, Array]]:
    """The batches of a stateful model, in order; else the input as it is."""
    total = len(next(iter(arrays.values())))
    size = size or total
    if total % size:
        raise InputError(
            f"inputs: expected a multiple of the model's batch size {size}, received {total}"
        )
    for start in range(0, total, size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


def _joined(traces: Sequence[LayerTrace]) -> LayerTrace:
    signals = {
        name: np.concatenate([each.signals[name] for each in traces]) for name in traces[0].signals
    }
    return replace(traces[0], signals=signals)


class _Replay:
    def __init__(self, plan: Plan, signals: tuple[str, ...], progress: Progress | None) -> None:
        self._plan = plan
        self._signals = signals
        self._progress = progress
        self._values: dict[str, tuple[Value, ...]] = {}
        # The final states of each stateful layer, where its next call starts.
        self._carried: dict[Recurrence, list[Value]] = {}

    def run(self, arrays: Mapping[str, Array]) -> dict[str, LayerTrace]:
        self._values = {name: (Value(array),) for name, array in arrays.items()}
        readers = Counter(ref.path for call in self._plan.calls for ref in call.needs)
        traced = {}
        for call in self._plan.calls:
            if isinstance(call.layer, Recurrence):
                outputs, signals = self._run_recurrence(call, call.layer)
                if call.path in self._plan.recorded:
                    traced[call.path] = LayerTrace(
                        path=call.path,
                        cell=call.layer.cell,
                        units=call.layer.units,
                        direction=call.layer.direction,
                        signals=signals,
                    )
            else:
                outputs = self._run_layer(call, call.layer)
            self._values[call.path] = outputs
            for ref in call.needs:
                readers[ref.path] -= 1
                if not readers[ref.path]:
                    del self._values[ref.path]
        return traced

    def _value(self, ref: Ref) -> Value:
        return self._values[ref.path][ref.index]

    def _run_layer(self, call: Call, layer: Layer) -> tuple[Value, ...]:
        form = form_of(layer, call.kwargs)
        assert form is not None, "the plan lets only layers with a form through"
        given = [
            self._value(leaf) if isinstance(leaf, Ref) else Value(np.asarray(leaf))
            for leaf in flat(call.args)
        ]
        folding = Folding(call.folds, given)
        return folding.unfold_all(form.apply(layer, [folding.fold(value) for value in given]))

    def _run_recurrence(
        self, call: Call, recurrence: Recurrence
    ) -> tuple[tuple[Value, ...], dict[str, Array]]:
        x = self._value(call.args[0])
        states = [self._value(ref) for ref in call.kwargs.get("initial_state", ())]
        if not states:
            states = self._carried.get(recurrence, [])
        folding = Folding(call.folds, [x])
        folded = folding.fold(x)
        mask = folded.mask
        if "mask" in call.kwargs:
            wired = call.kwargs["mask"]
            mask = None if wired is None else folding.fold(self._value(wired)).array
        outputs, signals = replay_recurrence(
            call.path,
            recurrence,
            folded,
            mask=mask,
            initial_state=[folding.fold(state).array for state in states],
            record=self._signals if call.path in self._plan.recorded else (),
            progress=self._progress,
        )
        unfolded = folding.unfold_all(outputs)
        if recurrence.stateful:
            self._carried[recurrence] = list(unfolded[1:])
        return unfolded, {name: folding.unfold(array) for name, array in signals.items()}
