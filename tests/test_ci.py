"""Runs the commands and files of docs/ci.md in a scratch folder, as the document prints them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import SAMPLES, input_layer, lstm, lstm_weights, sequential, write_h5

ROOT = Path(__file__).parents[1]
CI = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
    (line,) = re.findall(rf"^    (.*_LSTM_INSPECT_COMPLETE={name}_source.*)$", README, re.MULTILINE)
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
