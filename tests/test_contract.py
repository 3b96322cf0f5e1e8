import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import lstm_inspect
from lstm_inspect import Contract, ContractError, check_contract, read_contract
from lstm_inspect.checks.contract.fields import FIELDS
from lstm_inspect.cli import cli
from tests.conftest import (
    SAMPLES,
    Json,
    functional,
    input_layer,
    lstm,
    lstm_weights,
    sequential,
    write_h5,
)

pytestmark = pytest.mark.usefixtures("parsed_here")

ENCODER_DECODER = SAMPLES / "encoder_decoder.keras"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)


def messages(content: Json, path: Path = ENCODER_DECODER) -> list[str]:
    """The messages of a contract that a model breaks."""
    shapes = lstm_inspect.model_shapes(lstm_inspect.open_model(path))
    return [finding.message for finding in check_contract(Contract(content), shapes)]


def printed(path: Path = ENCODER_DECODER) -> Json:
    """What ``shapes --format json`` prints."""
    content: Json = json.loads(run("shapes", path, "--format", "json").stdout)
    return content


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A function that writes a model of one LSTM to the current folder and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(units: int, name: str = "model.h5", layer: str = "lstm") -> str:
        config = sequential(input_layer("x", None, 3), lstm(layer, units))
        write_h5(tmp_path / name, config, {layer: lstm_weights(layer, 3, units)})
        return name

    return write


# --- what a contract says


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.keras")), ids=lambda path: path.stem)
def test_what_shapes_prints_is_a_contract_that_the_model_keeps(path: Path) -> None:
    assert messages(printed(path), path) == []


