"""Models that nobody would think of, drawn by a seed, against genuine Keras layers.

A model is a chain of steps, each of which takes sequences and gives sequences. `LAYERS` are the
steps that are one layer, of which a Sequential is made too; `WIRINGS` take the functional API.
"""

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from tests.keras_oracle import (
    Array,
    Keras,
    KerasLayer,
    KerasModel,
    Watch,
    differences,
    import_keras,
    padded,
)

pytestmark = pytest.mark.keras

KerasTensor = Any
Shape = tuple[int | None, ...]

SEEDS = range(20, 90)
BATCH, TIMESTEPS = 5, 4
# By how much a state between -1 and 1 may differ: what rounds differently in every step and layer.
TOLERANCE = {"float32": 5e-6, "float64": 1e-14}

KINDS = ("LSTM", "GRU", "SimpleRNN")
GATES = ("sigmoid", "sigmoid", "hard_sigmoid", "softmax", "relu6")
ACTIVATIONS = ("tanh", "tanh", "relu", "sigmoid", "hard_sigmoid", "softmax", "softsign", None)
MOVES: tuple[dict[str, Any], ...] = ({}, {"strides": 2}, {"dilation_rate": 2}, {"padding": "valid"})
MERGE_MODES = ("concat", "sum", "ave", "mul")
RUN_OPTIONS = ("go_backwards", "unroll", "zero_output_for_mask")


@pytest.fixture(scope="session")
def keras() -> Keras:
    return import_keras()


@dataclass
class Builder:
    """Builds a model by drawing lots."""

    keras: Keras
    lots: random.Random
    dtype: str
    fixed_batch: bool
    is_stateful: bool
    depth: int = 0
    inputs: list[KerasTensor] = field(default_factory=list)

    def layer(self, kind: str, *args: Any, **config: Any) -> KerasLayer:
        return getattr(self.keras.layers, kind)(*args, dtype=self.dtype, **config)

    def happens(self, chance: float) -> bool:
        return self.lots.random() < chance

    def size(self) -> int:
        return self.lots.randint(1, 4)

    def input(self, shape: Sequence[int | None], dtype: str | None = None) -> KerasTensor:
        batch = BATCH if self.fixed_batch else None
        return self.keras.Input(batch_shape=(batch, *shape[1:]), dtype=dtype or self.dtype)

    # --- recurrent layers

    def cell_options(self, kind: str) -> dict[str, Any]:
        options: dict[str, Any] = {
            "use_bias": self.happens(0.8),
            "activation": self.lots.choice(ACTIVATIONS),
        }
        if kind in ("LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D"):
            options["recurrent_activation"] = self.lots.choice(GATES)
        if kind == "GRU":
            options["reset_after"] = self.happens(0.5)
        if self.happens(0.2):
            options |= {"dropout": 0.5, "recurrent_dropout": 0.5}
        return options

    def cells(self, kind: str, units: int, stacked: bool) -> KerasLayer:
        kinds = [*self.lots.choices(KINDS, k=self.lots.randint(1, 2)), kind] if stacked else [kind]
        sizes = [*(self.size() for _ in kinds[1:]), units]
        cells = [
            self.layer(f"{each}Cell", size, **self.cell_options(each))
            for each, size in zip(kinds, sizes, strict=True)
        ]
        return self.layer("StackedRNNCells", cells) if stacked else cells[0]

    def recurrent(self, units: int | None = None, **forced: Any) -> KerasLayer:
        kind = self.lots.choice(KINDS)
        options = {option: self.happens(0.25) for option in RUN_OPTIONS}
        options |= {"return_sequences": True, "stateful": self.is_stateful and self.happens(0.6)}
        options |= forced
        units = units or self.size()
        match self.lots.choice(("layer", "layer", "cell", "cells")):
            case "layer":
                return self.layer(kind, units, **self.cell_options(kind), **options)
            case form:
                return self.layer("RNN", self.cells(kind, units, form == "cells"), **options)

    def bidirectional(self, units: int | None = None, **forced: Any) -> KerasLayer:
        units = units or self.size()
        own_backward = self.happens(0.3) and not forced.get("return_state")
        turned = own_backward and self.happens(0.2)
        forward = self.recurrent(units, **forced, go_backwards=turned)
        backward = None
        if own_backward:
            same = {key: getattr(forward, key) for key in ("return_sequences", "stateful")}
            backward = self.recurrent(units, **forced | same, go_backwards=not turned)
        merge_mode = self.lots.choice(MERGE_MODES)
        return self.layer("Bidirectional", forward, merge_mode, backward_layer=backward)

    # --- models

    def chain(self, x: KerasTensor, length: int) -> KerasTensor:
        for _ in range(length):
            x = self.lots.choice(WIRINGS)(self, x)
        return x

    def nested(self, shape: Shape) -> KerasModel:
        """A model of sequences to sequences, which holds a recurrent layer most of the time."""
        self.depth += 1
        length = self.lots.randint(1, 2)
        if self.happens(0.5):
            layers = [self.input(shape)] if self.happens(0.7) else []
            model = self.keras.Sequential(layers)
            for _ in range(length):
                shape = self.append(model, shape)
        else:
            inputs = self.input(shape)
            model = self.keras.Model(inputs, self.chain(self.recurrent()(inputs), length))
        self.depth -= 1
        return model

    def append(self, model: KerasModel, shape: Shape) -> Shape:
        """Adds a layer to a Sequential; returns the shape of its sequences."""
        layer = self.lots.choice(LAYERS)(self, shape)
        model.add(layer)
        given: Shape = layer.compute_output_shape(shape)
        return given


