"""Replays a model: checks the request, plans it, computes it, and joins the batches."""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import all_signals
from lstm_inspect.errors import (
    InputError,
    InspectWarning,
    ModelFileError,
    SelectionError,
    UnsupportedLayerError,
)
from lstm_inspect.layers import Value
from lstm_inspect.model import Model, ModelInput, ModelOutput
from lstm_inspect.notation import by_line
from lstm_inspect.replay.account import Account
from lstm_inspect.replay.inputs import bind_feed, bind_inputs, check_finite
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import Plan, plan_replay
from lstm_inspect.replay.walk import Walk
from lstm_inspect.traces.recording import LayerTrace, Trace


@dataclass(frozen=True, eq=False, kw_only=True)
class Replayed:
    """A replay, with results that `lstm_inspect.trace` does not return.

    Attributes:
        trace: The recorded signals.
        recorded: The same, with the further signals that `replay` was asked for.
        outputs: The first output of each recorded layer in the last batch.
        results: The results of the model in the last batch, by name, if they were asked for.
        batches: The arrays that the replay started from, batch by batch, by input name and by path
            of the feed.
        is_fed: Whether the output or the x of a layer was fed.
    """

    trace: Trace
    recorded: Mapping[str, LayerTrace]
    outputs: Mapping[str, Value]
    results: Mapping[str, Array]
    batches: Sequence[Mapping[str, Array]]
    is_fed: bool


def replay(
    model: Model,
    inputs: Any,
    options: ReplayOptions,
    *,
    also: Collection[str] = (),
    results: Sequence[ModelOutput] = (),
) -> Replayed:
    """Replays a model; raises the errors of `lstm_inspect.trace`.

    Args:
        model: The model.
        inputs: As for `lstm_inspect.trace`.
        options: What to record, and how.
        also: Signals to record that do not go into the trace.
        results: Results of the model to compute as well, as far as they can be computed.
    """
    signals = _signals(options.record)
    plan = plan_replay(model, options, [result.tensor for result in results])
    untraced = {path: "; ".join(reasons) for path, reasons in plan.blocked.items()}
    if not plan.recorded:
        raise UnsupportedLayerError(
            "; ".join(by_line((path, f" not traced: {why}") for path, why in untraced.items()))
        )
    for call, recurrence in model.recurrent_calls:
        if call.path in plan.recorded:
            for remark in recurrence.remarks:
                warnings.warn(InspectWarning(f"{call.path}: {remark}"), stacklevel=3)
    kinds = {layer.kind for call, layer in model.recurrent_calls if call.path in plan.recorded}
    available = {name for kind in kinds for name in kind.signals}
    if not available.intersection(signals):
        raise SelectionError(
            f"signal {', '.join(signals)}: no selected layer has it; "
            f"there are {', '.join(name for name in all_signals() if name in available)}"
        )
    size = _batch_size(model) if options.stateful else None
    takes = tuple(_any_batch(each) for each in model.inputs) if options.stateful else model.inputs
    arrays = bind_inputs(takes, inputs, plan.inputs, options.allow_nonfinite)
    _check_weights(plan, options.allow_nonfinite)
    tensors = {each.tensor: arrays[each.name] for each in model.inputs if each.name in arrays}
    given = {**tensors, **bind_feed(options.feed, arrays, options.allow_nonfinite)}
    account = Account(options.limits)
    walk = Walk(plan, _signals([*signals, *also]), options, account)
    given_batches = [*_batches(given, size)]
    # NaN and infinity in inputs and weights have already been reported, with their place.
    with np.errstate(invalid="ignore", over="ignore"):
        batches = [walk.run(batch) for batch in given_batches]
    traced = batches[0] if len(batches) == 1 else _joined(batches, account)
    result = Trace(
        layers={path: _only(layer, signals) for path, layer in traced.items()},
        untraced=untraced,
        model=model.source.identity,
    )
    return Replayed(
        trace=result,
        recorded=traced,
        outputs=walk.outputs,
        results={
            result.name: walk.tensors[result.tensor].array
            for result in results
            if result.tensor in walk.tensors
        },
        batches=given_batches,
        is_fed=bool(options.feed),
    )


def _only(layer: LayerTrace, signals: Sequence[str]) -> LayerTrace:
    kept = {name: layer.signals[name] for name in signals if name in layer.signals}
    return replace(layer, signals=kept)


def _check_weights(plan: Plan, allow_nonfinite: bool) -> None:
    """Refuses weights that are not finite, or warns of them if they are allowed."""
    for call in plan.calls:
        weights = call.layer.weights
        named = weights.items() if isinstance(weights, Mapping) else enumerate(weights)
        for name, array in named:
            what = f"layer {call.path}: weight {name} is"
            check_finite(what, array, allow_nonfinite, ModelFileError)


def _signals(record: Collection[str]) -> tuple[str, ...]:
    known = all_signals()
    for name in record:
        if name not in (*known, "all"):
            raise SelectionError(f"signal {name}: unknown; there are {', '.join(known)} and all")
    return tuple(name for name in known if name in record or "all" in record)


def _batch_size(model: Model) -> int:
    """The batch size of a stateful model, which Keras fixes when it builds the model."""
    if not any(recurrence.stateful for recurrence in model.recurrent):
        raise InputError(f"{model.source.path}: expected a stateful layer; the model has none")
    sizes = {each.shape[0] for each in model.inputs if each.shape}
    size = sizes.pop() if len(sizes) == 1 else None
    if size is None:
        raise InputError(
            f"{model.source.path}: expected inputs of one fixed batch size; the file states none"
        )
    return size


def _any_batch(expected: ModelInput) -> ModelInput:
    shape = expected.shape
    return expected if shape is None else expected._replace(shape=(None, *shape[1:]))


def _batches(arrays: dict[str, Array], size: int | None) -> Iterator[dict[str, Array]]:
    """Yields the batches of a stateful model, in order; without a size, the input as it is."""
    total = len(next(iter(arrays.values())))
    size = size or total
    if total % size:
        raise InputError(
            f"inputs: expected a multiple of the model's batch size {size}, received {total}"
        )
    for start in range(0, total, size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


def _joined(batches: Sequence[Mapping[str, LayerTrace]], account: Account) -> dict[str, LayerTrace]:
    traced = {}
    for path, first in batches[0].items():
        signals = {}
        for name in first.signals:
            arrays = [batch[path].signals[name] for batch in batches]
            account.reserve(sum(array.nbytes for array in arrays), f"layer {path} in all batches")
            signals[name] = np.concatenate(arrays)
            account.hold(signals[name])
        traced[path] = replace(first, signals=signals)
    return traced