def test_every_field_that_shapes_prints_may_be_mentioned() -> None:
    rows = [row for path in SAMPLES.glob("*.keras") for row in printed(path)["layers"]]
    assert {field for row in rows for field in row} <= FIELDS["layers"].keys()
    assert FIELDS["layers"].keys() - {field for row in rows for field in row} == {
        "cell_clip",
        "convolution",
        "forget_bias",
        "proj_clip",
        "reset_after",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param({"layers": [{"path": "encoder", "units": 6}]}, [], id="a field"),
        pytest.param(
            {"layers": [{"path": "encoder", "units": 7}]},
            ["encoder: units: expected 7, found 6"],
            id="another number",
        ),
        pytest.param(
            {"layers": [{"path": "*coder", "units": 7}]},
            ["encoder: units: expected 7, found 6", "decoder: units: expected 7, found 6"],
            id="a glob is about each layer that matches",
        ),
        pytest.param(
            {"layers": [{"path": "decoder", "states": {"h": ["batch", 8]}}]},
            ["decoder: states.h: expected (batch, 8), found (batch, 6)"],
            id="a shape",
        ),
        pytest.param(
            {"layers": [{"path": "decoder", "states": {"h": ["batch", {"max": 8}]}}]},
            [],
            id="a range in a shape",
        ),
        pytest.param(
            {"layers": [{"path": "decoder", "states": {"h": [1, 6]}}]},
            ["decoder: states.h: expected (1, 6), found (batch, 6)"],
            id="a size that is open is no number",
        ),
        pytest.param(
            {"layers": [{"path": "decoder", "weights": {"peepholes": [3, 6]}}]},
            ["decoder: weights.peepholes: expected (3, 6), found nothing"],
            id="an array that is not there",
        ),
        pytest.param(
            {"layers": [{"path": "encoder", "stateful": True}]},
            ["encoder: stateful: expected true, found false"],
            id="a flag",
        ),
        pytest.param(
            {"layers": [{"path": "attention", "units": 6}]},
            ["attention: missing; there are encoder, decoder"],
            id="a missing layer",
        ),
        pytest.param(
            {"layers": {"exactly": [{"path": "encoder"}]}},
            ["decoder: not expected"],
            id="an extra layer",
        ),
        pytest.param({"layers": [{"path": "encoder"}]}, [], id="a layer more is free"),
        pytest.param({"layers": {"exactly": [{"path": "*"}]}}, [], id="exactly a glob"),
        pytest.param(
            {"inputs": [{"name": "decoder_input", "shape": [None, None, 4]}]},
            ["inputs.decoder_input.shape: expected (any, any, 4), found (any, any, 3)"],
            id="an input",
        ),
        pytest.param(
            {"inputs": {"exactly": [{"name": "encoder_input"}]}},
            ["inputs.decoder_input: not expected"],
            id="an extra input",
        ),
        pytest.param({"parameters": {"min": 504, "max": 504}}, [], id="a range"),
        pytest.param(
            {"parameters": {"max": 503}},
            ["parameters: expected at most 503, found 504"],
            id="above a range",
        ),
        pytest.param(
            {"parameters": {"min": 505}},
            ["parameters: expected at least 505, found 504"],
            id="below a range",
        ),
        pytest.param(
            {"file": {"keras_version": "2.15.0"}},
            ["file.keras_version: expected 2.15.0, found 3.15.1"],
            id="the file",
        ),
        pytest.param(
            {"layers": [{"path": "encoder", "units": {"min": 8, "max": 9}}]},
            ["encoder: units: expected 8 to 9, found 6"],
            id="both bounds",
        ),
    ],
)
def test_a_contract_is_kept_or_broken(content: Json, expected: list[str]) -> None:
    assert messages(content) == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"layer": []}, "no such field: layer; did you mean layers?"),
        ({"width": 3}, "no such field: width; there are file, incomplete, inputs, layers"),
        ({}, "checks nothing"),
        ({"layers": [], "schema": 1}, "checks nothing"),
        ({"layers": [{"path": "lstm", "unit": 3}]}, "layers: lstm: no such field: unit; did you"),
        ({"layers": [{"path": "lstm", "units": "6"}]}, "expected a whole number or a range"),
        ({"layers": [{"path": "lstm", "units": {"max": "6"}}]}, "expected a range of numbers"),
        ({"layers": [{"path": "lstm", "units": {"min": 9, "max": 6}}]}, "expected a range"),
        ({"layers": [{"path": "lstm", "units": {"mn": 6}}]}, "expected a whole number or a range"),
        ({"layers": [{"path": "lstm", "units": True}]}, "expected a whole number or a range"),
        ({"parameters": {"min": float("nan"), "max": 3}}, "expected a range of numbers"),
        ({"parameters": {"min": float("nan")}}, "expected a range of numbers"),
        ({"layers": [{"path": "lstm", "states": {"hh": [1]}}]}, "states: no such field: hh"),
        ({"layers": [{"path": "lstm", "states": {"h": None}}]}, "h: expected a list"),
        ({"layers": [{"path": "lstm", "weights": {"kernle": [1]}}]}, "did you mean kernel"),
        ({"layers": [{"path": "lstm", "cell": 3}]}, "cell: expected a string, received 3"),
        ({"layers": [{"path": "lstm", "stateful": 0}]}, "expected true, false or null"),
        ({"file": {"nme": "x"}}, "file: no such field: nme; did you mean name?"),
        ({"inputs": [{"name": "x", "units": 3}]}, "inputs: x: no such field: units"),
        ({"layers": {"only": []}}, "layers: no such field: only; there are exactly"),
        ({"layers": {}}, "layers: expected a list of objects with a path"),
        ({"layers": "lstm"}, "layers: expected a list of objects with a path"),
        ({"layers": [{"units": 3}]}, "layers: expected a list of objects with a path"),
        ({"schema": 3}, "schema: 3; this version reads up to 2, upgrade lstm-inspect"),
        ({"schema": True}, "schema: True"),
    ],
)
def test_a_contract_that_mentions_what_no_model_has_is_refused(content: Json, says: str) -> None:
    with pytest.raises(ContractError) as refused:
        Contract(content)
    assert says in str(refused.value)


