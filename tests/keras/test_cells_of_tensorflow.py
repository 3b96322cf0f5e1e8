"""The cells of TensorFlow 1 with no, one or two of their options, against the classes themselves.

tf_keras has the classes that `tf.compat.v1.nn.rnn_cell` names.
"""

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InspectWarning
from tests.checkpoints import write_bundle
from tests.conftest import random

pytestmark = pytest.mark.keras

legacy = pytest.importorskip("tf_keras.src.layers.rnn.legacy_cells")

UNITS, FEATURES = 4, 3
OPTIONS: dict[str, Any] = {
    "use_peepholes": True,
    "cell_clip": 0.4,
    "num_proj": 2,
    "proj_clip": 0.2,
    "forget_bias": 0.3,
    "activation": "relu",
}
CHOICES = [
    choice
    for size in (0, 1, 2, len(OPTIONS))
    for choice in itertools.combinations(OPTIONS, size)
    if "proj_clip" not in choice or "num_proj" in choice
]
ASSUMED = ("cell_clip", "proj_clip", "forget_bias", "activation")


def assert_replayed(cell: Any, folder: Path, assume: dict[str, Any]) -> None:
    """Runs a cell step by step, and holds the replay of its variables against its states."""
    import tensorflow as tf

    x = 2 * random(2, 5, FEATURES)
    states = cell.zero_state(2, tf.float32)
    cell(tf.constant(x[:, 0]), states)  # makes the variables
    generator = np.random.default_rng(0)
    for variable in cell.variables:
        variable.assign(generator.uniform(-1, 1, variable.shape))
    steps = []
    for t in range(x.shape[1]):
        _, states = cell(tf.constant(x[:, t]), states)
        c, h = states if isinstance(states, tuple) else (None, states)
        steps.append({"h": h, "c": c} if c is not None else {"h": h})
    arrays = {f"rnn/{each.name.removesuffix(':0')}": each.numpy() for each in cell.variables}
    model = lstm_inspect.open_model(write_bundle(folder / "m", arrays), assume=assume)
    with warnings.catch_warnings(action="ignore", category=InspectWarning):
        (trace,) = lstm_inspect.trace(model, x).values()
    for state in steps[0]:
        expected = np.stack([step[state].numpy() for step in steps], axis=1)
        np.testing.assert_allclose(trace.signals[state], expected, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "+".join(choice) or "plain")
def test_an_lstm_cell_with_its_options(choice: tuple[str, ...], tmp_path: Path) -> None:
    settings = {name: OPTIONS[name] for name in choice}
    assume = {f"*.{name}": settings[name] for name in choice if name in ASSUMED}
    assert_replayed(legacy.LSTMCell(UNITS, **settings), tmp_path, assume)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", ["BasicLSTMCell", "GRUCell", "BasicRNNCell"])
def test_the_other_cells(name: str, activation: str, tmp_path: Path) -> None:
    cell = getattr(legacy, name)(UNITS, activation=activation)
    assert_replayed(cell, tmp_path, {"*.activation": activation})
