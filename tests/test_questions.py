"""Runs every command of docs/questions.md; UPDATE_GOLDEN=1 writes what they print."""

import doctest
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from lstm_inspect.cli import cli

ROOT = Path(__file__).parents[1]
QUESTIONS = ROOT / "docs" / "questions.md"
BLOCK = re.compile(r"```(console|pycon)\n(.*?)```", re.DOTALL)


def printed(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "lstm-inspect"
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code in (0, 1), result.stderr
    lines = [line.rstrip() for line in (result.stdout + result.stderr).splitlines()]
    # The time that a replay takes is not part of the answer.
    return re.sub(r" in \d+\.\d\d s", " in 0.01 s", "\n".join(lines).strip("\n")) + "\n"


def run(block: str) -> str:
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"{command}\n{printed(command[2:])}" for command in commands)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sample_models", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def test_every_command_prints_what_the_answer_shows() -> None:
    text = QUESTIONS.read_text(encoding="utf-8")
    examples = doctest.DocTestParser()
    names: dict[str, object] = {}

    def answered(match: re.Match[str]) -> str:
        kind, block = match.groups()
        if kind == "console":
            return f"```console\n{run(block)}```"
        test = examples.get_doctest(block, names, "questions", str(QUESTIONS), 0)
        assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
        names.update(test.globs)
        return match[0]

    answers = BLOCK.sub(answered, text)
    if os.environ.get("UPDATE_GOLDEN"):
        QUESTIONS.write_text(answers, encoding="utf-8")
    assert answers == QUESTIONS.read_text(encoding="utf-8")


def test_every_question_has_a_command() -> None:
    _, *questions = QUESTIONS.read_text(encoding="utf-8").split("\n## ")
    assert len(questions) == 8
    for question in questions:
        assert "```console\n$ lstm-inspect " in question, question.splitlines()[0]
