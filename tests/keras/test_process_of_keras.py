"""The process in which Keras runs: what a file can make it do ends in one line."""

import os
import signal
import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect.cli import cli
from lstm_inspect.errors import UnsupportedLayerError
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.pipe import read_message, write_message
from lstm_inspect.genuine.process import PROCESS
from tests.conftest import functional, input_layer, layer, lstm, lstm_weights, write_h5

pytestmark = pytest.mark.keras


def behind(folder: Path, class_name: str, **settings: Any) -> Path:
    """A model of an LSTM behind a layer that Keras computes."""
    config = functional(
        input_layer("x", 3, 2),
        layer(class_name, "front", "x", **settings),
        lstm("lstm", 2, "front"),
        inputs=["x"],
        outputs=["lstm"],
    )
    return write_h5(folder / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})


X = np.ones((1, 3, 2), "float32")


def refusal(path: Path, limits: Limits) -> str:
    with pytest.raises(UnsupportedLayerError) as caught:
        lstm_inspect.trace(lstm_inspect.open_model(path), X, limits=limits)
    return str(caught.value)


def test_a_layer_that_takes_too_much_memory_is_one_line(tmp_path: Path) -> None:
    path = behind(tmp_path, "UpSampling1D", size=10_000_000)
    np.save(tmp_path / "x.npy", X)
    arguments = [str(path), "--input", str(tmp_path / "x.npy"), "--out", str(tmp_path / "s.npz")]
    result = CliRunner().invoke(cli, ["trace", *arguments, "--limit", "keras_bytes=100000000"])
    assert result.exit_code == 2
    _, error = result.stderr.splitlines()  # behind the size of the dump
    assert error.startswith("error: front (UpSampling1D): Keras cannot run it (")
    assert list(lstm_inspect.trace(lstm_inspect.open_model(behind(tmp_path, "ReLU")), X)) == [
        "lstm"
    ]


def test_a_layer_that_takes_too_long_is_one_line(tmp_path: Path) -> None:
    path = behind(tmp_path, "ZeroPadding1D", padding=1)
    lstm_inspect.trace(lstm_inspect.open_model(path), X)
    assert PROCESS._running is not None
    os.kill(PROCESS._running.pid, signal.SIGSTOP)
    message = refusal(path, Limits(keras_seconds=1))
    assert "takes longer than the limit keras_seconds=1; if you trust this file" in message
    assert lstm_inspect.trace(lstm_inspect.open_model(path), X)["lstm"].h.shape == (1, 5, 2)


def test_a_crash_is_one_line_and_the_next_request_starts_anew(tmp_path: Path) -> None:
    path = behind(tmp_path, "ZeroPadding1D", padding=1)
    lstm_inspect.trace(lstm_inspect.open_model(path), X)
    running = PROCESS._running
    assert running is not None
    os.kill(running.pid, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (running.pid, signal.SIGKILL)).start()
    assert "it stopped with SIGKILL" in refusal(path, Limits())
    assert lstm_inspect.trace(lstm_inspect.open_model(path), X)["lstm"].h.shape == (1, 5, 2)


def test_a_fork_starts_a_process_of_its_own(tmp_path: Path) -> None:
    path = behind(tmp_path, "ZeroPadding1D", padding=1)
    code = f"""
import os, numpy, lstm_inspect
from lstm_inspect.genuine.process import PROCESS
model, x = lstm_inspect.open_model({str(path)!r}), numpy.ones((1, 3, 2), "float32")
lstm_inspect.trace(model, x)
first = PROCESS._running.pid
child = os.fork()
lstm_inspect.trace(model, x)
if child == 0:
    os._exit(PROCESS._running.pid == first)
assert PROCESS._running.pid == first
print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_a_fork_does_not_wait_for_a_request_of_another_thread(tmp_path: Path) -> None:
    path = behind(tmp_path, "ZeroPadding1D", padding=1)
    code = f"""
