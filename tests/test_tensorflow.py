"""Checkpoints of TensorFlow 1: their cells are replayed as TensorFlow computes them.

The fixtures have h and c of every step out of TensorFlow itself (`fixtures/make_tf1.py`).
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect import InputError, InspectWarning, ModelFileError
from lstm_inspect.cli import cli
from tests.checkpoints import write_bundle
from tests.conftest import FIXTURES, Array, random

FOLDER = FIXTURES / "tensorflow-1"
TF2 = FIXTURES / "tensorflow-2"
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
    with warnings.catch_warnings(action="ignore", category=InspectWarning):
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
    model = lstm_inspect.open_model(alone("lstm", tmp_path))
    said = (
        "activation=tanh, cell_clip=None, forget_bias=1.0, proj_clip=None: the default, as the "
        "file does not say it"
    )
    assert [each.remarks for each in model.recurrent] == [(said,)]
    with pytest.warns(InspectWarning, match=said):
        lstm_inspect.trace(model, random(2, 5, 3))


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


def cell(more: dict[str, Any] | None = None, *, rows: int = 5, units: int = 2) -> dict[str, Array]:
    named = {"kernel": random(rows, 4 * units), "bias": random(4 * units), **(more or {})}
    return {f"rnn/lstm_cell/{name}": array for name, array in named.items()}


def gru(**more: Array) -> dict[str, Array]:
    named = {"gates/kernel": random(5, 4), "gates/bias": random(4)}
    named |= {"candidate/kernel": random(5, 2), "candidate/bias": random(2)}
    return {f"rnn/gru_cell/{name}": array for name, array in {**named, **more}.items()}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        (cell(rows=2), "its kernel has 2 rows, and needs more than 2"),
        (cell({"w_i_diag": random(2)}), "w_f_diag, w_o_diag are not of shape (2,) each"),
        (cell({"input/gamma": random(2)}), "it has a variable input/gamma"),
        ({**cell(), "rnn/lstm_cell/bias": random(7)}, "is no 4 blocks of columns"),
        (cell({"projection/kernel": random(3, 1)}), "it has a projection of shape (3, 1)"),
        (cell({"projection/kernel": np.array(1, np.float32)}), "it has a projection of shape ()"),
        (cell({"weights": random(5, 8)}), "it has a kernel and weights"),
        (gru(**{"layer_norm/gamma": random(2)}), "it has a variable layer_norm/gamma"),
        (
            {"rnn/coupled_input_forget_gate_lstm_cell/kernel": random(7, 12),
             "rnn/coupled_input_forget_gate_lstm_cell/bias": random(12)},
            "no cell of TensorFlow is called coupled_input_forget_gate_lstm_cell",
        ),
        (
            {"rnn/ugrnn_cell/kernel": random(9, 8), "rnn/ugrnn_cell/bias": random(8)},
            "no cell of TensorFlow is called ugrnn_cell",
        ),
    ],
)  # fmt: skip
def test_an_unknown_cell_is_named_and_does_not_hide_the_others(
    variables: dict[str, Array], says: str, tmp_path: Path
) -> None:
    good = {"other/lstm_cell/kernel": random(5, 8), "other/lstm_cell/bias": random(8)}
    model = lstm_inspect.open_model(write_bundle(tmp_path / "m", {**variables, **good}))
    (layer,) = model.lacking
    assert layer.lacks is not None
    assert says in layer.lacks
    assert [each.path for each in model.recurrent] == ["other/lstm_cell"]


def test_a_dense_layer_with_lstm_in_its_name_is_no_cell(tmp_path: Path) -> None:
    dense = {"lstm_output/kernel": random(6, 8), "lstm_output/bias": random(8)}
    with pytest.raises(ModelFileError, match="received 2 others"):
        lstm_inspect.open_model(write_bundle(tmp_path / "m", dense))


def test_a_cudnn_compatible_cell_has_no_forget_bias(tmp_path: Path) -> None:
    scope = "rnn/cudnn_compatible_lstm_cell"
    arrays = {f"{scope}/kernel": random(5, 8), f"{scope}/bias": random(8)}
    (found,) = lstm_inspect.open_model(write_bundle(tmp_path / "m", arrays)).recurrent
    assert found.options["forget_bias"] == 0


@pytest.mark.parametrize(
    ("scopes", "wiring"),
    [
        (("rnn/multi_rnn_cell/cell_0", "rnn/multi_rnn_cell/cell_1"), {1: 0}),
        (("cell_0/rnn", "cell_1/rnn"), {}),
        (("rnn/multi_rnn_cell/cell_9", "rnn/multi_rnn_cell/cell_10"), {1: 0}),
    ],
)
def test_only_the_cells_of_a_multi_rnn_cell_read_each_other(
    scopes: tuple[str, ...], wiring: dict[int, int], tmp_path: Path
) -> None:
    arrays: dict[str, Array] = {}
    for scope in scopes:
        arrays |= {f"{scope}/lstm_cell/kernel": random(4, 8), f"{scope}/lstm_cell/bias": random(8)}
    model = lstm_inspect.open_model(write_bundle(tmp_path / "m", arrays))
    paths = [f"{scope}/lstm_cell" for scope in scopes]
    assert [call.path for call in model.calls] == paths
    read = {call.path: call.args[0].path for call in model.calls}
    expected = {paths[upper]: paths[lower] for upper, lower in wiring.items()}
    assert read == {path: f"{path}:input" for path in paths} | expected


@pytest.mark.parametrize(
    ("scope", "is_backward"),
    [("bidirectional_rnn/bw", True), ("net/bidirectional_rnn_1/bw", True), ("bw/rnn", False)],
)
def test_only_the_bw_of_a_bidirectional_rnn_reads_backwards(
    scope: str, is_backward: bool, tmp_path: Path
) -> None:
    arrays = {f"{scope}/lstm_cell/kernel": random(4, 8), f"{scope}/lstm_cell/bias": random(8)}
    prefix = write_bundle(tmp_path / "m", arrays)
    assert [each.go_backwards for each in lstm_inspect.open_model(prefix).recurrent] == [
        is_backward
    ]
    turned = lstm_inspect.open_model(prefix, assume={"*.go_backwards": not is_backward})
    assert [each.go_backwards for each in turned.recurrent] == [not is_backward]


def test_a_graph_in_which_a_cell_is_not_found_leaves_it_open(tmp_path: Path) -> None:
    path = alone("lstm", tmp_path)
    shutil.copy(FOLDER / "rnn_relu.ckpt.meta", path.with_name(f"{path.name}.meta"))
    (found,) = lstm_inspect.open_model(path).recurrent
    assert found.open_fields == ("activation", "forget_bias", "cell_clip", "proj_clip")


@pytest.mark.parametrize("out", ["several/checkpoint", "saved/saved_model.pb"])
def test_no_file_that_was_read_is_replaced(out: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "several", tmp_path / "several")
    shutil.copytree(TF2 / "saved_module_keras", tmp_path / "saved")
    target = tmp_path / out
    before = target.read_bytes()
    given = ["weights", str(target.parent), "--force", "--out", str(target)]
    result = CliRunner().invoke(cli, given, catch_exceptions=False)
    assert (result.exit_code, target.read_bytes()) == (2, before)
    assert "would overwrite an input" in result.stderr


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


def with_half_constant(number: bytes, folder: Path) -> Path:
    """A checkpoint whose graph has its forget_bias of 1 as a constant of float16."""
    path = alone("lstm_clip", folder)
    one = b"\x08\x01\x12\x00\x2a\x04" + np.float32(1).tobytes()
    graph = (FOLDER / "lstm_clip.ckpt.meta").read_bytes()
    assert graph.count(one) == 1
    half = graph.replace(one, b"\x08\x13\x12\x00\x6a\x04" + number)
    path.with_name(f"{path.name}.meta").write_bytes(half)
    return path


def test_a_constant_of_a_graph_may_be_a_float16(tmp_path: Path) -> None:
    bits = b"\x80\xf8\x80\x00"  # 0x3c00, seven bits a byte
    (found,) = lstm_inspect.open_model(with_half_constant(bits, tmp_path)).recurrent
    assert found.options["forget_bias"] == 1.0


def test_a_constant_of_a_graph_that_does_not_end_is_refused(tmp_path: Path) -> None:
    path = with_half_constant(b"\x80\x80\x80\x80", tmp_path)
    with pytest.raises(ModelFileError, match=r"lstm_clip.ckpt.meta: damaged"):
        lstm_inspect.open_model(path)


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