# --- steps of one layer


def recurrent(build: Builder, shape: Shape) -> KerasLayer:
    return build.recurrent()


def bidirectional(build: Builder, shape: Shape) -> KerasLayer:
    return build.bidirectional()


def dense(build: Builder, shape: Shape) -> KerasLayer:
    activation = build.lots.choice(ACTIVATIONS)
    return build.layer("Dense", build.size(), activation=activation, use_bias=build.happens(0.7))


def activated(build: Builder, shape: Shape) -> KerasLayer:
    return build.layer("Activation", build.lots.choice(ACTIVATIONS[:-1]))


def masking(build: Builder, shape: Shape) -> KerasLayer:
    return build.layer("Masking")


def dropout(build: Builder, shape: Shape) -> KerasLayer:
    return build.layer(build.lots.choice(("Dropout", "GaussianNoise", "SpatialDropout1D")), 0.5)


def batch_normalization(build: Builder, shape: Shape) -> KerasLayer:
    flags = {flag: build.happens(0.7) for flag in ("center", "scale", "trainable")}
    return build.layer("BatchNormalization", **flags)


def convolution(build: Builder, shape: Shape) -> KerasLayer:
    padding = build.lots.choice(("same", "valid"))
    size = 2 if (shape[1] or 0) > 2 else 1
    return build.layer("Conv1D", build.size(), size, padding=padding, use_bias=build.happens(0.7))


def pooling(build: Builder, shape: Shape) -> KerasLayer:
    kind = build.lots.choice(("MaxPooling1D", "AveragePooling1D"))
    return build.layer(kind, 2, strides=1, padding=build.lots.choice(("same", "valid")))


def permute(build: Builder, shape: Shape) -> KerasLayer:
    return build.layer("Permute", (2, 1))


def time_distributed(build: Builder, shape: Shape) -> KerasLayer:
    """Of what treats every step alike: a layer, or a model of such layers."""
    layers = [
        build.lots.choice((dense, activated, batch_normalization))(build, shape)
        for _ in range(build.lots.randint(1, 2))
    ]
    return build.layer(
        "TimeDistributed", layers[0] if len(layers) == 1 else build.keras.Sequential(layers)
    )