def test_a_contract_in_toml_says_the_same_as_in_json(tmp_path: Path) -> None:
    toml = 'parameters = { max = 9 }\n[[layers]]\npath = "encoder"\nstates.h = ["batch", 6]\n'
    (tmp_path / "c.toml").write_text(toml)
    row = {"path": "encoder", "states": {"h": ["batch", 6]}}
    (tmp_path / "c.json").write_text(json.dumps({"parameters": {"max": 9}, "layers": [row]}))
    one, other = (read_contract(tmp_path / name) for name in ("c.toml", "c.json"))
    assert one.content == other.content


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("c.json", "{", "c.json: not valid JSON"),
        ("c.json", "[]", "expected a JSON object, received list"),
        ("c.json", '{"layers": [], "layers": []}', "'layers' appears twice"),
        ("c.toml", "layers =", "c.toml: not valid TOML"),
        ("c.toml", "a." * 200_000 + "b = 1", "200000 is more than the limit json_depth=128"),
        ("c.toml", f"parameters = 0x{'f' * 9000}", "c.toml: expected numbers of at most 64 bits"),
        (
            "c.json",
            json.dumps({"layers": [{"path": "[" * 20_000, "units": 1}]}),
            "c.json: expected texts of at most 1000 characters",
        ),
        ("c.toml", "[parameter]", "no such field: parameter"),
    ],
)
def test_a_file_that_is_no_contract_is_refused(
    model: Callable[..., str], name: str, text: str, says: str
) -> None:
    Path(name).write_text(text)
    result = run("check", model(2), name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_contract_that_is_not_there_is_refused(model: Callable[..., str]) -> None:
    result = run("check", model(2), "none.json")
    assert (result.exit_code, result.stderr) == (2, "error: none.json: no such file\n")


# --- the chain: write, change, notice, renew


def test_a_changed_model_breaks_the_contract_that_was_written_of_it(
    model: Callable[..., str],
) -> None:
    assert run("contract", model(6), "--out", "c.json").exit_code == 0
    kept = run("check", "model.h5", "c.json")
    assert (kept.exit_code, kept.stdout) == (0, "1 model as expected\n")
    broken = run("check", model(8), "c.json")
    assert broken.exit_code == 1
    assert "model.h5: lstm: units: expected 6, found 8\n" in broken.stdout
    assert "model.h5: lstm: states.h: expected (batch, 6), found (batch, 8)\n" in broken.stdout


def test_a_contract_renewed_is_kept_and_says_what_it_changed(model: Callable[..., str]) -> None:
    run("contract", model(6), "--out", "c.json")
    renewed = run("check", model(8), "c.json", "--update")
    assert renewed.exit_code == 0
    assert "lstm: units: expected 6, found 8" in renewed.stdout
    assert run("check", "model.h5", "c.json").exit_code == 0


def update(content: Json, model: str) -> Json:
    Path("c.json").write_text(json.dumps(content))
    assert run("check", model, "c.json", "--update").exit_code == 0
    renewed: Json = json.loads(Path("c.json").read_text())
    assert run("check", model, "c.json").exit_code == 0
    return renewed


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            {"layers": [{"path": "l*", "units": 6, "features": {"max": 9}}]},
            {"layers": [{"path": "l*", "units": 8, "features": {"max": 9}}]},
            id="what is kept stays as it is written",
        ),
        pytest.param(
            {"parameters": {"max": 9}},
            {"parameters": 384},
            id="a range that is broken",
        ),
        pytest.param(
            {"layers": [{"path": "lstm", "states": {"h": ["batch", 1]}}]},
            {"layers": [{"path": "lstm", "states": {"h": ["batch", 8]}}]},
            id="a part of a part",
        ),
    ],
)
def test_only_what_a_contract_mentions_is_renewed(
    model: Callable[..., str], content: Json, expected: Json
) -> None:
    assert update(content, model(8)) == expected


def test_what_is_gone_is_left_to_be_edited_by_hand(model: Callable[..., str]) -> None:
    content = {"layers": [{"path": "gone", "units": 8}, {"path": "lstm", "units": 3}]}
    Path("c.json").write_text(json.dumps(content))
    result = run("check", model(8), "c.json", "--update")
    assert result.exit_code == 1
    assert (
        "error: the contract is still broken, edit it by hand: gone: missing; there are lstm\n"
        in result.stderr
    )
    content["layers"][1]["units"] = 8
    assert json.loads(Path("c.json").read_text()) == content


def test_a_layer_of_an_odd_name_is_no_glob(model: Callable[..., str]) -> None:
    run("contract", model(6, layer="l[1]"), "--out", "c.json")
    assert run("check", "model.h5", "c.json").exit_code == 0


def test_tuples_are_shapes_as_python_writes_them() -> None:
    assert messages({"layers": [{"path": "encoder", "states": {"h": ("batch", 6)}}]}) == []


def test_an_open_size_is_any_where_there_is_no_null() -> None:
    assert messages({"inputs": [{"name": "encoder_input", "shape": ["any", "any", 4]}]}) == []


def test_an_input_is_expected_by_its_name() -> None:
    result = run("check", ENCODER_DECODER, "--expect", "inputs.encoder_input.dtype=float16")
    assert "inputs.encoder_input.dtype: expected float16, found float32" in result.stdout


