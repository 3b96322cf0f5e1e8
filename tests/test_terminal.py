"""Tests what a terminal shows: tables of its width, and colors.

The commands run in a terminal of their own (a pty), and their tables are compared with
`golden/NAME.txt`, as in `test_cli`.
"""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console, RenderableType

import lstm_inspect
from lstm_inspect.checks.comparison import Comparison
from lstm_inspect.checks.verification import WHOLE_MODEL, Verification
from lstm_inspect.cli import cli
from lstm_inspect.views.tables import (
    calls_table,
    gates_table,
    shapes_view,
    verification_view,
)
from tests.conftest import FIXTURES, SAMPLES
from tests.test_cli import assert_golden

ROOT = Path(__file__).parents[1]
WIDTHS = (60, 80, 120)


def on_terminal(width: int, *arguments: str, **environment: str) -> str:
    """What a terminal of a width shows of a command, in which both streams end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_inspect", *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = bytearray()
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux ends a terminal that nobody writes to any more with an error
        pass
    os.close(ours)
    process.wait()
    return shown.decode().replace("\r\n", "\n")


def at_width(view: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# --- widths


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("name", "file", "options"),
    [
        ("shapes", "sample_models/encoder_decoder.keras", ["--all"]),
        ("shapes_gates", "sample_models/one_unit_state.keras", ["--gates"]),
        ("shapes_weights", "tests/fixtures/keras-2.15/lstm.weights.h5", []),
    ],
)
def test_a_terminal_shows_tables_of_its_width(
    name: str, file: str, options: list[str], width: int
) -> None:
    shown = on_terminal(width, "shapes", str(ROOT / file), *options, NO_COLOR="1")
    assert shown.splitlines()[0].strip()
    assert max(map(len, shown.splitlines())) <= width
    assert_golden(f"terminal_{name}_{width}", shown)


def comparison(path: str, what: str, place: tuple[int, ...], difference: float) -> Comparison:
    return Comparison(
        path=path,
        what=what,
        absolute=difference,
        relative=difference / 2,
        tolerance=1e-4,
        place=place,
    )


VERIFICATION = Verification(
    comparisons=(
        comparison("encoder/lstm", "h", (0, 12, 104), 4.2e-07),
        comparison("encoder/lstm", "last h", (1, 104), 0.0025),
        comparison("encoder/lstm", "last c", (1, 104), 3.9e-07),
    ),
    skipped={
        WHOLE_MODEL: "tf_keras: cannot load it: Unknown layer: 'Attend'. Please ensure you are "
        "using a `keras.utils.custom_object_scope` and that this object is included in the scope.",
        "behind": "attend (Attend) cannot be run",
    },
)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_verification_is_laid_out_for_the_width(width: int) -> None:
    assert_golden(f"terminal_verify_{width}", at_width(verification_view(VERIFICATION), width))


MODELS = [
    SAMPLES / "bidirectional_masking.keras",
    SAMPLES / "stacked.keras",
    FIXTURES / "keras-2.15" / "conv_lstm_2d.keras",
    FIXTURES / "keras-2.15" / "cudnn.h5",
    FIXTURES / "keras-2.15" / "bidirectional.weights.h5",
]

UNBROKEN = re.compile(r"\([^()\n]*\)|\[[^\[\]\n]*\]|[\w./#:=*'-]+")
"""A shape, a place in an array, a word or a number."""


@pytest.mark.usefixtures("parsed_here")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
@pytest.mark.parametrize("width", range(60, 150, 15))
def test_no_width_breaks_a_word_or_a_shape_of_a_table(path: Path, width: int) -> None:
    shapes = lstm_inspect.model_shapes(lstm_inspect.open_model(path))
    for table in (shapes_view(shapes).renderables[0], calls_table(shapes), gates_table(shapes)):
        whole, shown = at_width(table, 10_000), at_width(table, width)
        assert max(map(len, shown.splitlines())) <= width
        titles = whole.splitlines()[0]
        words = set(UNBROKEN.findall(whole.removeprefix(titles)))
        assert words <= set(UNBROKEN.findall(shown))


def test_a_word_that_is_wider_than_the_terminal_folds() -> None:
    long = Verification(comparisons=(), skipped={"lstm" * 50: "why"})
    shown = at_width(verification_view(long), 60)
    assert max(map(len, shown.splitlines())) <= 60
    assert "".join(re.findall("[lstm]{8,}", shown)) == "lstm" * 50


# --- colors


MISSING = ("shapes", "none.keras")
FINDING = ("check", str(SAMPLES / "stacked.keras"), "--expect", "lstm.units=3")
RED = "\x1b[31m"


@pytest.mark.slow
def test_a_terminal_shows_errors_and_findings_in_color() -> None:
    assert on_terminal(80, *MISSING) == f"{RED}error:\x1b[0m none.keras: no such file\n"
    assert f"{RED}lstm: units: expected 3, found 100\x1b[0m" in on_terminal(200, *FINDING)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [MISSING, FINDING], ids=["error", "finding"])
def test_no_color_is_shown_where_none_is_wanted(arguments: tuple[str, ...]) -> None:
    assert "\x1b" not in on_terminal(80, *arguments, NO_COLOR="1", FORCE_COLOR="1")
    assert "\x1b" not in on_terminal(80, *arguments, TERM="dumb")
    result = CliRunner().invoke(cli, arguments)
    assert "\x1b" not in result.output


def test_forced_color_is_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    def piped(*arguments: str) -> str:
        return CliRunner().invoke(cli, arguments, color=True).output

    assert piped(*MISSING).startswith(f"{RED}error:\x1b[0m ")
    assert RED in piped(*FINDING)
    assert "\x1b[1m" in piped("shapes", FINDING[1])
    assert "\x1b" not in piped(*FINDING, "--format", "json")


def test_a_terminal_holds_no_model() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "lstm_inspect", "shapes", "-"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=60,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert done.stderr.startswith("error: stdin: expected a model, received a terminal;")
