"""Tests that a Dask cluster writes the dump that one machine writes."""

import json
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect import InputError, MissingExtraError, OutputError, Trace, load_trace, trace_dask
from lstm_inspect.cells import CELLS
from lstm_inspect.cli import cli
from lstm_inspect.replay import on_cluster
from tests.conftest import (
    SAMPLES,
    Array,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    sample_input,
    write_h5,
)

MODEL = SAMPLES / "stacked.keras"
one_machine = partial(lstm_inspect.trace, engine="numpy")


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes tasks of 8 samples of `MODEL`, and chunks of 4."""
    monkeypatch.setattr("lstm_inspect.replay.on_cluster.TASK_BYTES", 100_000)
    monkeypatch.setattr("lstm_inspect.traces.zarr_dump.CHUNK_BYTES", 20_000)


def x(samples: int = 50) -> Array:
    return random(samples, 10, 7)


def as_dask(array: Array) -> Any:
    return dask.array.from_array(array, chunks=(7, *array.shape[1:]))


def assert_same(dump: Path, expected: Trace) -> None:
    found = load_trace(dump)
    assert found.keys() == expected.keys()
    for path, layer_ in expected.items():
        assert (found[path].dims, found[path].kept) == (layer_.dims, layer_.kept)
    arrays = found.arrays()
    assert arrays.keys() == expected.arrays().keys()
    for key, array in expected.arrays().items():
        np.testing.assert_array_equal(arrays[key], array, key)
    assert (found.untraced, found.model) == (expected.untraced, expected.model)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"record": "all"},
        {"last": True, "dtype": "float64"},
        {"steps": "0:10:3", "units": "1,3:5", "select": "lstm"},
        {"samples": "3:50:2"},
    ],
)
def test_the_dump_is_that_of_one_machine(
    options: dict[str, Any], compress: bool, tmp_path: Path
) -> None:
    out = tmp_path / "d.zarr"
    stats = trace_dask(MODEL, as_dask(x()), out=out, compress=compress, **options)
    expected = one_machine(MODEL, x(), **options)
    assert_same(out, expected)
    for each in stats:
        array = expected.arrays()[each.key]
        assert (each.low, each.high, each.shape) == (array.min(), array.max(), array.shape)
        assert each.mean == pytest.approx(array.mean(dtype="float64"), rel=1e-12)
    assert [each.name for each in tmp_path.iterdir()] == ["d.zarr"]


def test_several_inputs_come_by_name(tmp_path: Path) -> None:
    model = SAMPLES / "encoder_decoder.keras"
    given = sample_input("encoder_decoder")
    assert isinstance(given, dict)
    trace_dask(
        model, {name: as_dask(each) for name, each in given.items()}, out=tmp_path / "d.zarr"
    )
    assert_same(tmp_path / "d.zarr", one_machine(model, given))


def test_a_feed_is_split_too(tmp_path: Path) -> None:
    feed = random(50, 10, 100)
    trace_dask(MODEL, feed={"lstm": as_dask(feed)}, select="lstm_1", out=tmp_path / "d.zarr")
    assert_same(tmp_path / "d.zarr", one_machine(MODEL, feed={"lstm": feed}, select="lstm_1"))


def test_initial_states_are_split_too(tmp_path: Path) -> None:
    states = {"lstm/h0": random(50, 100), "lstm/c0": random(50, 100) + 1}
    options: dict[str, Any] = {"select": "lstm", "record": "h,c,h0,c0"}
    given = {name: as_dask(each) for name, each in states.items()}
    trace_dask(MODEL, as_dask(x()), initial_state=given, out=tmp_path / "d.zarr", **options)
    assert_same(tmp_path / "d.zarr", one_machine(MODEL, x(), initial_state=states, **options))


def test_long_sequences_are_taken_in_pieces(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", None, 7), lstm("lstm", 5, "x"), inputs=["x"], outputs=["lstm"]
    )
    model = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 7, 5)})
    long = random(50, 200, 7)
    trace_dask(model, as_dask(long), time_chunk=64, record="all", out=tmp_path / "d.zarr")
    assert_same(tmp_path / "d.zarr", one_machine(model, long, record="all"))


def test_no_two_tasks_write_one_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = []
    real = on_cluster._compute

    def compute(job: Any, start: int, given: Any) -> Any:
        tasks.append((start, len(given["inputs"])))
        return real(job, start, given)

    monkeypatch.setattr(on_cluster, "_compute", compute)
    trace_dask(MODEL, as_dask(x()), out=tmp_path / "d.zarr", record="all")
    starts = sorted(start for start, _ in tasks)
    assert len(starts) > 5
    for node in (tmp_path / "d.zarr").rglob("zarr.json"):
        about = json.loads(node.read_text())
        if about["node_type"] == "array":
            rows = about["chunk_grid"]["configuration"]["chunk_shape"][0]
            assert [start % rows for start in starts] == [0] * len(starts)


def test_every_kind_of_cell_is_itself_in_another_process() -> None:
    for kind in CELLS:
        assert pickle.loads(pickle.dumps(kind)) is kind


# --- what is refused


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"expected a name ending in \.zarr"):
        trace_dask(MODEL, as_dask(x()), out=tmp_path / "d.h5")


def test_inputs_of_unknown_or_different_sizes_are_refused(tmp_path: Path) -> None:
    unknown = as_dask(x())[dask.array.from_array(np.arange(50) > 3, chunks=7)]
    with pytest.raises(InputError, match="same known number of samples, received nan"):
        trace_dask(MODEL, unknown, out=tmp_path / "d.zarr")
    given = sample_input("encoder_decoder")
    assert isinstance(given, dict)
    given["decoder_input"] = given["decoder_input"][:1]
    with pytest.raises(InputError, match="same known number of samples, received"):
        trace_dask(SAMPLES / "encoder_decoder.keras", given, out=tmp_path / "d.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_one_batch_size_is_refused(tmp_path: Path) -> None:
    model = SAMPLES / "eight_units_stateful.keras"
    with pytest.raises(InputError, match="the model has batches of 2"):
        trace_dask(model, sample_input("eight_units_stateful"), out=tmp_path / "d.zarr")


def test_a_layer_that_may_mix_samples_is_refused(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 10, 7),
        layer("Concatenate", "joined", ["x", "x"], axis=0),
        lstm("lstm", 3, "joined"),
        inputs=["x"],
        outputs=["lstm"],
    )
    model = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 7, 3)})
    with pytest.raises(InputError, match="layer joined: may compute a sample from others too"):
        trace_dask(model, as_dask(x()), out=tmp_path / "d.zarr")


def test_a_worker_that_does_not_see_the_folder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = on_cluster._compute

    def elsewhere(job: Any, start: int, given: Any) -> Any:
        return real(replace(job, folder=tmp_path / "elsewhere"), start, given)

    monkeypatch.setattr(on_cluster, "_compute", elsewhere)
    with pytest.raises(OutputError, match="a file system that all workers see"):
        trace_dask(MODEL, as_dask(x()), out=tmp_path / "d.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_worker_of_another_version_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_inspect.replay.on_cluster.__version__", "99")
    with pytest.raises(InputError, match="a worker has lstm-inspect 99"):
        trace_dask(MODEL, as_dask(x()), out=tmp_path / "d.zarr")


def test_without_dask_an_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"lstm-inspect\[dask\]"):
        trace_dask(MODEL, x(), out=tmp_path / "d.zarr")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["trace", *arguments])


def test_what_the_command_cannot_join_is_refused(tmp_path: Path) -> None:
    out = str(tmp_path / "d.zarr")
    given = [str(MODEL), "--input", str(SAMPLES / "stacked.npy"), "--out", out, "--dask", "tcp://x"]
    for option in ("--verify", "--resume"):
        done = run(*given, option)
        assert (done.exit_code, "--dask: expected one of them" in done.stderr) == (2, True)


# --- a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler, and two workers in processes of their own."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.mark.slow
def test_the_command_computes_on_a_cluster(cluster: Any, tmp_path: Path) -> None:
    given = tmp_path / "x.npy"
    np.save(given, x())
    out = tmp_path / "d.zarr"
    address = cluster.scheduler_address
    done = run(str(MODEL), "--input", str(given), "--out", str(out), "--dask", address, "--json")
    assert done.exit_code == 0, done.output
    assert [each["key"] for each in json.loads(done.stdout)["arrays"]][:2] == ["lstm/h", "lstm/c"]
    assert_same(out, one_machine(MODEL, x()))
    mixed = run(
        str(SAMPLES / "eight_units_stateful.keras"),
        *("--input", str(SAMPLES / "eight_units_stateful.npy"), "--out", str(out)),
        *("--dask", address, "--stateful"),
    )
    assert (mixed.exit_code, "--dask: expected none with --stateful" in mixed.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_worker_that_is_killed_midway_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    from distributed import Client

    out, many = tmp_path / "d.zarr", x(400)
    chunks_then: list[int] = []

    def kill(pid: int) -> None:
        chunks: list[Path] = []
        while len(chunks) < 40:
            time.sleep(0.001)
            chunks = [*tmp_path.glob(".lstm-inspect.*/lstm/*/c/*/0/0")]
        os.kill(pid, signal.SIGKILL)
        chunks_then.append(len(chunks))

    with Client(cluster) as client:
        before = client.run(os.getpid)
        killer = threading.Thread(target=kill, args=[next(iter(before.values()))])
        killer.start()
        trace_dask(MODEL, as_dask(many), out=out)
        killer.join()
        client.wait_for_workers(2, timeout=60)
        assert set(client.run(os.getpid).values()) != set(before.values())
    assert chunks_then[0] < 200 == len([*out.glob("lstm/*/c/*/0/0")])
    assert_same(out, one_machine(MODEL, many))
    assert [each.name for each in tmp_path.iterdir()] == ["d.zarr"]


@pytest.mark.slow
def test_an_address_where_no_scheduler_answers_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_inspect.replay.on_cluster._PATIENCE_SECONDS", 1)
    given = ["--input", str(SAMPLES / "stacked.npy"), "--out", str(tmp_path / "d.zarr")]
    done = run(str(MODEL), *given, "--dask", "tcp://127.0.0.1:9")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: --dask tcp://127.0.0.1:9: expected the address of a Dask")
    assert len(done.stderr.splitlines()) == 1
