"""Keras's own tests of recurrent layers, each run as it is, with every layer it calls replayed.

The installed Keras ships its tests. While one of them runs, the calls of recurrent layers are
recorded: the arguments, the weights and the outputs. Each call is then saved as a model of this one
layer, and the outputs of its replay are compared with what the layer returned in the test.
"""

import importlib
import inspect
import pkgutil
import unittest
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lstm_inspect import UnsupportedLayerError
from tests.keras_oracle import (
    Array,
    Keras,
    KerasLayer,
    KerasModel,
    Watch,
    differences,
    import_keras,
)
from tests.keras_probes import as_read_by_probes, save, trace_of, with_probes

pytestmark = pytest.mark.keras

keras: Keras = import_keras()
layers = keras.layers

# By how much a number between -1 and 1 may differ. In float16 Keras rounds every sum: a ConvLSTM3D
# was measured 2.7e-3 from float64 there, its replay 2.4e-4.
TOLERANCE = {"float16": 5e-3, "float32": 1e-6}


# --- the tests


def genuine_tests() -> Iterator[Any]:
    """Every test method of the recurrent layers, with the marks that Keras gives it."""
    package = importlib.import_module("keras.src.layers.rnn")
    prefix = f"{package.__name__}."
    for found in pkgutil.iter_modules(package.__path__, prefix):
        if not found.name.endswith("_test"):
            continue
        module = importlib.import_module(found.name)
        for _, case in inspect.getmembers(module, inspect.isclass):
            if issubclass(case, unittest.TestCase) and case.__module__ == found.name:
                for name in unittest.defaultTestLoader.getTestCaseNames(case):
                    test = case(name)
                    marks = getattr(getattr(case, name), "pytestmark", [])
                    yield pytest.param(test, marks=marks, id=test.id().removeprefix(prefix))


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    TESTS = [*genuine_tests()]
if not TESTS:
    pytest.skip("the installed Keras does not ship its tests", allow_module_level=True)


def run(test: unittest.TestCase) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as Keras runs them
        keras.utils.set_random_seed(2026)
        test.debug()


# --- the calls that a test makes


class Called(NamedTuple):
    """A call of a recurrent layer; the states are nested as Keras nests them."""

    layer: KerasLayer
    x: Array
    initial_state: Any
    mask: Array | None
    training: bool
    weights: list[Array]
    outputs: list[Array]


def is_concrete(tensor: Any) -> bool:
    """Whether a tensor holds numbers; others only build a graph."""
    return isinstance(tensor, np.ndarray) or hasattr(tensor, "numpy")


def as_array(tensor: Any) -> Array:
    return np.array(keras.ops.convert_to_numpy(tensor))


def as_arrays(nested: Any) -> Any:
    return keras.tree.map_structure(as_array, nested)


def recurrent_layers(layer: KerasLayer) -> list[KerasLayer]:
    """The recurrent layers that a layer consists of; none if it is of another kind."""
    match layer:
        case layers.Bidirectional():
            return [layer.forward_layer, layer.backward_layer]
        case layers.TimeDistributed():
            return recurrent_layers(layer.layer)
        case layers.RNN():
            return [layer]
        case _:
            return []


def carried_states(layer: KerasLayer) -> Any:
    """The states that a stateful layer has from its last call; None if there are none."""
    carried = [each.states for each in recurrent_layers(layer) if each.states is not None]
    return as_arrays([state for states in carried for state in states]) or None


