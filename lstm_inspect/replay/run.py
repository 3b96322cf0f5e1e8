"""Replays a model: checks the request, plans it, and computes it block by block."""

import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array, cast
from lstm_inspect.cells import all_signals
from lstm_inspect.errors import (
    InputError,
    InspectWarning,
    ModelFileError,
    SelectionError,
    UnsupportedLayerError,
)
from lstm_inspect.files.mapped_file import release
from lstm_inspect.layers import Value
from lstm_inspect.model import Model, ModelInput, Ref
from lstm_inspect.notation import advice, by_line
from lstm_inspect.replay.account import Account
from lstm_inspect.replay.batching import block_size, mixing_call
from lstm_inspect.replay.block import Block
from lstm_inspect.replay.feeding import how_to_feed, how_to_feed_x
from lstm_inspect.replay.initial_states import InitialStates, bind_initial_states
from lstm_inspect.replay.inputs import (
    Given,
    MissingInputError,
    bind_feed,
    bind_inputs,
    check_finite,
)
from lstm_inspect.replay.known_shapes import tensor_shapes
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import Plan, plan_replay
from lstm_inspect.replay.recorded_size import recorded_bytes, timesteps_read
from lstm_inspect.replay.timesteps import parts, timesteps_computed
from lstm_inspect.replay.walk import Walk
from lstm_inspect.traces.kept import Kept
from lstm_inspect.traces.recording import LayerTrace, Trace

