"""Runs the commands and files of docs/ci.md in a scratch folder, as the document prints them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.shell_completion import get_completion_class

from lstm_inspect.cli import bash_words, cli
from tests.conftest import SAMPLES, input_layer, lstm, lstm_weights, sequential, write_h5

ROOT = Path(__file__).parents[1]
CI = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a document, in one language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder that holds a model, and the tool in ``bin``."""
    shutil.copy(SAMPLES / "encoder_decoder.keras", tmp_path / "model.keras")
    tool = tmp_path / "bin" / "lstm-inspect"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lstm_inspect "$@"\n')
    tool.chmod(0o755)
    return tmp_path


def shell(line: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if "GITHUB" not in name}
    environment = {**inherited, "PATH": path, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        ["bash", "-euc", line], cwd=folder, env=environment, capture_output=True, text=True
    )


def change_model(folder: Path) -> None:
    """Writes another encoder under the same name, with 8 units instead of 6."""
    config = sequential(input_layer("encoder_input", None, 4), lstm("encoder", 8))
    write_h5(folder / "model.keras", config, {"encoder": lstm_weights("encoder", 4, 8)})


def workflow_steps() -> list[dict[str, Any]]:
    (workflow,) = (block for block in blocks(CI, "yaml") if "runs-on" in block)
    steps: list[dict[str, Any]] = yaml.safe_load(workflow)["jobs"]["states"]["steps"]
    return steps


def test_the_commands_of_the_document_work_as_printed(scratch: Path) -> None:
    write, check = blocks(CI, "sh")
    assert shell(write, scratch).returncode == 0
    kept = shell(check, scratch)
    assert (kept.returncode, kept.stdout, kept.stderr) == (0, "1 model as expected\n", "")
    change_model(scratch)
    broken = shell(check, scratch)
    assert broken.returncode == 1
    (printed,) = (block for block in blocks(CI, "") if block.startswith("model.keras: "))
    for line in printed.splitlines():
        assert line == "..." or f"{line}\n" in broken.stdout


def test_the_contract_of_the_document_is_kept(scratch: Path) -> None:
    (toml,) = blocks(CI, "toml")
    (scratch / "contract.toml").write_text(toml)
    assert shell("lstm-inspect check model.keras contract.toml", scratch).returncode == 0
    change_model(scratch)
    broken = shell("lstm-inspect check model.keras contract.toml", scratch)
    assert "model.keras: encoder: units: expected 6, found 8\n" in broken.stdout


def test_the_workflow_passes_and_fails_with_annotations(scratch: Path) -> None:
    shell("lstm-inspect contract model.keras --out contract.json", scratch)
    steps = [step for step in workflow_steps() if "run" in step]
    install, check, report = (step["run"] for step in steps)
    assert install.startswith("pip install lstm-inspect")
    summary = scratch / "summary.md"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    assert shell(check, scratch, **github).returncode == 0
    change_model(scratch)
    broken = shell(check, scratch, **github)
    assert broken.returncode == 1
    expected = "title=lstm-inspect check::encoder: units: expected 6, found 8\n"
    assert f"::error file=model.keras,{expected}" in broken.stdout
    assert "| model.keras | encoder | units | 6 | 8 |\n" in summary.read_text()
    assert shell(report, scratch, **github).returncode == 1
    assert '"version": "2.1.0"' in (scratch / "states.sarif").read_text()