def nested(build: Builder, shape: Shape) -> KerasLayer:
    return build.nested(shape) if build.depth < 2 else build.recurrent()


LAYERS: tuple[Callable[[Builder, Shape], KerasLayer], ...] = (
    *(recurrent, recurrent, recurrent, bidirectional, bidirectional, nested),
    *(dense, activated, dropout, batch_normalization, convolution, permute, masking),
    time_distributed,
)
KEEPING = (recurrent, bidirectional, dense, activated, batch_normalization, time_distributed)


# --- steps that are wired


def one_layer(build: Builder, x: KerasTensor) -> KerasTensor:
    return build.lots.choice(LAYERS)(build, x.shape)(x)


def pooled(build: Builder, x: KerasTensor) -> KerasTensor:
    return pooling(build, x.shape)(x) if (x.shape[1] or 0) > 2 else x


def merged(build: Builder, branches: list[KerasTensor]) -> KerasTensor:
    if len({each.shape for each in branches}) == 1:
        kind = build.lots.choice(("Add", "Concatenate", "Subtract", "Multiply", "Maximum"))
        return build.layer(kind)(branches)
    return build.layer("Concatenate")(branches)


def branches(build: Builder, x: KerasTensor) -> KerasTensor:
    return merged(build, [build.lots.choice(KEEPING)(build, x.shape)(x) for _ in range(2)])


def shared(build: Builder, x: KerasTensor) -> KerasTensor:
    """A layer or a model which is called on x, and on something of the same shape."""
    # Which call of a stateful layer Keras runs first depends on the rest of the model.
    stateless = replace(build, is_stateful=False)
    layer = stateless.lots.choice((recurrent, bidirectional, nested))(stateless, x.shape)
    tensors = [x, build.layer("Activation", "tanh")(x)]
    build.lots.shuffle(tensors)
    first = layer(tensors[0])
    second = layer(first if first.shape == x.shape and build.happens(0.5) else tensors[1])
    return merged(build, [first, second])


def decoder_like(build: Builder, encoder: KerasLayer) -> KerasLayer:
    """A layer which takes the states of another that is not built yet, as its initial ones."""
    options: dict[str, Any] = {option: build.happens(0.3) for option in RUN_OPTIONS}
    options |= {"return_sequences": True, "return_state": False, "stateful": False, "name": None}
    return type(encoder).from_config(encoder.get_config() | options)


def encoder_and_decoder(build: Builder, x: KerasTensor) -> KerasTensor:
    encoder = build.recurrent(return_state=True, return_sequences=build.happens(0.5))
    decoder = decoder_like(build, encoder)
    sequence, *states = encoder(x)
    source = sequence if encoder.return_sequences and build.happens(0.5) else x
    if build.depth == 0 and build.happens(0.3):
        source = front(build)
    return decoder(source, initial_state=states)


def bidirectional_encoder_and_decoder(build: Builder, x: KerasTensor) -> KerasTensor:
    """The decoder takes the states of both directions, or of one of them."""
    encoder = build.bidirectional(return_state=True, stateful=False)
    decoder = decoder_like(build, encoder.forward_layer)
    _, *states = encoder(x)
    if build.happens(0.5) and not decoder.go_backwards:
        return build.layer("Bidirectional", decoder, "ave")(x, initial_state=states)
    half = len(states) // 2
    return decoder(x, initial_state=build.lots.choice((states[:half], states[half:])))


def last_step_repeated(build: Builder, x: KerasTensor) -> KerasTensor:
    make = build.lots.choice((build.recurrent, build.bidirectional))
    return build.layer("RepeatVector", 3)(make(return_sequences=False)(x))


