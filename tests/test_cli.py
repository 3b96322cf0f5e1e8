"""Tests the command line: exit status, stdout, stderr, and the files that it leaves.

Tables are compared with `golden/NAME.txt`; `UPDATE_GOLDEN=1 pytest tests/test_cli.py` writes them.
"""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import lstm_inspect
from lstm_inspect.cells.lstm import LstmCell
from lstm_inspect.checks.comparison import Comparison
from lstm_inspect.checks.verification import Verification
from lstm_inspect.cli import cli
from tests.conftest import (
    FIXTURES,
    SAMPLES,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    sequential,
    write_h5,
)

TESTS = Path(__file__).parent
README = TESTS.parent / "README.md"
DOCS = sorted((TESTS.parent / "docs").glob("*.md"))


def run(*arguments: str) -> Result:
    """Runs the command line; an exception that it does not report itself fails the test."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def shapes(name: str, *options: str) -> Result:
    return run("shapes", str(SAMPLES / f"{name}.keras"), *options)


def trace(*options: str, model: str = "model.keras", out: str = "states.npz") -> Result:
    return run("trace", model, *(options or ("--input", "x.npy")), "--out", out)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a one-unit model that takes (batch, 3, 1), and an input for it."""
    shutil.copy(SAMPLES / "one_unit_sequences.keras", tmp_path / "model.keras")
    shutil.copy(SAMPLES / "one_unit_sequences.npy", tmp_path / "x.npy")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_golden(name: str, text: str) -> None:
    """Compares with a golden file, and ignores the spaces that pad the lines of a table."""
    golden = TESTS / "golden" / f"{name}.txt"
    trimmed = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(trimmed, encoding="utf-8")
    assert trimmed == golden.read_text(encoding="utf-8")


# --- the group


def test_version_is_that_of_the_package() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (
        0,
        f"lstm-inspect, version {lstm_inspect.__version__}\n"
        f"NumPy {np.__version__}, h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version}\n",
    )


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command(option: str) -> None:
    result = run(option)
    assert result.exit_code == 0
    assert [name for name in cli.commands if f"\n  {name} " not in result.stdout] == []


@pytest.mark.parametrize("command", cli.commands.values(), ids=lambda command: command.name)
def test_a_command_says_what_it_does_and_what_each_option_is_for(command: click.Command) -> None:
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert command.callback is not None
    assert command.callback.__doc__
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", cli.commands)
def test_the_examples_in_help_stand_on_lines_of_their_own(name: str) -> None:
    lines = run(name, "--help").stdout.splitlines()
    examples = [line for line in lines if "lstm-inspect" in line and "Usage" not in line]
    assert examples
    assert [line for line in examples if not line.startswith(f"    lstm-inspect {name} ")] == []


def help_of(name: str) -> str:
    return run(name, "--help").stdout


@pytest.mark.parametrize("name", cli.commands)
def test_the_examples_of_a_command_are_understood_by_it(name: str) -> None:
    _, _, examples = help_of(name).replace("\\\n", "").partition("Examples:\n")
    assert examples
    for example in examples.splitlines():
        program, command, *arguments = shlex.split(example)
        assert (program, command) == ("lstm-inspect", name)
        cli.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("name", cli.commands)
def test_help_says_what_each_argument_is_and_what_the_exit_status_means(name: str) -> None:
    usage, _, rest = help_of(name).partition("\n\n")
    told = " ".join(rest.split())
    for argument in re.findall(r"[A-Z]+", usage.partition("[OPTIONS]")[2]):
        assert re.search(rf"\b{argument}\b( and [A-Z]+)? (is|are) ", told), argument
    assert "Exit status: 0 " in told
    assert re.search(r"; 2 [a-z]", told)


def test_the_help_of_the_group_has_the_documents_that_there_are() -> None:
    told = run("--help").stdout
    assert all((README.parent / name).exists() for name in re.findall(r"docs/\w+\.md", told))
    assert all(f"docs/{path.name}" in told for path in DOCS if path.stem != "design")
    assert max(map(len, told.splitlines())) <= 80


def test_the_readme_mentions_every_command() -> None:
    readme = README.read_text(encoding="utf-8")
    assert [name for name in cli.commands if f"lstm-inspect {name}" not in readme] == []


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lstm_inspect", "--version"], capture_output=True, check=True
    )
    assert done.stdout.startswith(b"lstm-inspect, version ")


# --- shapes