def test_an_expectation_is_given_once() -> None:
    twice = ["--expect", "parameters=1..", "--expect", "parameters=..1"]
    result = run("check", ENCODER_DECODER, *twice)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "parameters is given twice" in result.stderr


def test_a_new_layer_joins_a_contract_that_forbids_others(model: Callable[..., str]) -> None:
    renewed = update({"layers": {"exactly": []}}, model(8))
    (row,) = renewed["layers"]["exactly"]
    assert (row["path"], row["units"]) == ("lstm", 8)


def test_a_glob_whose_layers_part_is_written_out(tmp_path: Path, model: object) -> None:
    config = sequential(
        input_layer("x", None, 3), lstm("a", 4, return_sequences=True), lstm("b", 5)
    )
    weights = {"a": lstm_weights("a", 3, 4), "b": lstm_weights("b", 4, 5)}
    write_h5(tmp_path / "two.h5", config, weights)
    assert update({"layers": [{"path": "*", "units": 4}]}, "two.h5") == {
        "layers": [{"path": "a", "units": 4}, {"path": "b", "units": 5}]
    }


def test_toml_is_not_rewritten(model: Callable[..., str]) -> None:
    Path("c.toml").write_text("parameters = 1\n")
    result = run("check", model(8), "c.toml", "--update")
    assert result.exit_code == 2
    assert "a contract is written as JSON" in result.stderr
    assert Path("c.toml").read_text() == "parameters = 1\n"


def test_a_contract_is_printed_where_no_file_is_named(model: Callable[..., str]) -> None:
    result = run("contract", model(6))
    assert json.loads(result.stdout)["layers"]["exactly"][0]["units"] == 6


def test_a_contract_that_is_there_is_replaced_with_force_alone(model: Callable[..., str]) -> None:
    Path("c.json").write_text("notes")
    refused = run("contract", model(6), "--out", "c.json")
    assert (refused.exit_code, Path("c.json").read_text()) == (2, "notes")
    assert run("contract", "model.h5", "--out", "c.json", "--force").exit_code == 0
    assert run("check", "model.h5", "c.json").exit_code == 0


# --- several models


def test_every_model_is_held_to_the_contract(model: Callable[..., str]) -> None:
    one, other = model(6, "one.h5"), model(8, "other.h5")
    run("contract", one, "--out", "c.json")
    result = run("check", one, other, "c.json")
    assert result.exit_code == 1
    assert result.stdout.endswith("findings in 1 of 2 models\n")
    assert "one.h5: " not in result.stdout


def test_a_model_that_cannot_be_read_does_not_hide_the_others(model: Callable[..., str]) -> None:
    Path("bad.h5").write_text("text")
    result = run("check", "bad.h5", model(8), "--expect", "lstm.units=6")
    assert result.exit_code == 2
    assert "error: bad.h5: expected a .keras zip" in result.stderr
    assert "model.h5: lstm: units: expected 6, found 8\n" in result.stdout


def test_the_contract_may_stand_first_as_hooks_give_it(model: Callable[..., str]) -> None:
    run("contract", model(6), "--out", "c.json")
    assert run("check", "c.json", "model.h5").exit_code == 0


# --- without a contract


@pytest.mark.parametrize(
    ("expect", "broken"),
    [
        ("encoder.units=6", []),
        ("encoder.units=7", ["encoder: units: expected 7, found 6"]),
        ("encoder.units=4..8", []),
        ("encoder.units=..5", ["encoder: units: expected at most 5, found 6"]),
        ("decoder.states.h=(batch,6)", []),
        ("decoder.states.h=[batch, 6]", []),
        ("*.states.c=(batch,7)", ["encoder: states.c", "decoder: states.c"]),
        ("encoder.cell=gru", ["encoder: cell: expected gru, found lstm"]),
        ("encoder.stateful=true", ["encoder: stateful: expected true, found false"]),
        ("parameters=504", []),
        ("file.format=h5", ["file.format: expected h5, found keras"]),
    ],
)
def test_an_expectation_is_kept_or_broken(expect: str, broken: list[str]) -> None:
    result = run("check", ENCODER_DECODER, "--expect", expect)
    lines = result.stdout.splitlines()[:-1]
    assert result.exit_code == bool(broken)
    assert len(lines) == len(broken)
    for line, part in zip(lines, broken, strict=True):
        assert f"encoder_decoder.keras: {part}" in line


