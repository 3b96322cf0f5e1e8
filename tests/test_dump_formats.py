"""Tests what every format of dumps promises: any order of blocks, and all or nothing."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
from click.testing import CliRunner

from lstm_inspect import (
    InputError,
    InspectError,
    LimitError,
    Limits,
    OutputError,
    UnsupportedLayerError,
    load_trace,
)
from lstm_inspect.cli import cli
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.traces.dumps import create_dump, is_dump, open_dump
from tests.conftest import SAMPLES, Array, random

ARRAYS: dict[str, Array] = {
    "encoder/lstm/h": random(7, 11, 5),
    "encoder/lstm/c": random(7, 11, 6).astype("float64"),
    "encoder/lstm/mask": random(7, 11) > 0,
    "encoder/lstm/h0": random(7, 5).astype("float16"),
    "empty/x": np.zeros((0, 3), "int64"),
}
DIMS = {
    "h": ("batch", "timesteps", "units"),
    "c": ("batch", "timesteps", "units"),
    "mask": ("batch", "timesteps"),
    "h0": ("batch", "units"),
    "x": ("batch", "features"),
}
KEPT = {"timesteps": tuple(range(3, 14))}
DOCUMENT = {"schema": 1, "long": "é" * 100_000}
KINDS = [
    pytest.param(".npz", False, id="npz"),
    pytest.param(".h5", False, id="h5"),
    pytest.param(".h5", True, id="h5-compressed"),
    pytest.param(".zarr", False, id="zarr"),
    pytest.param(".zarr", True, id="zarr-compressed"),
]
SUFFIXES = [".npz", ".h5", ".zarr"]
each_kind = pytest.mark.parametrize(("suffix", "compress"), KINDS)
each_suffix = pytest.mark.parametrize("suffix", SUFFIXES)


def write(path: Path, *, compress: bool = False, steps: int = 4, seed: int | None = None) -> Path:
    """Writes blocks of 3 samples and some steps, interleaved over the arrays."""
    with create_dump(path, lambda path: True, compress=compress) as dump:
        for key, array in ARRAYS.items():
            signal_ = key.rpartition("/")[2]
            dump.add_array(key, array.shape, array.dtype, DIMS[signal_], KEPT)
        places = [(s, t) for s in range(0, 7, 3) for t in range(0, 11, steps)]
        if seed is not None:
            np.random.default_rng(seed).shuffle(places)
        for s, t in places:
            for key, array in ARRAYS.items():
                if "timesteps" in DIMS[key.rpartition("/")[2]]:
                    dump.write(key, (int(s), int(t)), array[s : s + 3, t : t + steps])
        dump.write("encoder/lstm/h0", (), ARRAYS["encoder/lstm/h0"])
        dump.write_document(DOCUMENT)
    return path


def content(path: Path) -> dict[str, bytes] | None:
    """The files of a dump."""
    if path.is_dir():
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    return {"": path.read_bytes()} if path.exists() else None


@each_kind
@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("steps", [3, 4, 11])
def test_blocks_in_any_order_come_back_as_arrays(
    steps: int, seed: int | None, suffix: str, compress: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / f"d{suffix}", compress=compress, steps=steps, seed=seed)
    assert is_dump(path)
    with open_dump(path, 1, DEFAULT_LIMITS) as (arrays, document):
        assert document == DOCUMENT
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[key].read(), array, strict=True)
            flat = np.concatenate([array.ravel()[:0], *arrays[key].blocks()])
            np.testing.assert_array_equal(flat, array.ravel(), strict=True)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@each_kind
def test_equal_arrays_give_equal_bytes(suffix: str, compress: bool, tmp_path: Path) -> None:
    one = write(tmp_path / f"one{suffix}", compress=compress)
    time.sleep(1)  # HDF5 keeps times in seconds, unless it is told not to
    other = write(tmp_path / f"other{suffix}", compress=compress)
    assert content(one) == content(other)


def test_numpy_reads_an_npz_that_was_written_out_of_order(tmp_path: Path) -> None:
    with np.load(write(tmp_path / "d.npz", seed=3), allow_pickle=False) as dump:
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(dump[key], array, strict=True)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
def test_xarray_names_the_axes_and_the_places_that_were_kept(
    suffix: str, compress: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / f"d{suffix}", compress=compress)
    options: dict[str, Any] = {"engine": "h5netcdf"}
    if suffix == ".zarr":
        options = {"engine": "zarr", "consolidated": False}
    with xarray.open_dataset(path, group="encoder/lstm", **options) as data:
        assert data["h"].dims == ("batch", "timesteps", "units")
        assert data["c"].dims == ("batch", "timesteps", "c_units")  # wider than h
        assert data["mask"].dtype == bool
        assert data["timesteps"].values.tolist() == list(KEPT["timesteps"])
        assert "batch" not in data.coords
        for signal_ in ("h", "c", "mask", "h0"):
            expected = ARRAYS[f"encoder/lstm/{signal_}"]
            np.testing.assert_array_equal(data[signal_].values, expected, strict=True)


def test_an_h5_is_chunked_and_compressed_only_if_asked(tmp_path: Path) -> None:
    for compress in (False, True):
        with h5py.File(write(tmp_path / f"{compress}.h5", compress=compress)) as file:
            h = file["encoder/lstm/h"]
            assert h.chunks == (3, 4, 5)
            assert h.compression == ("gzip" if compress else None)


@each_suffix
def test_a_trace_is_written_read_and_compared(suffix: str, tmp_path: Path) -> None:
    model, x = SAMPLES / "stacked.keras", SAMPLES / "stacked.npy"
    dumps = [tmp_path / "a.npz", tmp_path / f"b{suffix}"]
    runner = CliRunner()
    for dump in dumps * 2:  # the second time it replaces the first
        arguments = ["trace", str(model), "--input", str(x), "--record", "all", "--out", str(dump)]
        done = runner.invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
    assert runner.invoke(cli, ["diff", *map(str, dumps)]).exit_code == 0
    one, other = map(load_trace, dumps)
    for key, array in one.arrays().items():
        np.testing.assert_array_equal(other.arrays()[key], array, strict=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted({d.name for d in dumps})
    with pytest.raises(LimitError, match="dump_bytes"):
        load_trace(dumps[1], limits=Limits(dump_bytes=10))


def test_an_npz_does_not_compress(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.h5 or \.zarr for the compressed result"):
        write(tmp_path / "d.npz", compress=True)


@each_suffix
def test_too_little_room_is_refused_before_anything_is_written(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: (10_000, 9_900, 100))
    with pytest.raises(OutputError, match=r"expected \d+ free bytes in .*, found 100"):
        write(tmp_path / f"d{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_was_not_written_is_an_error_of_ours(tmp_path: Path) -> None:
    def write_nothing() -> None:
        with create_dump(tmp_path / "d.npz", lambda path: True) as dump:
            dump.add_array("a/h", (2, 3), np.dtype("f4"), ("batch", "units"))
            dump.write_document(DOCUMENT)

    with pytest.raises(AssertionError, match="6 numbers were not written"):
        write_nothing()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
@pytest.mark.parametrize("keys", [("a/h", "a/h/c"), ("a//h",), ("../h",), ("a\0/h",)])
def test_names_that_are_no_tree_are_refused(
    keys: tuple[str, ...], suffix: str, tmp_path: Path
) -> None:
    def write_names() -> None:
        with create_dump(tmp_path / f"d{suffix}", lambda path: True) as dump:
            for key in keys:
                dump.add_array(key, (0,), np.dtype("f4"), (f"of {key[-1]}",))
            dump.write_document(DOCUMENT)

    with pytest.raises(OutputError, match="expected names that a tree"):
        write_names()
    assert list(tmp_path.iterdir()) == []


# --- whole or nothing


@each_kind
@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_a_failure_between_blocks_leaves_the_old_dump(
    failure: BaseException, suffix: str, compress: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / f"d{suffix}")
    before = content(path)

    def fail_half_way() -> None:
        with create_dump(path, lambda path: True, compress=compress) as dump:
            dump.add_array("a/h", (2, 3), np.dtype("f4"), ("batch", "units"))
            dump.write("a/h", (0,), np.zeros((1, 3), "f4"))
            raise failure

    with pytest.raises((OutputError, KeyboardInterrupt)):
        fail_half_way()
    assert content(path) == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


FILLS = """
import shutil, sys
from pathlib import Path
from lstm_inspect import OutputError
from tests.test_dump_formats import write
shutil.disk_usage = lambda folder: (0, 0, 0)
try:
    write(Path(sys.argv[1]))