def time_distributed_recurrent(build: Builder, x: KerasTensor) -> KerasTensor:
    """Of sequences of one feature, which are the features of a step."""
    x = build.layer("Reshape", (*x.shape[1:], 1))(x)
    if build.happens(0.5):
        x = build.layer("Masking")(x)
    build = replace(build, is_stateful=False)
    options = {"return_sequences": build.happens(0.5)}
    inner = build.lots.choice((build.recurrent, build.bidirectional))(**options)
    if build.happens(0.4):
        inner = build.keras.Sequential([build.recurrent(), inner])
    x = build.layer("TimeDistributed", inner)(x)
    # The mask within a step goes no further.
    return build.layer("Reshape", (x.shape[1], -1))(x)


WIRINGS: tuple[Callable[[Builder, KerasTensor], KerasTensor], ...] = (
    *(one_layer, one_layer, one_layer, pooled, branches, branches, shared, shared),
    *(encoder_and_decoder, bidirectional_encoder_and_decoder, last_step_repeated),
    time_distributed_recurrent,
)

# --- whole models


def front(build: Builder) -> KerasTensor:
    """A new input of the model, perhaps of tokens, perhaps masked."""
    match build.lots.choice(("plain", "plain", "masked", "tokens")):
        case "tokens":
            x = build.input((None, TIMESTEPS), dtype="int32")
            build.inputs.append(x)
            embedding = build.layer("Embedding", 6, build.size(), mask_zero=build.happens(0.7))
            if build.happens(0.3):
                embedding = build.keras.Sequential([embedding, build.recurrent()])
            return embedding(x)
        case kind:
            x = build.input((None, TIMESTEPS, build.size()))
            build.inputs.append(x)
            return build.layer("Masking")(x) if kind == "masked" else x


def functional(build: Builder) -> KerasModel:
    x = build.chain(front(build), build.lots.randint(1, 3))
    last = build.recurrent(return_sequences=build.happens(0.5), return_state=build.happens(0.5))
    return build.keras.Model(build.inputs, last(x))


def sequential(build: Builder) -> KerasModel:
    shape = (BATCH if build.fixed_batch else None, TIMESTEPS, build.size())
    model = build.keras.Sequential()
    if build.happens(0.7):
        model.add(build.input(shape))
    if build.happens(0.5):
        model.add(build.layer("Masking"))
    given: Shape = shape
    for _ in range(build.lots.randint(1, 3)):
        given = build.append(model, given)
    model.add(build.recurrent(return_sequences=build.happens(0.5)))
    model.build(shape)
    return model


def convolutional(build: Builder) -> KerasModel:
    """One or two ConvLSTM on rows or images, and an LSTM on what they give."""
    rank = build.lots.choice((1, 2))
    x = inputs = build.input((None, TIMESTEPS, *(7, 6)[:rank], build.size()))
    if build.happens(0.3):
        x = build.layer("TimeDistributed", build.layer(f"Conv{rank}D", 2, 2, padding="same"))(x)
    for _ in range(build.lots.randint(1, 2)):
        kind = f"ConvLSTM{rank}D"
        layer = build.layer(
            kind,
            build.size(),
            build.lots.choice((1, 2, 3)),
            **{"padding": "same", **build.lots.choice(MOVES)},
            **build.cell_options(kind),
            go_backwards=build.happens(0.25),
            stateful=build.is_stateful and build.happens(0.5),
            return_sequences=True,
        )
        x = (
            build.layer("Bidirectional", layer, build.lots.choice(MERGE_MODES))(x)
            if build.happens(0.2) and not layer.go_backwards
            else layer(x)
        )
    x = build.layer("TimeDistributed", build.layer("Flatten"))(x)
    return build.keras.Model(inputs, build.recurrent()(x))


def inside(keras: Keras, layer: KerasLayer) -> list[KerasLayer]:
    """The layers of a model or of a wrapper, and the cells of an RNN."""
    match layer:
        case keras.Model():
            return list(layer.layers)
        case keras.layers.Bidirectional():
            return [layer.forward_layer, layer.backward_layer]
        case keras.layers.TimeDistributed():
            return [layer.layer]
        case keras.layers.RNN() if type(layer) is keras.layers.RNN:
            return list(getattr(layer.cell, "cells", [layer.cell]))
        case _:
            return []


