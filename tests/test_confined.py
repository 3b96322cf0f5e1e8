"""Tests the child process that parses HDF5: whatever happens in it, the parent gets one answer."""

import ctypes
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InspectError, LimitError, Limits, ModelFileError
from lstm_inspect.files.confined import IS_CONFINED, run_confined
from tests.conftest import input_layer, lstm, lstm_weights, sequential, write_h5

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_CONFINED, reason="this system has no confined process"),
]

ROOT = Path(__file__).parents[1]
LIMITS = Limits(parser_seconds=5)
DANGEROUS = Limits(parser_seconds=1, parser_bytes=64 << 20, hdf5_metadata_bytes=1 << 20)


def descriptors() -> list[str]:
    """The open files of this process, without the listing itself."""
    return sorted(
        str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()
    )


def children() -> set[str]:
    """The child processes of this process, zombies too; tests of other files may have left some."""
    lists = Path("/proc/self/task").glob("*/children")
    return {pid for each in lists for pid in each.read_text().split()}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Checks that no test leaves a child process or a file descriptor."""
    before = descriptors(), children()
    yield
    assert (descriptors(), children()) == before


def refusal(parse: Callable[[], Any], limits: Limits = LIMITS) -> str:
    """Returns the one-line error about the answer."""
    with pytest.raises(InspectError) as refused:
        run_confined(parse, "model.h5", limits)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith("model.h5: ")
    return message


def abort() -> None:
    os.abort()


def segfault() -> None:
    ctypes.string_at(0)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(7)


def loop() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(1000)


def allocate() -> None:
    held = []
    while True:
        held.append(bytearray(1 << 20))


# --- an answer


@pytest.mark.parametrize("answer", [None, 0, "é\udc80\n", [], {"groups": {"": {}}}, [1.5, True]])
def test_the_answer_comes_back(answer: Any) -> None:
    assert run_confined(lambda: answer, "model.h5", LIMITS) == answer


def test_a_long_answer_comes_back_whole() -> None:
    """The answer is many times larger than a pipe holds."""
    text = "x" * (8 << 20)
    assert run_confined(lambda: text, "model.h5", LIMITS) == text


def test_what_the_parser_changes_stays_with_it() -> None:
    seen: list[int] = []
    run_confined(lambda: seen.append(os.getpid()), "model.h5", LIMITS)
    assert seen == []
    assert run_confined(os.getpid, "model.h5", LIMITS) != os.getpid()


@pytest.mark.parametrize("error", [ModelFileError, LimitError])
def test_a_refusal_comes_back_as_it_was(error: type[InspectError]) -> None:
    def refuse() -> None:
        raise error("model.h5: no good")

    with pytest.raises(error) as refused:
        run_confined(refuse, "model.h5", LIMITS)
    assert type(refused.value) is error
    assert str(refused.value) == "model.h5: no good"


def test_a_bug_keeps_the_traceback_of_the_child() -> None:
    def mistaken() -> None:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError) as raised:
        run_confined(mistaken, "model.h5", LIMITS)
    text = str(raised.value)
    assert "in mistaken" in text
    assert "RuntimeError: a mistake of ours" in text
    assert not isinstance(raised.value, InspectError)


def test_an_answer_that_is_no_json_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="not JSON serializable"):
        run_confined(object, "model.h5", LIMITS)


# --- no answer


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (abort, "parsed it stopped with SIGABRT"),
        (segfault, "parsed it stopped with SIGSEGV"),
        (kill_itself, "parsed it stopped with SIGKILL"),
        (leave, "parsed it stopped with status 7"),
    ],
)
def test_a_parser_that_crashes_is_a_refusal(
    end: Callable[[], None], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    message = refusal(end)
    assert "the confined process that parsed it" in message
    assert message.endswith(says)
    assert capfd.readouterr() == ("", "")


def test_an_exit_of_the_parser_is_a_refusal() -> None:
    """The child does not run the code above the fork again."""
    assert "parsed it stopped with status 1" in refusal(partial(sys.exit, 0))


def test_a_parser_that_does_not_end_is_stopped_by_the_limit_of_time() -> None:
    started = time.monotonic()
    message = refusal(loop, DANGEROUS)
    assert "parser_seconds=1" in message
    assert 0.5 < time.monotonic() - started < 10


def test_a_parser_that_waits_for_ever_is_stopped_too() -> None:
    """Waiting takes no processor time, so a clock has to stop it."""
    started = time.monotonic()
    assert "took longer than the limit parser_seconds=1" in refusal(sleep, DANGEROUS)
    assert 0.5 < time.monotonic() - started < 10


def test_memory_without_end_is_refused_by_the_limit_of_memory() -> None:
    with pytest.raises(LimitError) as refused:
        run_confined(allocate, "model.h5", DANGEROUS)
    assert "parser_bytes=67108864" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_large_array_is_refused_by_the_limit_of_memory() -> None:
    with pytest.raises(LimitError, match="parser_bytes"):
        run_confined(lambda: np.ones(1 << 28).sum(), "model.h5", DANGEROUS)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    """The limit on metadata bounds the answer, and the parent does not wait for the child."""
    generous = Limits(parser_seconds=10, hdf5_metadata_bytes=1 << 20)
    assert "model.h5" in refusal(lambda: "x" * (64 << 20), generous)


@pytest.mark.parametrize("limits", [DANGEROUS, LIMITS], ids=["tight", "wide"])
def test_good_files_are_opened_after_bad_ones(limits: Limits) -> None:
    refusal(segfault, limits)
    assert run_confined(lambda: "fine", "model.h5", limits) == "fine"


# --- nothing goes in or out


def outcome_of(parse: Callable[[], Any]) -> str:
    """Runs a parser that does what it must not; returns the error that it got."""

    def attempt() -> str:
        try:
            parse()
        except OSError as error:
            return type(error).__name__
        return "done"

    return str(run_confined(attempt, "model.h5", LIMITS))


def test_the_parser_can_open_no_file() -> None:
    assert outcome_of(lambda: os.open(__file__, os.O_RDONLY)) == "OSError"


def test_the_parser_can_write_no_file(tmp_path: Path) -> None:
    path = tmp_path / "new"
    assert outcome_of(lambda: path.write_text("text")) == "OSError"
    assert not path.exists()


def test_a_good_file_opens_where_proc_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, *encoding: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert run_confined(lambda: "parsed", "model.h5", LIMITS) == "parsed"


def test_the_parser_cannot_write_what_this_process_has_open(tmp_path: Path) -> None:
    with (tmp_path / "open").open("wb", buffering=0) as file:
        assert outcome_of(lambda: os.write(file.fileno(), b"text")) == "OSError"
    assert (tmp_path / "open").read_bytes() == b""


def test_the_parser_cannot_change_the_size_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "states.npz"
    path.write_bytes(b"old")
    with path.open("r+b") as file:
        assert outcome_of(lambda: os.truncate(file.fileno(), 0)) == "OSError"
    assert path.read_bytes() == b"old"


def test_the_parser_can_connect_to_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert outcome_of(lambda: socket.create_connection(address, 1)) == "OSError"
        assert outcome_of(socket.socket) == "OSError"


def test_the_parser_can_talk_through_no_socket_that_is_open() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert outcome_of(lambda: here.send(b"secret")) == "OSError"
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(10)


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_the_parser_has_no_standard_stream(
    descriptor: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert outcome_of(lambda: os.write(descriptor, b"text")) == "OSError"
    assert capfd.readouterr() == ("", "")


def test_the_parser_starts_no_program() -> None:
    assert outcome_of(lambda: subprocess.run(["true"])) == "OSError"


def test_what_the_parser_prints_does_not_come_through(capfd: pytest.CaptureFixture[str]) -> None:
    def talk() -> str:
        print("to stdout", flush=True)
        return "talked"

    # The stream may be closed or one of pytest's own: the text must not appear in either case.
    try:
        run_confined(talk, "model.h5", LIMITS)
    except RuntimeError as error:
        assert "OSError" in str(error)  # noqa: PT017 - the error is optional
    assert capfd.readouterr() == ("", "")


def test_what_waits_to_be_printed_is_printed_once() -> None:
    """If the child flushed its copy of a buffer, the text would be printed twice."""
    script = (
        "import os\n"
        "from lstm_inspect import Limits\n"
        "from lstm_inspect.files.confined import run_confined\n"
        "print('before', end=' ')\n"
        "for parse in (lambda: 1, os.abort, exit, lambda: 1 / 0):\n"
        "    try:\n"
        "        run_confined(parse, 'x', Limits())\n"
        "    except (ValueError, RuntimeError):\n"
        "        print('refused', end=' ')\n"
        "print('after')\n"
    )
    done = program(script)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "before refused refused refused after\n",
        "",
    )


# --- the process around it


def program(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("parse", [abort, segfault, leave, loop, allocate, os.getpid])
def test_no_zombie_and_no_descriptor_is_left(parse: Callable[[], Any]) -> None:
    before = descriptors(), children()
    for _ in range(1 if parse is loop else 5):
        with suppress(InspectError):
            run_confined(parse, "model.h5", DANGEROUS)
    assert (descriptors(), children()) == before


def test_an_interruption_of_the_wait_leaves_no_child() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    others = children()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run_confined(sleep, "model.h5", LIMITS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert children() == others


def test_threads_may_each_have_a_parser() -> None:
    stop = threading.Event()

    def be_busy() -> None:
        while not stop.is_set():
            sum(range(1000))
            np.dot(np.ones((50, 50)), np.ones((50, 50)))

    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        for _ in range(5):
            answers[number] = run_confined(lambda: number * 10, "model.h5", LIMITS)

    busy = [threading.Thread(target=be_busy) for _ in range(2)]
    asking = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in [*busy, *asking]:
        thread.start()
    for thread in asking:
        thread.join(60)
    stop.set()
    for thread in busy:
        thread.join()
    assert answers == {number: number * 10 for number in range(4)}


def test_threads_leave_the_filters_of_warnings_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads share the filters: the last to restore them might restore a change of the first."""
    before = list(warnings.filters)
    fork, order = os.fork, threading.Lock()
    is_first_in, is_second_in, is_first_out = (threading.Event() for _ in range(3))

    def fork_in_turn() -> int:
        is_first = order.acquire(blocking=False)
        (is_first_in if is_first else is_second_in).set()
        # If a lock lets one thread at a time in here, the other never comes.
        (is_second_in if is_first else is_first_out).wait(2)
        return fork()

    def ask_first() -> None:
        run_confined(lambda: 1, "model.h5", LIMITS)
        is_first_out.set()

    monkeypatch.setattr(os, "fork", fork_in_turn)
    first = threading.Thread(target=ask_first)
    first.start()
    assert is_first_in.wait(10)
    run_confined(lambda: 1, "model.h5", LIMITS)
    first.join(30)
    after = list(warnings.filters)
    warnings.filters[:] = before  # type: ignore[index]  # a list; typeshed says sequence
    assert after == before


