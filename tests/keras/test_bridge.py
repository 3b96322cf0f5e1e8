"""Layers that Keras runs for us, and the comparison of a replay with Keras."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect.checks.verification import verify
from lstm_inspect.cli import cli
from tests.conftest import SAMPLES, functional, input_layer, layer, lstm, lstm_weights, write_h5

pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
]


def built_front(name: str) -> Any:
    """A genuine Keras model: an input, a front of one kind, an LSTM."""
    from keras import Input, Model, layers

    sequence = Input((6, 4), name="x")
    image = Input((6, 8, 3), name="x")
    fronts: dict[str, Any] = {
        "layer_norm": (sequence, lambda x: layers.LayerNormalization()(x)),
        "causal_conv": (sequence, lambda x: layers.Conv1D(3, 2, padding="causal")(x)),
        "separable_conv": (sequence, lambda x: layers.SeparableConv1D(3, 2, activation="relu")(x)),
        "leaky_relu": (sequence, lambda x: layers.LeakyReLU()(x)),
        "self_attention": (sequence, lambda x: layers.Attention()([x, x])),
        "multi_head": (sequence, lambda x: layers.MultiHeadAttention(2, 3)(x, x)),
        "zero_padding": (sequence, lambda x: layers.ZeroPadding1D(2)(x)),
        "masked_norm": (
            sequence,
            lambda x: layers.LayerNormalization()(layers.Masking(0.0)(x)),
        ),
        "over_time": (
            image,
            lambda x: layers.TimeDistributed(layers.GlobalAveragePooling1D())(x),
        ),
        "conv2d": (
            image,
            lambda x: layers.Reshape((3, 16))(
                layers.MaxPooling2D((2, 2))(layers.Conv2D(4, 3, padding="same")(x))
            ),
        ),
    }
    given, front = fronts[name]
    return Model(given, layers.LSTM(5, return_sequences=True, name="lstm")(front(given)))


FRONTS = [
    "layer_norm",
    "causal_conv",
    "separable_conv",
    "leaky_relu",
    "self_attention",
    "multi_head",
    "zero_padding",
    "masked_norm",
    "over_time",
    "conv2d",
]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", FRONTS)
def test_a_layer_in_front_is_run_as_keras_runs_it(name: str, suffix: str, tmp_path: Path) -> None:
    model = built_front(name)
    generator = np.random.default_rng(1)
    model.set_weights([generator.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    model.save(tmp_path / f"m{suffix}")
    x = generator.normal(size=(2, *model.inputs[0].shape[1:])).astype("float32")
    if name == "masked_norm":
        x[0, 4:] = 0
    trace = lstm_inspect.trace(lstm_inspect.open_model(tmp_path / f"m{suffix}"), x)
    np.testing.assert_allclose(trace["lstm"].h, model.predict(x, verbose=0), atol=1e-6)


def test_a_replay_that_agrees_is_said_to_agree() -> None:
    verification = verify(
        lstm_inspect.open_model(SAMPLES / "stacked.keras"), np.load(SAMPLES / "stacked.npy")
    )
    assert verification.agrees
    assert {(each.path, each.what) for each in verification.comparisons} == {
        (path, what) for path in ("lstm", "lstm_1") for what in ("h", "last h", "last c", "output")
    }


def test_a_replay_that_differs_is_said_to_differ_and_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lstm_inspect.cells.lstm import LstmCell

    step = LstmCell.step

    def wrong(self: LstmCell, projected: Any, previous: Any, out: Any) -> None:
        step(self, projected, previous, out)
        out["c"][1, 2] += 0.5

    monkeypatch.setattr(LstmCell, "step", wrong)
    model = lstm_inspect.open_model(SAMPLES / "eight_units_state.keras")
    verification = verify(model, np.load(SAMPLES / "eight_units_state.npy"))
    assert not verification.agrees
    last_c = next(each for each in verification.comparisons if each.what == "last c")
    assert last_c.place == (1, 2)
    assert last_c.absolute > 0.5


@pytest.mark.parametrize(
    "path", sorted(SAMPLES.rglob("one_unit_last_h.*5")), ids=lambda path: path.parent.name
)
def test_models_that_todays_keras_refuses_are_verified_layer_by_layer(path: Path) -> None:
    verification = verify(lstm_inspect.open_model(path), np.load(SAMPLES / "one_unit_last_h.npy"))
    assert verification.agrees


def test_verify_prints_a_table_and_exits_0() -> None:
    arguments = ["--input", str(SAMPLES / "stacked.npy")]
    result = CliRunner().invoke(cli, ["verify", str(SAMPLES / "stacked.keras"), *arguments])
    assert result.exit_code == 0
    assert result.stdout.endswith("The replay and Keras agree.\n")
    assert result.stdout.count("agrees") == 8


def test_trace_stores_the_verdict_in_the_dump(tmp_path: Path) -> None:
    arguments = ["--input", str(SAMPLES / "stacked.npy"), "--out", str(tmp_path / "s.npz")]
    result = CliRunner().invoke(
        cli, ["trace", str(SAMPLES / "stacked.keras"), *arguments, "--verify"]
    )
    assert result.exit_code == 0, result.stderr
    verdict = lstm_inspect.load_trace(tmp_path / "s.npz").verification
    assert verdict is not None
    assert verdict["agrees"] is True


def test_trace_and_its_verification_warn_of_the_same_input_once(tmp_path: Path) -> None:
    x = np.load(SAMPLES / "stacked.npy")
    x[0, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    arguments = ["--input", str(tmp_path / "x.npy"), "--out", str(tmp_path / "s.npz")]
    command = ["trace", str(SAMPLES / "stacked.keras"), *arguments, "--verify"]
    result = CliRunner().invoke(cli, [*command, "--allow-nonfinite"], catch_exceptions=False)
    name = lstm_inspect.open_model(SAMPLES / "stacked.keras").inputs[0].name
    warned = [line for line in result.stderr.splitlines() if "not finite" in line]
    assert warned == [f"warning: input {name}: not finite, first nan at [0, 0, 0]"]


def test_nothing_that_tensorflow_says_reaches_the_terminal() -> None:
    command = ["verify", str(SAMPLES / "stacked.keras"), "--input", str(SAMPLES / "stacked.npy")]
    result = subprocess.run(
        [sys.executable, "-m", "lstm_inspect", *command], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("module", "name", "code"),
    [
        ("os", "system", "touch {marker}"),
        ("builtins", "exec", "__import__('pathlib').Path({marker!r}).touch()"),
    ],
)
def test_nothing_that_a_config_names_is_run(
    module: str, name: str, code: str, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    argument = code.format(marker=str(marker))
    trap = {"module": module, "class_name": name, "config": argument, "registered_name": None}
    config = functional(
        input_layer("x", 3, 2),
        layer("LayerNormalization", "norm", "x", axis=-1, beta_initializer=trap),
        lstm("lstm", 2, "norm"),
        inputs=["x"],
        outputs=["lstm"],
    )
    one = np.ones(2, "float32")
    weights = {
        "norm": {"norm/gamma:0": one, "norm/beta:0": one},
        "lstm": lstm_weights("lstm", 2, 2),
    }
    path = write_h5(tmp_path / "m.h5", config, weights)
    trace = lstm_inspect.trace(lstm_inspect.open_model(path), np.ones((1, 3, 2), "float32"))
    assert list(trace) == ["lstm"]
    assert not marker.exists()
    # The control: the trap is live for whoever runs what it names.
    getattr(importlib.import_module(module), name)(argument)
    assert marker.exists()


def test_a_lambda_is_named_and_never_run(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 3, 2),
        layer("Lambda", "code", "x", function=["4wAAAAA=", None, None]),
        lstm("lstm", 2, "code"),
        inputs=["x"],
        outputs=["lstm"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    result = CliRunner().invoke(cli, ["shapes", str(path), "--format", "json"])
    assert json.loads(result.stdout)["layers"][0]["blocked_by"] == [
        "code (Lambda) cannot be run; give its output with --feed code=FILE.npy"
    ]