IN_MEMORY = 256 << 20
"""The bytes that a block may take if its results stay in memory."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Replayed:
    """A replay in memory, with results that `lstm_inspect.trace` does not return.

    Attributes:
        trace: The recorded signals.
        recorded: The same, with the further signals that the replay was asked for.
        tensors: The tensors that were asked for, of the last batch.
        ready: The replay that was computed.
    """

    trace: Trace
    recorded: Mapping[str, LayerTrace]
    tensors: Mapping[Ref, Value]
    ready: "Replay"


class Replay:
    """A replay that is ready to be computed.

    Args:
        model: The model.
        inputs: As for `lstm_inspect.trace`, and so are the errors.
        options: What to record, and how.
        also: Signals to record besides.
        tensors: Tensors to compute besides, as far as they can be computed.
        block_bytes: How much memory the arrays of a block may take; None computes all samples at
            once. A stateful model has the blocks that its batch size says.

    Attributes:
        untraced: The paths of layers that cannot be traced, each with a line that says why.
        model: ``name``, ``sha256`` and ``keras_version`` of the model file.
        hint: How to make what goes round the first of these lines; None for no hint.
        given: The arrays that it starts from, by the path of the input or of the feed.
        is_fed: Whether the output, the x or the initial state of a layer was given.
        samples: How many samples are replayed.
        block: How many of them are computed at once.
        nbytes: The size of what is recorded, if ``block_bytes`` is given and all shapes are known
            before anything is computed; else None.
    """

    def __init__(
        self,
        model: Model,
        inputs: Any,
        options: ReplayOptions,
        *,
        also: Collection[str] = (),
        tensors: Sequence[Ref] = (),
        block_bytes: int | None = None,
    ) -> None:
        self.model = model.source.identity
        self._signals = _signals_of(options.record)
        plan = plan_replay(model, options, tensors)
        self.untraced = {path: "; ".join(reasons) for path, reasons in plan.blocked.items()}
        self.hint = how_to_feed(model, plan.feeds)
        if not plan.recorded:
            lines = ((path, f" not traced: {why}") for path, why in self.untraced.items())
            error = UnsupportedLayerError("; ".join(by_line(lines)))
            if self.hint:
                error.add_note(self.hint)
            raise error
        for call, recurrence in model.recurrent_calls:
            if call.path in plan.recorded:
                for remark in recurrence.remarks:
                    warnings.warn(InspectWarning(f"{call.path}: {remark}"), stacklevel=3)
        _check_signals(self._signals, model, plan)
        keeps_states = any(recurrence.stateful for recurrence in model.recurrent)
        size = _batch_size(model, keeps_states) if options.stateful else None
        takes = tuple(map(_any_batch, model.inputs)) if keeps_states else model.inputs
        try:
            arrays = bind_inputs(takes, inputs, plan.inputs, options.allow_nonfinite)
        except MissingInputError as error:
            hint = None if model.why_unwired is None else how_to_feed_x(model, error.name)
            if hint:
                error.add_note(hint)
            raise
        _check_weights(plan, options.allow_nonfinite)
        starts = {each.tensor: arrays[each.name] for each in model.inputs if each.name in arrays}
        given = {**starts, **bind_feed(options.feed, arrays, options.allow_nonfinite)}
        total = len(next(iter(given.values())).array)
        if keeps_states and not options.stateful:
            _check_one_batch(model, total)
        self._initial_states = bind_initial_states(
            options.initial_state,
            model,
            plan,
            total if size is None else size,
            allow_nonfinite=options.allow_nonfinite,
        )
        self.is_fed = bool(options.feed or self._initial_states)
        self._dtype = options.dtype
        self._progress = options.progress
        self._kept: dict[str, Kept] = {}
        if options.samples is not None:
            kept = Kept.of(options.samples.places(total), total)
            given = {name: each.samples(kept.taking) for name, each in given.items()}
            if size is None:
                self._initial_states = _of_samples(self._initial_states, kept.taking)
            self._kept = {"batch": kept}
        self.given: Mapping[str, Given] = given
        self.samples = len(next(iter(given.values())).array)
        self._account = Account(options.limits)
        for each in given.values():
            self._account.exempt(each.array)
        recorded = _signals_of([*self._signals, *also])
        if size is not None and self.samples % size:
            raise InputError(
                f"inputs: expected a multiple of the model's batch size {size}, "
                f"received {self.samples}"
            )
        shapes = tensor_shapes(plan.calls, {name: each.array.shape for name, each in given.items()})
        self._plan, self._shapes, self._options = plan, shapes, options
        self._is_stateful = size is not None
        self._parts = parts(plan, shapes, options)
        lengths = timesteps_computed(self._parts)
        self._walk = Walk(plan, recorded, options, self._account, self.samples, lengths)
        self.nbytes: int | None = None
        self._steps: Mapping[str, int] = {}
        if block_bytes is not None:
            self._steps = timesteps_read(plan, shapes.inputs, lengths)
            sizes = recorded_bytes(plan, shapes.inputs, recorded, options)
            known = [each for each in sizes if each is not None]
            self.nbytes = sum(known) if len(known) == len(sizes) else None
            if size is None:
                held = sum(known) + sum(each.array.nbytes for each in given.values())
                size = block_size(
                    plan,
                    shapes.outputs,
                    held,
                    options,
                    samples=self.samples,
                    block_bytes=block_bytes,
                )
        self.block = size or self.samples

    def mixing_call(self) -> str | None:
        """The path of a call that may compute a sample from others too; None if none may."""
        return mixing_call(self._plan, self._shapes.outputs, self._options)

    def batches(self, done: int = 0) -> Iterator[tuple[slice, dict[str, Array]]]:
        """Yields the samples of each block, and the arrays that it starts from.

        The arrays stand by the path of the input or of the feed.

        Args:
            done: How many samples of the first blocks to leave out.
        """
        for start in range(done, self.samples, self.block):
            samples = slice(start, min(start + self.block, self.samples))
            arrays = {name: each.samples(samples).fitted() for name, each in self.given.items()}
            yield samples, arrays
            for each in self.given.values():
                release(each.array)

    def blocks(self, done: int = 0) -> Iterator[Block]:
        """Computes the replay, block by block, in the order of the samples.

        Args:
            done: How many samples of the first blocks to leave out.
        """
        if self._progress:
            for path, steps in self._steps.items():
                self._progress(path, 0, steps)
        for samples, batch in self.batches(done):
            initial_states = self._initial_states
            if not self._is_stateful:
                initial_states = _of_samples(initial_states, samples)
            for part in self._parts:
                # NaN and infinity in inputs and weights have been reported, with their place.
                with np.errstate(invalid="ignore", over="ignore"):
                    layers = self._walk.run(part.of(batch), part.of_calls, initial_states)
                layers = {
                    path: replace(
                        layer,
                        kept={**layer.kept, **self._kept},
                        signals=_in_dtype(layer, self._dtype),
                    )
                    for path, layer in layers.items()
                }
                is_last = part is self._parts[-1]
                yield Block(samples, self.samples, part.steps, layers, is_last=is_last)

    def in_memory(self) -> Replayed:
        """Computes the replay and keeps all of it."""
        traced = self._gathered()
        trace = Trace(
            layers={path: _only(layer, self._signals) for path, layer in traced.items()},
            untraced=self.untraced,
            model=self.model,
        )
        return Replayed(trace=trace, recorded=traced, tensors=self._walk.tensors, ready=self)

    def _gathered(self) -> dict[str, LayerTrace]:
        """The recorded signals of all blocks; those of several are joined."""
        joined: dict[str, LayerTrace] = {}
        for block in self.blocks():
            if block.samples == slice(0, self.samples) and block.steps is None:
                return dict(block.layers)
            for path, layer in block.layers.items():
                if path not in joined:
                    joined[path] = replace(layer, signals=self._room_for(block, layer))
                for name, array in layer.signals.items():
                    if place := block.place(layer, name):
                        box = map(_span, place.at, array.shape)
                        joined[path].signals[name][tuple(box)] = array
        return joined

    def _room_for(self, block: Block, layer: LayerTrace) -> dict[str, Array]:
        """Arrays for the signals of a layer in all blocks, given the first one."""
        room = {}
        for name, array in layer.signals.items():
            place = block.place(layer, name)
            assert place is not None, f"{layer.path}/{name} is not in the first block"
            size = math.prod(place.shape) * array.itemsize
            self._account.reserve(size, f"layer {layer.path} in all batches")
            room[name] = np.empty(place.shape, array.dtype)
            self._account.hold(room[name])
        return room


def _span(start: int, size: int) -> slice:
    return slice(start, start + size)


def _of_samples(states: InitialStates, samples: slice | list[int]) -> InitialStates:
    return {
        path: {state: array[samples] for state, array in each.items()}
        for path, each in states.items()
    }


def _in_dtype(layer: LayerTrace, dtype: str | None) -> Mapping[str, Array]:
    """The signals of a layer in the dtype that was asked for; a mask stays as it is.

    Raises:
        InputError: The dtype cannot hold a number.
    """
    if dtype is None:
        return layer.signals
    signals = {}
    for name, array in layer.signals.items():
        with np.errstate(over="ignore"):
            signals[name] = array if array.dtype == bool else cast(array, dtype)
        if np.isinf(signals[name]).any() and not np.isinf(array).any():
            most = float(np.abs(array).max())
            raise InputError(
                f"dtype {dtype}: expected numbers that it can hold, "
                f"received up to {most:.3g} in {layer.path}/{name}"
            )
    return signals


def _only(layer: LayerTrace, signals: Sequence[str]) -> LayerTrace:
    kept = {name: layer.signals[name] for name in signals if name in layer.signals}
    return replace(layer, signals=kept)


def _check_signals(signals: Sequence[str], model: Model, plan: Plan) -> None:
    kinds = {layer.kind for call, layer in model.recurrent_calls if call.path in plan.recorded}
    available = {name for kind in kinds for name in kind.signals}
    if not available.intersection(signals):
        raise SelectionError(
            f"signal {', '.join(signals)}: no selected layer has it; "
            f"there are {', '.join(name for name in all_signals() if name in available)}"
        )


def _check_weights(plan: Plan, allow_nonfinite: bool) -> None:
    """Refuses weights that are not finite, or warns of them if they are allowed."""
    for call in plan.calls:
        weights = call.layer.weights
        named = weights.items() if isinstance(weights, Mapping) else enumerate(weights)
        for name, array in named:
            what = f"layer {call.path}: weight {name} is"
            check_finite(what, array, allow_nonfinite, ModelFileError)


def _signals_of(record: Collection[str]) -> tuple[str, ...]:
    known = all_signals()
    for name in record:
        if name not in (*known, "all"):
            raise SelectionError(f"signal {name}: unknown; there are {', '.join(known)} and all")
    return tuple(name for name in known if name in record or "all" in record)


def _check_one_batch(model: Model, samples: int) -> None:
    """Refuses other numbers of samples than the batch size that a stateful model states."""
    for each in model.inputs:
        size = each.shape[0] if each.shape else None
        if size not in (None, samples):
            option = advice(python="stateful=True", command_line="--stateful")
            is_several = size is not None and samples % size == 0
            batches = f"; {option} takes {samples // size} batches in order" if is_several else ""
            raise InputError(
                f"input {each.name}: expected {size} samples, the batch size of this stateful "
                f"model, received {samples}{batches}"
            )


def _batch_size(model: Model, keeps_states: bool) -> int:
    """The batch size of a stateful model, which Keras fixes when it builds the model."""
    if not keeps_states:
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
