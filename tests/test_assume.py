"""What a file leaves open can be said, and only that."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect import InputError, ModelFileError, SelectionError
from lstm_inspect.cli import cli
from tests.conftest import FIXTURES, SAMPLES

pytestmark = pytest.mark.usefixtures("parsed_here")

WEIGHTS = FIXTURES / "keras-2.15" / "lstm_weights.h5"
WHOLE = FIXTURES / "keras-2.15" / "lstm.h5"
SAID = {"*.activation": "tanh", "*.recurrent_activation": "sigmoid", "*.go_backwards": False}


def x_of(name: str = "lstm") -> Any:
    with np.load(FIXTURES / "keras-2.15" / f"{name}.npz") as arrays:
        return next(arrays[key] for key in arrays.files if key.startswith("in/"))


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    return result.exit_code, result.stderr


def test_weights_alone_with_what_they_leave_open_give_the_states_of_the_whole_model() -> None:
    whole = lstm_inspect.trace(lstm_inspect.open_model(WHOLE), x_of(), record="all")
    alone = lstm_inspect.open_model(WEIGHTS, assume=SAID)
    inputs = {path: layer.x for path, layer in whole.items()}
    assert [each.name for each in alone.inputs] == [*whole]
    trace = lstm_inspect.trace(alone, inputs, record="all")
    for path, layer in whole.items():
        for signal, array in layer.signals.items():
            np.testing.assert_array_equal(trace[path].signals[signal], array)


def test_one_recurrence_needs_no_name_for_its_input() -> None:
    model = lstm_inspect.open_model(WEIGHTS, assume=SAID)
    assert [*lstm_inspect.trace(model, x_of(), select=["lstm"])] == ["lstm"]


def test_what_is_still_open_is_named_with_the_option_that_settles_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", x_of())
    out = tmp_path / "s.npz"
    trace = ["trace", WEIGHTS, "--input", f"lstm={tmp_path / 'x.npy'}", "--layer", "lstm"]
    status, message = run(*trace, "--out", out)
    assert (status, out.exists()) == (2, False)
    options = shlex.split(message.partition("for example ")[2])
    assert options[1::2] == [
        "*.activation=tanh",
        "*.recurrent_activation=sigmoid",
        "*.go_backwards=false",
    ]
    assert "the output of model.to_json() with --config FILE" in message
    assert run(*trace, "--out", out, *options) == (0, "")
    assert out.exists()


@pytest.mark.parametrize("command", ["shapes", "contract"])
def test_commands_about_one_model_take_assumptions(command: str) -> None:
    assert run(command, WEIGHTS, "--assume", "*.activation=tanh")[0] == 0
    assert run(command, WEIGHTS, "--assume", "*.activation=tan")[0] == 2


def test_diff_and_check_take_assumptions(tmp_path: Path) -> None:
    said = [word for key, value in SAID.items() for word in ("--assume", f"{key}={value}".lower())]
    assert run("contract", WEIGHTS, "--out", tmp_path / "c.json", *said) == (0, "")
    assert run("check", WEIGHTS, tmp_path / "c.json", *said)[0] == 0
    assert run("check", WEIGHTS, tmp_path / "c.json")[0] == 1
    assert run("diff", WEIGHTS, WEIGHTS, *said)[0] == 0


@pytest.mark.parametrize(
    ("assume", "error", "says"),
    [
        ({"lstm.units": 3}, InputError, "expected LAYER.FIELD with a field of activation"),
        ({"activation": "tanh"}, InputError, "expected LAYER.FIELD"),
        ({"*.activation": "tanhh"}, InputError, "expected an activation of Keras such as tanh"),
        ({"*.go_backwards": "yes"}, InputError, "go_backwards=yes: expected true or false"),
        ({"nowhere.activation": "tanh"}, SelectionError, "there are lstm, lstm_1"),
        ({"*.reset_after": True}, SelectionError, "no recurrent layer that has reset_after"),
        ({"*.forget_bias": 1}, SelectionError, "no recurrent layer that has forget_bias"),
    ],
)
def test_an_assumption_about_nothing_is_refused(
    assume: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as refused:
        lstm_inspect.open_model(WEIGHTS, assume=assume)
    assert says in str(refused.value)


def test_what_the_file_says_can_be_repeated_and_not_changed() -> None:
    lstm_inspect.open_model(WHOLE, assume={"lstm.activation": "tanh", "lstm.go_backwards": "false"})
    with pytest.raises(InputError, match="activation=relu: the file says tanh"):
        lstm_inspect.open_model(WHOLE, assume={"lstm.activation": "relu"})


@pytest.mark.parametrize(("value", "is_taken"), [("1e-3", True), ("none", True), ("-1", False)])
def test_a_clip_is_a_positive_number_or_none(value: str, is_taken: bool) -> None:
    path = FIXTURES / "tensorflow-1" / "lstm.ckpt"
    if is_taken:
        lstm_inspect.open_model(path, assume={"*.cell_clip": value})
        return
    with pytest.raises(InputError, match="expected a positive number, or none"):
        lstm_inspect.open_model(path, assume={"*.cell_clip": value})


def test_time_may_come_first() -> None:
    x = x_of()

    def h(given: Any, **assume: Any) -> Any:
        model = lstm_inspect.open_model(WEIGHTS, assume={**SAID, **assume})
        return lstm_inspect.trace(model, given, select=["lstm"])["lstm"].h

    np.testing.assert_array_equal(h(x.swapaxes(0, 1), **{"*.time_major": True}), h(x))


def test_a_shared_layer_stays_one(tmp_path: Path) -> None:
    path = FIXTURES / "keras-2.15" / "shared.h5"
    model = lstm_inspect.open_model(path, assume={"*.activation": "tanh"})
    assert len(model.recurrent) == 1
    assert len(model.recurrent_calls) > 1


def test_a_config_is_replaced_only_if_that_is_said(tmp_path: Path) -> None:
    model, config = SAMPLES / "one_unit_state.keras", SAMPLES / "one_unit_sequences.keras"
    with pytest.raises(ModelFileError, match="has a config of its own; leave out one_unit_seq"):
        lstm_inspect.open_model(model, config)
    assert run("shapes", model, "--config", config)[0] == 2
    assert run("shapes", model, "--config", config, "--replace-config") == (0, "")
    replaced = lstm_inspect.open_model(model, config, replace_config=True)
    assert replaced.name == "one_unit_sequences"