@pytest.mark.parametrize(
    ("golden", "name", "options"),
    [
        ("shapes_encoder_decoder", "encoder_decoder", []),
        ("shapes_bidirectional_masking", "bidirectional_masking", []),
        ("shapes_stacked", "stacked", []),
        ("shapes_encoder_decoder_all", "encoder_decoder", ["--all"]),
        ("shapes_encoder_decoder_gates", "encoder_decoder", ["--gates"]),
        ("shapes_stacked_batch", "stacked", ["--batch", "32"]),
        (
            "shapes_encoder_decoder_filled",
            "encoder_decoder",
            ["--batch", "32", "--timesteps", "60"],
        ),
    ],
)
def test_shapes_prints_its_table(golden: str, name: str, options: list[str]) -> None:
    result = shapes(name, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert_golden(golden, result.stdout)


@pytest.mark.parametrize(
    ("golden", "file"),
    [
        ("shapes_gates_keras_1", "keras-1.2/lstm.h5"),
        ("shapes_gates_cudnn", "keras-2.15/cudnn.h5"),
        ("shapes_gates_peephole", "keras-2.2-tf/peephole.h5"),
    ],
)
def test_shapes_prints_where_a_file_has_its_gates(golden: str, file: str) -> None:
    result = run("shapes", str(FIXTURES / file), "--gates")
    assert (result.exit_code, result.stderr) == (0, "")
    assert_golden(golden, result.stdout)


def test_the_output_of_a_layer_is_a_question_mark_if_the_file_does_not_tell(folder: Path) -> None:
    config = functional(
        input_layer("x", None, 3),
        lstm("lstm", 2, "x", return_sequences=True),
        layer("Lambda", "code", "lstm"),
        layer("Dense", "dense", "code", units=5),
        inputs=["x"],
        outputs=["dense"],
    )
    write_h5(folder / "m.h5", config, {"lstm": lstm_weights("lstm", 3, 2)})
    printed = json.loads(run("shapes", "m.h5", "--all", "--format", "json").stdout)
    assert {row["path"]: (row["class"], row["output"]) for row in printed["calls"]} == {
        "lstm": ("LSTM", ["batch", "timesteps", 2]),
        "code": ("Lambda", None),
        "dense": ("Dense", None),
    }
    shown = run("shapes", "m.h5", "--all", "--batch", "2", "--timesteps", "7").stdout
    rows = [line.split() for line in shown.splitlines()]
    assert ["lstm", "LSTM", "(2,", "7,", "2)"] in rows
    assert ["code", "Lambda", "?"] in rows


def test_options_that_weights_alone_leave_open_are_unknown() -> None:
    alone = str(FIXTURES / "keras-2.15" / "lstm.weights.h5")
    printed = run("shapes", alone, "--all").stdout
    for name in ("return_sequences", "return_state", "stateful"):
        assert f"{name}: unknown" in printed
    assert re.search(r"^\S+ +LSTM +\? *$", printed, re.MULTILINE)


def test_what_weights_alone_leave_open_is_printed_once_for_all_layers() -> None:
    alone = str(FIXTURES / "keras-2.15" / "lstm.weights.h5")
    is_open = "the file does not say its activation, recurrent_activation, go_backwards"
    lines = run("shapes", alone).stdout.splitlines()
    assert [line for line in lines if is_open in line] == [
        f"lstm, lstm_1: {is_open}",
        f"lstm, lstm_1 cannot be traced: {is_open}; pass the output of model.to_json() with "
        "--config FILE, or say for example --assume '*.activation=tanh' --assume "
        "'*.recurrent_activation=sigmoid' --assume '*.go_backwards=false'",
    ]
    rows = json.loads(run("shapes", alone, "--format", "json").stdout)["layers"]
    assert [row["notes"] for row in rows] == [[is_open], [is_open]]


def parameters_printed(text: str) -> tuple[list[int], int]:
    """The numbers in the last column of the table, and the total in the line below."""
    column = re.findall(r"^\S.* {2,}([\d,]+)$", text, re.MULTILINE)
    (total,) = re.findall(r"([\d,]+) parameters;", text)
    return [int(figure.replace(",", "")) for figure in column], int(total.replace(",", ""))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.keras")), ids=lambda path: path.stem)
def test_the_parameters_of_the_layers_add_up_to_the_total(path: Path) -> None:
    each, total = parameters_printed(shapes(path.stem).stdout)
    assert sum(each) == total > 0


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.keras")), ids=lambda path: path.stem)
def test_the_parameters_printed_are_those_of_an_lstm_of_the_units_and_features_printed(
    path: Path,
) -> None:
    printed = shapes(path.stem).stdout
    sizes = re.findall(r"(\d+) features?, (\d+) units?", printed)
    expected = [4 * int(u) * (int(f) + int(u) + 1) for f, u in sizes]
    assert parameters_printed(printed)[0] == expected


def test_shapes_as_json_is_one_object_of_schema_2() -> None:
    printed = json.loads(shapes("encoder_decoder", "--format", "json").stdout)
    assert printed["schema"] == 2
    assert [layer["path"] for layer in printed["layers"]] == ["encoder", "decoder"]


def test_shapes_as_json_says_what_the_table_says() -> None:
    layer = json.loads(shapes("stacked", "--format", "json").stdout)["layers"][0]
    assert layer["weights"] == {"kernel": [7, 400], "recurrent_kernel": [100, 400], "bias": [400]}
    assert layer["states"] == {"h": ["batch", 100], "c": ["batch", 100]}
    assert layer["sequences"] == {"h": ["batch", 10, 100], "c": ["batch", 10, 100]}
    assert layer["parameters"] == 43_200


def test_sizes_that_contradict_the_file_are_refused() -> None:
    for option, says in (("--batch=3", "batch 3: the file says 2"), ("--timesteps=9", "says 5")):
        result = shapes("eight_units_stateful", option)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr


@pytest.mark.parametrize("name", ["[bold]lstm[/bold]", "a:fire:b", "\N{GREEK SMALL LETTER SIGMA}"])
def test_the_name_of_a_layer_is_printed_as_it_is(folder: Path, name: str) -> None:
    config = sequential(lstm(name, 2, batch_input_shape=[None, 3, 1]))
    write_h5(folder / "named.h5", config, {name: lstm_weights(name, 1, 2)})
    for result in (run("shapes", "named.h5"), trace(model="named.h5")):
        assert result.exit_code == 0
        assert f"\n{name}" in result.stdout


def test_a_letter_that_the_output_lacks_is_escaped(folder: Path) -> None:
    config = sequential(lstm("\u03c3", 2, batch_input_shape=[None, 3, 1]))
    write_h5(folder / "named.h5", config, {"\u03c3": lstm_weights("\u03c3", 1, 2)})
    done = subprocess.run(
        [sys.executable, "-m", "lstm_inspect", "shapes", "named.h5"],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent), "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=True,
    )
    assert b"\\u03c3" in done.stdout


