"""Runs the commands of README.md and of some of docs/; UPDATE_GOLDEN=1 writes what they print."""

import doctest
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from lstm_inspect.cli import cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
LOOKING = ROOT / "docs" / "looking.md"
QUESTIONS = ROOT / "docs" / "questions.md"
BLOCK = re.compile(r"```(console|pycon)\n(.*?)```", re.DOTALL)


def printed(command: str) -> str:
    """What the last command of a line prints; the others set up an environment."""
    program, *arguments = shlex.split(command.split(" && ")[-1])
    assert Path(program).name == "lstm-inspect"
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code in (0, 1), result.stderr
    lines = [line.rstrip() for line in (result.stdout + result.stderr).splitlines()]
    # The time that a replay takes is not part of the answer.
    return re.sub(r" in \d+\.\d\d s", " in 0.01 s", "\n".join(lines).strip("\n")) + "\n"


def run(block: str) -> str:
    """The block with what its commands print now, of which a line ``...`` may stand for a part."""
    _, *shown = re.split(r"^(\$ .*\n)", block, flags=re.MULTILINE)
    answers = ""
    for command, answer in zip(shown[::2], shown[1::2], strict=True):
        now = printed(command[2:])
        parts = answer.split("...\n")
        pattern = r"(.*\n)?".join(map(re.escape, parts))
        kept = len(parts) > 1 and re.fullmatch(pattern, now, re.DOTALL)
        answers += command + (answer if kept else now)
    return answers


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sample_models", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize("document", [README, LOOKING, QUESTIONS], ids=lambda path: path.name)
def test_every_command_prints_what_the_document_shows(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    examples = doctest.DocTestParser()
    names: dict[str, object] = {}

    def answered(match: re.Match[str]) -> str:
        kind, block = match.groups()
        if kind == "console":
            return f"```console\n{run(block)}```"
        test = examples.get_doctest(block, names, document.name, str(document), 0)
        assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
        names.update(test.globs)
        return match[0]

    answers = BLOCK.sub(answered, text)
    if os.environ.get("UPDATE_GOLDEN"):
        document.write_text(answers, encoding="utf-8")
    assert answers == document.read_text(encoding="utf-8")


def test_every_question_has_a_command() -> None:
    _, *questions = QUESTIONS.read_text(encoding="utf-8").split("\n## ")
    assert len(questions) == 8
    for question in questions:
        assert "```console\n$ lstm-inspect " in question, question.splitlines()[0]