except OutputError as error:
    print(error)
"""


@each_suffix
@pytest.mark.parametrize("blocks", [1, 4, 16, 64, 200])
@pytest.mark.skipif(sys.platform != "linux", reason="ulimit")
def test_a_write_that_fails_within_a_library_is_one_line(
    blocks: int, suffix: str, tmp_path: Path
) -> None:
    """HDF5 would crash the process if a write failed within one of its calls."""
    line = f'ulimit -f {blocks}; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-c", FILLS, str(tmp_path / f"d{suffix}")],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from pathlib import Path
from lstm_inspect import __main__
from tests import test_dump_formats as t
from lstm_inspect.traces.dumps import NewDump
import signal
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, __main__._end)
where, path = sys.argv[1:]
real, count = {"write": NewDump.write, "fsync": os.fsync}[where], 0
def call(*arguments):
    global count
    real(*arguments)
    count += 1
    if count == (9 if where == "write" else 1):
        os.write(1, b"ready\\n")
        os.read(0, 1)
if where == "write":
    NewDump.write = call
else:
    os.fsync = call
t.write(Path(path))
"""


@each_suffix
@pytest.mark.parametrize("where", ["write", "fsync"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(sys.platform != "linux", reason="as Linux does it")
def test_a_run_that_is_ended_while_it_writes_leaves_the_old(
    number: signal.Signals, where: str, suffix: str, tmp_path: Path
) -> None:
    path = write(tmp_path / f"d{suffix}", seed=1)
    before = content(path)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, where, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", process.communicate()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert content(path) == before
    others = [each for each in tmp_path.iterdir() if each != path]
    if number == signal.SIGKILL and suffix == ".zarr":
        assert [each.suffix for each in others] == [".tmp"]  # docs/safety.md
    else:
        assert others == []


def test_a_folder_that_is_no_dump_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = write(tmp_path / "d.zarr")
    (path / "thesis.txt").write_text("years of work")
    assert not is_dump(path)
    x = str(SAMPLES / "stacked.npy")
    arguments = ["trace", str(SAMPLES / "stacked.keras"), "--input", x, "--out", str(path)]
    refused = CliRunner().invoke(cli, arguments)
    assert (refused.exit_code, "--force" in refused.stderr) == (2, True)
    assert (path / "thesis.txt").exists()
    assert CliRunner().invoke(cli, [*arguments, "--force"]).exit_code == 0
    assert is_dump(path)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_folder_that_holds_an_input_is_never_replaced(force: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "d.zarr")
    x = Path(shutil.copy(SAMPLES / "stacked.npy", path / "x.npy"))
    arguments = ["trace", str(SAMPLES / "stacked.keras"), "--input", str(x), "--out", str(path)]
    refused = CliRunner().invoke(cli, [*arguments, *force])
    assert (refused.exit_code, "would overwrite an input" in refused.stderr) == (2, True)
    assert x.exists()


def test_the_umask_decides_who_may_read_a_folder(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = write(tmp_path / "d.zarr")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


# --- dumps of strangers


def change(path: Path, **changed: Any) -> None:
    node = path / "encoder" / "lstm" / "h" / "zarr.json"
    node.write_text(json.dumps({**json.loads(node.read_text()), **changed}))


def without_numbers(path: Path, shape: list[int]) -> None:
    """Makes an array that has no number, and so no chunk."""
    shutil.rmtree(path / "encoder/lstm/h/c")
    change(path, shape=shape, chunk_grid=grid(*[1] * len(shape)))


def sparse(path: Path, chunks: int, size: int) -> None:
    """Makes an array of which each chunk is a file of zeros that takes no room on disk."""
    shutil.rmtree(path / "encoder/lstm/h/c")
    change(path, shape=[1, chunks << 24], chunk_grid=grid(1, 1 << 24))
    (path / "encoder/lstm/h/c/0").mkdir(parents=True)
    for number in range(chunks):
        chunk = path / f"encoder/lstm/h/c/0/{number}"
        chunk.touch()
        os.truncate(chunk, size)


def add_groups(path: Path, number: int, attributes: Any) -> None:
    about = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    for each in range(number):
        (path / f"g{each}").mkdir()
        (path / f"g{each}" / "zarr.json").write_text(json.dumps(about))


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def grid(*chunk: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": chunk}}


PLAIN: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
HOSTILE_ZARR: dict[str, Any] = {
    "a pickled codec": lambda d: change(d, codecs=[{"name": "numcodecs.pickle"}]),
    "another codec": lambda d: change(d, codecs=[*PLAIN, {"name": "zstd", "configuration": {}}]),
    "objects": lambda d: change(d, data_type="object"),
    "very large chunks": lambda d: change(d, chunk_grid=grid(1 << 20, 1 << 20, 5)),
    "a very large shape": lambda d: change(d, shape=[1 << 40, 1 << 40, 1 << 40]),
    "99,000 axes": lambda d: change(
        d, shape=[10**19] * 99_000, chunk_grid=grid(*[10**19] * 99_000)
    ),
    "no numbers on a very long axis": lambda d: without_numbers(d, [0, 10**19]),
    "no numbers on very long axes": lambda d: without_numbers(d, [0, 10**12, 10**12]),
    "a sparse chunk": lambda d: sparse(d, 1, (1 << 31) - 1),
    "a chunk that is a pipe": lambda d: replace_by_pipe(d / "encoder/lstm/h/c/0/0/0"),
    "a description that is a pipe": lambda d: replace_by_pipe(d / "encoder/lstm/h/zarr.json"),
    "a negative shape": lambda d: change(d, shape=[-1, 11, 5]),
    "Zarr 2": lambda d: change(d, zarr_format=2),
    "a transformer": lambda d: change(d, storage_transformers=[{"name": "x"}]),
    "a chunk that is missing": lambda d: (d / "encoder/lstm/h/c/0/0/0").unlink(),
    "a link": lambda d: (d / "more").symlink_to("/etc/passwd"),
    "a chunk that is a link": lambda d: (
        (d / "encoder/lstm/h/c/0/0/0").unlink(),
        (d / "encoder/lstm/h/c/0/0/0").symlink_to("/etc/passwd"),
    ),
    "another file": lambda d: (d / "more").write_text(""),
    "no JSON": lambda d: (d / "zarr.json").write_text("{"),
    "a short chunk": lambda d: (d / "encoder/lstm/h/c/0/0/0").write_bytes(b"1234"),
}


LIMITED_ZARR: dict[str, Any] = {
    "one row of sparse chunks": lambda d: sparse(d, 600, 4 << 24),
    "long descriptions": lambda d: add_groups(d, 20, "x" * (1 << 20)),
    "a very large sparse chunk": lambda d: sparse(d, 1, 1 << 40),
    "many values": lambda d: add_groups(d, 1, [0] * 200_000),
}


def read_all(path: Path) -> None:
    with open_dump(path, 1, DEFAULT_LIMITS) as (arrays, _):
        for array in arrays.values():
            for _ in array.blocks():
                pass
            array.read()


@pytest.mark.parametrize("attack", HOSTILE_ZARR)
def test_a_hostile_zarr_is_refused(attack: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.zarr")
    HOSTILE_ZARR[attack](path)
    with pytest.raises(InputError, match=r"d\.zarr: expected a dump"):
        read_all(path)


@pytest.mark.parametrize("attack", LIMITED_ZARR)
def test_a_zarr_that_asks_for_much_is_refused(attack: str, tmp_path: Path) -> None:
    path = write(tmp_path / "d.zarr")
    LIMITED_ZARR[attack](path)
    with pytest.raises(InspectError, match=r"raise it with|expected \d+ bytes"):
        read_all(path)


def test_an_array_without_numbers_may_have_a_long_axis(tmp_path: Path) -> None:
    path = write(tmp_path / "d.zarr")
    without_numbers(path, [0, 10**15])
    with open_dump(path, 1, DEFAULT_LIMITS) as (arrays, _):
        assert arrays["encoder/lstm/h"].read().shape == (0, 10**15)
        assert list(arrays["encoder/lstm/h"].blocks()) == []


def test_a_dump_that_is_a_sparse_h5_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A chunk of HDF5 says how many bytes it takes, up to 4 GiB."""
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        file.attrs["__meta__"] = json.dumps(DOCUMENT)
        h = file.create_dataset("a/h", (4,), "f4", chunks=(4,), shuffle=True, compression="gzip")
        h.id.write_direct_chunk((0,), bytes(60_000))  # HDF5 1.14 writes no larger one
    with pytest.raises(InputError, match="expected 16 bytes, found 60000"):
        read_all(path)


@each_suffix
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, Path.touch])
def test_what_is_no_dump_is_refused(make: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"d{suffix}"
    make(path)
    with pytest.raises(InputError, match=f"d\\{suffix}: expected a dump"):
        load_trace(path)


@each_suffix
@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"places": [[0, 10**20, 1]], "of": 10**20}, "expected the size of an axis"),
        ({"places": [[0, 10**18, 1]], "of": 10**18}, "expected 5 places"),
        ({"places": [], "of": 3}, "expected 5 places"),
        ({"places": [[-1, 4, 1]], "of": 5}, "places that rise within an axis"),
        ({"places": [[0, 5, 1]], "of": 4}, "places that rise within an axis"),
        ({"places": [[0, 3, 1], [2, 4, 1]], "of": 5}, "places that rise within an axis"),
        ({"places": [[0, 5, 0]], "of": 5}, "must not be zero"),
        ({"places": 5, "of": 5}, "not iterable"),
    ],
)
def test_a_document_that_describes_other_axes_is_refused(
    kept: Any, says: str, suffix: str, tmp_path: Path
) -> None:
    layer = {
        "cell": "LSTM", "units": 5, "direction": "forward", "dims": ["batch", "units"],
        "kept": {"units": kept}, "signals": {"h0": {"dims": ["batch", "units"]}},
    }  # fmt: skip
    path = tmp_path / f"d{suffix}"
    with create_dump(path, lambda path: True) as dump:
        dump.add_array("a/h0", (7, 5), np.dtype("f2"), ("batch", "units"))
        dump.write("a/h0", (), ARRAYS["encoder/lstm/h0"])
        about: dict[str, Any] = {"untraced": {}, "model": {}, "verification": None}
        dump.write_document({"schema": 2, "layers": {"a": layer}, **about})
    with pytest.raises(InputError, match=says):
        load_trace(path)


def test_more_files_than_a_limit_allows_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.zarr")
    limits = Limits(zarr_files=5)
    with pytest.raises(LimitError, match="zarr_files=5"), open_dump(path, 1, limits):
        pass


@pytest.mark.parametrize("compress", [False, True])
def test_a_damaged_h5_is_refused_or_read(compress: bool, tmp_path: Path) -> None:
    """An .h5 has no checksums, so a changed number may be read; nothing else may happen."""
    path = write(tmp_path / "d.h5", compress=compress)
    good = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(40):
        damaged = bytearray(good)
        damaged[int(rng.integers(len(good)))] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        with suppress(InspectError):
            read_all(path)
    path.write_bytes(good[:-7])
    with pytest.raises(InputError):
        read_all(path)


@pytest.mark.parametrize("options", [{"compression": "lzf"}, {"fletcher32": True}])
def test_an_h5_with_another_filter_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        file.attrs["__meta__"] = json.dumps(DOCUMENT)
        file.create_dataset("a/h", data=np.zeros((4, 4)), chunks=(2, 2), **options)
    with pytest.raises(InputError, match="expected chunks that are plain"):
        read_all(path)


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    model, x, out = SAMPLES / "stacked.keras", SAMPLES / "stacked.npy", tmp_path / "s.zarr"
    arguments = ["trace", str(model), "--input", str(x), "--out", str(out)]
    result = CliRunner().invoke(cli, arguments)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert f"s.zarr: {size / 1000:.1f} kB in" in result.stdout


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
@pytest.mark.parametrize(
    "error", [UnsupportedLayerError("layer a"), RuntimeError("a bug")], ids=str
)
def test_an_error_of_what_makes_a_dump_is_not_one_of_the_disk(
    error: Exception, suffix: str, tmp_path: Path
) -> None:
    def fail_at_the_second_block() -> None:
        with create_dump(tmp_path / f"d{suffix}", is_dump) as dump:
            dump.add_array("a/h", (4, 2), np.dtype("f4"), ("batch", "units"))
            dump.write("a/h", (), random(2, 2))
            raise error

    with pytest.raises(type(error)) as raised:
        fail_at_the_second_block()
    assert raised.value is error
    assert [*tmp_path.iterdir()] == []
