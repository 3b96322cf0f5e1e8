"""Recurrent layers of Keras 3 and Keras 2, with every parameter of their signatures, replayed.

A case is a layer with one parameter, or a few, that are not as in `DEFAULTS`. One model holds all
cases of a kind of layer, and gives all their outputs. The replay has to give the same.
"""

import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.keras_oracle import Array, Keras, KerasLayer, differences, import_keras, padded
from tests.keras_probes import KerasTensor, as_read_by_probes, save, trace_of, with_probes

pytestmark = pytest.mark.keras

Options = Mapping[str, Any]

GENERATIONS: dict[str, Keras] = {
    "keras": import_keras(),
    "tf_keras": pytest.importorskip("tf_keras"),
}

# By how much a number between -1 and 1 may differ. In float16 Keras rounds every sum.
TOLERANCE = {"float16": 5e-3, "float32": 1e-5, "float64": 1e-10}

# As many sequences as timesteps, so that a layer with time_major can read the same array.
BATCH = TIMESTEPS = 5
FEATURES = 3
STEPS_AROUND = 2  # of a TimeDistributed
IMAGE = (5, 4, 3)


# --- parameters and their values

OVER_TIME: Mapping[str, tuple[Any, ...]] = {
    "go_backwards": (True,),
    "return_sequences": (False,),
    "return_state": (False,),
    "stateful": (True,),
    "unroll": (True,),
    "time_major": (True,),
    "zero_output_for_mask": (True,),
    "merge_mode": ("sum", "ave", "mul", None),
    "dtype": ("float64", "mixed_float16"),
}
OF_CELLS: Mapping[str, tuple[Any, ...]] = {
    "units": (1,),
    "activation": ("relu", "softsign", None),
    "recurrent_activation": ("sigmoid", "tanh"),
    "use_bias": (False,),
    "unit_forget_bias": (False,),
    "reset_after": (False,),
    "dropout": (0.5,),
    "recurrent_dropout": (0.5,),
    "implementation": (1, 2),
    "use_cudnn": (False,),
}
# A tuple has a value for each spatial axis; a layer takes as many as it has axes.
OF_CONVOLUTIONS: Mapping[str, tuple[Any, ...]] = {
    "filters": (1,),
    "kernel_size": (1, 3, (3, 2, 1)),
    "strides": (2, (1, 2, 3)),
    "padding": ("same",),
    "dilation_rate": (2, (1, 2, 1)),
    "data_format": ("channels_first",),
}
VALUES = {**OVER_TIME, **OF_CELLS, **OF_CONVOLUTIONS}
"""For each parameter, values that compute something else than the default, or could."""

LOOPS = {"go_backwards", "unroll", "time_major"}
"""Parameters that are tried without a mask too: Keras then runs another loop."""

TOGETHER: tuple[Options, ...] = (
    {"return_sequences": False, "return_state": False},
    {"stateful": True, "return_state": False},
    {"go_backwards": True, "return_sequences": False},
    {"go_backwards": True, "unroll": True},
    {"go_backwards": True, "stateful": True},
    {"go_backwards": True, "time_major": True},
    {"go_backwards": True, "zero_output_for_mask": True},
    {"go_backwards": True, "zero_output_for_mask": True, "unroll": True},
    {"zero_output_for_mask": True, "return_sequences": False},
    {"zero_output_for_mask": True, "return_sequences": False, "unroll": True},
    {"zero_output_for_mask": True, "time_major": True},
    {"unroll": True, "time_major": True},
    {"reset_after": False, "use_bias": False},
    {"reset_after": False, "implementation": 1},
    {"padding": "same", "strides": 2},
    {"padding": "same", "dilation_rate": 2, "kernel_size": 3},
    {"data_format": "channels_first", "strides": 2, "padding": "same"},
    {"merge_mode": "sum", "return_sequences": False},
    {"merge_mode": None, "return_sequences": False},
    {"merge_mode": "mul", "zero_output_for_mask": True},
)

# What only training reads, or what the arrays of a file replace.
OF_TRAINING = re.compile(r".*_(initializer|regularizer|constraint)|seed|weights")
# What a layer wraps: a `Kind` says it.
WRAPPED = {"cell", "cells", "layer", "backward_layer", "kwargs"}


# --- kinds of layers


class Kind(NamedTuple):
    """A recurrent layer.

    ``inner`` is the class that it wraps, and ``axes`` the number of its spatial axes. ``varied``
    are the parameters that its cases vary: what one kind shows need not be shown of each.
    """

    name: str
    inner: str | None = None
    axes: int = 0
    varied: frozenset[str] = frozenset(VALUES)

    def __str__(self) -> str:
        return f"{self.name} of {self.inner}" if self.inner else self.name


