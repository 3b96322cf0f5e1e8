"""Computes the calls of a plan: recurrent layers in recording cells, others in NumPy or Keras."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import Cell
from lstm_inspect.engines import Engine, check_runs, choose
from lstm_inspect.errors import InputError
from lstm_inspect.genuine.bridge import call_layer
from lstm_inspect.layers import (
    Value,
    blaming,
    bytes_needed,
    check_shape,
    form_of,
    map_values,
    operation_of,
    output_shape,
)
from lstm_inspect.model import FED_INPUT, Argument, Call, Layer, Recurrence, Ref, refs
from lstm_inspect.nested import LOOK_INSIDE, leaves, rewritten
from lstm_inspect.replay.account import Account
from lstm_inspect.replay.folding import Folding
from lstm_inspect.replay.initial_states import InitialStates
from lstm_inspect.replay.masks import custom_output, fitted_mask
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import FED_MASK, Plan, needs_of
from lstm_inspect.replay.recurrent import Asked, Reached, Recorded, cell_of, replay_recurrence
from lstm_inspect.replay.timesteps import Steps
from lstm_inspect.traces.recording import LayerTrace


class Walk:
    """Computes the calls of a plan, batch after batch.

    Args:
        plan: The calls to compute.
        signals: The signals to record of the plan's recorded layers.
        options: The options of the replay.
        account: The memory of the replay.
        samples: How many samples there are in all batches.
        lengths: How many timesteps a call computes in all of its runs, if not all.
    """

    def __init__(
        self,
        plan: Plan,
        signals: tuple[str, ...],
        options: ReplayOptions,
        account: Account,
        samples: int,
        lengths: Mapping[str, int],
    ) -> None:
        self._plan = plan
        self._signals = signals
        self._options = options
        self._account = account
        self._samples = samples
        self._lengths = lengths
        self._batch = samples
        self._steps_done: Counter[str] = Counter()
        self._cells = self._made_cells()
        self._engines: dict[str, Engine] = {}
        self._values: dict[str, tuple[Value, ...]] = {}
        self._steps: Mapping[str, Steps] = {}
        self._initial_states: InitialStates = {}
        # The final states of each stateful layer, from which its next call starts.
        self._carried: dict[Recurrence, list[Value]] = {}
        # Where each call stands that has not read all of its timesteps.
        self._reached: dict[str, Reached] = {}
        self.tensors: dict[Ref, Value] = {}
        """The plan's further tensors in the last batch."""

    def _made_cells(self) -> dict[Recurrence, Cell]:
        """The cell of each recurrent layer, which the engine that is asked for can run."""
        cells: dict[Recurrence, Cell] = {}
        for call in self._plan.calls:
            recurrence = call.layer
            if isinstance(recurrence, Recurrence) and recurrence not in cells:
                size = sum(array.nbytes for array in recurrence.weights.values())
                # They may be cast twice: to the dtype of the layer and to that of its cell.
                self._account.reserve(4 * size, f"layer {call.path}")
                cell = cells[recurrence] = cell_of(recurrence)
                check_runs(self._options.engine, call.path, cell)
                # A cell has its weights as they were given, and as it computes with them.
                given = (array.nbytes for array in cell.weights.values() if array is not None)
                self._account.keep(2 * sum(given))
        return cells

    def run(
        self, given: Mapping[str, Array], steps: Mapping[str, Steps], initial_states: InitialStates
    ) -> dict[str, LayerTrace]:
        """Computes one batch, or some timesteps of it.

        Args:
            given: An array for each input that the plan needs and for each path of the feed.
            steps: The timesteps that a call computes, by its path, if they are not all. Those
                after the first ones go on where the run before ended.
            initial_states: The states that calls start from, if not from zeros.
        """
        self._account.begin_block()
        self._steps = steps
        self._initial_states = initial_states
        self._batch = len(next(iter(given.values())))
        if not self._options.stateful:  # other samples, which are a block for the sake of memory
            self._carried.clear()
        self._values = {name: (_fed_value(name, given),) for name in given}
        for values in self._values.values():
            self._hold(values)
        needs = {call.path: needs_of(call, self._options.feed) for call in self._plan.calls}
        readers = Counter(ref.path for refs in needs.values() for ref in refs)
        readers.update(ref.path for ref in self._plan.tensors)
        traced = {}
        for call in self._plan.calls:
            if isinstance(call.layer, Recurrence):
                outputs, recorded = self._run_recurrence(call, call.layer)
                if call.path in self._plan.recorded:
                    traced[call.path] = LayerTrace(
                        path=call.path,
                        cell=call.layer.cell,
                        units=call.layer.units,
                        direction=call.layer.direction,
                        engine=self._engines[call.path].version(),
                        signals=recorded.signals,
                        dims=_dims(call, call.layer),
                        kept=recorded.kept,
                    )
            else:
                outputs = self._run_layer(call, call.layer)
            self._hold(outputs)
            self._values[call.path] = outputs
            for ref in needs[call.path]:
                readers[ref.path] -= 1
                if not readers[ref.path]:
                    del self._values[ref.path]
        self.tensors = {ref: self._value(ref) for ref in self._plan.tensors}
        return traced

    def _hold(self, values: Sequence[Value]) -> None:
        for value in values:
            self._account.hold(value.array)
            if value.mask is not None:
                self._account.hold(value.mask)

    def _value(self, ref: Ref) -> Value:
        values = self._values[ref.path]
        if ref.index >= len(values):
            raise InputError(
                f"layer {ref.path}: expected output {ref.index}, the feed gives only output 0"
            )
        return values[ref.index]

    def _run_layer(self, call: Call, layer: Layer) -> tuple[Value, ...]:
        part = self._steps.get(call.path)
        read = {ref: _first(self._value(ref), part) for ref in refs((call.args, call.kwargs))}
        folding = Folding(call.folds, [read[ref] for ref in refs(call.args)])

        def value_of(argument: Argument) -> Any:
            if isinstance(argument, Ref):
                return folding.fold(read[argument])
            return LOOK_INSIDE

        args, kwargs = rewritten(call.args, value_of), rewritten(call.kwargs, value_of)
        args = _with_masks(args, kwargs.get("mask"))
        reserve = partial(self._account.reserve, what=f"layer {call.path}")
        custom = self._options.code_of(layer)
        if custom is not None:
            given = [value for value in leaves(args) if isinstance(value, Value)]
            result = custom(layer, *(value.array for value in given))
            mask = next((value.mask for value in given if value.mask is not None), None)
            outputs: tuple[Value, ...] = (custom_output(layer, result, mask),)
            reserve(outputs[0].array.nbytes)
        elif operation := operation_of(layer, call.args, call.kwargs):
            plain = map_values((args, kwargs), lambda value: value.array)
            reserve(bytes_needed(plain))
            with blaming(layer):
                outputs = (Value(operation(*plain)),)
        elif form := form_of(layer, call.kwargs):
            values = [
                leaf if isinstance(leaf, Value) else Value(np.asarray(leaf))
                for leaf in leaves(args)
            ]
            reserve(form.bytes_needed(layer, values))
            outputs = form.apply(layer, values)
        else:
            outputs = call_layer(layer, args, kwargs, self._options.limits, reserve)
            shapes = [each.array.shape for each in leaves(args) if isinstance(each, Value)]
            check_shape(layer, output_shape(layer, kwargs, shapes), outputs[0].array, "Keras")
        return folding.unfold_all(outputs)

    def _run_recurrence(
        self, call: Call, recurrence: Recurrence
    ) -> tuple[tuple[Value, ...], Recorded]:
        fed = self._values.get(call.path + FED_INPUT)
        part = self._steps.get(call.path)
        x = fed[0] if fed else self._value(call.args[0])
        if not recurrence.go_backwards:
            x = _first(x, part)
        folding = Folding(call.folds, [x])
        folded = folding.fold(x)
        mask = folded.mask
        options = self._options
        asked = Asked(
            record=self._signals if call.path in self._plan.recorded else (),
            steps=options.steps,
            last=options.last,
            units=options.units,
            sequence=call.path in self._plan.read,
            part=part,
        )
        if "mask" in call.kwargs:
            wired = call.kwargs["mask"]
            mask = None
            if wired is not None:
                wired_mask = folding.fold(self._value(wired)).array
                mask = fitted_mask(call.path, wired_mask[:, : folded.array.shape[1]], folded.array)
        cell, steps = self._cells[recurrence], self._steps_of(call.path, folded.array)
        if call.path not in self._engines:
            self._engines[call.path] = choose(options.engine, cell, steps)
        outputs, recorded = replay_recurrence(
            call.path,
            recurrence,
            folded,
            cell=cell,
            engine=self._engines[call.path],
            mask=mask,
            initial_state=[folding.fold(each).array for each in self._start(call, recurrence)],
            reached=self._reached.pop(call.path, None) if part and part.start else None,
            asked=asked,
            account=self._account,
            on_steps=self._on_steps(call.path, steps),
        )
        for signal in recorded.signals.values():
            self._account.hold(signal)
        unfolded = folding.unfold_all(outputs)
        if recurrence.stateful:
            self._carried[recurrence] = list(unfolded[1:])
        if part and part.stop < part.of:
            self._reached[call.path] = recorded.reached
        signals = {name: folding.unfold(array) for name, array in recorded.signals.items()}
        return unfolded, recorded._replace(signals=signals)

    def _start(self, call: Call, recurrence: Recurrence) -> Sequence[Value]:
        """The states that a call starts from; empty for zeros."""
        if wired := call.kwargs.get("initial_state", ()):
            return [self._value(ref) for ref in wired]
        if recurrence in self._carried:
            return self._carried[recurrence]
        given = self._initial_states.get(call.path, {})
        return [Value(given[state]) for state in recurrence.states if state in given]

    def _steps_of(self, path: str, x: Array) -> int:
        """How many timesteps of how many sequences all runs of a call take: their product."""
        timesteps: int = self._lengths.get(path, x.shape[1])
        return timesteps * self._samples * len(x) // self._batch

    def _on_steps(self, path: str, total: int) -> Callable[[int], None] | None:
        """What the engine calls as it goes on; it tells the progress over all batches."""
        progress = self._options.progress
        if progress is None:
            return None

        def told(more: int) -> None:
            self._steps_done[path] += more
            progress(path, self._steps_done[path], total)

        return told


