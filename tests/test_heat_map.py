"""What `show` draws: heat maps and lines, in colors and in plain text."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lstm_inspect
from lstm_inspect import LayerTrace, Trace
from lstm_inspect.pictures.heat_map import HeatMap
from lstm_inspect.pictures.sparklines import Sparklines
from lstm_inspect.pictures.units_over_time import UnitsOverTime
from tests.conftest import SAMPLES, Array, random
from tests.test_cli import run
from tests.test_state_notes import ordinary, trace_of


def shown(numbers: Array, signal: str = "h", masked: Any = None) -> UnitsOverTime:
    timesteps, units = numbers.shape
    return UnitsOverTime(
        layer="lstm",
        signal=signal,
        sample=0,
        numbers=numbers,
        steps=range(timesteps),
        units=range(units),
        masked=masked,
        is_gate=signal == "f",
    )


def plain(view: Any, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(view)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_signs_and_sizes_are_shades_without_colors() -> None:
    numbers = np.array([[1.0, 0.0], [-1.0, 0.3], [0.5, -0.5]])
    assert plain(HeatMap(shown(numbers))) == [
        "lstm/h, sample 0",
        "0 ####XXXX++++",
        "1     ....====",
        "  0",
        "  -1 XXXxx==--   ..++**### 1",
    ]


def test_a_gate_has_a_scale_from_0_to_1() -> None:
    drawn = plain(HeatMap(shown(np.array([[0.0], [0.55], [1.0]]), "f")))
    assert drawn[1] == "0     ++++@@@@"
    assert drawn[-1].startswith("  0 ")
    assert drawn[-1].endswith("@ 1")


def test_numbers_that_are_not_finite_stand_out() -> None:
    assert plain(HeatMap(shown(np.array([[np.nan], [1.0]]))))[1] == "0 !!!!####"


def test_masked_timesteps_are_marked() -> None:
    drawn = plain(HeatMap(shown(random(3, 1), masked=[False, False, True])))
    assert drawn[2] == "          mmmm"
    assert "  m: masked timesteps" in drawn


@pytest.mark.parametrize("width", [24, 40, 63, 80, 200])
@pytest.mark.parametrize("system", [None, "standard", "256", "truecolor"])
@pytest.mark.parametrize("size", [(3, 1), (70, 5), (1000, 512)], ids=str)
def test_a_heat_map_fits_the_width(size: tuple[int, int], system: Any, width: int) -> None:
    console = Console(width=width, color_system=system, force_terminal=True)
    drawn: list[Any] = [*HeatMap(shown(random(*size))).__rich_console__(console, console.options)]
    lines = [line for line in drawn if "mean of up to" not in line.plain]  # words may fold
    assert max(line.cell_len for line in lines) <= width
    assert len(drawn) <= 32


def test_the_cells_of_more_units_and_steps_than_fit_are_means_and_say_so() -> None:
    drawn = plain(HeatMap(shown(random(1000, 512))))
    assert "    units: each cell is the mean of up to 22" in drawn
    assert "    timesteps: each cell is the mean of up to 14" in drawn


def test_means_are_those_of_the_cells() -> None:
    numbers = random(10, 7)
    means, of_units, of_steps = shown(numbers).cells(3, 4)
    expected = [[numbers[steps, units].mean() for steps in of_steps] for units in of_units]
    np.testing.assert_allclose(means, expected, rtol=1e-5)


def test_two_units_share_a_line_of_colors() -> None:
    console = Console(width=80, color_system="truecolor", force_terminal=True)
    lines = console.render_lines(HeatMap(shown(random(3, 4))), pad=False)
    assert sum("▀" in segment.text for line in lines for segment in line) == 2 * 3


def test_a_line_for_each_unit_has_its_ends() -> None:
    numbers = np.array([[0.0, 5.0], [1.0, 5.0], [-1.0, 5.0]])
    assert plain(Sparklines(shown(numbers))) == [
        "lstm/h, sample 0",
        "unit 0        -1 ▅█▁ 1",
        "unit 1         5 ▁▁▁ 5",
    ]


# --- the command


@pytest.fixture
def states(tmp_path: Path) -> Path:
    mask = np.ones((3, 8), bool)
    trace_of(h=random(3, 8, 4), f=ordinary(3, 8, 4), mask=mask).save(tmp_path / "s.npz")
    return tmp_path / "s.npz"


def test_the_command_draws_h_and_c_if_there_is_no_other_wish(states: Path) -> None:
    for options, drawn in (([], ["h"]), (["--signal", "all"], ["h", "f"])):
        result = run("show", str(states), *options)
        assert (result.exit_code, result.stderr) == (0, "")
        titles = [line for line in result.stdout.splitlines() if "sample" in line]
        assert titles == [f"lstm/{signal}, sample 0" for signal in drawn]


def test_the_command_draws_the_sample_and_the_units_that_are_asked_for(states: Path) -> None:
    result = run("show", str(states), "--signal", "h", "--sample", "2", "--units", "1,3")
    h = random(3, 8, 4)[2]
    title, *lines = result.stdout.split("\n\n")[0].splitlines()
    assert title == "lstm/h, sample 2"
    for line, unit in zip(lines, (1, 3), strict=True):
        assert line.startswith(f"unit {unit} {h[:, unit].min():>9.3g} ")
        assert line.endswith(f" {h[:, unit].max():.3g}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--signal", "q"], "signal q: was not recorded; there are h, f"),
        (["--sample", "3"], "sample 3: expected one of 0 to 2"),
        (["--units", "9"], "--units: expected numbers below 4, received 9"),
        (["--layer", "gru"], "layer gru: matches no recorded layer; there are lstm"),
    ],
)
def test_what_was_not_recorded_is_refused(states: Path, options: list[str], message: str) -> None:
    result = run("show", str(states), "--signal", "h", *options)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("shape", [(0, 2, 3), (1, 0, 3), (1, 2, 0)])
def test_what_is_empty_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    trace_of(h=np.zeros(shape, "float32")).save(tmp_path / "s.npz")
    result = run("show", str(tmp_path / "s.npz"))
    assert result.exit_code == 2
    assert run("stats", str(tmp_path / "s.npz")).exit_code == 0


def test_names_cannot_write_to_the_terminal() -> None:
    numbers = replace(shown(random(2, 2)), layer="a\x1b[2J")
    for view in (HeatMap(numbers), Sparklines(numbers)):
        assert plain(view)[0] == "a\\x1b[2J/h, sample 0"


def test_a_slice_of_units_takes_those_that_were_recorded(tmp_path: Path) -> None:
    trace = lstm_inspect.trace(
        SAMPLES / "stacked.keras", np.load(SAMPLES / "stacked.npy"), units="1:12:3", select="lstm"
    )
    trace.save(tmp_path / "s.npz")
    lines = run("show", str(tmp_path / "s.npz"), "--signal", "h", "--units", "2:8").stdout
    assert [line.split()[:2] for line in lines.splitlines()[1:3]] == [["unit", "4"], ["unit", "7"]]
    result = run("show", str(tmp_path / "s.npz"), "--units", "4,5")
    assert (result.exit_code, result.stderr) == (2, "error: lstm/h: unit 5 was not recorded\n")


def test_the_first_recorded_sample_is_shown_unless_one_is_asked_for(tmp_path: Path) -> None:
    trace = lstm_inspect.trace(
        SAMPLES / "stacked.keras", np.load(SAMPLES / "stacked.npy"), samples="1:"
    )
    trace.save(tmp_path / "s.npz")
    assert run("show", str(tmp_path / "s.npz")).stdout.startswith("lstm/h, sample 1\n")
    result = run("show", str(tmp_path / "s.npz"), "--sample", "0")
    assert result.stderr.startswith("error: sample 0: expected one of 1 of 2")


def test_nothing_is_drawn_before_an_error(tmp_path: Path) -> None:
    small, large = trace_of(h=random(1, 3, 2)), trace_of(h=random(1, 3, 5))
    layers = {name: replace(each["lstm"], path=name) for name, each in (("a", large), ("b", small))}
    Trace(layers=layers, model={}).save(tmp_path / "s.npz")
    result = run("show", str(tmp_path / "s.npz"), "--units", "4")
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("signal", "told"),
    [
        ("q", "was not recorded; there are h, x"),
        ("mask", "cannot be shown alone; there are h, x"),
    ],
)
def test_a_signal_that_cannot_be_shown_is_refused(signal: str, told: str, tmp_path: Path) -> None:
    mask = np.ones((1, 3), bool)
    trace_of(h=random(1, 3, 2), x=random(1, 3, 4), mask=mask).save(tmp_path / "s.npz")
    result = run("show", str(tmp_path / "s.npz"), "--signal", signal)
    assert (result.exit_code, result.stderr) == (2, f"error: signal {signal}: {told}\n")
    lines = run("show", str(tmp_path / "s.npz"), "--signal", "x,", "--units", "3").stdout
    assert lines.splitlines()[1].startswith("feature 3 ")


def test_a_dump_without_anything_to_show_is_refused(tmp_path: Path) -> None:
    trace_of(h0=random(2, 3)).save(tmp_path / "s.npz")
    result = run("show", str(tmp_path / "s.npz"))
    assert (result.exit_code, result.stderr) == (
        2,
        "error: expected signals over timesteps to show, received none; record h or c\n",
    )


def test_more_axes_than_units_and_timesteps_are_said() -> None:
    layer = LayerTrace(
        path="conv",
        cell="conv_lstm",
        units=2,
        direction="forward",
        dims=("batch", "outer", "timesteps", "rows", "columns", "units"),
        signals={"h": random(2, 3, 4, 5, 6, 2)},
    )
    (sequence,) = layer.show("h", sample=1).shown
    assert np.array_equal(sequence.numbers, layer.h[1, 0].reshape(4, 60))
    assert plain(HeatMap(sequence))[-2:] == [
        "   the first of 3 sequences of the sample",
        "   counted over rows x columns x units: 5 x 6 x 2",
    ]
