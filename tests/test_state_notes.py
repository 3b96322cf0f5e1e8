"""What `stats` says of recorded states."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_inspect import LayerTrace, Trace
from lstm_inspect.checks.state_notes import StateNote, notes_of
from lstm_inspect.traces import rows
from lstm_inspect.traces.figures import SignalFigures, figures_of
from tests.conftest import SAMPLES, Array, random
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
    assert notes(h=h)["dead"].text == "lstm/h: 1 of 3 units never move by more than 1e-06: 1"


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


def test_steps_and_units_have_the_numbers_of_the_whole(tmp_path: Path) -> None:
    x = SAMPLES / "thirty_units_sequences_state.npy"
    given = ("trace", str(x.with_suffix(".keras")), "--input", str(x), "--out")
    cut = ("--steps", "3:", "--units", "7,9")
    assert run(*given, str(tmp_path / "s.npz"), *cut).exit_code == 0
    printed = json.loads(run("stats", str(tmp_path / "s.npz"), "--layer", "*", "--json").stdout)
    assert printed["layers"][0]["signals"][0]["shape"][2] == 2


def test_a_layer_that_was_not_recorded_is_refused(states: Path) -> None:
    result = run("stats", str(states), "--layer", "gru*")
    assert result.exit_code == 2
    assert "layer gru*: matches no recorded layer; there are lstm" in result.stderr
