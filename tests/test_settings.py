"""Tests that a setting that no Keras has is refused, not ignored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from tests.conftest import functional, input_layer, layer, lstm, lstm_weights, random, write_h5


def saved(folder: Path, *layers: Any, **weights: Any) -> lstm_inspect.Model:
    config = functional(input_layer("x", 3, 2), *layers, inputs=["x"], outputs=["lstm"])
    weights = {**weights, "lstm": lstm_weights("lstm", 2, 2)}
    return lstm_inspect.open_model(write_h5(folder / "m.h5", config, weights))


def test_an_unknown_setting_of_a_recurrent_layer_is_refused_with_its_value(tmp_path: Path) -> None:
    with pytest.raises(lstm_inspect.ModelFileError, match=r"lstm: .* received projection=3"):
        saved(tmp_path, lstm("lstm", 2, "x", projection=3))


def test_a_setting_that_is_null_was_not_given(tmp_path: Path) -> None:
    assert saved(tmp_path, lstm("lstm", 2, "x", projection=None)).recurrent_calls


@pytest.mark.parametrize("place", ["layer", "stack", "cell"])
def test_every_level_of_a_stack_of_cells_is_looked_at(place: str, tmp_path: Path) -> None:
    extra: dict[str, dict[str, Any]] = {place: {"reverse_state_order": True}}
    cell = {
        "class_name": "LSTMCell",
        "config": {"name": "cell", "units": 2, **extra.get("cell", {})},
    }
    stack = {
        "class_name": "StackedRNNCells",
        "config": {"cells": [cell], **extra.get("stack", {})},
    }
    with pytest.raises(lstm_inspect.ModelFileError, match="reverse_state_order=True"):
        saved(tmp_path, layer("RNN", "lstm", "x", cell=stack, **extra.get("layer", {})))


def test_a_wrapper_is_looked_at(tmp_path: Path) -> None:
    inner = {"class_name": "LSTM", "config": {"name": "inner", "units": 2}}
    for class_name in ("Bidirectional", "TimeDistributed"):
        with pytest.raises(lstm_inspect.ModelFileError, match="shift=1"):
            saved(tmp_path, layer(class_name, "lstm", "x", layer=inner, shift=1))


def test_a_layer_in_front_with_an_unknown_setting_stops_what_stands_behind_it(
    tmp_path: Path,
) -> None:
    head = {"head/kernel:0": random(2, 2)}
    plain = layer("Dense", "head", "x", units=2, use_bias=False)
    model = saved(tmp_path, plain, lstm("lstm", 2, "head"), head=head)
    assert list(lstm_inspect.trace(model, np.ones((1, 3, 2), "float32"))) == ["lstm"]
    strange = layer("Dense", "head", "x", units=2, use_bias=False, sharpness=2)
    model = saved(tmp_path, strange, lstm("lstm", 2, "head"), head=head)
    with pytest.raises(lstm_inspect.UnsupportedLayerError, match="head"):
        lstm_inspect.trace(model, np.ones((1, 3, 2), "float32"))
