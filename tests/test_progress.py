"""Tests what is said of a dump before and while it is made: its size, a bar, or nothing."""

import io
import json
import shutil
import time
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lstm_inspect import open_model
from lstm_inspect.cells.lstm import LstmCell
from lstm_inspect.cli import cli
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.run import Replay
from lstm_inspect.replay.to_dump import write_dump
from lstm_inspect.views import progress
from tests.conftest import (
    FIXTURES,
    SAMPLES,
    lstm,
    lstm_weights,
    sample_input,
    sequential,
    write_h5,
)

pytestmark = pytest.mark.usefixtures("parsed_here")

STACKED = SAMPLES / "stacked.keras"
PATHS = sorted(path for path in SAMPLES.glob("*.keras"))


def traced(out: Path, *options: str) -> Result:
    arguments = ["trace", str(STACKED), "--input", str(STACKED.with_suffix(".npy"))]
    return CliRunner().invoke(cli, [*arguments, "--out", str(out), *options])


class Told:
    """A follower that notes what it is told."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.said: list[Any] = []

    def begin(self, size: int, free: int | None) -> None:
        self.sizes.append(size)
        self.said.append("size")

    def wrote(self, more: int) -> None:
        self.said.append(more)

    def step(self, path: str, done: int, steps: int) -> None:
        self.said.append("steps")

    @property
    def written(self) -> int:
        return sum(each for each in self.said if isinstance(each, int))


def follow(model: Path, x: Any, out: Path, *, block_bytes: int = 1 << 20, **options: Any) -> Told:
    told = Told()
    asked = ReplayOptions(progress=told.step, **options)
    ready = Replay(open_model(model), x, asked, block_bytes=block_bytes)
    write_dump(ready, out, lambda path: True, compress=False, follower=told)
    return told


# --- the size


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"record": "all"},
        {"record": "all", "last": True},
        {"record": "all", "steps": "0,2:", "dtype": "float64"},
        {"record": "all", "units": 0, "samples": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("model", PATHS, ids=lambda path: path.stem)
def test_the_size_is_told_before_anything_is_computed(
    model: Path, options: dict[str, Any], tmp_path: Path
) -> None:
    told = follow(model, sample_input(model.stem), tmp_path / "d.npz", **options)
    assert told.sizes == [told.written]
    assert "steps" not in told.said[: told.said.index("size")]
    with np.load(tmp_path / "d.npz") as dump:
        assert told.written == sum(dump[key].nbytes for key in dump if key != "__meta__")


@pytest.mark.parametrize(
    "name",
    [
        *("bidirectional_states", "conv_lstm_2d", "conv_lstm_3d", "float64", "gru_reset"),
        *("masked", "mixed_float16", "nested_deep", "rnn_cells", "shared", "time_distributed_all"),
        "time_major",
    ],
)
def test_the_size_of_other_layers_is_told(name: str, tmp_path: Path) -> None:
    path = FIXTURES / "keras-2.15" / f"{name}.keras"
    with np.load(path.with_suffix(".npz")) as oracle:
        x = {key[3:]: oracle[key] for key in oracle.files if key.startswith("in/")}
    told = follow(path, x, tmp_path / "d.npz", record="all")
    assert told.sizes == [told.written]
    if name != "time_distributed_all":  # not all shapes in it are known before
        assert told.said.index("size") < told.said.index("steps")


def test_a_size_that_is_not_known_before_is_told_after_the_first_block(tmp_path: Path) -> None:
    config = sequential(
        {
            "class_name": "Own",
            "config": {"name": "own", "batch_input_shape": [None, 5, 1], "dtype": "float32"},
        },
        lstm("lstm", 2),
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 1, 2)})
    told = follow(
        path, np.zeros((4, 5, 1), "f4"), tmp_path / "d.npz", layers={"Own": lambda layer, x: x}
    )
    assert told.sizes == [told.written]
    assert told.said.index("steps") < told.said.index("size")


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_too_little_room_is_refused_before_anything_is_computed(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(*arguments: object) -> None:
        raise AssertionError("a step was computed")

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: (10_000, 9_900, 100))
    monkeypatch.setattr(LstmCell, "step", compute)
    refused = traced(tmp_path / f"d{suffix}")
    assert refused.exit_code == 2
    assert "free bytes in" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_size_of_a_large_dump_is_printed_in_a_log_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: (1 << 40, 0, 61_000_000_000))
    out = tmp_path / "d.npz"
    assert traced(out).stderr == ""
    monkeypatch.setattr(progress, "_LARGE", 10)
    size = follow(STACKED, sample_input("stacked"), out).written
    assert traced(out).stderr == f"{out}: {size / 1000:.1f} kB, 61.0 GB free\n"


# --- quiet


def test_a_quiet_trace_prints_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LARGE", 10)
    for option in ("--quiet", "-q"):
        done = traced(tmp_path / "d.npz", option)
        assert (done.exit_code, done.output) == (0, "")
    assert (tmp_path / "d.npz").exists()


def test_a_quiet_trace_prints_the_json_that_is_asked_for(tmp_path: Path) -> None:
    done = traced(tmp_path / "d.npz", "--quiet", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["arrays"]


def test_a_quiet_trace_prints_errors(tmp_path: Path) -> None:
    refused = traced(tmp_path / "none" / "d.npz", "--quiet")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: ")


# --- the bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a bar appear at once, with much room."""
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.usefixtures("at_once")
def test_a_bar_says_how_far_it_is_until_the_dump_has_its_name() -> None:
    with (
        redirect_stderr(Terminal()) as terminal,
        progress.progress_of(Path("d.npz"), quiet=False) as bar,
    ):
        bar.step("encoder", 0, 1000)
        bar.step("decoder", 0, 3000)
        bar.begin(20_000, None)
        bar.step("encoder", 1000, 1000)
        bar.step("decoder", 1000, 3000)
        bar.wrote(2_000)
        time.sleep(0.3)
        half_way = terminal.getvalue()
        bar.step("decoder", 3000, 3000)
        bar.wrote(18_000)
    assert "replaying" in half_way
    assert "2.0 kB of 20.0 kB" in half_way
    assert "30%" in half_way  # half of the steps, a tenth of the bytes
    assert "steps/s" in half_way
    assert "bringing to disk" not in half_way
    assert "bringing to disk" in terminal.getvalue()


@pytest.mark.usefixtures("at_once")
def test_a_large_dump_that_is_quickly_written_says_what_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", 60)
    with (
        redirect_stderr(Terminal()) as terminal,
        progress.progress_of(Path("d.npz"), quiet=False) as bar,
    ):
        bar.begin(200_000_000, 10**12)
        bar.wrote(200_000_000)
    assert terminal.getvalue().startswith("d.npz: 200.0 MB, 1.0 TB free\n")
    assert "bringing to disk" in terminal.getvalue()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("why", ["quiet", "quick", "piped"])
def test_no_bar_is_shown_where_none_is_wanted(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "quick":
        monkeypatch.setattr(progress, "_PATIENCE_SECONDS", 60)
    stream = io.StringIO() if why == "piped" else Terminal()
    with (
        redirect_stderr(stream),
        progress.progress_of(Path("d.npz"), quiet=why == "quiet") as bar,
    ):
        bar.begin(10, None)
        bar.step("lstm", 1, 2)
        bar.wrote(10)
    assert stream.getvalue() == ""