@dataclass
class Recorder:
    """Records the outermost calls of recurrent layers on numbers."""

    genuine: Callable[..., Any]
    calls: list[Called] = field(default_factory=list)
    symbolic: int = 0
    depth: int = 0

    def call(self, layer: KerasLayer, *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(layer.call).bind(*args, **kwargs).arguments
        tensors = keras.tree.flatten([given.get("sequences", given.get("inputs"))])
        is_recorded = self.depth == 0 and bool(recurrent_layers(layer))
        if is_recorded and not all(map(is_concrete, tensors)):
            self.symbolic += 1
            is_recorded = False
        carried = carried_states(layer) if is_recorded else None
        self.depth += 1
        try:
            outputs = self.genuine(layer, *args, **kwargs)
        finally:
            self.depth -= 1
        if is_recorded:
            states, mask = given.get("initial_state"), given.get("mask")
            self.calls.append(
                Called(
                    layer=layer,
                    x=as_array(tensors[0]),
                    initial_state=carried if states is None else as_arrays(states),
                    mask=None if mask is None else as_array(mask),
                    training=bool(given.get("training")),
                    weights=layer.get_weights(),
                    outputs=[as_array(output) for output in keras.tree.flatten(outputs)],
                )
            )
        return outputs


def recorded_calls(test: unittest.TestCase, patch: pytest.MonkeyPatch) -> Recorder:
    """Runs a test of Keras and records; skips it if it fails without us too."""
    recorder = Recorder(layers.Layer.__call__)

    def call(layer: KerasLayer, *args: Any, **kwargs: Any) -> Any:
        return recorder.call(layer, *args, **kwargs)

    with patch.context() as patched:
        for kind in (layers.RNN, layers.Bidirectional, layers.TimeDistributed):
            patched.setattr(kind, "__call__", call, raising=False)
        try:
            run(test)
        except Exception as error:
            failed = error
        else:
            return recorder
    try:
        run(test)
    except Exception as error:
        pytest.skip(f"fails in Keras alone: {error}")
    raise failed


# --- their replay


def cells_of(layer: KerasLayer) -> list[KerasLayer]:
    """Every cell of a layer; a layer such as LSTM has one."""
    return [
        cell
        for each in recurrent_layers(layer)
        for cell in getattr(each.cell, "cells", [each.cell])
    ]


def is_custom(cell: KerasLayer) -> bool:
    return type(cell).__module__.endswith("_test")


def drops(cell: KerasLayer) -> bool:
    return any(getattr(cell, rate, 0) for rate in ("dropout", "recurrent_dropout"))


def copy_of(layer: KerasLayer) -> KerasLayer:
    """The same layer, not built.

    ConvLSTM is the base class of ConvLSTM2D and its likes, and its config lacks the rank. Keras
    could not load it (keras 3.15.1, layers/rnn/conv_lstm.py).
    """
    kind, config = type(layer), layer.get_config()
    if kind.__name__ == "ConvLSTM":
        kind = getattr(layers, f"ConvLSTM{layer.cell.rank}D")
        config |= {"name": None}
    return kind.from_config(config)


def numbered(outputs: Sequence[Any]) -> dict[str, Any]:
    return {f"output_{number}": output for number, output in enumerate(outputs)}


def model_of(called: Called) -> tuple[KerasModel, list[Array]]:
    """A model of one layer, with the weights of the call and an input for each of its arrays."""
    keras.utils.clear_session(free_memory=False)  # layers are numbered from the start again
    given = {"x": called.x, "initial_state": called.initial_state, "mask": called.mask}
    given = {name: value for name, value in given.items() if value is not None}
    tensors = keras.tree.map_structure(
        lambda array: keras.Input(batch_shape=array.shape, dtype=array.dtype.name), given
    )
    inputs = [tensor for value in tensors.values() for tensor in keras.tree.flatten(value)]
    arrays = [array for value in given.values() for array in keras.tree.flatten(value)]
    layer = copy_of(called.layer)
    outputs = keras.tree.flatten(layer(tensors.pop("x"), **tensors))
    layer.set_weights(called.weights)
    return with_probes(keras, inputs, numbered(outputs)), arrays


def expected_of(called: Called, model: KerasModel, arrays: list[Array]) -> dict[str, Array]:
    """What the call returned, and the states of its layer after every step."""
    expected = as_read_by_probes(numbered(called.outputs))
    layers_and_cells = [*recurrent_layers(called.layer), *cells_of(called.layer)]
    if len({each.compute_dtype for each in layers_and_cells}) > 1:
        return expected  # An RNN casts what its cells give, so their own states are not seen.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Reshape drops a mask
        states = Watch(keras, model).states(arrays)
    return expected | {key: states[key] for key in states if key.endswith(("/h", "/c"))}


LEFT_OUT = "with dropout in training"
GRAPH = "to build a graph"
REFUSED = "of custom cells"

tally: Counter[str] = Counter()
"""How many calls were compared, by the kind of layer; and how many were not, by the reason."""


@pytest.mark.parametrize("test", TESTS)
def test_the_layers_of_a_test_of_keras(
    test: unittest.TestCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = recorded_calls(test, monkeypatch)
    tally[GRAPH] += recorder.symbolic
    path = tmp_path / "model.keras"
    for called in recorder.calls:
        cells = cells_of(called.layer)
        if called.training and any(map(drops, cells)):
            tally[LEFT_OUT] += 1
            continue
        model, arrays = model_of(called)
        save(model, path)
        if any(map(is_custom, cells)):
            names = dict.fromkeys(type(cell).__name__ for cell in cells)
            with pytest.raises(UnsupportedLayerError, match=f"RNN of {' and '.join(names)}"):
                trace_of(path, arrays)
            tally[REFUSED] += 1
            continue
        recorded = trace_of(path, arrays).arrays()
        expected = expected_of(called, model, arrays)
        assert not [*differences(expected, recorded, TOLERANCE)], called
        tally[type(called.layer).__name__] += 1


def test_enough_calls_of_each_kind_were_compared(request: pytest.FixtureRequest) -> None:
    """Otherwise the tests above could compare nothing, and pass."""
    name = test_the_layers_of_a_test_of_keras.__name__
    run_here = [item for item in request.session.items if item.name.startswith(f"{name}[")]
    if len(run_here) < len(TESTS):
        pytest.skip("not every test of Keras was run")
    print(tally)  # seen with -rP
    compared = tally - Counter({each: tally[each] for each in (GRAPH, LEFT_OUT, REFUSED)})
    assert compared.total() >= 100
    assert tally[REFUSED] >= 50
    assert {"LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"} <= compared.keys()
    assert {"ConvLSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"} <= compared.keys()
