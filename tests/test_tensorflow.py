"""Checkpoints of TensorFlow 1: their cells are replayed as TensorFlow computes them.

The fixtures have h and c of every step out of TensorFlow itself (`fixtures/make_tf1.py`).
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InputError, ModelFileError
from tests.checkpoints import write_bundle
from tests.conftest import FIXTURES, Array, random

FOLDER = FIXTURES / "tensorflow-1"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
WITH_GRAPH = sorted(path.name.split(".")[0] for path in FOLDER.glob("*.meta"))


def stored(name: str) -> tuple[dict[str, Array], dict[str, Any]]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        content = {key: arrays[key] for key in arrays.files}
    return content, json.loads(str(content.pop("meta")))


def off_by(name: str, path: Path, assume: dict[str, Any]) -> float:
    """The largest difference between a replay and TensorFlow."""
    arrays, _ = stored(name)
    model = lstm_inspect.open_model(path, assume=assume)
    # Both directions of a bidirectional RNN read the input of their scope.
    inputs = {
        each.name: next(array for key, array in arrays.items() if key.startswith(f"in/{each.name}"))
        for each in model.inputs
    }
    trace = lstm_inspect.trace(model, inputs)
    states = {key: array for key, array in arrays.items() if key.startswith("oracle/")}
    expected = {tuple(key.removeprefix("oracle/").rsplit("/", 1)) for key in states}
    assert {(cell, state) for cell in trace for state in trace[cell].signals} == expected
    return max(
        float(np.abs(trace[cell].signals[state] - states[f"oracle/{cell}/{state}"]).max())
        for cell, state in expected
    )


def alone(name: str, folder: Path) -> Path:
    """A checkpoint without the graph beside it."""
    for path in FOLDER.glob(f"{name}.ckpt.*"):
        if path.suffix != ".meta":
            shutil.copy(path, folder)
    return folder / f"{name}.ckpt"


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_replayed_as_tensorflow_computes_it(name: str) -> None:
    (file,) = stored(name)[1]["files"]
    assume = {} if name in WITH_GRAPH else stored(name)[1]["assume"]
    assert off_by(name, FOLDER / file, assume) < 1e-6


@pytest.mark.parametrize("name", WITH_GRAPH)
def test_what_a_missing_graph_would_say_can_be_assumed(name: str, tmp_path: Path) -> None:
    path, assume = alone(name, tmp_path), stored(name)[1]["assume"]
    assert off_by(name, path, assume) < 1e-6
    if assume:
        assert off_by(name, path, {}) > 1e-3


@pytest.mark.parametrize("name", WITH_GRAPH)
def test_what_the_graph_says_cannot_be_assumed_otherwise(name: str) -> None:
    path = FOLDER / f"{name}.ckpt"
    assert off_by(name, path, stored(name)[1]["assume"]) < 1e-6
    with pytest.raises(InputError, match="the file says"):
        lstm_inspect.open_model(path, assume={"*.activation": "softsign"})


def test_a_default_of_the_constructor_is_said_to_be_one(tmp_path: Path) -> None:
    (row,) = lstm_inspect.model_shapes(lstm_inspect.open_model(alone("lstm", tmp_path))).layers
    assert row.recurrence.remarks == (
        "activation=tanh, cell_clip=None, forget_bias=1.0, proj_clip=None: the default, as the "
        "file does not say it",
    )


@pytest.mark.parametrize(
    "named",
    ["several", "several/model-2", "several/model-2.index"],
)
def test_a_checkpoint_is_named_by_its_folder_its_prefix_or_a_file(named: str) -> None:
    model = lstm_inspect.open_model(FOLDER / named)
    newest = lstm_inspect.open_model(FOLDER / "several" / "model-2.data-00000-of-00001")
    assert model.source.sha256 == newest.source.sha256
    assert model.name == "model-2"


def test_the_checkpoint_file_leads_to_no_other_folder(tmp_path: Path) -> None:
    prefix = alone("lstm", tmp_path)
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "/elsewhere/{prefix.name}"\n')
    assert lstm_inspect.open_model(tmp_path).source.path == prefix
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/other"\n')
    with pytest.raises(ModelFileError, match=r"other\.index: no such file"):
        lstm_inspect.open_model(tmp_path)


def test_of_several_checkpoints_one_has_to_be_named(tmp_path: Path) -> None:
    for name in ("lstm", "gru"):
        alone(name, tmp_path)
    with pytest.raises(ModelFileError, match=r"received 2 \(gru.ckpt.index, lstm.ckpt.index\)"):
        lstm_inspect.open_model(tmp_path)


def cell(*, rows: int = 5, units: int = 2, **more: Array) -> dict[str, Array]:
    named = {"kernel": random(rows, 4 * units), "bias": random(4 * units), **more}
    return {f"rnn/lstm_cell/{name}": array for name, array in named.items()}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"dense/kernel": random(3, 4), "dense/bias": random(4)}, "received 2 others"),
        (cell(rows=2), "expected a kernel of more than 2 rows, received 2"),
        (cell(w_i_diag=random(2)), "expected w_i_diag, w_f_diag, w_o_diag of shape"),
        (
            {**cell(), "rnn/lstm_cell/input/gamma": random(2)},
            "rnn/lstm_cell: expected the variables of a cell of TensorFlow",
        ),
        ({**cell(), "rnn/lstm_cell/bias": random(7)}, "expected a kernel of 4 blocks"),
    ],
)
def test_variables_that_are_those_of_no_cell_are_refused(
    variables: dict[str, Array], says: str, tmp_path: Path
) -> None:
    prefix = write_bundle(tmp_path / "m", variables)
    with pytest.raises(ModelFileError) as refused:
        lstm_inspect.open_model(prefix)
    assert says in str(refused.value)


def test_a_config_of_keras_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="to which no config belongs"):
        lstm_inspect.open_model(FOLDER / "lstm.ckpt", tmp_path / "config.json")


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 20000])
def test_a_damaged_graph_is_refused_in_one_line(size: int, tmp_path: Path) -> None:
    path = alone("lstm_all", tmp_path)
    whole = (FOLDER / "lstm_all.ckpt.meta").read_bytes()
    path.with_name(f"{path.name}.meta").write_bytes(whole[:size] + b"\xff" * 9)
    with pytest.raises(ModelFileError, match=r"lstm_all.ckpt.meta.*damaged"):
        lstm_inspect.open_model(path)


TF2 = FIXTURES / "tensorflow-2"
ASSUMED = {"*.activation": "tanh", "*.recurrent_activation": "sigmoid", "*.go_backwards": False}


@pytest.mark.parametrize("name", ["keras_weights", "keras_bidirectional"])
def test_keras_weights_in_the_format_of_tensorflow_are_a_model_with_their_config(name: str) -> None:
    model = lstm_inspect.open_model(TF2 / f"{name}.ckpt", TF2 / f"{name}.json")
    with np.load(TF2 / f"{name}.npz") as arrays:
        (x,) = (arrays[key] for key in arrays.files if key.startswith("in/"))
        trace = lstm_inspect.trace(model, x)
        states = [key for key in arrays.files if key.startswith("oracle/")]
        assert states
        for key in states:
            path, state = key.removeprefix("oracle/").rsplit("/", 1)
            np.testing.assert_allclose(trace[path].signals[state], arrays[key], atol=1e-6)


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("keras_subclassed.ckpt", "encoder"),
        ("keras3_export", "sequential/lstm"),
        ("saved_module_keras", "cell"),
    ],
)
def test_objects_without_a_config_are_weights_alone(file: str, path: str) -> None:
    model = lstm_inspect.open_model(TF2 / file, assume=ASSUMED)
    assert [each.path for each in model.recurrent] == [path]
    with np.load(TF2 / f"{file.split('.')[0]}.npz") as arrays:
        (x,) = (arrays[key] for key in arrays.files if key.startswith("in/"))
        trace = lstm_inspect.trace(model, x)
        states = [key for key in arrays.files if key.startswith("oracle/")]
        for key in states:
            state = key.rpartition("/")[2]
            np.testing.assert_allclose(trace[path].signals[state], arrays[key], atol=1e-6)