def test_piped_output_is_never_cut() -> None:
    """Runs in a new process, as rich reads the width of a line from the environment."""
    piped = subprocess.run(
        [sys.executable, "-m", "lstm_inspect", "shapes", str(SAMPLES / "stacked.keras")],
        env={**os.environ, "COLUMNS": "20"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert piped.stdout == shapes("stacked").stdout


# --- weights


def weights(*options: str, model: str = "model.keras") -> Result:
    return run("weights", model, "--out", "weights.npz", *options)


def arrays_written() -> dict[str, Any]:
    with np.load("weights.npz", allow_pickle=False) as written:
        return {key: written[key] for key in written.files}


@pytest.mark.parametrize(
    "name", ["keras-1.2/gru.h5", "keras-2.15/cudnn.h5", "keras-2.15/shared.h5"]
)
def test_weights_writes_the_canonical_arrays_of_each_layer_once(folder: Path, name: str) -> None:
    result = weights(model=str(FIXTURES / name))
    assert (result.exit_code, result.stderr) == (0, "")
    written = arrays_written()
    meta = json.loads(str(written.pop("__meta__")))
    recurrent = lstm_inspect.open_model(FIXTURES / name).recurrent
    assert list(written) == [f"{each.path}/{key}" for each in recurrent for key in each.weights]
    for each in recurrent:
        gates = list(each.kind.gates)
        assert meta["weights"][each.path] == {
            "cell": each.cell,
            "units": each.units,
            "gates": gates,
        }
        for key, array in each.weights.items():
            np.testing.assert_array_equal(written[f"{each.path}/{key}"], array, strict=True)


def test_weights_writes_each_gate_too(folder: Path) -> None:
    model = FIXTURES / "keras-2.2-tf" / "peephole.h5"
    assert weights("--gates", model=str(model)).exit_code == 0
    written = arrays_written()
    (recurrence,) = lstm_inspect.open_model(model).recurrent
    for gate in recurrence.kind.gates:
        for name, block in recurrence.gate(gate).items():
            np.testing.assert_array_equal(written[f"rnn/{name}_{gate}"], block, strict=True)
    keys = [f"rnn/{name}" for name in ("kernel", "recurrent_kernel", "bias", "peepholes")]
    gates = [f"{key}_{gate}" for key in keys for gate in "ifgo" if (key, gate) != (keys[3], "g")]
    assert written.keys() == {*keys, *gates, "__meta__"}


def test_weights_prints_what_it_wrote(folder: Path) -> None:
    result = weights("--layer", "l*", "--gates")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["lstm/kernel", "(1,", "4)", "float32"] in [line[:4] for line in lines]
    assert ["lstm/kernel_i", "(1,", "1)", "float32"] in [line[:4] for line in lines]
    assert "weights.npz: " in result.stdout


def test_weights_writes_only_the_layers_that_match(folder: Path) -> None:
    assert weights("--layer", "dec*", model=str(SAMPLES / "encoder_decoder.keras")).exit_code == 0
    assert {key.partition("/")[0] for key in arrays_written()} == {"decoder", "__meta__"}


def test_weights_names_a_layer_that_the_file_has_no_weights_of(folder: Path) -> None:
    config = sequential(
        input_layer("x", 3, 2), lstm("one", 2, return_sequences=True), lstm("other", 1)
    )
    write_h5(folder / "m.h5", config, {"one": lstm_weights("one", 2, 2), "other": {}})
    result = weights(model="m.h5")
    assert result.exit_code == 2
    assert result.stderr == "error: m.h5: other (LSTM): 1 unit; the file holds 0 of its 3 arrays\n"
    assert {key.partition("/")[0] for key in arrays_written()} == {"one", "__meta__"}


def test_weights_replaces_an_earlier_result_but_another_file_only_with_force(folder: Path) -> None:
    assert weights().exit_code == 0
    assert weights("--gates").exit_code == 0
    np.savez("weights.npz", mine=np.ones(2))
    before = contents(folder)
    refused = weights()
    assert (refused.exit_code, contents(folder)) == (2, before)
    assert "replace the file with --force" in refused.stderr
    assert weights("--force").exit_code == 0
    assert "lstm/kernel" in arrays_written()


def test_a_dump_of_weights_is_no_dump_of_states(folder: Path) -> None:
    assert weights().exit_code == 0
    result = run("diff", "weights.npz", "weights.npz")
    assert result.exit_code == 2
    assert "`lstm-inspect trace` wrote, received a dump of weights" in result.stderr


# --- trace


def test_trace_prints_its_table(folder: Path) -> None:
    model, x = (SAMPLES / f"bidirectional_masking.{suffix}" for suffix in ("keras", "npy"))
    result = trace("--input", str(x), "--record", "all", model=str(model))
    assert (result.exit_code, result.stderr) == (0, "")
    assert_golden("trace_bidirectional_masking", re.sub(r"in \d+\.\d+ s", "in N s", result.stdout))


def test_trace_dumps_h_and_c_of_every_recurrent_layer(folder: Path) -> None:
    inputs = [
        f"{name}={SAMPLES / f'encoder_decoder.{name}.npy'}"
        for name in ("encoder_input", "decoder_input")
    ]
    model = str(SAMPLES / "encoder_decoder.keras")
    assert trace("--input", inputs[0], "--input", inputs[1], model=model).exit_code == 0
    dump = lstm_inspect.load_trace("states.npz")
    assert list(dump.arrays()) == ["encoder/h", "encoder/c", "decoder/h", "decoder/c"]


def test_trace_takes_all_inputs_from_one_npz(folder: Path) -> None:
    arrays = {
        name: np.load(SAMPLES / f"encoder_decoder.{name}.npy")
        for name in ("encoder_input", "decoder_input")
    }
    np.savez(folder / "x.npz", **arrays)
    model = str(SAMPLES / "encoder_decoder.keras")
    assert trace("--input", "x.npz", model=model).exit_code == 0
    assert list(lstm_inspect.load_trace("states.npz")) == ["encoder", "decoder"]


@pytest.mark.parametrize(
    ("record", "signals"),
    [
        ("c", ["c"]),
        ("mask, f", ["f", "mask"]),
        ("all", ["h", "c", "i", "f", "g", "o", "x", "mask", "h0", "c0"]),
    ],
)
def test_record_chooses_the_signals(folder: Path, record: str, signals: list[str]) -> None:
    assert trace("--input", "x.npy", "--record", record).exit_code == 0
    assert list(lstm_inspect.load_trace("states.npz")["lstm"].signals) == signals


def test_layer_chooses_the_layers(folder: Path) -> None:
    model, x = (str(SAMPLES / f"stacked.{suffix}") for suffix in ("keras", "npy"))
    assert trace("--input", x, "--layer", "*_1", model=model).exit_code == 0
    assert list(lstm_inspect.load_trace("states.npz")) == ["lstm_1"]


def test_trace_leaves_nothing_but_its_dump(folder: Path) -> None:
    before = contents(folder)
    assert trace().exit_code == 0
    assert contents(folder).keys() - before.keys() == {"states.npz"}


def test_an_earlier_dump_is_replaced(folder: Path) -> None:
    trace("--input", "x.npy", "--record", "o")
    assert trace().exit_code == 0
    assert list(lstm_inspect.load_trace("states.npz").arrays()) == ["lstm/h", "lstm/c"]


def test_force_replaces_a_file_that_is_no_dump(folder: Path) -> None:
    (folder / "states.npz").write_text("notes")
    assert trace("--input", "x.npy", "--force").exit_code == 0
    assert list(lstm_inspect.load_trace("states.npz")) == ["lstm"]


@pytest.mark.parametrize("name", ["model.keras", "x.npy"])
def test_force_does_not_replace_what_is_read(folder: Path, name: str) -> None:
    before = contents(folder)
    result = trace("--input", "x.npy", "--force", out=name)
    assert (result.exit_code, contents(folder)) == (2, before)


def test_a_nan_is_warned_of_by_its_place_and_counted(folder: Path) -> None:
    np.save("nan.npy", np.array([[[0.5], [np.nan], [0.5]]], np.float32))
    result = trace("--input", "nan.npy", "--allow-nonfinite")
    assert (result.exit_code, result.stderr) == (
        0,
        "warning: input input: not finite, first nan at [0, 1, 0]\n",
    )
    assert re.findall(r"^(lstm/\w) .* (\d+)$", result.stdout, re.MULTILINE) == [
        ("lstm/h", "2"),
        ("lstm/c", "2"),
    ]


# --- a replay that cannot compute every layer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "a"], "--steps: expected places such as"),
        (["--units", "999"], "--units: expected numbers below 100, received 999"),
        (["--samples", "9:"], "--samples: expected some of 0 to 1, received none"),
        (["--steps", "0", "--last"], "--steps: expected none with --last"),
    ],
    ids=str,
)
def test_a_part_that_is_not_there_is_refused_by_the_name_of_the_option(
    options: list[str], message: str, tmp_path: Path
) -> None:
    model, x = (str(SAMPLES / f"stacked.{suffix}") for suffix in ("keras", "npy"))
    out = str(tmp_path / "s.npz")
    result = CliRunner().invoke(cli, ["trace", model, "--input", x, "--out", out, *options])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")
    assert [*tmp_path.iterdir()] == []


