"""Tests which engine runs a cell, through the doors for Python and for the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect import InputError, MissingExtraError, engines
from lstm_inspect.cli import cli
from tests.conftest import SAMPLES, lstm, lstm_weights, random, sequential, write_h5
from tests.conftest import input_layer as input_

NAME = "thirty_units_sequences_state"
MODEL, X = SAMPLES / f"{NAME}.keras", SAMPLES / f"{NAME}.npy"


def engine_of(**options: Any) -> str:
    """What ran the LSTM of a model, as its dump says it."""
    trace = lstm_inspect.trace(MODEL, np.load(X), **options)
    (described,) = trace.document()["layers"].values()
    engine: str = described["engine"]
    return engine


@pytest.fixture
def all_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every replay large enough for onnxruntime."""
    monkeypatch.setattr(engines, "_WORTH_ONNXRUNTIME", 0)


@pytest.fixture
def none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)


def test_the_engine_that_is_asked_for_runs_the_cell(engine: str) -> None:
    assert engine_of(engine=engine).startswith(f"{engine} ")


def test_a_small_replay_is_run_in_numpy() -> None:
    assert engine_of() == f"numpy {np.__version__}"


@pytest.mark.usefixtures("all_is_worth_it")
def test_a_large_replay_is_run_in_onnxruntime() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    assert engine_of() == f"onnxruntime {onnxruntime.__version__}"


@pytest.mark.usefixtures("all_is_worth_it", "none_is_installed")
def test_without_the_extra_a_large_replay_is_run_in_numpy() -> None:
    assert engine_of() == f"numpy {np.__version__}"


@pytest.mark.usefixtures("none_is_installed")
def test_an_engine_that_is_not_installed_is_refused_with_the_extra_to_install() -> None:
    with pytest.raises(MissingExtraError) as caught:
        engine_of(engine="onnxruntime")
    assert str(caught.value) == (
        "engine='onnxruntime' needs onnx and onnxruntime: pip install \"lstm-inspect[fast]\""
    )


@pytest.mark.usefixtures("none_is_installed")
def test_the_command_line_says_it_in_its_own_words(tmp_path: Path) -> None:
    out = tmp_path / "states.npz"
    arguments = ["--input", str(X), "--out", str(out), "--engine", "onnxruntime"]
    result = CliRunner().invoke(cli, ["trace", str(MODEL), *arguments])
    assert result.exit_code == 2
    assert "--engine onnxruntime needs onnx and onnxruntime: pip install" in result.stderr
    assert not out.exists()


def test_an_unknown_engine_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match="expected auto or numpy or onnxruntime; received 'gpu'"):
        engine_of(engine="gpu")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A model with an LSTM that onnxruntime runs, and one with an activation that it lacks."""
    model = sequential(
        input_("x", None, 3),
        lstm("one", 4, return_sequences=True),
        lstm("other", 2, activation="relu6"),
    )
    weights = {"one": lstm_weights("one", 3, 4), "other": lstm_weights("other", 4, 2)}
    return write_h5(tmp_path / "mixed.h5", model, weights)


@pytest.mark.usefixtures("all_is_worth_it")
def test_each_layer_is_run_by_the_engine_that_can_run_it(mixed: Path) -> None:
    pytest.importorskip("onnxruntime")
    x = random(2, 5, 3)
    trace = lstm_inspect.trace(mixed, x)
    assert [layer.engine and layer.engine.split()[0] for layer in trace.values()] == [
        "onnxruntime",
        "numpy",
    ]
    alone = lstm_inspect.trace(mixed, x, engine="numpy")
    for key, array in alone.arrays().items():
        np.testing.assert_allclose(trace.arrays()[key], array, rtol=0, atol=1e-6)


def test_a_cell_that_the_engine_cannot_run_is_refused_by_name(mixed: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError) as caught:
        lstm_inspect.trace(mixed, random(2, 5, 3), engine="onnxruntime")
    assert str(caught.value) == (
        "layer other: the engine onnxruntime has no relu6 in float32; "
        "engine='auto' takes another engine for it"
    )


def test_one_engine_runs_all_blocks_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    x = np.load(X)
    monkeypatch.setattr("lstm_inspect.api.IN_MEMORY", 1)
    monkeypatch.setattr(engines, "_WORTH_ONNXRUNTIME", len(x) * x.shape[1] * 4 * 30)
    assert engine_of().startswith("onnxruntime ")