def test_the_hook_holds_what_is_committed_to_the_contract(scratch: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    (config,) = (block for block in blocks(CI, "yaml") if "hooks:" in block)
    (used,) = yaml.safe_load(config)["repos"][0]["hooks"]
    assert used["id"] == hook["id"]
    shell("lstm-inspect contract model.keras --out contract.json", scratch)
    names = ("model.keras", "a/model.h5", "x.npy", "contract.json")
    told = [name for name in names if re.search(hook["files"], name)]
    assert told == ["model.keras", "a/model.h5", "contract.json"]
    assert hook["pass_filenames"] is False
    line = " ".join([hook["entry"], *used["args"]])
    assert shell(line, scratch).returncode == 0
    change_model(scratch)
    assert shell(line, scratch).returncode == 1


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_options(scratch: Path, name: str) -> None:
    told = shell("lstm-inspect --help", scratch).stdout
    (line,) = re.findall(rf"^ *{name}  (.*_LSTM_INSPECT_COMPLETE={name}_source.*)$", told, re.M)
    script = shell(re.sub(r"^.*(_LSTM_INSPECT_COMPLETE=\S+ lstm-inspect).*$", r"\1", line), scratch)
    assert (script.returncode, script.stderr) == (0, "")
    assert "_LSTM_INSPECT_COMPLETE" in script.stdout

    def completions(words: str, at: int) -> str:
        # fish passes the word at the cursor; bash passes its number.
        current = words.split()[at] if name == "fish" and at < len(words.split()) else str(at)
        given = {"COMP_WORDS": words, "COMP_CWORD": current if name == "fish" else str(at)}
        return shell(
            "lstm-inspect", scratch, _LSTM_INSPECT_COMPLETE=f"{name}_complete", **given
        ).stdout

    assert "shapes" in completions("lstm-inspect sh", 1)
    assert "--same-states-as" in completions("lstm-inspect check --sa", 2)


def test_bash_completes_in_a_shell(scratch: Path) -> None:
    script = """
    source <(_LSTM_INSPECT_COMPLETE=bash_source lstm-inspect)
    COMP_WORDS=(lstm-inspect ver) COMP_CWORD=1
    _lstm_inspect_completion lstm-inspect
    echo "${COMPREPLY[@]}"
    """
    assert shell(script, scratch).stdout == "verify\n"


Complete = Callable[..., list[str]]


@pytest.fixture
def bash(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Complete:
    """Returns what bash is told for a line whose words, as bash splits it, end at the cursor."""
    monkeypatch.chdir(scratch)
    bash_words.register()
    shell_class = get_completion_class("bash")
    assert shell_class is not None

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", "\n".join(("lstm-inspect", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        told = shell_class(cli, {}, "lstm-inspect", "_LSTM_INSPECT_COMPLETE").complete()
        assert capfd.readouterr() == ("", "")
        return [each.removeprefix("plain,") for each in told.splitlines()]

    return complete


FILES = ["bin/", "model.keras"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--input", ""], ["encoder_input=", "decoder_input=", *FILES]),
        (["-i", "enc"], ["encoder_input="]),
        (["--input", "encoder_input", "="], FILES),
        (["--input", "encoder_input", "=", "bin/l"], ["bin/lstm-inspect"]),
        (["--input", "=", "encoder_input", "=", "m"], ["model.keras"]),
        (["--feed", "de"], ["decoder=", "dense="]),
        (["--feed", "dense", "=", "mod"], ["model.keras"]),
        (["--feed", "dense", "=", "m", "--layer", "d"], ["decoder"]),
        (["--layer", ""], ["encoder", "decoder"]),
        (["--layer", "x"], []),
        (["--record", "h"], ["h", "h0"]),
        (["--record", "a"], ["all"]),
        (["--record", "c0,h,c,m"], ["c0,h,c,mask"]),
        (["--record", "c0,h,c"], ["c0,h,c"]),
        (["--limit", "json"], ["json_depth=", "json_values="]),
        (["--format", "=", "j"], ["json"]),
        (["--assume", ""], []),
    ],
)
def test_bash_completes_what_the_model_on_the_line_has(
    bash: Complete, words: list[str], expected: list[str]
) -> None:
    assert bash("trace", "model.keras", *words) == expected


def test_completion_names_what_a_model_leaves_open(scratch: Path, bash: Complete) -> None:
    shutil.copy(ROOT / "tests" / "fixtures" / "keras-2.15" / "lstm.weights.h5", scratch)
    line = ["shapes", "lstm.weights.h5", "--assume"]
    assert "*.recurrent_activation=" in bash(*line, "*.")
    assert "lstm_1.go_backwards=" in bash(*line, "lstm_1.")


@pytest.mark.parametrize("option", ["--input", "--feed", "--layer", "--record", "--assume"])
@pytest.mark.parametrize("model", ["none.keras", "text.keras", "large.keras", "model.keras", "-"])
def test_completion_is_silent_about_a_model_that_it_cannot_read(
    scratch: Path, bash: Complete, option: str, model: str
) -> None:
    (scratch / "text.keras").write_text("text")
    (scratch / "large.keras").touch()
    os.truncate(scratch / "large.keras", 1 << 30)
    assert bash("trace", model, option, "zz") == []


def test_completion_behind_a_model_without_a_command_is_silent(bash: Complete) -> None:
    assert bash("model.keras", "--la") == []


def test_bash_puts_no_space_behind_the_name_of_an_input(scratch: Path) -> None:
    script = """
    source <(_LSTM_INSPECT_COMPLETE=bash_source lstm-inspect)
    compopt() { echo "$2"; }
    COMP_WORDS=(lstm-inspect trace model.keras --input enc) COMP_CWORD=4
    _lstm_inspect_completion lstm-inspect
    echo "${COMPREPLY[@]}"
    """
    assert shell(script, scratch).stdout == "nospace\nencoder_input=\n"