NAMES_THE_OBSTACLE = re.compile(
    r"error: behind not traced: .*attend \(Attend\).*\n(hint: attend.npy is .*\n(  .*\n){3})"
)


@pytest.fixture
def half_known(folder: Path) -> str:
    """A model of an LSTM, an unknown layer, and an LSTM that reads it."""
    config = sequential(
        lstm("front", 2, return_sequences=True, batch_input_shape=[None, 3, 1]),
        layer("Attend", "attend"),
        lstm("behind", 3),
    )
    weights = {"front": lstm_weights("front", 1, 2), "behind": lstm_weights("behind", 2, 3)}
    write_h5(folder / "half.h5", config, weights)
    return "half.h5"


def test_what_can_be_traced_is_dumped_and_the_rest_named(half_known: str) -> None:
    result = trace(model=half_known)
    assert result.exit_code == 2
    assert NAMES_THE_OBSTACLE.fullmatch(result.stderr)
    dump = lstm_inspect.load_trace("states.npz")
    assert list(dump) == ["front"]
    assert list(dump.untraced) == ["behind"]


def test_shapes_needs_no_replay_but_says_what_would_stop_one(half_known: str) -> None:
    result = run("shapes", half_known)
    assert result.exit_code == 0
    assert re.search(r"^behind cannot be traced.*attend \(Attend\)", result.stdout, re.MULTILINE)


def test_a_layer_that_cannot_be_traced_gives_no_dump(folder: Path, half_known: str) -> None:
    result = trace("--input", "x.npy", "--layer", "behind", model=half_known)
    assert result.exit_code == 2
    assert NAMES_THE_OBSTACLE.fullmatch(result.stderr)
    assert not (folder / "states.npz").exists()


# --- interruption


def assert_interrupted_without_a_trace(folder: Path) -> None:
    before = contents(folder)
    result = trace()
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
    assert contents(folder) == before


def test_an_interruption_of_the_replay_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LstmCell, "step", interrupt)
    assert_interrupted_without_a_trace(folder)


def test_an_interruption_of_the_writing_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(file: io.BufferedWriter, *array: object, **options: object) -> None:
        file.write(b"half a dump")
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", interrupt)
    assert_interrupted_without_a_trace(folder)