def all_inside(keras: Keras, layer: KerasLayer) -> Iterator[KerasLayer]:
    for each in inside(keras, layer):
        yield each
        yield from all_inside(keras, each)


def random_model(keras: Keras, seed: int) -> KerasModel:
    """A small model with random weights; the same for the same seed."""
    keras.utils.clear_session()  # layers are numbered from the start again
    lots = random.Random(seed)
    dtype = lots.choice(("float32", "float32", "float32", "float64"))
    is_stateful = lots.random() < 0.25
    build = Builder(keras, lots, dtype, fixed_batch=is_stateful, is_stateful=is_stateful)
    model = lots.choice((*[functional] * 4, sequential, convolutional))(build)
    for layer in all_inside(keras, model):
        layer.trainable = layer.trainable and not build.happens(0.05)
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        # Of a size that lets no state explode.
        size = 1 / max(1, np.prod(weight.shape[:-1])) ** 0.5
        low, high = (0.5, 1.5) if "variance" in weight.name else (-size, size)
        weight.assign(generator.uniform(low, high, weight.shape))
    return model


# --- what is printed of a model that fails

TOLD = (
    *("units", "filters", "kernel_size", "strides", "padding", "dilation_rate", "dims"),
    *("use_bias", "activation", "recurrent_activation", "reset_after", "merge_mode", "mask_zero"),
    *("return_sequences", "return_state", "stateful", *RUN_OPTIONS, "trainable", "target_shape"),
)


def described(keras: Keras, layer: KerasLayer, indent: str = "") -> Iterator[str]:
    """A layer and those in it, a line each: their options and where their inputs come from."""
    config = layer.get_config()
    options = ", ".join(f"{key}={config[key]!r}" for key in TOLD if key in config)
    nodes = [] if isinstance(layer, keras.Sequential) else layer._inbound_nodes
    reads = [[tensor._keras_history[0].name for tensor in node.input_tensors] for node in nodes]
    kind = type(layer).__name__
    yield f"{indent}{layer.name}: {kind}({options}) {layer.compute_dtype} <- {reads}"
    for each in inside(keras, layer):
        yield from described(keras, each, f"{indent}    ")


# --- the test


def faults(expected: dict[str, Array], trace: lstm_inspect.Trace) -> Iterator[str]:
    yield from (f"{path}: {why}" for path, why in trace.untraced.items())
    yield from (f"{path}: unknown to Keras" for path in trace if f"{path}/h" not in expected)
    yield from differences(expected, trace.arrays(), TOLERANCE)


@pytest.mark.parametrize("seed", SEEDS)
def test_states_of_a_random_model(keras: Keras, tmp_path: Path, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # .h5 is called legacy, and some layers drop a mask
        model = random_model(keras, seed)
        print(*described(keras, model), sep="\n")  # seen if the test fails
        paths = [tmp_path / f"model{suffix}" for suffix in (".keras", ".h5")]
        for path in paths:
            model.save(path)
        stateful = any(getattr(layer, "stateful", False) for layer in all_inside(keras, model))
        generator = np.random.default_rng(seed)
        batches = [[padded(each, generator) for each in model.inputs] for _ in range(1 + stateful)]
        watch = Watch(keras, model)
        runs = [watch.states(batch) for batch in batches]
    expected = {key: np.concatenate([run[key] for run in runs]) for key in runs[0]}
    inputs = [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]
    for path in paths:
        opened = lstm_inspect.open_model(path)
        given = dict(zip((each.name for each in opened.inputs), inputs, strict=True))
        record = ("h", "c", "x", "mask")
        trace = lstm_inspect.trace(opened, given, record=record, stateful=stateful)
        assert not [*faults(expected, trace)], path.suffix
