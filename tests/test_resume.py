"""Tests that an interrupted run is gone on with, and only with what it was begun with."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lstm_inspect.cli import cli
from lstm_inspect.files.sole_use import sole_use
from lstm_inspect.files.zarr_writer import ZarrWriter
from lstm_inspect.replay.run import Replay
from tests.conftest import (
    SAMPLES,
    input_layer,
    load_dump,
    lstm,
    lstm_weights,
    random,
    sequential,
    write_h5,
)

MODEL = SAMPLES / "stacked.keras"
ROOT = Path(__file__).parents[1]
KINDS = [(".h5", []), (".h5", ["--compress"]), (".zarr", []), (".zarr", ["--compress"])]
each_kind = pytest.mark.parametrize(("suffix", "more"), KINDS)


SMALL = {
    "lstm_inspect.replay.to_dump.BLOCK_BYTES": 100_000,
    "lstm_inspect.traces.zarr_dump.CHUNK_BYTES": 20_000,
}
"""Makes blocks of 7 samples, and chunks of 5: a chunk has numbers of two blocks."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(name, value)


@pytest.fixture
def x(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "x.npy"
    path.parent.mkdir()
    np.save(path, random(27, *np.load(SAMPLES / "stacked.npy").shape[1:]))
    return path


def trace(x: Path | None, out: Path, *more: str, model: Path = MODEL) -> Result:
    inputs = [] if x is None else ["--input", str(x)]
    return CliRunner().invoke(cli, ["trace", str(model), *inputs, "--out", str(out), *more])


def interrupted_at(count: int, failure: BaseException) -> Callable[..., None]:
    """A `ZarrWriter.write` that fails when it is called for the n-th time."""
    real, calls = ZarrWriter.write, iter(range(1, 1 << 20))

    def write(self: ZarrWriter, *arguments: Any) -> None:
        if next(calls) == count:
            raise failure
        real(self, *arguments)

    return write


def begin(
    x: Path | None,
    out: Path,
    *more: str,
    at: int = 9,
    failure: BaseException | None = None,
    model: Path = MODEL,
) -> Result:
    """Starts a run, which is interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ZarrWriter, "write", interrupted_at(at, failure or KeyboardInterrupt()))
        return trace(x, out, "--resume", *more, model=model)


def assert_same_dump(one: Path, other: Path) -> None:
    (arrays, document), (others, other_document) = load_dump(one), load_dump(other)
    assert document == other_document
    assert {key: each.tobytes() for key, each in arrays.items()} == {
        key: each.tobytes() for key, each in others.items()
    }


@each_kind
@pytest.mark.parametrize("at", [1, 4, 7, 12, 16])
def test_an_interrupted_run_goes_on_and_gives_what_it_would_have_given(
    at: int, suffix: str, more: list[str], x: Path, tmp_path: Path
) -> None:
    whole = tmp_path / f"in/whole{suffix}"
    expected = trace(x, whole, "--json", *more)
    out = tmp_path / f"d{suffix}"
    assert begin(x, out, *more, at=at).exit_code == 130
    assert not out.exists()
    done = trace(x, out, "--resume", "--json", *more)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["arrays"] == json.loads(expected.stdout)["arrays"]
    assert_same_dump(out, whole)
    assert sorted(each.name for each in tmp_path.iterdir()) == [out.name, "in"]


def test_blocks_that_are_on_disk_are_not_computed_again(
    x: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(x, tmp_path / "d.zarr", at=13)
    computed = []
    real = Replay.blocks

    def blocks(self: Replay, done: int = 0) -> Any:
        for block in real(self, done):
            computed.append((block.samples.start, block.samples.stop))
            yield block

    monkeypatch.setattr(Replay, "blocks", blocks)
    assert trace(x, tmp_path / "d.zarr", "--resume").exit_code == 0
    assert computed[0][0] > 0
    assert computed[-1][1] == 27


def test_an_interruption_says_where_what_is_done_stays(x: Path, tmp_path: Path) -> None:
    done = begin(x, tmp_path / "d.zarr")
    assert done.stderr.splitlines() == [
        "interrupted",
        f"hint: {tmp_path / 'd.zarr.partial'} has what is done; the same command goes on with it",
    ]


def test_a_full_disk_keeps_what_is_done_too(x: Path, tmp_path: Path) -> None:
    done = begin(x, tmp_path / "d.h5", failure=OSError(28, "No space left on device"))
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr
    assert "d.h5.partial has what is done" in done.stderr
    assert trace(x, tmp_path / "d.h5", "--resume").exit_code == 0


def test_an_interruption_before_the_first_block_is_done_leaves_nothing(
    x: Path, tmp_path: Path
) -> None:
    done = begin(x, tmp_path / "d.zarr", at=1)
    assert done.stderr == "interrupted\n"
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


def test_a_run_without_the_option_says_that_there_is_something_and_leaves_it(
    x: Path, tmp_path: Path
) -> None:
    begin(x, tmp_path / "d.zarr")
    done = trace(x, tmp_path / "d.zarr")
    partial = tmp_path / "d.zarr.partial"
    assert done.exit_code == 0
    assert done.stderr == (
        f"hint: {partial} has what an interrupted run has done; --resume goes on with it\n"
    )
    assert (partial / "state.json").exists()


def test_an_old_dump_stays_until_the_new_one_is_complete(x: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.zarr"
    trace(x, out)
    before = load_dump(out)[1]
    begin(x, out, "--record", "all")
    assert load_dump(out)[1] == before
    assert trace(x, out, "--record", "all", "--resume").exit_code == 0
    assert load_dump(out)[1] != before


# --- what it was begun with


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--record", "h"], "expected --record h,c as when it was begun, received h;"),
        (["--layer", "*_1"], "expected --layer * as when it was begun, received *_1;"),
        (["--steps", "0:2"], "expected --steps none as when it was begun, received 0:2;"),
        (["--last"], "expected --last none as when it was begun, received given;"),
        (["--units", "0,2:4"], "expected --units none as when it was begun, received 0,2:4;"),
        (["--samples", "1:26"], "expected --samples none as when it was begun, received 1:26;"),
        (["--dtype", "float64"], "expected --dtype none as when it was begun, received float64;"),
        (["--compress"], "expected --compress none as when it was begun, received given;"),
    ],
)
def test_another_option_is_refused_by_its_name(
    option: list[str], said: str, x: Path, tmp_path: Path
) -> None:
    begin(x, tmp_path / "d.zarr")
    done = trace(x, tmp_path / "d.zarr", "--resume", *option)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "delete this folder, or choose another name" in done.stderr
    assert trace(x, tmp_path / "d.zarr", "--resume").exit_code == 0


def test_another_input_is_refused_by_its_name(x: Path, tmp_path: Path) -> None:
    begin(x, tmp_path / "d.zarr")
    changed = np.load(x)
    changed[-1, -1, -1] += 1
    np.save(x, changed)
    done = trace(x, tmp_path / "d.zarr", "--resume")
    assert done.exit_code == 2
    assert "d.zarr.partial: expected input " in done.stderr


def test_another_feed_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_inspect.replay.to_dump.BLOCK_BYTES", 15_000)
    feed = tmp_path / "feed.npy"
    np.save(feed, random(27, 10, 100))
    fed = ["--feed", f"lstm={feed}", "--layer", "lstm_1"]
    assert begin(None, tmp_path / "d.zarr", *fed, at=3).exit_code == 130
    np.save(feed, random(27, 10, 100) + 1)
    done = trace(None, tmp_path / "d.zarr", "--resume", *fed)
    assert done.exit_code == 2
    assert "d.zarr.partial: expected --feed lstm " in done.stderr


def test_other_weights_are_refused(x: Path, tmp_path: Path) -> None:
    config = sequential(input_layer("x", 10, 7), lstm("lstm", 100))
    weights = lstm_weights("lstm", 7, 100)
    model = write_h5(tmp_path / "in/model.h5", config, {"lstm": weights})
    assert begin(x, tmp_path / "d.zarr", at=5, model=model).exit_code == 130
    weights["lstm/lstm_cell/bias:0"] += 1
    write_h5(model, config, {"lstm": weights})
    done = trace(x, tmp_path / "d.zarr", "--resume", model=model)
    assert done.exit_code == 2
    assert "d.zarr.partial: expected the model " in done.stderr


def test_another_version_is_refused(
    x: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(x, tmp_path / "d.zarr")
    monkeypatch.setattr("lstm_inspect.replay.resuming.__version__", "99")
    done = trace(x, tmp_path / "d.zarr", "--resume")
    assert (done.exit_code, ", received 99;" in done.stderr) == (2, True)


def test_what_cannot_be_gone_on_with_is_refused(x: Path, tmp_path: Path) -> None:
    npz = trace(x, tmp_path / "d.npz", "--resume")
    assert npz.exit_code == 2
    assert "expected a name ending in .h5 or .zarr for the result of --resume" in npz.stderr
    verified = trace(x, tmp_path / "d.zarr", "--resume", "--verify")
    assert (verified.exit_code, "--resume and --dask: expected one" in verified.stderr) == (2, True)
    model = SAMPLES / "eight_units_stateful.keras"
    stateful = trace(
        model.with_suffix(".npy"), tmp_path / "d.zarr", "--resume", "--stateful", model=model
    )
    assert (stateful.exit_code, "--resume: expected none with --stateful" in stateful.stderr) == (
        2,
        True,
    )
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("content", ["{", "{}", '{"made_from": 1, "samples": 0}'])
def test_a_folder_of_another_kind_is_refused_and_left_alone(
    content: str, x: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "d.zarr.partial"
    (folder / "thesis").mkdir(parents=True)
    assert trace(x, tmp_path / "d.zarr", "--resume").exit_code == 2
    (folder / "state.json").write_text(content)
    done = trace(x, tmp_path / "d.zarr", "--resume")
    assert done.exit_code == 2
    assert "expected what an earlier run has left" in done.stderr
    assert (folder / "thesis").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"samples": 27},
        {"samples": -7},
        {"samples": None},
        {"stats": {"lstm/h": ["a", "b", 0.0, 7, 0]}},
        {"stats": {"lstm/h": [0.0, 1.0, [], 7, 0]}},
        {"stats": []},
        {"made_from": []},
        {"document": 1},
    ],
    ids=str,
)
def test_a_damaged_state_is_refused_and_left_alone(
    changed: dict[str, Any], x: Path, tmp_path: Path
) -> None:
    state = tmp_path / "d.zarr.partial" / "state.json"
    begin(x, tmp_path / "d.zarr")
    damaged = json.dumps({**json.loads(state.read_text()), **changed})
    state.write_text(damaged)
    done = trace(x, tmp_path / "d.zarr", "--resume")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "expected what an earlier run has left" in done.stderr
    assert state.read_text() == damaged


def test_a_second_process_is_refused(x: Path, tmp_path: Path) -> None:
    begin(x, tmp_path / "d.zarr")
    with sole_use(tmp_path / "d.zarr.partial"):
        done = trace(x, tmp_path / "d.zarr", "--resume")
    assert done.exit_code == 2
    assert "another process is writing it" in done.stderr
    assert trace(x, tmp_path / "d.zarr", "--resume").exit_code == 0


# --- killed at any moment

KILLED = """
import os, signal, sys
from pathlib import Path
import lstm_inspect.api
from lstm_inspect.cli import cli
from lstm_inspect.replay import resuming, to_dump
from lstm_inspect.traces import unfinished
from tests.test_resume import SMALL
for name, value in SMALL.items():
    module, _, constant = name.rpartition(".")
    setattr(sys.modules[module], constant, value)
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link"}
folder, suffix, *arguments = sys.argv[1:]

def run(out, left):
    def count(event, details):
        nonlocal left
        is_write = event == "open" and isinstance(details[2], int) and details[2] & os.O_ACCMODE
        if event in CHANGES or is_write:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    sys.stdout = open(os.devnull, "w")
    cli([*arguments, "--out", str(out), "--resume"])

def run_in_child(out, left):
    child = os.fork()
    if child == 0:
        run(out, left)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

left, killed = 1, -signal.SIGKILL
while killed:  # a step of 1 takes minutes
    out = Path(folder, str(left), "d" + suffix)
    out.parent.mkdir()
    killed = run_in_child(out, left)
    left += 60
    done = run_in_child(out, 0)
    assert (killed, done) in [(-signal.SIGKILL, 0), (0, 0)], (left, killed, done)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("parsed_here")
@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_run_that_is_killed_at_any_change_of_the_disk_goes_on(
    suffix: str, x: Path, tmp_path: Path
) -> None:
    whole = tmp_path / f"in/whole{suffix}"
    trace(x, whole)
    (tmp_path / "killed").mkdir()
    arguments = [str(tmp_path / "killed"), suffix, "trace", str(MODEL), "--input", str(x)]
    subprocess.run([sys.executable, "-c", KILLED, *arguments], check=True, cwd=ROOT)
    runs = [*(tmp_path / "killed").iterdir()]
    assert len(runs) > 2
    for run in runs:
        assert_same_dump(run / f"d{suffix}", whole)
        others = [each.name for each in run.iterdir() if each.name != f"d{suffix}"]
        assert all(name.startswith(".lstm-inspect.") for name in others), others