def test_an_interruption_of_the_writing_keeps_the_earlier_dump(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(file: io.BufferedWriter, *array: object, **options: object) -> None:
        raise KeyboardInterrupt

    assert trace("--input", "x.npy", "--record", "o").exit_code == 0
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", interrupt)
    assert_interrupted_without_a_trace(folder)


# --- arguments and files that cannot be used


class Bad(NamedTuple):
    """Arguments that cannot work, the files that they need, and what the error says."""

    says: str
    arguments: str
    prepare: Callable[[], object] = lambda: None


def save(array: object, name: str = "bad.npy") -> Callable[[], object]:
    return lambda: np.save(name, np.asarray(array), allow_pickle=True)


def truncate(name: str) -> Callable[[], object]:
    return lambda: os.truncate(name, Path(name).stat().st_size // 2)


def claim_a_hundred_terabytes() -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**13, 3, 1)}
    with Path("huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)


def zip_of(name: str, member: str, text: str) -> None:
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr(member, text)


def without_recurrence() -> None:
    head = layer("Dense", "head", units=1, batch_input_shape=[None, 3, 1])
    write_h5(Path("dense.h5"), sequential(head, layer("Flatten", "flat")), {})


ENCODER_DECODER = f"trace {SAMPLES}/encoder_decoder.keras --out states.npz"
ENCODER_INPUT = f"{SAMPLES}/encoder_decoder.encoder_input.npy"
GIVEN = "trace model.keras --out states.npz --input"

BAD_MODELS = {
    "missing": Bad("none.keras: no such file", "none.keras"),
    "folder": Bad("received a folder", "some", lambda: Path("some").mkdir()),
    "truncated keras": Bad("damaged or truncated zip", "model.keras", truncate("model.keras")),
    "truncated h5": Bad(
        "damaged or truncated HDF5",
        "cut.h5",
        lambda: Path("cut.h5").write_bytes(
            (SAMPLES / "keras-2.15" / "one_unit_state.h5").read_bytes()[:5000]
        ),
    ),
    "empty": Bad("it is empty", "a.keras", Path("a.keras").touch),
    "text": Bad(
        "expected a .keras zip, an HDF5 file", "a.keras", lambda: Path("a.keras").write_text("text")
    ),
    "zip of something else": Bad(
        "expected a .keras file with config.json, received a zip with a.txt",
        "a.keras",
        lambda: zip_of("a.keras", "a.txt", "text"),
    ),
    "config of another kind": Bad(
        "expected a JSON object, received list",
        "a.keras",
        lambda: zip_of("a.keras", "config.json", "[1]"),
    ),
    "without a recurrent layer": Bad(
        "no recurrent layer; it has head (Dense), flat (Flatten)", "dense.h5", without_recurrence
    ),
}

BAD_TRACES = {
    "missing input file": Bad("none.npy: no such file", f"{GIVEN} none.npy"),
    "folder as input": Bad("received a folder", f"{GIVEN} ."),
    "text as input": Bad(
        "expected a .npy or .npz file of numbers",
        f"{GIVEN} x.txt",
        lambda: Path("x.txt").write_text("1,2,3"),
    ),
    "truncated input": Bad(
        "expected a .npy or .npz file of numbers",
        f"{GIVEN} x.npy",
        truncate("x.npy"),
    ),
    "input that claims more than it holds": Bad(
        "expected a .npy or .npz file of numbers", f"{GIVEN} huge.npy", claim_a_hundred_terabytes
    ),
    "pickled objects": Bad(
        "received pickled objects", f"{GIVEN} bad.npy", save(np.array([{}, None]))
    ),
    "strings": Bad("expected numbers, received an array of <U1", f"{GIVEN} bad.npy", save("a")),
    "complex numbers": Bad("expected numbers", f"{GIVEN} bad.npy", save(np.ones((1, 3, 1), "c8"))),
    "no batch axis": Bad(
        "expected (batch, 3, 1), received (3, 1); add the batch axis",
        f"{GIVEN} bad.npy",
        save(np.ones((3, 1))),
    ),
    "wrong rank": Bad(
        "expected (batch, 3, 1), received (1, 1, 3, 1)",
        f"{GIVEN} bad.npy",
        save(np.ones((1, 1, 3, 1))),
    ),
    "a single number": Bad("expected (batch, 3, 1), received ()", f"{GIVEN} bad.npy", save(1.0)),
    "wrong features": Bad(
        "expected (batch, 3, 1), received (2, 3, 5)",
        f"{GIVEN} bad.npy",
        save(np.ones((2, 3, 5))),
    ),
    "wrong timesteps": Bad(
        "expected (batch, 3, 1), received (2, 4, 1)",
        f"{GIVEN} bad.npy",
        save(np.ones((2, 4, 1))),
    ),
    "no timesteps": Bad(
        "expected (batch, timesteps, 4), received (1, 0, 4); it is empty",
        f"{ENCODER_DECODER} --layer encoder --input bad.npy",
        save(np.ones((1, 0, 4))),
    ),
    "no sequences": Bad(
        "expected (batch, 3, 1), received (0, 3, 1); it is empty",
        f"{GIVEN} bad.npy",
        save(np.ones((0, 3, 1))),
    ),
    "wrong batch": Bad(
        "expected 2 samples, the batch size of this stateful model, received 3",
        f"trace {SAMPLES}/eight_units_stateful.keras --out states.npz --input bad.npy",
        save(np.ones((3, 5, 1))),
    ),
    "batches that differ": Bad(
        "the same batch size for all, received encoder_input 3, decoder_input 2",
        f"{ENCODER_DECODER} --input encoder_input={ENCODER_INPUT} --input decoder_input=bad.npy",
        save(np.ones((2, 5, 3))),
    ),
    "one of two inputs": Bad(
        "input decoder_input: missing; the model takes encoder_input (batch, timesteps, 4)",
        f"{ENCODER_DECODER} --input encoder_input={ENCODER_INPUT}",
    ),
    "one array for two inputs": Bad(
        "expected one array by name for each of encoder_input, decoder_input",
        f"{ENCODER_DECODER} --input {ENCODER_INPUT}",
    ),
    "two arrays without a name": Bad("NAME=FILE", f"{GIVEN} x.npy --input x.npy"),
    "one input twice": Bad("given twice", f"{GIVEN} input=x.npy --input input=x.npy"),
    "unknown input": Bad(
        "input y: the model has no input of that name; it takes input (batch, 3, 1)",
        f"{GIVEN} y=x.npy",
    ),
    "unknown signal": Bad(
        "signal q: unknown; there are h, c, i, f, g, o", f"{GIVEN} x.npy --record h,q"
    ),
    "signal of another cell than the model has": Bad("signal z", f"{GIVEN} x.npy --record z"),
    "no signal": Bad("there are h, c, i, f, g, o", f"{GIVEN} x.npy --record ,"),
    "unknown layer": Bad(
        "layer gru*: matches no recurrent layer; there are lstm", f"{GIVEN} x.npy --layer gru*"
    ),
    "out in a missing folder": Bad(
        "the folder nowhere does not exist", "trace model.keras --input x.npy --out nowhere/s.npz"
    ),
    "out is a folder": Bad(
        "received a folder",
        "trace model.keras --input x.npy --out some",
        lambda: Path("some").mkdir(),
    ),
    "out is the model": Bad(
        "the result would overwrite an input", "trace model.keras --input x.npy --out model.keras"
    ),
    "out is the input": Bad(
        "the result would overwrite an input", "trace model.keras --input x.npy --out x.npy"
    ),
    "out is a named input": Bad(
        "the result would overwrite an input", "trace model.keras --input input=x.npy --out x.npy"
    ),
    "out is a link to the model": Bad(
        "the result would overwrite an input",
        "trace model.keras --input x.npy --out link.npz",
        lambda: Path("link.npz").symlink_to("model.keras"),
    ),
    "out is some other file": Bad(
        "exists and would be overwritten; choose another name, or replace the file with --force",
        f"{GIVEN} x.npy",
        lambda: Path("states.npz").write_text("notes"),
    ),
    "out is an npz of somebody's own": Bad(
        "exists and would be overwritten; choose another name, or",
        f"{GIVEN} x.npy",
        lambda: np.savez("states.npz", a=np.ones(3)),
    ),
}

BAD = {
    **{
        f"{command}: {name}": bad._replace(arguments=f"{command} {bad.arguments}{rest}")
        for name, bad in BAD_MODELS.items()
        for command, rest in (
            ("shapes", ""),
            ("weights", " --out weights.npz"),
            ("trace", " --input x.npy --out states.npz"),
        )
    },
    **BAD_TRACES,
    "weights: unknown layer": Bad(
        "layer gru*: matches no recurrent layer; there are lstm",
        "weights model.keras --out weights.npz --layer gru*",
    ),
    "weights: out is the model": Bad(
        "the result would overwrite an input", "weights model.keras --out model.keras --force"
    ),
    "weights: out in a missing folder": Bad(
        "the folder nowhere does not exist", "weights model.keras --out nowhere/w.npz"
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_cannot_work_is_one_line_on_stderr_and_nothing_on_disk(folder: Path, bad: Bad) -> None:
    bad.prepare()
    before = contents(folder)
    result = run(*bad.arguments.split())
    assert result.exit_code == 2
    assert re.fullmatch(rf"error: .*{re.escape(bad.says)}.*\n", result.stderr)
    assert result.stdout == ""
    assert contents(folder) == before


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_out_is_refused_where_something_else_than_a_file_stands(
    folder: Path, force: list[str]
) -> None:
    """A pipe or a device must not be replaced, nor read: it may never end."""
    os.mkfifo("pipe")
    command = ["trace", "model.keras", "--input", "x.npy", "--out", "pipe", *force]
    done = subprocess.run(
        [sys.executable, "-m", "lstm_inspect", *command],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        timeout=10,
    )
    assert (done.returncode, Path("pipe").is_fifo()) == (2, True)


def test_force_does_not_replace_a_shard_that_was_just_read(folder: Path) -> None:
    arrays = lstm_weights("lstm", 1, 1).values()
    with h5py.File(folder / "m_0.weights.h5", "w") as file:
        for number, array in enumerate(arrays):
            file.create_dataset(f"layers/lstm/cell/vars/{number}", data=array)
    index = {"weight_map": {"/layers/lstm/cell/vars": "m_0.weights.h5"}}
    Path("m.weights.json").write_text(json.dumps(index))
    before = contents(folder)
    result = trace(
        "--input", "x.npy", "--config", "model.keras", "--force",
        model="m.weights.json", out="m_0.weights.h5",
    )  # fmt: skip
    assert (result.exit_code, contents(folder)) == (2, before)
    assert "the result would overwrite an input" in result.stderr


def test_too_little_memory_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("lstm_inspect.sources.open_model", fail)
    result = run("shapes", "model.keras")
    assert (result.exit_code, result.stderr) == (2, "error: there is not enough memory\n")


def lossy(path: Path) -> Path:
    """A whole LSTM, and a Bidirectional of which one array was written over another."""
    both = layer("Bidirectional", "bi", layer=lstm("inner", 3, return_sequences=True))
    config = sequential(input_layer("x", 3, 2), both, lstm("whole", 1))
    arrays = {f"bi/{name}": random(2, 12) for name in ("kernel", "recurrent_kernel", "bias")}
    write_h5(path, config, {"bi": arrays, "whole": lstm_weights("whole", 6, 1)})
    with h5py.File(path, "r+") as file:
        file["model_weights/bi"].attrs["weight_names"] = [*arrays, *arrays]
    return path


LACKS = "bi (Bidirectional): 3 units; the file holds 3 of its 6 arrays"


@pytest.mark.parametrize(
    "command",
    [
        "shapes m.h5",
        "shapes m.h5 --format json",
        "contract m.h5",
        "check m.h5 --expect whole.units=1",
        "diff m.h5 m.h5",
        "weights m.h5 --out w.npz",
        "trace m.h5 --input x.npy --out s.npz",
        "verify m.h5 --input x.npy",
    ],
)
def test_a_layer_that_the_file_lacks_arrays_of_is_named(command: str, folder: Path) -> None:
    lossy(folder / "m.h5")
    np.save("x.npy", random(1, 3, 2))
    result = run(*command.split())
    assert result.exit_code == 2
    assert LACKS in result.stderr


def test_shapes_shows_what_there_is_if_no_recurrent_layer_is_whole(folder: Path) -> None:
    config = sequential(input_layer("x", 3, 2), lstm("lstm", 4))
    write_h5(folder / "m.h5", config, {"lstm": {}})
    result = run("shapes", "m.h5")
    line = "lstm (LSTM): 4 units; the file holds 0 of its 3 arrays"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"error: m.h5: {line}\n")
    assert json.loads(run("shapes", "m.h5", "--format", "json").stdout)["incomplete"] == [
        "lstm (LSTM)"
    ]


def test_record_may_be_repeated(folder: Path) -> None:
    assert trace("--input", "x.npy", "--record", "h", "--record", "c,i").exit_code == 0
    with np.load("states.npz") as dump:
        assert set(dump.files) == {"lstm/h", "lstm/c", "lstm/i", "__meta__"}


@pytest.mark.parametrize("command", ["trace model.keras --input x.npy", "weights model.keras"])
@pytest.mark.parametrize("out", ["-", "states.csv", "states.pkl", "./-"])
def test_a_result_of_another_suffix_is_refused(out: str, command: str, folder: Path) -> None:
    before = contents(folder)
    result = run(*command.split(), "--out", out)
    assert (result.exit_code, contents(folder)) == (2, before)
    assert result.stderr.endswith(
        ": expected a name ending in .npz or .h5 or .zarr for the result\n"
    )


def test_a_model_without_a_command_says_which_word_is_missing(folder: Path) -> None:
    result = run("model.keras")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "error: Expected a command in front of model.keras, such as: shapes model.keras;"
    )


def test_an_input_without_its_option_says_which_word_is_missing(folder: Path) -> None:
    result = run("trace", "model.keras", "x.npy", "--out", "s.npz")
    assert result.exit_code == 2
    assert "(x.npy) An input is given with --input." in result.stderr


def test_input_and_out_have_short_names(folder: Path) -> None:
    assert run("trace", "model.keras", "-i", "x.npy", "-o", "s.npz").exit_code == 0
    assert Path("s.npz").exists()


# --- a model on standard input


def piped(data: bytes, *arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, input=data, catch_exceptions=False)


@pytest.mark.parametrize(
    "command",
    [
        "shapes {}",
        "shapes {} --json",
        "contract {}",
        "check {} --expect lstm.units=2 --json",
        "check encoder.keras --same-states-as {} --json",
        "diff {} other.keras --json",
        "diff other.keras {} --json",
        "trace {} --input x.npy --out s.npz --json",
        "weights {} --out w.npz --json",
    ],
)
def test_a_model_on_standard_input_is_read_as_its_file_is(folder: Path, command: str) -> None:
    shutil.copy(SAMPLES / "stacked.keras", "other.keras")
    shutil.copy(SAMPLES / "encoder_decoder.keras", "encoder.keras")
    data = Path("model.keras").read_bytes()
    named = run(*command.format("model.keras").split())
    result = piped(data, *command.format("-").split())
    assert (result.exit_code, result.stderr) == (named.exit_code, named.stderr)
    assert result.stdout == named.stdout.replace("model.keras", "stdin")


@pytest.mark.parametrize(
    ("data", "command", "says"),
    [
        (b"", "shapes -", "stdin: expected a model, received nothing"),
        (b"text", "shapes -", "stdin: expected a .keras zip, an HDF5 file or a checkpoint"),
        (b'{"weight_map": {"a": "x.h5"}}', "shapes -", "JSON, which names other files; pass its"),
        (b"ab" * 600, "shapes - --limit file_bytes=1kB", "stdin: 1200 is more than the limit"),
        (b"", "diff - -", "Standard input (-) is given twice; it can be read once."),
        (b"", "trace - --input - --out s.npz", "Standard input (-) is given twice"),
        (b"", "trace - --input x=- --out s.npz", "Standard input (-) is given twice"),
        (b"", "trace - --feed x=- --out s.npz", "only a MODEL or an --input can be on standard"),
        (
            b"",
            "trace model.keras --input - --out s.npz",
            "expected a .npy file of numbers, received",
        ),
        (b"text", "trace model.keras --input - --out s.npz", "received text; save it with"),
    ],
)
def test_what_is_wrong_on_standard_input_is_one_line(
    folder: Path, data: bytes, command: str, says: str
) -> None:
    if "twice" in says:
        data = Path("model.keras").read_bytes()
    result = piped(data, *command.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(rf"error: .*{re.escape(says)}.*\n", result.stderr)


@pytest.mark.parametrize("name", ["", "input="])
def test_an_input_may_be_on_standard_input(folder: Path, name: str) -> None:
    data = Path("x.npy").read_bytes()
    result = piped(data, "trace", "model.keras", "--input", f"{name}-", "--out", "piped.npz")
    assert (result.exit_code, result.stderr) == (0, "")
    assert trace().exit_code == 0
    piped_h, h = (lstm_inspect.load_trace(path)["lstm"].h for path in ("piped.npz", "states.npz"))
    np.testing.assert_array_equal(piped_h, h)


def test_weights_in_shards_on_standard_input_name_no_file_of_the_current_folder(
    folder: Path,
) -> None:
    with h5py.File("m_0.weights.h5", "w") as file:
        file.create_dataset("layers/lstm/cell/vars/0", data=random(1, 4))
    index = {"weight_map": {"/layers/lstm/cell/vars": "m_0.weights.h5"}}
    result = piped(json.dumps(index).encode(), "shapes", "-")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_closed_standard_input_is_one_line() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m lstm_inspect shapes - <&-"], capture_output=True
    )
    says = b"error: stdin: expected a model, but standard input is closed\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", says)