KINDS = (
    *(Kind("LSTM"), Kind("GRU"), Kind("ConvLSTM1D", axes=1)),
    *(Kind(f"ConvLSTM{axes}D", axes=axes, varied=frozenset(OF_CONVOLUTIONS)) for axes in (2, 3)),
    Kind("SimpleRNN", varied=frozenset({*OF_CELLS, "dtype", "go_backwards"})),
    *(
        Kind("RNN", cell, varied=frozenset({*OF_CELLS, "dtype"}))
        for cell in ("LSTMCell", "GRUCell", "SimpleRNNCell")
    ),
    Kind("RNN", "StackedRNNCells", varied=frozenset(OVER_TIME)),
    Kind("Bidirectional", "LSTM", varied=frozenset(OVER_TIME)),
    Kind("Bidirectional", "ConvLSTM1D", axes=1, varied=frozenset({"merge_mode"})),
    Kind("TimeDistributed", "LSTM", varied=frozenset(OVER_TIME)),
)
STACK = ("GRUCell", "LSTMCell")
DEFAULTS: Options = {
    # With sigmoid, Keras 2 builds another graph for CuDNN, which takes five times as long.
    "recurrent_activation": "hard_sigmoid",
    "units": 4,
    "filters": 2,
    "kernel_size": 2,
    "return_sequences": True,
    "return_state": True,
}
# A TimeDistributed takes one output of its layer, which it calls for each of its own steps.
NOT_IN_TIME_DISTRIBUTED = {"return_state", "stateful", "time_major"}


def signature_of(keras: Keras, name: str) -> set[str]:
    """The parameters of a class, with those that it takes as ``**kwargs``."""
    if name == "StackedRNNCells":
        return set().union(*(signature_of(keras, cell) for cell in STACK))
    parameters = {*inspect.signature(getattr(keras.layers, name)).parameters, "dtype"} - WRAPPED
    if name.startswith(("LSTM", "GRU")):
        parameters |= {"implementation"}
    if name.startswith("ConvLSTM") or name == "RNN":
        parameters |= {"zero_output_for_mask"}
    if name in ("LSTM", "GRU", "SimpleRNN"):
        parameters |= signature_of(keras, "RNN")
    return {each for each in parameters if not OF_TRAINING.fullmatch(each)}


def parameters_of(keras: Keras, kind: Kind) -> set[str]:
    inner = signature_of(keras, kind.inner) if kind.inner else set()
    excluded = NOT_IN_TIME_DISTRIBUTED if kind.name == "TimeDistributed" else set()
    return (signature_of(keras, kind.name) | inner) - excluded


def made(keras: Keras, kind: Kind, options: Options) -> KerasLayer:
    """A layer with some options, which returns all that it can unless they say otherwise."""
    given = {**DEFAULTS, **options}
    allowed = parameters_of(keras, kind) & given.keys()

    def layer(name: str, *args: Any) -> KerasLayer:
        own = {key: given[key] for key in signature_of(keras, name) & allowed}
        return getattr(keras.layers, name)(*args, **own)

    match kind.inner:
        case None:
            return layer(kind.name)
        case "StackedRNNCells":
            policy = {"dtype": given["dtype"]} if "dtype" in given else {}
            cells = [layer(cell) for cell in STACK]
            return layer(kind.name, keras.layers.StackedRNNCells(cells, **policy))
        case inner:
            return layer(kind.name, layer(inner))


# --- cases


class Case(NamedTuple):
    """Options of a layer, and whether it reads a masked sequence."""

    options: Options
    masked: bool

    @property
    def name(self) -> str:
        """Its name, in the letters that the name of a layer may have."""
        words = [f"{key}-{value}" for key, value in self.options.items()] or ["default"]
        return re.sub("[^A-Za-z0-9_]+", "-", "-".join([*words, "masked"] if self.masked else words))


def cases(keras: Keras, kind: Kind) -> Iterator[Case]:
    """The default, each value of each parameter alone, and some of them together.

    All read a masked sequence, most of whose steps count, and some one without a mask.
    """
    varied = parameters_of(keras, kind) & kind.varied
    alone: list[Options] = [{}]
    for name in sorted(varied):
        for value in VALUES[name]:
            alone.append({name: value[: kind.axes] if isinstance(value, tuple) else value})
    yield from (Case(options, False) for options in alone if options.keys() <= LOOPS)
    together = [options for options in TOGETHER if options.keys() <= varied]
    yield from (Case(options, True) for options in (*alone, *together))