import os, signal, threading, time, numpy, lstm_inspect
from lstm_inspect.genuine.process import PROCESS
model, x = lstm_inspect.open_model({str(path)!r}), numpy.ones((1, 3, 2), "float32")
lstm_inspect.trace(model, x)
os.kill(PROCESS._running.pid, signal.SIGSTOP)
asking = threading.Thread(target=lstm_inspect.trace, args=[model, x])
asking.start()
time.sleep(0.5)
if (child := os.fork()) == 0:
    lstm_inspect.trace(model, x)
    os._exit(0)
print(os.waitpid(child, 0)[1])
os.kill(PROCESS._running.pid, signal.SIGCONT)
asking.join()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"


def test_the_process_ends_with_the_program(tmp_path: Path) -> None:
    path = behind(tmp_path, "ZeroPadding1D", padding=1)
    code = f"""
import os, signal, numpy, lstm_inspect
from lstm_inspect.genuine.process import PROCESS
lstm_inspect.trace(lstm_inspect.open_model({str(path)!r}), numpy.ones((1, 3, 2), "float32"))
print(PROCESS._running.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    status = Path("/proc") / done.stdout.strip() / "status"
    deadline = time.monotonic() + 60  # TensorFlow takes its time to end on a busy machine
    while is_running(status) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(status)


def is_running(status: Path) -> bool:
    """Whether a process has not ended; one that nobody has waited for yet has."""
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_vocabulary_is_not_read_from_a_file_that_the_model_names(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("3\n5\n")
    lookup = behind(
        tmp_path, "IntegerLookup", vocabulary=str(tmp_path / "secret.txt"), vocabulary_dtype="int64"
    )
    assert "it does not know vocabulary=" in refusal(lookup, Limits())


@pytest.mark.parametrize("limits", [{"keras_bytes": 10**20}, {"keras_seconds": 10**11}], ids=str)
def test_a_limit_may_be_as_large_as_one_likes(limits: dict[str, int], tmp_path: Path) -> None:
    model = lstm_inspect.open_model(behind(tmp_path, "ZeroPadding1D", padding=1))
    assert list(lstm_inspect.trace(model, X, limits=Limits(**limits))) == ["lstm"]


def test_the_current_folder_is_not_searched_for_modules(tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text("raise SystemExit('the file of a stranger ran')")
    path = behind(tmp_path, "ZeroPadding1D", padding=1)
    np.save(tmp_path / "x.npy", X)
    script = Path(sys.executable).with_name("lstm-inspect")
    arguments = ["trace", str(path), "--input", "x.npy", "--out", "s.npz"]
    done = subprocess.run(
        [script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, True, "text"],
        (1, [2, (3,)]),
        {"array": 3, "tuple": {"slice": None}},
        [..., slice(None, -1, 2)],
        float("inf"),
    ],
    ids=repr,
)
def test_a_message_arrives_as_it_was_sent(value: Any) -> None:
    stream = BytesIO()
    write_message(stream, value)
    stream.seek(0)
    assert read_message(stream, lambda size: None) == value


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", "float32", "complex64"])
def test_an_array_arrives_as_it_was_sent(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype="int64").reshape(shape).astype(dtype)
    stream = BytesIO()
    write_message(stream, {"x": [array.T, array]})
    stream.seek(0)
    turned, plain = read_message(stream, lambda size: None)["x"]
    for found, sent in ((turned, array.T), (plain, array)):
        assert (found.dtype, found.shape) == (sent.dtype, sent.shape)
        np.testing.assert_array_equal(found, sent)
    assert plain.flags.writeable


def test_a_message_that_breaks_off_is_noticed() -> None:
    stream = BytesIO()
    write_message(stream, np.ones(3))
    with pytest.raises(EOFError):
        read_message(BytesIO(stream.getvalue()[:-1]), lambda size: None)


def test_code_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="no message can hold builtin_function"):
        write_message(BytesIO(), [print])