# --- several models


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder of models of every kind, and what is no whole model."""
    models = tmp_path / "models"
    for name in ("b.keras", "sub/A.KERAS", "sub/deep/c.hdf5", ".hidden.keras", ".git/d.keras"):
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / "one_unit_sequences.keras", models / name)
    shutil.copy(SAMPLES / "keras-2.15" / "one_unit_state.h5", models / "a.h5")
    shutil.copy(FIXTURES / "keras-2.15" / "lstm.weights.h5", models / "w.weights.h5")
    shutil.copytree(FIXTURES / "keras-2.15" / "lstm.saved_model", models / "saved")
    shutil.copy(SAMPLES / "one_unit_sequences.keras", models / "saved" / "assets.keras")
    (models / "notes.txt").write_text("notes")
    monkeypatch.chdir(tmp_path)
    return models


IN_FOLDER = [
    f"models/{name}" for name in ("a.h5", "b.keras", "saved", "sub/A.KERAS", "sub/deep/c.hdf5")
]


def paths_of(*arguments: str) -> list[str]:
    result = run("shapes", *arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return [row["path"] for row in json.loads(result.stdout)["models"]]


def test_several_models_are_shown_one_after_the_other_under_their_paths(several: Path) -> None:
    one, other = "models/b.keras", "models/a.h5"
    alone = [run("shapes", each).stdout for each in (one, other)]
    result = run("shapes", one, other)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{one}\n\n{alone[0]}\n{other}\n\n{alone[1]}"


def test_several_models_as_json_are_what_each_prints_alone(several: Path) -> None:
    one, other = "models/b.keras", "models/a.h5"
    options = ["--gates", "--batch", "2", "--json"]
    printed = json.loads(run("shapes", one, other, *options).stdout)
    alone = [json.loads(run("shapes", each, *options).stdout) for each in (one, other)]
    assert printed["models"] == [
        {"path": one, "shapes": alone[0]},
        {"path": other, "shapes": alone[1]},
    ]


def test_a_folder_stands_for_the_whole_models_in_it(several: Path) -> None:
    assert paths_of("models") == IN_FOLDER
    assert paths_of("models/sub", "models/a.h5") == [*IN_FOLDER[3:], IN_FOLDER[0]]


def test_a_folder_that_is_a_model_is_that_model(several: Path) -> None:
    assert json.loads(run("shapes", "models/saved", "--json").stdout)["schema"] == 2
    Path("cp").mkdir()
    for file in (FIXTURES / "tensorflow-1").glob("gru.ckpt.*"):
        shutil.copy(file, "cp")
    assert json.loads(run("shapes", "cp", "--json").stdout)["file"]["format"] == "checkpoint"


def test_a_folder_of_one_model_is_printed_as_a_folder_of_many(several: Path) -> None:
    assert paths_of("models/sub/deep") == ["models/sub/deep/c.hdf5"]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("models/[ab].*", IN_FOLDER[:2]),
        ("models/**/*.[kK]*", [IN_FOLDER[1], "models/saved/assets.keras", IN_FOLDER[3]]),
        ("models/s*", IN_FOLDER[2:]),
    ],
)
def test_a_pattern_stands_for_what_it_matches(
    several: Path, pattern: str, paths: list[str]
) -> None:
    assert paths_of(pattern) == paths
    assert paths_of(str(several.parent / pattern)) == [str(several.parent / each) for each in paths]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(several: Path) -> None:
    shutil.copy("models/b.keras", "b[1].keras")
    assert json.loads(run("shapes", "b[1].keras", "--json").stdout)["file"]["name"] == "b[1].keras"


def test_a_list_has_a_path_on_each_line(several: Path) -> None:
    listed = "models/b.keras\r\n\nmodels/s*\n"
    Path("list.txt").write_bytes(listed.encode())
    expected = [IN_FOLDER[1], *IN_FOLDER[2:]]
    assert paths_of("--files-from", "list.txt") == expected
    assert paths_of("models/a.h5", "--files-from", "list.txt") == [IN_FOLDER[0], *expected]
    sent = piped(listed.encode(), "shapes", "--files-from", "-", "--json")
    assert [row["path"] for row in json.loads(sent.stdout)["models"]] == expected


def test_one_model_that_cannot_be_read_does_not_hide_the_others(several: Path) -> None:
    Path("bad.h5").write_text("text")
    arguments = ["shapes", "bad.h5", "models/b.keras", "none.keras"]
    table = run(*arguments)
    assert table.exit_code == 2
    assert table.stdout == f"models/b.keras\n\n{run('shapes', 'models/b.keras').stdout}"
    bad, none = table.stderr.splitlines()
    assert bad.startswith("error: bad.h5: expected a .keras zip")
    assert none == "error: none.keras: no such file"
    printed = run(*arguments, "--json")
    assert (printed.exit_code, printed.stderr) == (2, table.stderr)
    rows = json.loads(printed.stdout)["models"]
    assert [sorted(row) for row in rows] == [
        ["error", "path"],
        ["path", "shapes"],
        ["error", "path"],
    ]
    assert rows[2]["error"] == "none.keras: no such file"


def test_the_error_of_one_of_several_models_names_it(several: Path) -> None:
    result = run("shapes", "models/b.keras", "models/a.h5", "--timesteps", "9")
    lines = result.stderr.splitlines()
    assert [line.partition(": timesteps")[0] for line in lines] == [
        "error: models/b.keras",
        "error: models/a.h5",
    ]


def test_one_of_several_models_that_lacks_arrays_is_shown_and_named(folder: Path) -> None:
    lossy(folder / "m.h5")
    result = run("shapes", "m.h5", "model.keras")
    assert (result.exit_code, result.stderr) == (2, f"error: m.h5: {LACKS}\n")
    assert "\nmodel.keras\n" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "Missing argument 'MODEL...'."),
        ("empty", "empty: expected a model or a folder of models, received a folder that holds no"),
        (
            "models/*.onnx",
            "models/*.onnx: expected a file that matches this pattern, received none",
        ),
        ("--files-from blank", "blank: expected one path a line, received none"),
        ("--files-from nul", "nul: expected one path a line, received NUL between them; use find"),
        ("--files-from none.txt", "No such file or directory: none.txt"),
        ("- --files-from -", "Standard input (-) is given twice"),
    ],
)
@pytest.mark.parametrize("command", ["shapes", "check --expect parameters=1"])
def test_arguments_that_stand_for_no_model_are_one_line(
    several: Path, command: str, arguments: str, says: str
) -> None:
    Path("empty").mkdir()
    Path("blank").write_text("\n\n")
    Path("nul").write_bytes(b"models/a.h5\0models/b.keras\0")
    sent = b"models/a.h5\n"
    result = piped(sent, *command.split(), *arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(rf"error: {re.escape(says)}.*\n", result.stderr)


def test_check_takes_folders_patterns_and_lists(several: Path) -> None:
    Path("contract.json").write_text('{"layers": [{"path": "*", "cell": "lstm"}]}')
    for arguments in (["models"], ["models/*.h5", "models/s*"], ["--files-from", "list.txt"]):
        Path("list.txt").write_text("\n".join(IN_FOLDER))
        result = run("check", *arguments, "contract.json", "--json")
        assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["files"] == IN_FOLDER


# --- options of several commands


@pytest.mark.parametrize(
    "command",
    [
        "shapes model.keras",
        "weights model.keras --out w.npz",
        "trace model.keras --input x.npy --out s.npz",
        "check model.keras --expect lstm.units=2",
        "diff model.keras model.keras",
    ],
)
def test_json_is_short_for_format_json(folder: Path, command: str) -> None:
    short, long = run(*command.split(), "--json"), run(*command.split(), "--format", "json")
    assert short.stdout.startswith("{")
    assert (short.exit_code, short.stdout) == (long.exit_code, long.stdout)


def test_of_json_and_format_the_last_one_counts(folder: Path) -> None:
    assert run("shapes", "model.keras", "--json", "--format", "table").stdout.startswith("layer")
    assert run("shapes", "model.keras", "--format", "table", "--json").stdout.startswith("{")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, command in cli.commands.items()
        if any(option.name == "format_" for option in command.params)
    ],
)
def test_every_command_with_a_format_has_json(name: str) -> None:
    assert "--json" in run(name, "--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        "--debug shapes none.keras",
        "shapes --debug none.keras",
        "shapes none.keras --debug",
        "--debug shapes none.keras --debug",
        "check none.keras --expect parameters=1 --debug",
    ],
)
def test_debug_shows_where_an_error_comes_from(folder: Path, arguments: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback")
    assert result.stderr.count("\nerror: none.keras: no such file\n") == 1
    without = run(*[each for each in arguments.split() if each != "--debug"])
    assert without.stderr == "error: none.keras: no such file\n"


def test_exit_zero_reports_what_differs_and_lets_the_job_go_on(folder: Path) -> None:
    shutil.copy(SAMPLES / "stacked.keras", "other.keras")
    for command in ("check model.keras --expect lstm.units=2", "diff model.keras other.keras"):
        found = run(*command.split())
        passed = run(*command.split(), "--exit-zero")
        assert (found.exit_code, passed.exit_code) == (1, 0)
        assert passed.stdout == found.stdout


@pytest.mark.parametrize("command", ["check none.keras --expect parameters=1", "diff none.keras x"])
def test_an_error_is_one_with_exit_zero_too(folder: Path, command: str) -> None:
    assert run(*command.split(), "--exit-zero").exit_code == 2


def test_verify_has_exit_zero(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Keras: a verification that differs takes its place."""
    differs = Comparison("lstm", "h", 1.0, 1.0, tolerance=1e-4, place=(0, 0, 0))
    found = Verification(comparisons=(differs,), skipped={"the whole model": "no Keras"})
    lacking = Verification(comparisons=(differs,), skipped={"gru": "no Keras"})
    command = ["verify", "model.keras", "--input", "x.npy"]
    for result, statuses in ((found, (1, 0)), (lacking, (1, 2))):
        monkeypatch.setattr("lstm_inspect.api.verify", lambda *_, result=result, **__: result)
        for options, status in zip(([], ["--exit-zero"]), statuses, strict=True):
            done = run(*command, *options)
            assert done.exit_code == status
            assert "differs" in done.stdout