def test_the_name_of_a_layer_may_hold_dots(model: Callable[..., str]) -> None:
    assert run("check", model(2, layer="my.lstm"), "--expect", "my.lstm.units=2").exit_code == 0


@pytest.mark.parametrize(
    ("expect", "says"),
    [
        ("encoder.unit=6", "field unit: did you mean units?"),
        ("units=64", "expected the layer in front, such as LAYER.units=64, or *.units=64"),
        ("encoder.states.h=(None,6)", "a word for an open size (batch, timesteps, any)"),
        ("encoder.path=decoder", "expected LAYER.FIELD=VALUE"),
        ("encoder.units=abc", "expected a whole number or a range"),
        ("encoder.units=", "expected a whole number or a range"),
        ("encoder.units=..", "expected a whole number or a range"),
        ("encoder.units=8..4", "min no larger than max"),
        ("encoder.units=6.0", "expected a whole number or a range"),
        ("encoder.states.h=(batch,6", "expected a shape such as (batch,256)"),
        ("encoder.units", "expected LAYER.FIELD=VALUE or FIELD=VALUE"),
        ("=6", "expected LAYER.FIELD=VALUE or FIELD=VALUE"),
    ],
)
def test_an_expectation_of_another_form_is_refused(expect: str, says: str) -> None:
    result = run("check", ENCODER_DECODER, "--expect", expect)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["model.h5"],
        ["c.json"],
        ["model.h5", "model.h5", "c.json", "--update"],
        ["model.h5", "--expect", "lstm.units=2", "--update"],
    ],
)
def test_a_check_that_lacks_one_side_is_a_usage_error(
    model: Callable[..., str], arguments: list[str]
) -> None:
    Path("c.json").write_text('{"parameters": 1}')
    model(2)
    result = run("check", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("See 'lstm-inspect check --help'.\n")


# --- states that pass from model to model


def encoder(path: Path, *units: int) -> Path:
    """A model of stacked LSTMs that all return their states."""
    layers = [input_layer("x", None, 3)]
    for n, each in enumerate(units):
        source = "x" if not n else (f"lstm_{n - 1}", 0, 0)
        sequences = {"return_sequences": True, "return_state": True}
        layers.append(lstm(f"lstm_{n}", each, source, **sequences))
    features = [3, *units]
    weights = {
        f"lstm_{n}": lstm_weights(f"lstm_{n}", features[n], each) for n, each in enumerate(units)
    }
    outputs: list[Any] = [(f"lstm_{len(units) - 1}", 0, n) for n in (1, 2)]
    return write_h5(path, functional(*layers, inputs=["x"], outputs=outputs), weights)


def decoder(path: Path, units: int) -> Path:
    """A model of one LSTM that starts from given states."""
    config = functional(
        input_layer("y", None, 2),
        input_layer("h", units),
        input_layer("c", units),
        lstm("lstm", units, ["y", "h", "c"]),
        inputs=["y", "h", "c"],
        outputs=["lstm"],
    )
    return write_h5(path, config, {"lstm": lstm_weights("lstm", 2, units)})


def test_an_encoder_fits_a_decoder_of_as_many_units(tmp_path: Path) -> None:
    one, other = encoder(tmp_path / "e.h5", 6), decoder(tmp_path / "d.h5", 6)
    assert run("check", one, "--same-states-as", other).exit_code == 0


def test_an_encoder_of_other_units_does_not_fit(tmp_path: Path) -> None:
    one, other = encoder(tmp_path / "e.h5", 6), decoder(tmp_path / "d.h5", 8)
    result = run("check", one, "--same-states-as", other)
    assert result.exit_code == 1
    expected = f"lstm_0: final h for lstm of {other}: expected (8,), found (6,)"
    assert expected in result.stdout


def test_an_encoder_of_more_layers_does_not_fit(tmp_path: Path) -> None:
    one, other = encoder(tmp_path / "e.h5", 6, 6), decoder(tmp_path / "d.h5", 6)
    result = run("check", one, "--same-states-as", other)
    assert result.exit_code == 1
    assert "expected (lstm,), found (lstm_0, lstm_1)" in result.stdout


def test_of_a_decoder_only_the_layers_count_that_take_states(tmp_path: Path) -> None:
    shutil.copy(ENCODER_DECODER, tmp_path / "both.keras")
    one = encoder(tmp_path / "e.h5", 6)
    assert run("check", one, "--same-states-as", tmp_path / "both.keras").exit_code == 0