def is_refused(generation: str, kind: Kind, case: Case) -> bool:
    """Whether Keras itself cannot call such a layer."""
    given = {**DEFAULTS, **case.options}
    if kind.name == "Bidirectional":
        if generation == "tf_keras":
            return False
        # The layer that it makes for the other direction is not turned back; and it multiplies a
        # generator (keras 3.15.1, layers/rnn/bidirectional.py, `__init__` and `compute_mask`).
        carries = given.get("stateful") and given["return_state"]
        return bool(given.get("go_backwards") or carries)
    # An unrolled masked layer gives its last output a wrong shape (tf_keras 2.21.0, backend.py,
    # `rnn`).
    is_last_alone = not given["return_sequences"] and given.get("zero_output_for_mask")
    return bool(generation == "tf_keras" and case.masked and given.get("unroll") and is_last_alone)


def flat(outputs: Any) -> Iterator[Any]:
    if isinstance(outputs, (list, tuple)):
        for each in outputs:
            yield from flat(each)
    else:
        yield outputs


def model_of_cases(generation: str, kind: Kind) -> tuple[list[KerasTensor], dict[str, KerasTensor]]:
    """The inputs of a model of all cases, and its outputs by case and number."""
    keras = GENERATIONS[generation]
    layers = keras.layers
    around = (STEPS_AROUND,) if kind.name == "TimeDistributed" else ()
    shape = (BATCH, *around, TIMESTEPS, *IMAGE[: kind.axes], FEATURES)
    x = keras.Input(batch_shape=shape, name="x")
    mask = keras.Input(batch_shape=(BATCH, TIMESTEPS), dtype="bool", name="mask")
    # Masking would mask the pixels of images.
    masked_x = x if kind.axes else layers.Masking()(x)
    channels_first = layers.Permute((1, kind.axes + 2, *range(2, kind.axes + 2)))
    generator = np.random.default_rng(2026)
    outputs: dict[str, KerasTensor] = {}
    for case in cases(keras, kind):
        read = masked_x if case.masked else x
        if "data_format" in case.options:
            read = channels_first(read)
        given = {"mask": mask} if case.masked and kind.axes else {}
        if is_refused(generation, kind, case):
            with pytest.raises((TypeError, ValueError)):
                made(keras, kind, case.options)(read, **given)
            continue
        layer = made(keras, kind, case.options)
        gives = flat(layer(read, **given))
        layer.set_weights([generator.uniform(-0.5, 0.5, w.shape) for w in layer.get_weights()])
        outputs |= {f"{case.name}.{number}": each for number, each in enumerate(gives)}
    return [x, mask] if kind.axes else [x], outputs


def batch_for(kind: Kind, generator: np.random.Generator) -> list[Array]:
    """Sequences, some of which are padded with 0; for images, the mask of such sequences."""
    sequences = GENERATIONS["keras"].Input(batch_shape=(BATCH, TIMESTEPS, FEATURES))
    x = padded(sequences, generator)
    if kind.axes:
        shape = (BATCH, TIMESTEPS, *IMAGE[: kind.axes], FEATURES)
        return [generator.uniform(-1, 1, shape).astype("float32"), np.asarray(x.any(axis=-1))]
    if kind.name == "TimeDistributed":
        return [np.stack([np.roll(x, step, axis=0) for step in range(STEPS_AROUND)], axis=1)]
    return [x]


# --- the tests

of_each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
in_each_keras = pytest.mark.parametrize("generation", GENERATIONS)


@in_each_keras
@of_each_kind
def test_every_parameter_has_values(generation: str, kind: Kind) -> None:
    assert parameters_of(GENERATIONS[generation], kind) <= VALUES.keys()


@in_each_keras
@of_each_kind
def test_outputs_of_all_cases(generation: str, kind: Kind, tmp_path: Path) -> None:
    """Of two batches. Stateful layers carry their states from the first to the second."""
    keras = GENERATIONS[generation]
    generator = np.random.default_rng(2026)
    carries = "stateful" in parameters_of(keras, kind) & kind.varied
    batches = [batch_for(kind, generator) for _ in range(1 + carries)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old arguments are deprecated, and some layers drop a mask
        inputs, outputs = model_of_cases(generation, kind)
        saved = with_probes(keras, inputs, outputs)
        genuine = keras.Model(saved.inputs, list(outputs.values()))
        runs = [genuine(batch if len(batch) > 1 else batch[0], training=False) for batch in batches]
    given = [np.concatenate(each) for each in zip(*batches, strict=True)]
    gives = [np.concatenate(each) for each in zip(*runs, strict=True)]
    expected = as_read_by_probes(dict(zip(outputs, gives, strict=True)))
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"model{suffix}"
        save(saved, path)
        trace = trace_of(path, given, stateful=carries)
        assert not trace.untraced
        assert not [*differences(expected, trace.arrays(), TOLERANCE)], suffix
