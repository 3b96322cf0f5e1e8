"""Computes the states of genuine Keras layers step by step: the oracle of the tests in `keras/`.

One eager call of the model shows what each of its recurrent layers is called on. For each t, a copy
of the layer then reads the same input with everything after t masked. The states that it returns
are the states after t, computed by Keras alone.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

Array = np.ndarray[Any, np.dtype[Any]]
Keras = Any
KerasModel = Any
KerasLayer = Any


def import_keras() -> Keras:
    """Imports Keras, on the CPU and quietly; skips the test if Keras is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow and its dependencies warn at import
        # Not "keras": without Keras, Python could import the folder of these tests under that name.
        pytest.importorskip("keras.layers")
        import keras

        return keras


def padded(tensor: Any, generator: np.random.Generator) -> Array:
    """Five sequences: full, padded on the right, on the left, in the middle, and all padding."""
    shape = [size or default for size, default in zip(tensor.shape, (5, 5), strict=False)]
    shape += tensor.shape[2:]
    if "int" in tensor.dtype:
        array = generator.integers(1, 6, shape).astype(tensor.dtype)
    else:
        array = generator.uniform(-1, 1, shape).astype(tensor.dtype)
    if len(shape) > 1 and shape[0] == 5 and shape[1] > 3:
        array[1, -2:] = array[2, :2] = array[3, 2:3] = array[4] = 0
    return array


class Called(NamedTuple):
    """A call of a recurrent layer; the initial states are nested as Keras nests them."""

    layer: KerasLayer
    x: Array
    mask: Array | None
    initial_state: Any


@dataclass
class Frame:
    """A layer that is being called.

    ``path`` is its path. ``numbers`` are, for a model, the numbers of the calls of its layers.
    ``steps`` is whether a TimeDistributed calls the layer once for each step.
    """

    path: str = ""
    numbers: dict[KerasLayer, Iterator[int]] = field(default_factory=dict)
    steps: bool = False


class Watch:
    """Replaces ``call`` of a model's recurrent layers, and records what they are called on."""

    def __init__(self, keras: Keras, model: KerasModel) -> None:
        self._keras = keras
        self._model = model
        self._frames: list[Frame] = []
        self._noted: dict[tuple[str, bool], list[Called]] = {}
        self._watch(model, None)

    def states(self, inputs: Sequence[Array]) -> dict[str, Array]:
        """Calls the model on a batch; returns x, the mask and the states by ``<path>/<signal>``.

        The arrays of a layer inside a TimeDistributed have its steps after the batch.
        """
        self._noted.clear()
        self._model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
        arrays: dict[str, Array] = {}
        for (path, steps), calls in self._noted.items():
            each = [signals_of(self._keras, called) for called in calls]
            assert steps or len(each) == 1
            for name in each[0]:
                parts = [signals[name] for signals in each]
                arrays[f"{path}/{name}"] = np.stack(parts, axis=1) if steps else parts[0]
        return arrays

    def _watch(self, layer: KerasLayer, label: str | None) -> None:
        """Watches a layer; ``label`` is its name in the path, after that of its parent."""
        layers = self._keras.layers
        genuine = layer.call
        is_model = isinstance(layer, self._keras.Model)

        def call(*args: Any, **kwargs: Any) -> Any:
            parent = self._frames[-1] if self._frames else Frame()
            number = next(parent.numbers[layer]) if layer in parent.numbers else 1
            path = "/".join(each for each in (parent.path, label) if each)
            frame = Frame(
                path=path if number == 1 else f"{path}#{number}",
                numbers=call_numbers(layer) if is_model else {},
                steps=parent.steps or isinstance(layer, layers.TimeDistributed),
            )
            if isinstance(layer, layers.RNN):
                called = self._called(layer, *args, **kwargs)
                self._noted.setdefault((frame.path, frame.steps), []).append(called)
            self._frames.append(frame)
            outputs = genuine(*args, **kwargs)
            self._frames.pop()
            return outputs

        match layer:
            case self._keras.Model():
                for each in layer.layers:
                    self._watch(each, each.name)
            case layers.TimeDistributed():
                self._watch(layer.layer, None)
            case layers.Bidirectional():
                self._watch(layer.forward_layer, "forward")
                self._watch(layer.backward_layer, "backward")
            case layers.RNN():
                pass
            case _:
                return
        layer.call = call

    def _called(
        self, layer: KerasLayer, x: Any, initial_state: Any = None, mask: Any = None, **rest: Any
    ) -> Called:
        given = layer.states if layer.stateful and initial_state is None else initial_state
        states = self._keras.tree.map_structure(lambda s: None if s is None else np.array(s), given)
        return Called(layer, np.asarray(x), None if mask is None else np.asarray(mask), states)


