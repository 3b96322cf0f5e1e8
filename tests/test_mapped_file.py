"""Inputs that are larger than memory: files that are mapped, and checked piece by piece."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InputError, RoundingWarning
from lstm_inspect.files import mapped_file
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.mapped_file import first_where, is_mapped, pieces
from lstm_inspect.files.npy import read_arrays
from tests.conftest import SAMPLES, Array, random

ONE = SAMPLES / "one_unit_sequences.keras"  # takes (batch, 3, 1)


@pytest.fixture(autouse=True)
def small_files_are_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_file, "MAPPED_FROM", 1)
    monkeypatch.setattr(mapped_file, "_PIECE_BYTES", 64)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (50, 3, 1), (1, 500, 2), (2, 40, 30)], ids=str)
def test_an_array_is_read_where_it_lies(tmp_path: Path, shape: tuple[int, ...], order: Any) -> None:
    x = np.asarray(random(*shape), order=order)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    np.savez_compressed(tmp_path / "c.npz", x=x)
    for name, lies_there in (("x.npy", True), ("x.npz", True), ("c.npz", False)):
        read = read_arrays(tmp_path / name)
        array = read["x"] if isinstance(read, dict) else read
        np.testing.assert_array_equal(array, x)
        assert is_mapped(array) == lies_there


@pytest.mark.parametrize("shape", [(), (1,), (40,), (2, 3), (30, 3, 1), (2, 50, 2), (2, 3, 40)])
def test_pieces_are_the_whole(shape: tuple[int, ...]) -> None:
    x = random(*shape)
    for at, value in np.ndenumerate(x):
        assert first_where(x, partial(np.equal, value)) == at
    assert sum(piece.size for _, piece in pieces(x)) == x.size


def test_a_mapped_input_gives_the_states_of_one_in_memory(tmp_path: Path) -> None:
    x = random(40, 3, 1)
    np.save(tmp_path / "x.npy", x)
    mapped = lstm_inspect.trace(ONE, read_arrays(tmp_path / "x.npy"))
    np.testing.assert_array_equal(mapped["lstm"].h, lstm_inspect.trace(ONE, x)["lstm"].h)


def refused(x: Array) -> str:
    with pytest.raises(InputError) as error:
        lstm_inspect.trace(ONE, x)
    return str(error.value)


def test_the_first_place_is_that_of_the_whole() -> None:
    x = random(90, 3, 1).astype("float64")
    x[70:, 1] = np.nan
    assert "not finite, first nan at [70, 1, 0]" in refused(x)
    x[40, 0] = 0.1  # which is only rounded
    x[70:, 1] = 1e300
    assert "float32 can hold, received 1e+300 at [70, 1, 0]" in refused(x)


def test_the_largest_rounding_is_that_of_the_whole() -> None:
    x = np.zeros((90, 3, 1))
    x[10, 0], x[80, 2] = 1e-9 + 1, 1e-8 + 1
    with pytest.warns(RoundingWarning, match=r"by up to 1\.0e-08"):
        lstm_inspect.trace(ONE, x)


def test_what_is_compressed_is_read_within_the_limit(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "c.npz", x=random(200))
    with pytest.raises(lstm_inspect.LimitError, match="input_bytes=100"):
        read_arrays(tmp_path / "c.npz", limits=Limits(input_bytes=100))


def test_a_file_that_lies_is_refused_before_it_is_mapped_as_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", random(10))
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 4)
    with pytest.raises(InputError, match="claims 40 bytes of numbers, has 36"):
        read_arrays(tmp_path / "x.npy")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read as on Linux")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_does_not_grow_with_the_input(tmp_path: Path, dtype: str) -> None:
    rows = (250 << 20) // (3 * np.dtype(dtype).itemsize)
    with (tmp_path / "x.npy").open("wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows, 3, 1)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + rows * 3 * np.dtype(dtype).itemsize)
    # The ru_maxrss of a child is that of its parent, if that is larger.
    code = (
        "import re, sys; from pathlib import Path; from lstm_inspect.cli.app import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    options = ("--input", "x.npy", "--last", "--record", "h", "--out", "s.npz", "--json")
    done = subprocess.run(
        [sys.executable, "-c", code, "trace", str(ONE), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout.splitlines()[-1]) < 250_000  # kB
