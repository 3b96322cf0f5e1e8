"""Layers as the installed Keras 3 and Keras 2 write them: every setting must be known."""

import inspect
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect.layers import Value, form_of
from lstm_inspect.sources.keras.layer_config import Dialect, LayerConfig
from lstm_inspect.sources.keras.parts import read_layer
from lstm_inspect.sources.keras.settings import AUGMENTATIONS, SETTINGS, unknown_settings

pytestmark = pytest.mark.keras

# Not "keras": without Keras, Python could import the folder of these tests under that name.
GENERATIONS = {
    3: pytest.importorskip("keras.layers"),
    2: pytest.importorskip("tf_keras").layers,
}
REQUIRED: dict[str, Any] = {
    "units": 2,
    "filters": 2,
    "kernel_size": 2,
    "input_dim": 3,
    "output_dim": 2,
    "rate": 0.5,
    "stddev": 0.5,
    "activation": "tanh",
    "dims": (2, 1),
    "n": 2,
    "target_shape": (2, 3),
    "pool_size": 2,
    "height_factor": 0.3,
    "width_factor": 0.3,
}


def built(generation: int, name: str) -> Any:
    layers = GENERATIONS[generation]
    cell = layers.LSTMCell(2)
    given = {
        **REQUIRED,
        "factor": 3 if name == "RandomPosterization" else 0.3,
        "cell": cell,
        "cells": [cell],
        "layer": layers.LSTM(2, return_sequences=True),
    }
    cls = getattr(layers, name)
    return cls(
        **{
            key: given[key]
            for key, parameter in inspect.signature(cls).parameters.items()
            if parameter.default is parameter.empty and key in given
        }
    )


def config_of(generation: int, genuine: Any) -> LayerConfig:
    name, config = type(genuine).__name__, genuine.get_config()
    dialect = Dialect(generation, 15, is_tf_keras=True, is_theano=False)
    return LayerConfig({"class_name": name, "module": "keras.layers", "config": config}, dialect)


def installed(*names: str) -> list[tuple[int, str]]:
    return [
        (each, name) for each in GENERATIONS for name in names if hasattr(GENERATIONS[each], name)
    ]


@pytest.mark.parametrize(("generation", "name"), installed(*SETTINGS))
def test_what_keras_writes_is_known(generation: int, name: str) -> None:
    assert unknown_settings(config_of(generation, built(generation, name))) == []


def test_the_table_has_no_class_that_no_keras_has() -> None:
    gone = {"UnifiedLSTM", "UnifiedGRU", "CuDNNLSTM", "CuDNNGRU", "PeepholeLSTMCell"}
    assert SETTINGS.keys() - {name for _, name in installed(*SETTINGS)} == gone


@pytest.mark.parametrize(("generation", "name"), installed(*AUGMENTATIONS))
def test_an_augmentation_does_nothing_at_inference(generation: int, name: str) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, 6, 8, 3)).astype("float32")
    genuine = built(generation, name)
    expected = np.asarray(genuine(images, training=False))
    layer = read_layer(config_of(generation, genuine), (), name)
    form = form_of(layer, {})
    assert form is not None
    (output,) = form.apply(layer, [Value(images)])
    np.testing.assert_array_equal(output.array, expected)
    with pytest.raises(lstm_inspect.InputError, match="expected images of floats, received uint8"):
        form.apply(layer, [Value(images.astype("uint8"))])