def _first(value: Value, part: Steps | None) -> Value:
    """The first timesteps of a sequence, as many as a part has; without a part, all."""
    if part is None:
        return value
    count = part.stop - part.start
    return Value(value.array[:, :count], None if value.mask is None else value.mask[:, :count])


def _fed_value(name: str, given: Mapping[str, Array]) -> Value:
    """An array that the replay starts from, with the mask that the feed has for it."""
    path = name.removesuffix(FED_INPUT)
    mask = given.get(path + FED_MASK)
    return Value(given[name], None if mask is None else fitted_mask(path, mask, given[name]))


def _with_masks(args: Any, wired: Any) -> Any:
    """Arguments with the masks that a call is wired to, which count instead of their own."""
    masks = iter([] if wired is None else leaves(wired))

    def masked(given: Any) -> Any:
        if not isinstance(given, Value):
            return LOOK_INSIDE
        mask = next(masks, given.mask)
        return Value(given.array, mask.array.astype(bool) if isinstance(mask, Value) else mask)

    return rewritten(args, masked)


def _dims(call: Call, recurrence: Recurrence) -> tuple[str, ...]:
    """The names of the axes of the layer's h."""
    outer = (f"outer timesteps {number}" for number in range(call.folds))
    return ("batch", *outer, "timesteps", *recurrence.state_dims)