def call_numbers(model: KerasModel) -> dict[KerasLayer, Iterator[int]]:
    """The numbers of the calls of each layer in a model, in the order in which Keras runs them."""
    graph = getattr(model, "_functional", None) or model
    running: dict[KerasLayer, list[int]] = {}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            own = running.setdefault(node.operation, [])
            own.append(node.operation._inbound_nodes.index(node))
    return {
        layer: iter([sorted(own).index(index) + 1 for index in own])
        for layer, own in running.items()
    }


def signals_of(keras: Keras, called: Called) -> dict[str, Array]:
    """x, the mask, and the states after every step: ``h``, or ``<number>/h`` for stacked cells."""
    layer, x = called.layer, called.x
    config = {"return_sequences": False, "return_state": True, "stateful": False, "unroll": False}
    copy = type(layer).from_config(layer.get_config() | config)
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    batch, timesteps = x.shape[:2]
    mask = np.ones((batch, timesteps), bool) if called.mask is None else called.mask
    read = np.tril(np.ones((timesteps, timesteps), bool))  # row t: the steps up to t
    read_by_t = mask[:, np.newaxis] & (read.T if layer.go_backwards else read)
    # The batch holds one sequence for every t.
    _, *states = copy(
        np.repeat(x, timesteps, axis=0),
        initial_state=keras.tree.map_structure(
            lambda state: None if state is None else np.repeat(state, timesteps, axis=0),
            called.initial_state,
        ),
        mask=read_by_t.reshape(-1, timesteps),
    )
    arrays = iter(keras.tree.flatten(states))
    cells = getattr(layer.cell, "cells", [layer.cell])
    signals: dict[str, Array] = {}
    for number, cell in enumerate(cells):
        prefix = f"{number}/" if len(cells) > 1 else ""
        signals |= {f"{prefix}x": x} if number == 0 else {}
        signals[f"{prefix}mask"] = mask
        for name, _ in zip("hc", keras.tree.flatten(cell.state_size), strict=False):
            state = np.asarray(next(arrays))
            signals[f"{prefix}{name}"] = state.reshape(batch, timesteps, *state.shape[1:])
    return signals


def differences(
    expected: Mapping[str, Array], recorded: Mapping[str, Array], tolerance: Mapping[str, float]
) -> Iterator[str]:
    """Where recorded arrays are not as expected, a line each.

    Numbers may differ by the tolerance of their dtype, relative to the largest one or to 1. Arrays
    of a dtype without a tolerance have to be equal.
    """
    for key, array in expected.items():
        own = recorded.get(key)
        if own is None or own.shape != array.shape or own.dtype != array.dtype:
            received = "nothing" if own is None else f"{own.dtype} {own.shape}"
            yield f"{key}: {received}, Keras {array.dtype} {array.shape}"
        else:
            largest = np.abs(array.astype(float) - own).max() / max(1, np.abs(array).max())
            if not largest <= tolerance.get(str(array.dtype), 0):
                yield f"{key}: differs by {largest:.2g}"
