"""Layers that Keras runs for us, and the comparison of a replay with Keras."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect import Tolerance, verify
from lstm_inspect.arrays import Array
from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.checks.verification import WHOLE_MODEL
from lstm_inspect.cli import cli
from lstm_inspect.genuine.worker.keras_library import RejectedError, keras_may_reject
from tests.conftest import (
    SAMPLES,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    write_h5,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"

pytestmark = [
    pytest.mark.keras,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:keras"),
]


def inputs_of(fixture: Path) -> dict[str, Any]:
    """The inputs that the states of a fixture were computed from."""
    with np.load(fixture.with_suffix(".npz")) as oracle:
        return {key[3:]: oracle[key] for key in oracle.files if key.startswith("in/")}


def test_a_replay_that_agrees_is_said_to_agree() -> None:
    verification = verify(
        lstm_inspect.open_model(SAMPLES / "stacked.keras"), np.load(SAMPLES / "stacked.npy")
    )
    assert verification.agrees
    assert {(each.path, each.what) for each in verification.comparisons} == {
        (path, what)
        for path in ("lstm", "lstm_1")
        for what in ("h", "last h", "last c", "x", "output")
    }


def test_a_replay_that_differs_is_said_to_differ_and_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lstm_inspect.cells.lstm import LstmCell

    step = LstmCell.step

    def wrong(self: LstmCell, projected: Any, previous: Any, out: Any, scratch: Any) -> None:
        step(self, projected, previous, out, scratch)
        out["c"][1, 2] += 0.5

    monkeypatch.setattr(LstmCell, "step", wrong)
    model = lstm_inspect.open_model(SAMPLES / "eight_units_state.keras")
    verification = verify(model, np.load(SAMPLES / "eight_units_state.npy"))
    assert not verification.agrees
    last_c = next(each for each in verification.comparisons if each.what == "last c")
    assert last_c.place == (1, 2)
    assert last_c.absolute > 0.5


REPEATS_AT_MASKED_STEPS = [
    FIXTURES / folder / "bidirectional.h5" for folder in ("keras-2.0", "keras-2.2")
]
"""Their Bidirectional repeats h at a masked step; that of tf_keras emits 0."""

OLDER = sorted(
    path
    for folder in ("keras-1.2", "keras-2.0", "keras-2.2", "keras-2.12", "keras-2.15")
    for path in (FIXTURES / folder).glob("*.h5")
    if path.stem
    in ("lstm", "gru", "bidirectional", "masked", "encoder_decoder", "rnn_cells", "conv_lstm_2d")
    and path not in REPEATS_AT_MASKED_STEPS
)


@pytest.mark.parametrize("path", OLDER, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_models_of_older_versions_are_run_whole_by_keras_2(path: Path) -> None:
    inputs = inputs_of(path)
    given = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    verification = verify(lstm_inspect.open_model(path), given)
    assert verification.agrees
    assert verification.is_complete
    whole = {each.path for each in verification.comparisons if each.what == "output"}
    alone = {each.path for each in verification.comparisons if each.what == "h"}
    assert whole == alone or path.parent.name == "keras-1.2"  # tf_keras does not know its words


@pytest.mark.parametrize("path", REPEATS_AT_MASKED_STEPS, ids=lambda path: path.parent.name)
def test_where_tf_keras_is_no_judge_the_layers_are_compared_alone(path: Path) -> None:
    verification = verify(lstm_inspect.open_model(path), inputs_of(path))
    assert verification.agrees
    assert verification.is_complete
    assert verification.skipped[WHOLE_MODEL].startswith("tf_keras treats masked steps")


@pytest.mark.parametrize("name", ["bfloat16.keras", "mixed_bfloat16.keras", "mixed_float16.h5"])
def test_layers_in_half_precision_are_verified(name: str) -> None:
    path = FIXTURES / "keras-3.15" / name
    (x,) = inputs_of(path).values()
    verification = verify(lstm_inspect.open_model(path), x)
    assert verification.agrees
    assert verification.is_complete


def test_convolutions_of_theano_are_not_held_against_tf_keras() -> None:
    path = FIXTURES / "keras-2.2-theano" / "conv_lstm_2d.h5"
    (x,) = inputs_of(path).values()
    verification = verify(lstm_inspect.open_model(path), x)
    assert not verification.differs
    assert not verification.is_complete
    assert verification.skipped[WHOLE_MODEL].startswith("tf_keras pads convolutions")


def test_a_front_that_is_wrong_shows_in_the_x_of_the_whole_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras import Input, Model, layers

    x = Input((3, 2), name="x")
    Model(x, layers.LSTM(2, name="lstm")(layers.Dense(2)(x))).save(tmp_path / "m.keras")
    model = lstm_inspect.open_model(tmp_path / "m.keras")
    given = np.ones((1, 3, 2), "float32")
    assert verify(model, given).agrees
    # The layer alone is run on whatever x the replay has, and agrees all the same.
    monkeypatch.setitem(ACTIVATIONS, "linear", lambda z: z.__iadd__(1))
    verification = verify(model, given)
    differing = {each.what for each in verification.comparisons if not each.agrees}
    assert differing == {"x", "output"}


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
    assert result.stdout.count("agrees") == 10


def behind_a_lambda(folder: Path) -> Path:
    """A model with an LSTM behind a Lambda."""
    config = functional(
        input_layer("x", 3, 2),
        layer("Lambda", "code", "x", function=["4wAAAAA=", None, None]),
        lstm("lstm", 2, "code"),
        inputs=["x"],
        outputs=["lstm"],
    )
    return write_h5(folder / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})


def fed_behind_a_lambda(folder: Path) -> list[str]:
    """The arguments of a command on a model whose x is fed."""
    np.save(folder / "x.npy", np.ones((1, 3, 2), "float32"))
    return [str(behind_a_lambda(folder)), "--feed", f"code={folder / 'x.npy'}"]


def proofs(*arguments: str) -> Any:
    result = CliRunner().invoke(cli, ["verify", *arguments, "--format", "json"])
    return json.loads(result.stdout)["layers"]


def test_verify_says_what_is_proven_of_each_layer(tmp_path: Path) -> None:
    stacked = [str(SAMPLES / "stacked.keras"), "--input", str(SAMPLES / "stacked.npy")]
    assert proofs(*stacked) == [
        {"path": "lstm", "proof": "whole model", "reason": None},
        {"path": "lstm_1", "proof": "whole model", "reason": None},
    ]
    fed = "the output, the x or the initial state of a layer was given"
    assert proofs(*fed_behind_a_lambda(tmp_path)) == [
        {"path": "lstm", "proof": "layer only", "reason": fed}
    ]
    peephole = FIXTURES / "keras-2.2-tf" / "peephole.h5"
    np.save(tmp_path / "p.npy", *inputs_of(peephole).values())
    (layer_,) = proofs(str(peephole), "--input", str(tmp_path / "p.npy"))
    assert layer_["proof"] == "not compared"
    assert "peephole_lstm" in layer_["reason"]


def nested(folder: Path) -> list[str]:
    """The arguments of a command on a model with an LSTM in a model that is called twice."""
    from keras import Input, Model, layers

    inner_x = Input((3, 2))
    inner = Model(inner_x, layers.LSTM(2, return_sequences=True, name="lstm")(inner_x), name="it")
    outer = layers.TimeDistributed(
        Model(inner_x, layers.LSTM(2, name="lstm")(inner_x)), name="outer"
    )
    x = Input((3, 2), name="x")
    images = Input((4, 3, 2), name="images")
    once = inner(x)
    Model([x, images], [inner(once), once, outer(images)]).save(folder / "m.keras")
    arguments = [str(folder / "m.keras")]
    for name, shape in (("x", (2, 3, 2)), ("images", (2, 4, 3, 2))):
        generator = np.random.default_rng(0)
        np.save(folder / f"{name}.npy", generator.normal(size=shape).astype("float32"))
        arguments += ["--input", f"{name}={folder / name}.npy"]
    return arguments


def test_layers_of_nested_models_are_proven_in_the_whole_model(tmp_path: Path) -> None:
    levels = {each["path"]: each["proof"] for each in proofs(*nested(tmp_path))}
    assert levels == dict.fromkeys(["it/lstm", "it#2/lstm", "outer/lstm"], "whole model")


def whole(model: Any, tmp_path: Path, *inputs: Any) -> list[tuple[str, str, bool]]:
    """What is compared in the whole model."""
    model.save(tmp_path / "m.keras")
    given = inputs[0] if len(inputs) == 1 else [*inputs]
    verification = verify(lstm_inspect.open_model(tmp_path / "m.keras"), given)
    assert verification.skipped == {}
    return [
        (each.path, each.what, each.agrees)
        for each in verification.comparisons
        if each.what.startswith("output")
    ]


def test_both_outputs_of_a_bidirectional_that_does_not_merge_them_are_compared(
    tmp_path: Path,
) -> None:
    from keras import Input, Model, layers

    x = Input((3, 2))
    inner = layers.LSTM(2, return_sequences=True)
    model = Model(x, layers.Bidirectional(inner, merge_mode=None, name="bi")(x))
    given = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")
    assert whole(model, tmp_path, given) == [
        (f"bi/{way}", what, True)
        for way in ("forward", "backward")
        for what in ("output", "output 1")
    ]


def test_calls_of_a_shared_layer_on_one_x_are_told_apart_by_their_outputs(tmp_path: Path) -> None:
    from keras import Input, Model, layers

    x, h, c = Input((3, 2)), Input((2,)), Input((2,))
    shared = layers.LSTM(2, name="lstm")
    model = Model([x, h, c], [shared(x, initial_state=[h, c]), shared(x)])
    generator = np.random.default_rng(0)
    given = [generator.normal(size=(4, *each.shape[1:])).astype("float32") for each in (x, h, c)]
    assert whole(model, tmp_path, *given) == [
        ("lstm", "output", True),
        ("lstm#2", "output", True),
    ]


def test_a_layer_may_be_named_like_a_second_call(tmp_path: Path) -> None:
    from keras import Input, Model, layers

    x = Input((3, 2))
    model = Model(x, layers.LSTM(2, name="l#2")(layers.LSTM(2, return_sequences=True, name="l")(x)))
    given = np.ones((1, 3, 2), "float32")
    assert [path for path, _, _ in whole(model, tmp_path, given)] == ["l", "l#2"]


def test_a_bidirectional_that_casts_may_be_called_twice(tmp_path: Path) -> None:
    from keras import Input, Model, layers

    x = Input((3, 2))
    bi = layers.Bidirectional(
        layers.LSTM(2, return_sequences=True, dtype="float32"), name="bi", dtype="float16"
    )
    Model(x, bi(bi(x)[:, :, :2])).save(tmp_path / "m.keras")
    model = lstm_inspect.open_model(tmp_path / "m.keras")
    paths = [call.path for call in model.calls]
    assert {"bi/cast", "bi#2/cast"} <= set(paths)


@pytest.mark.parametrize(
    "strange",
    [
        {"class_name": ["a"], "config": {}},
        {"class_name": "function", "config": ["tanh"]},
        {"class_name": "TFOpLambda", "config": {"function": "io.write_file"}},
        {"class_name": "Zeros", "module": "os", "config": {}},
        {"class_name": "Mine", "registered_name": "pack>Mine", "config": {}},
        {"compile_config": {"loss": {"class_name": "TFSMLayer", "config": {}}}},
    ],
    ids=str,
)
def test_keras_is_not_handed_a_config_with_objects_that_are_not_on_the_list(
    strange: dict[str, Any], tmp_path: Path
) -> None:
    config = functional(
        input_layer("x", 3, 2),
        lstm("lstm", 2, "x", kernel_initializer=strange),
        inputs=["x"],
        outputs=["lstm"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    verification = verify(lstm_inspect.open_model(path), np.ones((1, 3, 2), "float32"))
    assert "layers that are not built in" in verification.skipped[WHOLE_MODEL]
    assert [layer.proof for layer in verification.layers] == ["layer only"]


def test_the_cell_that_is_not_built_in_is_named_and_not_the_bidirectional_around_it(
    tmp_path: Path,
) -> None:
    rnn = layer("RNN", "rnn", cell={"class_name": "MyCell", "config": {"name": "cell"}})
    config = functional(
        input_layer("x", 3, 2),
        lstm("lstm", 2, "x", return_sequences=True),
        layer("Bidirectional", "both", "lstm", layer=rnn, merge_mode="concat"),
        inputs=["x"],
        outputs=["both"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2), "both": {}})
    verification = verify(lstm_inspect.open_model(path), np.ones((1, 3, 2), "float32"))
    assert verification.skipped[WHOLE_MODEL] == "it has layers that are not built in (MyCell)"


def test_keras_2_is_not_asked_for_models_of_keras_1() -> None:
    path = FIXTURES / "keras-1.2" / "lstm.h5"
    (x,) = inputs_of(path).values()
    verification = verify(lstm_inspect.open_model(path), x)
    assert verification.agrees
    assert verification.skipped[WHOLE_MODEL] == "tf_keras does not load models of Keras 1"


def rejected(fail: Callable[[], object]) -> str:
    with pytest.raises(RejectedError) as caught, keras_may_reject("cannot load it: "):
        fail()
    return str(caught.value)


def test_the_reason_of_keras_is_not_cut_in_a_word() -> None:
    def fail() -> None:
        raise ValueError("reason " * 100)

    told = rejected(fail)
    assert told.endswith(" reason ...")
    assert len(told) < 180


def test_the_reason_of_keras_stands_behind_the_config_that_it_quotes() -> None:
    def fail() -> None:
        raise TypeError("Error in config={}.\n\nException encountered: Unknown layer: 'Attend'.")

    assert rejected(fail) == "cannot load it: Unknown layer: 'Attend'."


def test_the_reason_of_tensorflow_stands_behind_its_name_of_the_operation() -> None:
    def fail() -> None:
        raise ValueError("{{function_node __wrapped__MatMul}} Matrix size-incompatible")

    assert rejected(fail) == "cannot load it: Matrix size-incompatible"


def test_an_exception_that_nobody_wrote_for_people_is_not_passed_on() -> None:
    given: Any = []
    assert rejected(lambda: given.pop("name", None)) == "cannot load it: it fails with TypeError"


def test_a_second_call_that_is_wrong_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lstm_inspect.replay.recurrent import replay_recurrence

    def wrong(path: str, recurrence: Any, x: Any, **options: Any) -> Any:
        outputs, signals = replay_recurrence(path, recurrence, x, **options)
        if path == "it#2/lstm":
            outputs = (replace(outputs[0], array=outputs[0].array + 1), *outputs[1:])
        return outputs, signals

    monkeypatch.setattr("lstm_inspect.replay.walk.replay_recurrence", wrong)
    result = CliRunner().invoke(cli, ["verify", *nested(tmp_path), "--format", "json"])
    assert result.exit_code == 1
    differing = [
        (each["path"], each["what"])
        for each in json.loads(result.stdout)["comparisons"]
        if not each["agrees"]
    ]
    assert differing == [("it#2/lstm", "output")]


def test_verify_can_require_a_proof_of_the_whole_model(tmp_path: Path) -> None:
    stacked = [str(SAMPLES / "stacked.keras"), "--input", str(SAMPLES / "stacked.npy")]
    fed = fed_behind_a_lambda(tmp_path)
    for arguments, require, status in [
        (stacked, "whole", 0),
        (fed, "layer", 0),
        (fed, "whole", 2),
    ]:
        result = CliRunner().invoke(cli, ["verify", *arguments, "--require", require])
        assert result.exit_code == status, result.output
    assert result.stderr == "error: not compared in the whole model: lstm\n"


def test_trace_stores_the_verdict_in_the_dump(tmp_path: Path) -> None:
    arguments = ["--input", str(SAMPLES / "stacked.npy"), "--out", str(tmp_path / "s.npz")]
    result = CliRunner().invoke(
        cli, ["trace", str(SAMPLES / "stacked.keras"), *arguments, "--verify"]
    )
    assert result.exit_code == 0, result.stderr
    verdict = lstm_inspect.load_trace(tmp_path / "s.npz").verification
    assert verdict is not None
    assert verdict["agrees"] is True
    assert {layer_["proof"] for layer_ in verdict["layers"]} == {"whole model"}


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
    path = behind_a_lambda(tmp_path)
    result = CliRunner().invoke(cli, ["shapes", str(path), "--format", "json"])
    assert json.loads(result.stdout)["layers"][0]["blocked_by"] == [
        "code (Lambda) cannot be run: its code is an unnamed lambda; "
        "give its output with --feed code=FILE.npy"
    ]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_hint_makes_the_array_that_it_is_for(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    x = keras.Input((3, 2), name="x")
    code = keras.layers.Lambda(lambda x: x * 2, name="code")(x)
    keras.Model(x, keras.layers.LSTM(2, name="lstm")(code)).save(tmp_path / f"m{suffix}")
    monkeypatch.chdir(tmp_path)
    given = np.ones((1, 3, 2), "float32")
    np.save("x.npy", given)
    command = ["trace", f"m{suffix}", "--out", "o.npz"]
    refused = CliRunner().invoke(cli, [*command, "--input", "x.npy"])
    assert refused.exit_code == 2
    _, hint, *lines = refused.stderr.splitlines()
    assert hint == "hint: code.npy is made where its code is, and its code is trusted:"
    exec("\n".join(line.strip() for line in lines), {"keras": keras, "numpy": np, "x": given})
    np.testing.assert_array_equal(np.load("code.npy"), given * 2)
    assert CliRunner().invoke(cli, [*command, "--feed", "code=code.npy"]).exit_code == 0


def test_keras_gets_the_bytes_that_were_read_and_not_the_path(tmp_path: Path) -> None:
    path = tmp_path / "stacked.keras"
    path.write_bytes((SAMPLES / "stacked.keras").read_bytes())
    model = lstm_inspect.open_model(path)
    path.write_bytes(b"another file")
    verification = verify(model, np.load(SAMPLES / "stacked.npy"))
    assert verification.agrees
    assert "output" in {each.what for each in verification.comparisons}


def test_two_numbers_that_are_nan_agree() -> None:
    x = np.load(SAMPLES / "eight_units_state.npy")
    x[0, 3] = np.nan
    model = lstm_inspect.open_model(SAMPLES / "eight_units_state.keras")
    with pytest.warns(lstm_inspect.NonFiniteWarning):
        verification = verify(model, x, allow_nonfinite=True)
    assert verification.agrees


def test_verify_knows_stateful_models(tmp_path: Path) -> None:
    x = np.load(SAMPLES / "eight_units_stateful.npy")
    np.save(tmp_path / "x.npy", np.concatenate([x, -x]))
    command = ["verify", str(SAMPLES / "eight_units_stateful.keras"), "--stateful"]
    result = CliRunner().invoke(cli, [*command, "--input", str(tmp_path / "x.npy")])
    assert result.exit_code == 0, result.output
    assert "output" in result.stdout
    assert "the whole model not compared" not in result.stdout


def test_verify_takes_a_path_and_stateful_as_trace_does() -> None:
    x = np.load(SAMPLES / "eight_units_stateful.npy")
    path = SAMPLES / "eight_units_stateful.keras"
    verification = verify(str(path), np.concatenate([x, -x]), stateful=True)
    assert verification.agrees
    assert {layer.proof for layer in verification.layers} == {"whole model"}
    assert [*verify(SAMPLES / "stacked.keras", stacked(), select="lstm").layers] == [
        ("lstm", "whole model", None)
    ]


def stacked() -> Array:
    """An input ten times as large as that of the sample: the largest x is some way above 1."""
    x: Array = 10 * np.load(SAMPLES / "stacked.npy")
    return x


@pytest.mark.parametrize(
    ("tolerance", "agrees"),
    [
        (None, True),
        (Tolerance(), False),
        (Tolerance(absolute=1e-3), True),
        (Tolerance(absolute=1e-12), False),
        (Tolerance(relative=1e-3), True),
        (Tolerance(relative=1e-12), False),
    ],
)
def test_verify_takes_a_tolerance(tolerance: Tolerance | None, agrees: bool) -> None:
    assert verify(SAMPLES / "stacked.keras", stacked(), tolerance=tolerance).agrees == agrees


def test_an_absolute_tolerance_is_that_of_the_largest_difference() -> None:
    allowed = Tolerance(absolute=1e-3, relative=1e-4)
    compared = verify(SAMPLES / "stacked.keras", stacked(), tolerance=allowed).comparisons
    x = next(each for each in compared if each.what == "x")
    assert x.tolerance == pytest.approx(1e-4 + 1e-3 / np.abs(stacked()).max())
    (h,) = {each.tolerance for each in compared if each.what == "h"}
    assert h == pytest.approx(1e-4 + 1e-3)  # no h is larger than 1


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 0),
        (["--atol", "0"], 1),
        (["--rtol", "0"], 1),
        (["--atol", "1e-3"], 0),
        (["--rtol", "1e-3"], 0),
        (["--atol", "1e-12", "--rtol", "1e-3"], 0),
        (["--atol", "nan"], 2),
    ],
)
def test_the_command_takes_the_tolerances_of_diff(options: list[str], status: int) -> None:
    command = ["verify", str(SAMPLES / "stacked.keras"), "--input", str(SAMPLES / "stacked.npy")]
    result = CliRunner().invoke(cli, [*command, *options])
    assert result.exit_code == status, result.output


@pytest.mark.parametrize("command", ["verify", "trace"])
def test_a_layer_that_was_not_compared_is_no_success(command: str, tmp_path: Path) -> None:
    peephole = FIXTURES / "keras-2.2-tf" / "peephole.h5"
    np.save(tmp_path / "x.npy", *inputs_of(peephole).values())
    out = ["--verify", "--out", str(tmp_path / "s.npz")] if command == "trace" else []
    arguments = [str(peephole), "--input", str(tmp_path / "x.npy"), *out]
    result = CliRunner().invoke(cli, [command, *arguments])
    assert result.exit_code == 2
    assert (tmp_path / "s.npz").exists() == (command == "trace")


def test_a_trace_with_verify_has_the_asked_signals_alone(tmp_path: Path) -> None:
    arguments = ["--input", str(SAMPLES / "stacked.npy"), "--record", "c"]
    out = ["--verify", "--out", str(tmp_path / "s.npz")]
    result = CliRunner().invoke(cli, ["trace", str(SAMPLES / "stacked.keras"), *arguments, *out])
    assert result.exit_code == 0
    trace = lstm_inspect.load_trace(tmp_path / "s.npz")
    assert list(trace.arrays()) == ["lstm/c", "lstm_1/c"]
    assert trace.verification is not None
    assert trace.verification["agrees"]


@pytest.mark.parametrize(
    ("class_name", "settings"),
    [
        ("ZeroPadding1D", {"mode": "edge", "padding": 1}),
        ("ZeroPadding1D", {"padding": {"class_name": "ListWrapper", "config": [1, 1]}}),
        ("Softmax", {"axis": {"class_name": "axis", "config": 1}}),
        ("LayerNormalization", {"rms_scaling": True, "scale": False, "center": False}),
        ("Attention", {"causal": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_setting_that_todays_keras_does_not_know_is_refused(
    class_name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    inputs = ["x", "x"] if class_name == "Attention" else ["x"]
    config = functional(
        input_layer("x", 3, 2),
        layer(class_name, "front", *inputs, **settings),
        lstm("lstm", 2, "front"),
        inputs=["x"],
        outputs=["lstm"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    with pytest.raises(lstm_inspect.UnsupportedLayerError, match="it does not know"):
        lstm_inspect.trace(lstm_inspect.open_model(path), np.ones((1, 3, 2), "float32"))


@pytest.mark.parametrize("kind", ["average", "attention", "attention of both"])
def test_a_mask_that_a_call_is_wired_to_counts(kind: str, tmp_path: Path) -> None:
    from keras import Input, Model, layers

    x, mask = Input((4, 2), name="x"), Input((4,), dtype="bool", name="mask")
    match kind:
        case "average":
            average = layers.GlobalAveragePooling1D()(x, mask=mask)
            front = layers.RepeatVector(3)(average)
        case "attention":
            front = layers.Attention()([x, x], mask=[None, mask])
        case _:
            front = layers.Attention()([x, x], mask=[mask, mask])
    model = Model([x, mask], layers.LSTM(2, name="lstm")(front))
    model.save(tmp_path / "m.keras")
    inputs = {"x": random(2, 4, 2), "mask": np.array([[1, 1, 0, 0], [0, 1, 0, 1]], bool)}
    trace = lstm_inspect.trace(lstm_inspect.open_model(tmp_path / "m.keras"), inputs)
    np.testing.assert_allclose(trace["lstm"].h[:, -1], model.predict(inputs, verbose=0), atol=1e-6)
