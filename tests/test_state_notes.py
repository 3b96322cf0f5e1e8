"""What `stats` says of recorded states."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_inspect import LayerTrace, Trace
from lstm_inspect.checks.state_notes import StateNote, notes_of
from lstm_inspect.traces import rows
from lstm_inspect.traces.figures import LayerFigures, SignalFigures, figures_of
from lstm_inspect.traces.kept import Kept
from tests.conftest import Array, random
from tests.test_cli import run

MODEL: dict[str, str | None] = {"name": "model", "sha256": "0" * 64, "keras_version": "3.15.1"}


def trace_of(*, direction: str = "forward", **signals: Any) -> Trace:
    """A trace of one LSTM with these signals, (batch, timesteps, units) each."""
    units = next(array.shape[-1] for name, array in signals.items() if name != "mask")
    layer = LayerTrace(
        path="lstm", cell="lstm", units=units, direction=direction, engine="numpy", signals=signals
    )
    return Trace(layers={"lstm": layer}, model=MODEL)


def figures(direction: str = "forward", **signals: Any) -> dict[str, SignalFigures]:
    (layer,) = figures_of(trace_of(direction=direction, **signals).stored())
    return {each.signal: each for each in layer.signals}


def notes(**signals: Any) -> dict[str, StateNote]:
    found = notes_of(figures_of(trace_of(**signals).stored()))
    assert len({note.kind for note in found}) == len(found)
    return {note.kind: note for note in found}


def ordinary(*shape: int) -> Array:
    """Numbers of which nothing is notable."""
    return np.random.default_rng(1).uniform(0.3, 0.7, shape).astype("float32")


@pytest.mark.parametrize("piece", [1, 100, 1 << 20])
def test_the_figures_are_those_of_the_whole_array(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_ROWS_BYTES", piece)
    h = random(3, 5, 4)
    found = figures(h=h)["h"]
    assert (found.low, found.high) == (h.min(), h.max())
    assert (found.mean, found.std) == pytest.approx((h.mean(), h.std()), rel=1e-5)
    assert (found.nonfinite, found.first_nonfinite, found.dead) == (0, None, ())


def test_what_is_ordinary_gets_no_note() -> None:
    assert notes(h=ordinary(2, 8, 3), c=ordinary(2, 8, 3), f=ordinary(2, 8, 3) + 0.2) == {}


def test_the_first_timestep_that_is_not_finite_is_named() -> None:
    h = ordinary(2, 8, 3)
    h[1, 5, 2], h[0, 6, 0] = np.nan, np.inf
    note = notes(h=h)["nonfinite"]
    assert (note.value, note.threshold) == (2, 1)
    assert note.text == "lstm/h: 2 numbers are NaN or infinite, first at timestep 5"
    assert figures(h=h)["h"].high == np.nanmax(np.where(np.isinf(h), np.nan, h))


def test_the_largest_numbers_have_figures_without_a_warning() -> None:
    found = figures(h=np.array([[[1e300], [-1e300]]]))["h"]
    assert (found.high, found.mean, found.std) == (1e300, 0.0, np.inf)
    assert found.as_json()["std"] is None


def test_units_without_a_finite_number_are_not_called_dead() -> None:
    h = ordinary(2, 8, 3)
    h[..., 1] = np.nan
    assert set(notes(h=h)) == {"nonfinite"}


def test_a_dump_whose_signals_do_not_fit_together_is_refused(tmp_path: Path) -> None:
    trace = trace_of(h=ordinary(2, 8, 3), mask=np.ones((2, 7), bool))
    trace.save(tmp_path / "s.npz")
    for command in ("stats", "show"):
        result = run(command, str(tmp_path / "s.npz"))
        assert result.exit_code == 2
        assert "lstm/mask: expected 8 on the axis timesteps as h has" in result.stderr


def test_units_that_never_move_are_named() -> None:
    h = ordinary(2, 8, 3)
    h[..., 1] = 0.25
    assert notes(h=h)["dead"].text == "lstm/h: 1 unit never moves by more than 1e-06: 1"


def test_a_saturated_gate_is_named_with_both_shares() -> None:
    f = np.full((1, 4, 5), 0.99, "float32")
    f[0, 0] = 0.01
    f[0, 1, :2] = 0.5
    note = notes(f=f + ordinary(1, 4, 5) * 1e-3)["saturated"]
    assert note.value == 0.9
    assert note.text == (
        "lstm/f: 90% of the gate is saturated: 25% below 0.05, 65% above 0.95; notable from 50%"
    )


def test_masked_timesteps_do_not_count_for_gates() -> None:
    f = ordinary(1, 4, 2)
    f[0, 2:] = 0.001
    mask = np.array([[True, True, False, False]])
    masked, whole = figures(f=f, mask=mask)["f"], figures(f=f)["f"]
    assert (masked.closed, whole.closed) == (0.0, 0.5)
    told = notes(f=f, mask=mask)["masked"].text
    assert told == "lstm: 50% of the timesteps are masked; notable from 50%"


def test_masked_timesteps_do_not_count_for_units_that_never_move() -> None:
    h = ordinary(1, 4, 2)
    h[0, :, 1] = [0.5, 0.5, 0.1, 0.2]
    mask = np.array([[True, True, False, False]])
    assert figures(h=h, mask=mask)["h"].dead == (1,)
    assert figures(h=h, mask=~mask)["h"].dead == ()
    assert figures(h=h, mask=mask & False)["h"].dead is None


def test_one_timestep_says_nothing_about_who_moves() -> None:
    assert figures(h=ordinary(1, 1, 2))["h"].dead is None
    assert figures(h=np.ones((3, 1, 2)))["h"].dead == (0, 1)


def test_numbers_that_are_not_finite_do_not_count_for_gates() -> None:
    f = np.full((1, 8, 3), 0.5, "float32")
    f[0, 4:, 0] = f[0, :, 1] = np.nan
    found = figures(f=f)["f"]
    assert found.half_life == pytest.approx((1.0, np.nan, 1.0), nan_ok=True)
    assert found.middle_half_life == pytest.approx(1.0)
    assert found.as_json()["half_life"][1] is None
    f[0, :4, 0] = 0.001
    assert figures(f=f)["f"].closed == 4 / 12
    only = figures(f=np.full((1, 8, 3), np.nan))["f"]
    assert (only.closed, only.half_life, only.middle_half_life) == (None, None, None)


def test_a_spread_around_a_large_number_keeps_its_digits() -> None:
    x = 1.7e9 + np.arange(60.0).reshape(2, 10, 3)
    found = figures(x=x)["x"]
    assert (found.mean, found.std) == pytest.approx((x.mean(), x.std()), rel=1e-12)


def test_the_first_timestep_of_a_backward_layer_is_the_last_one() -> None:
    h = ordinary(1, 8, 2)
    h[0, :6, 0] = np.nan
    assert figures("backward", h=h)["h"].first_nonfinite == 5
    assert figures("forward", h=h)["h"].first_nonfinite == 0


def test_an_initial_state_has_no_first_timestep() -> None:
    h0 = np.array([[np.nan, 0.5]])
    assert notes(h=ordinary(1, 4, 2), h0=h0)["nonfinite"].text == (
        "lstm/h0: 1 number is NaN or infinite"
    )


@pytest.mark.parametrize("timesteps", [4, 6, 7, 9])
def test_growth_compares_the_last_quarter_with_the_first_half(timesteps: int) -> None:
    c = np.arange(1.0, timesteps + 1).reshape(1, timesteps, 1)
    assert figures(c=c)["c"].growth == timesteps / (timesteps // 2)


@pytest.mark.parametrize(("direction", "growth"), [("forward", 4.0), ("backward", 0.25)])
def test_growth_is_in_the_order_in_which_the_layer_reads(direction: str, growth: float) -> None:
    c = np.ones((2, 8, 3), "float32")
    c[:, 6:] = -4
    assert figures(direction, c=c)["c"].growth == growth


def test_a_cell_state_that_grows_is_named() -> None:
    c = np.ones((2, 8, 3), "float32")
    c[:, 6:] = -9
    found = notes(c=c)
    assert found["growing"].text == (
        "lstm/c: the largest |c| in the last quarter of the timesteps is 9 times that in the first "
        "half; notable from 1.5"
    )
    assert found["large"].text == "lstm/c: reaches 9; beyond 5, tanh(c) is flat"


def test_the_half_life_is_that_of_the_forget_gate() -> None:
    """f = 0.5 halves c in one timestep, f = 0.5 ** 0.1 in ten."""
    f = np.ones((2, 8, 3), "float32") * np.array([0.5, 0.5**0.1, 1.0], "float32")
    assert figures(f=f)["f"].half_life == pytest.approx((1.0, 10.0, np.inf), rel=1e-4)
    assert notes(f=f)["lasting"].text == (
        "lstm/f: unit 2 keeps half of its state for ever; the sequences have 8"
    )
    assert notes(f=f[..., :1])["forgetful"].text == (
        "lstm/f: half of the state is gone after 1 timestep, in the median of the units; notable "
        "up to 1"
    )


# --- the command


@pytest.fixture
def states(tmp_path: Path) -> Path:
    c = ordinary(2, 8, 3)
    c[0, 2, 0] = np.nan
    trace_of(h=ordinary(2, 8, 3), c=c).save(tmp_path / "states.npz")
    return tmp_path / "states.npz"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 0),
        (["--fail-on", "dead"], 0),
        (["--fail-on", "nonfinite,dead"], 1),
        (["--fail-on", "dead", "--fail-on", "nonfinite"], 1),
    ],
)
def test_the_command_fails_on_what_is_asked_for(
    states: Path, options: list[str], status: int
) -> None:
    result = run("stats", str(states), *options)
    assert result.exit_code == status
    assert "lstm/c: 1 number is NaN or infinite, first at timestep 2" in result.stdout


def test_a_kind_that_does_not_exist_is_refused(states: Path) -> None:
    result = run("stats", str(states), "--fail-on", "nan")
    assert result.exit_code == 2
    assert "expected some of nonfinite, dead, saturated" in result.stderr


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_dumps_of_every_format_have_the_same_figures(tmp_path: Path, suffix: str) -> None:
    trace_of(h=random(2, 8, 3), f=ordinary(2, 8, 3)).save(tmp_path / f"states{suffix}")
    printed: Any = json.loads(run("stats", str(tmp_path / f"states{suffix}"), "--json").stdout)
    (layer,) = printed["layers"]
    expected = [each.as_json() for each in figures(h=random(2, 8, 3), f=ordinary(2, 8, 3)).values()]
    assert layer["signals"] == json.loads(json.dumps(expected))


def part_of(**signals: Any) -> dict[str, SignalFigures]:
    """The figures of the timesteps 3, 4, 5, 9 of 60, and of the units 2 and 40 of 64."""
    kept = {"timesteps": Kept.of((3, 4, 5, 9), 60), "units": Kept.of((2, 40), 64)}
    layer = replace(trace_of(**signals).layers["lstm"], kept=kept)
    (found,) = figures_of(Trace(layers={"lstm": layer}, model=MODEL).stored())
    return {each.signal: each for each in found.signals}


def test_steps_and_units_have_the_numbers_of_the_whole() -> None:
    h = ordinary(1, 4, 2)
    h[0, 3, 0], h[..., 1] = np.nan, 0.25
    f = np.full((1, 4, 2), 0.5, "float32")
    f[..., 1] = 1
    found = part_of(h=h, f=f, c=ordinary(1, 4, 2))
    assert (found["h"].first_nonfinite, found["h"].dead) == (9, (40,))
    assert (found["f"].timesteps, found["f"].units) == (60, (2, 40))
    assert found["c"].growth is None
    layer = LayerFigures(path="lstm", cell="lstm", masked=None, signals=[found["f"]])
    lasting = {note.kind: note for note in notes_of([layer])}["lasting"]
    assert lasting.text == (
        "lstm/f: unit 40 keeps half of its state for ever; the sequences have 60"
    )


def test_the_length_of_the_sequences_is_that_of_their_axis() -> None:
    layer = LayerTrace(
        path="conv",
        cell="conv_lstm",
        units=2,
        direction="forward",
        dims=("batch", "timesteps", "rows", "columns", "units"),
        signals={"f": np.full((1, 50, 3, 2, 2), 0.9, "float32")},
    )
    trace = Trace(layers={"conv": layer}, model=MODEL)
    (found,) = figures_of(trace.stored())
    assert found.signals[0].timesteps == 50
    assert {note.kind for note in notes_of([found])} == {"dead"}


def test_names_of_a_dump_are_escaped_in_the_terminal(tmp_path: Path) -> None:
    signals: dict[str, Any] = {"h\x1b[31m": ordinary(1, 4, 2)}
    trace_of(**signals).save(tmp_path / "s.npz")
    printed = run("stats", str(tmp_path / "s.npz")).stdout
    assert "\x1b" not in printed
    assert "h\\x1b[31m" in printed


def test_a_layer_that_was_not_recorded_is_refused(states: Path) -> None:
    result = run("stats", str(states), "--layer", "gru*")
    assert result.exit_code == 2
    assert "layer gru*: matches no recorded layer; there are lstm" in result.stderr