def test_models_are_opened_in_threads_at_once(tmp_path: Path) -> None:
    """One thread may fork while another holds the lock of h5py; the child would wait forever."""
    path = model(tmp_path)
    found: list[int] = []

    def open_it() -> None:
        for _ in range(10):
            found.append(len(lstm_inspect.open_model(path).recurrent_calls))

    def use_h5py() -> None:
        for _ in range(200):
            with h5py.File(path, "r") as file:
                list(file)

    threads = [threading.Thread(target=each) for each in (open_it, open_it, use_h5py, use_h5py)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [1] * 20


def test_who_ignores_the_end_of_children_gets_the_answer() -> None:
    """The kernel then removes children by itself, so there is no child to wait for."""
    script = (
        "import os, signal\n"
        "from lstm_inspect import Limits, ModelFileError\n"
        "from lstm_inspect.files.confined import run_confined\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "print(run_confined(lambda: 'fine', 'x', Limits()))\n"
        "try:\n"
        "    run_confined(os.abort, 'x', Limits())\n"
        "except ModelFileError as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = program(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\nModelFileError\n", "")


def test_children_of_others_are_left_to_them() -> None:
    other = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    time.sleep(0.2)
    assert run_confined(lambda: 1, "model.h5", LIMITS) == 1
    assert other.wait(10) == 3


def test_a_parser_is_asked_where_standard_streams_are_closed() -> None:
    """The pipe of the answer then gets the descriptor of a standard stream."""
    script = (
        "import os, sys\n"
        "for each in (0, 1, 2):\n"
        "    os.close(each)\n"
        "from lstm_inspect import Limits\n"
        "from lstm_inspect.files.confined import run_confined\n"
        "os._exit(run_confined(lambda: 42, 'x', Limits()))\n"
    )
    assert program(script).returncode == 42


def test_a_process_of_tight_limits_still_gets_its_answer() -> None:
    """The child sets no limit above those of its parent."""
    script = (
        "import resource\n"
        "from lstm_inspect import Limits\n"
        "from lstm_inspect.files.confined import run_confined\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 30))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
        "print(run_confined(lambda: 'fine', 'x', Limits()))\n"
    )
    done = program(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_a_wait_by_a_thread_holds_up_no_other() -> None:
    """Runs two children at once, one of which hangs until its limit."""
    results: list[str] = []

    def hang() -> None:
        results.append(refusal(loop, DANGEROUS))

    thread = threading.Thread(target=hang)
    thread.start()
    started = time.monotonic()
    assert run_confined(lambda: 1, "model.h5", LIMITS) == 1
    assert time.monotonic() - started < 10
    thread.join(30)
    assert len(results) == 1


# --- files


def model(folder: Path) -> Path:
    config = sequential(input_layer("x", 3, 2), lstm("lstm", 2))
    return write_h5(folder / "model.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})


@pytest.fixture
def reads_itself(tmp_path: Path) -> Path:
    """A model with a virtual array that reads from itself."""
    path = model(tmp_path)
    name = "model_weights/lstm/lstm/lstm_cell/bias:0"
    with h5py.File(path, "r+") as file:
        del file[name]
        layout = h5py.VirtualLayout((8,), "<f4")
        layout[:] = h5py.VirtualSource(".", name, (8,), "<f4")
        file.create_virtual_dataset(name, layout)
    return path


def test_an_array_made_of_itself_ends_a_process_that_reads_it_plainly(reads_itself: Path) -> None:
    script = (
        "import sys, h5py\n"
        "with h5py.File(sys.argv[1]) as file:\n"
        "    print(file['model_weights/lstm/lstm/lstm_cell/bias:0'][()])\n"
    )
    assert program(script, str(reads_itself)).returncode == -signal.SIGSEGV


def test_an_array_made_of_itself_is_refused_in_one_line(reads_itself: Path) -> None:
    with pytest.raises(ModelFileError) as refused:
        lstm_inspect.open_model(reads_itself)
    message = str(refused.value)
    assert message.startswith(f"{reads_itself}: ")
    assert "virtual array" in message
    assert "\n" not in message


def test_without_that_check_it_would_end_the_child_alone(reads_itself: Path) -> None:
    """Tests the confined process without the check before it."""
    data = reads_itself.read_bytes()

    def read_plainly() -> list[float]:
        with h5py.File(io.BytesIO(data), "r") as file:
            return list(map(float, file["model_weights/lstm/lstm/lstm_cell/bias:0"][()]))

    assert refusal(read_plainly).endswith("parsed it stopped with SIGSEGV")


ORPHAN = """
import time
from lstm_inspect.files.confined import run_confined
from lstm_inspect.files.limits import Limits

def loop():
    while True:
        pass

print("ready", flush=True)
run_confined(loop, "x", Limits())
"""


def test_the_parser_ends_with_who_waits_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until = time.monotonic() + 10
        while not (children := listed.read_text().split()) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.2)  # until it is confined
        process.kill()
    (child,) = children
    while is_running(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_running(child)


def is_running(pid: str) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


INTERRUPTED_CHILD = """
import os, signal
from lstm_inspect.files.confined import run_confined
from lstm_inspect.files.limits import Limits

os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    print(run_confined(lambda: "answer", "x", Limits()), flush=True)
except BaseException as error:
    print("here", type(error).__name__, flush=True)
finally:
    print("end", flush=True)
"""


def test_a_child_that_is_interrupted_does_not_go_on_as_its_parent() -> None:
    done = program(INTERRUPTED_CHILD)
    assert done.stdout == "here ModelFileError\nend\n"


def test_another_process_that_holds_the_pipe_does_not_hold_up_the_answer() -> None:
    sleepers = []

    def fork_another() -> None:
        if pid := os.fork():
            sleepers.append(pid)
        else:
            time.sleep(20)
            os._exit(0)

    real_fork, forking = os.fork, threading.Event()

    def fork() -> int:
        if not forking.is_set():
            forking.set()
            fork_another()
        return real_fork()

    os.fork = fork
    started = time.monotonic()
    try:
        assert run_confined(lambda: "answer", "x", LIMITS) == "answer"
    finally:
        os.fork = real_fork
        for pid in sleepers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert time.monotonic() - started < 10