# --- limits


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [("1kB", 1000), ("1KiB", 1024), ("2 kib", 2048), ("1MB", 10**6), ("1234", 1234)],
)
def test_a_limit_takes_a_size_with_a_unit(folder: Path, given: str, bytes_: int) -> None:
    np.save("x.npy", np.zeros(bytes_ - 128, np.int8))
    fits = trace("--input", "x.npy", "--limit", f"input_bytes={given}")
    assert "more than the limit" not in fits.stderr
    np.save("x.npy", np.zeros(bytes_ - 127, np.int8))
    refused = trace("--input", "x.npy", "--limit", f"input_bytes={given}")
    assert f"{bytes_ + 1} is more than the limit input_bytes={bytes_};" in refused.stderr


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("file_bytes=4Gigs", "file_bytes: expected a size such as 4GiB, 4GB, 500MB or 4000000000"),
        ("file_bytes=60s", "file_bytes: expected a size such as 4GiB"),
        ("file_bytes=-1", "received -1."),
        ("file_bytes=1.5GiB", "received 1.5GiB."),
        ("file_bytes=" + "9" * 5000, "file_bytes: expected a size"),
        ("file_bytes", "received nothing."),
        ("keras_seconds=1GB", "keras_seconds: expected a time such as 60s, 10min or 60"),
        ("json_depth=1kB", "json_depth: expected a whole number, received 1kB."),
        ("fil_bytes=4GiB", "similar limits: file_bytes"),
    ],
)
def test_a_limit_that_cannot_be_read_says_which_forms_it_takes(
    folder: Path, given: str, says: str
) -> None:
    result = run("shapes", "model.keras", "--limit", given)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(
        rf"error: Invalid value for --limit: .*{re.escape(says)}.*\n", result.stderr
    )


@pytest.mark.parametrize("given", ["60", "60s", "1min", "1h"])
def test_a_limit_on_time_takes_a_unit(folder: Path, given: str) -> None:
    assert run("shapes", "model.keras", "--limit", f"parser_seconds={given}").exit_code == 0
