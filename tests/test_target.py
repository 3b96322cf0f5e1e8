"""Tests that a result is written whole or not at all, despite errors, full disks and signals."""

import errno
import io
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lstm_inspect import OutputError, load_trace
from lstm_inspect.files import atomic
from lstm_inspect.files.atomic import _Steady, replacing
from tests.conftest import SAMPLES, load_dump, save_dump

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="as Linux does it"),
    pytest.mark.slow,
]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _interruptible() -> Iterator[None]:
    """Restores SIGINT: a shell may have started the tests, and so their processes, without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


META = {"schema": 1}
ARRAYS = {"lstm/h": np.arange(30_000.0), "lstm/c": np.ones((3, 4))}
OLD = b"what an earlier run wrote"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(path: Path) -> bytes | dict[str, bytes] | None:
    """What a file has, or each file of a folder."""
    if path.is_dir():
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    return path.read_bytes() if path.exists() else None


def open_descriptors() -> int:
    return len(names(Path("/proc/self/fd")))


# --- each call to the file system fails once


class Faults:
    """Counts the calls that change a file system, and lets one of them fail.

    Args:
        fail_at: The number of the call that fails, from 1; 0 for none.
        code: The ``errno`` of the failure.
        lasting: Whether every later call fails too, as on a lost disk.
        nameless: Whether the file system has files without a name.
    """

    def __init__(self, fail_at: int, code: int, *, lasting: bool, nameless: bool) -> None:
        self.calls: list[str] = []
        self.is_named = False
        self._fail_at = fail_at
        self._code = code
        self._lasting = lasting
        self._nameless = nameless

    @property
    def has_fired(self) -> bool:
        return 0 < self._fail_at <= len(self.calls)

    def count(self, call: str) -> None:
        self.calls.append(call)
        at = len(self.calls)
        if at == self._fail_at or (self._lasting and self.has_fired):
            raise OSError(self._code, os.strerror(self._code))

    def install(self, monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
        real_open, real_close = os.open, os.close

        def open_(path: Any, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE and not self._nameless:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            self.count("open")
            return real_open(path, flags, mode)

        def close(descriptor: int) -> None:
            real_close(descriptor)  # Linux closes it even if it reports an error
            self.count("close")

        def steady(descriptor: int) -> io.FileIO:
            return _CountingFile(descriptor, self)

        def naming(call: str) -> Callable[..., None]:
            real = getattr(os, call)

            def name(source: Any, to: Any, **options: Any) -> None:
                self.count(call)
                real(source, to, **options)
                self.is_named |= Path(os.fspath(to)).name == target.name

            return name

        real_fsync = os.fsync

        def fsync(descriptor: int) -> None:
            self.count("fsync")
            real_fsync(descriptor)

        monkeypatch.setattr(os, "open", open_)
        monkeypatch.setattr(os, "close", close)
        monkeypatch.setattr(atomic, "_Steady", steady)
        monkeypatch.setattr(atomic, "STEP_BYTES", 100_000)
        monkeypatch.setattr(os, "fsync", fsync)
        for call in ("link", "replace"):
            monkeypatch.setattr(os, call, naming(call))


class _CountingFile(_Steady):
    def __init__(self, descriptor: int, faults: Faults) -> None:
        super().__init__(descriptor)
        self._faults = faults

    def write(self, data: Any, /) -> int:
        self._faults.count("write")
        return super().write(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._faults.count("close")


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["disk-full", "io-error"])
@pytest.mark.parametrize("nameless", [True, False], ids=["nameless", "named"])
@pytest.mark.parametrize("before", [None, OLD], ids=["new", "replaced"])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_whichever_call_fails_the_old_file_stays_and_nothing_else(
    suffix: str,
    before: bytes | None,
    nameless: bool,
    code: int,
    lasting: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / f"states{suffix}"
    failed: list[str] = []
    descriptors = open_descriptors()
    for fail_at in range(1, 200):
        target.unlink(missing_ok=True)
        if before is not None:
            target.write_bytes(before)
        faults = Faults(fail_at, code, lasting=lasting, nameless=nameless)
        refused: OutputError | None = None
        with monkeypatch.context() as patch:
            faults.install(patch, target)
            try:
                save_dump(target, ARRAYS, META)
            except OutputError as error:
                refused = error
        assert open_descriptors() == descriptors
        if not faults.has_fired:
            break
        failed.append(faults.calls[fail_at - 1])
        where = f"call {fail_at}: {failed[-1]}"
        assert refused is not None, where
        assert str(refused) == f"{target}: cannot be written ({os.strerror(code)})", where
        # A failure after the naming, such as in fsync of the folder, cannot undo the name.
        assert faults.is_named or content(target) == before, where
        assert names(tmp_path) == ([target.name] if target.exists() else []), where
        if faults.is_named:
            assert load_dump(target)[1] == META
    assert refused is None
    arrays, meta = load_dump(target)
    assert meta == META
    assert {key: array.tolist() for key, array in arrays.items()} == {
        key: array.tolist() for key, array in ARRAYS.items()
    }
    assert names(tmp_path) == [target.name]
    naming = {"link"} if nameless else {"replace"}
    if nameless and before is not None:
        naming = {"link", "replace"}
    assert {"open", "write", "fsync", "close", *naming} == set(failed)


class _TreeFaults:
    """Lets a call fail that makes, fills, brings to disk or names a folder; see `Faults`."""

    def __init__(
        self, fail_at: int, code: int, patch: pytest.MonkeyPatch, *, lasting: bool
    ) -> None:
        self.calls: list[str] = []
        self._fail_at = fail_at
        self._code = code
        self._lasting = lasting
        for call in ("mkdir", "fsync", "rename", "replace"):
            patch.setattr(os, call, self._counting(call, getattr(os, call)))
        patch.setattr(Path, "open", self._counting("open", Path.open))

    @property
    def has_fired(self) -> bool:
        return 0 < self._fail_at <= len(self.calls)

    def _counting(self, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            if call == "mkdir" and Path(args[0]).is_dir():
                return real(*args, **options)  # which fails already, and may do so
            self.calls.append(call)
            if len(self.calls) == self._fail_at or (self._lasting and self.has_fired):
                raise OSError(self._code, os.strerror(self._code))
            return real(*args, **options)

        return counted


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["disk-full", "io-error"])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from-then-on"])
def test_whichever_call_fails_the_old_folder_stays_and_nothing_else(
    lasting: bool, is_there: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no folder can be renamed any more, the error says what name the old one has."""
    target = tmp_path / "states.zarr"
    old = {"lstm/h": np.zeros(5)}
    failed: list[str] = []
    for fail_at in range(1, 200):
        shutil.rmtree(target, ignore_errors=True)
        if is_there:
            save_dump(target, old, META)
        refused: OutputError | None = None
        with monkeypatch.context() as patch:
            faults = _TreeFaults(fail_at, code, patch, lasting=lasting)
            try:
                save_dump(target, ARRAYS, META)
            except OutputError as error:
                refused = error
        if not faults.has_fired:
            break
        failed.append(faults.calls[fail_at - 1])
        where = f"call {fail_at}: {failed[-1]}"
        assert refused is not None, where
        assert str(refused) == f"{target}: cannot be written ({os.strerror(code)})", where
        if is_there and not target.exists():
            assert lasting, where
            (kept,) = tmp_path.iterdir()
            assert refused.__notes__ == [f"{kept} is what had the name before; rename it"]
            kept.rename(target)
        assert names(tmp_path) == ([target.name] if target.exists() else []), where
        if target.exists():
            # A failure after the naming, such as in fsync of the folder, cannot undo the name.
            expected = ARRAYS if load_dump(target)[0].keys() == ARRAYS.keys() else old
            assert expected is ARRAYS or is_there, where
            for key, array in load_dump(target)[0].items():
                np.testing.assert_array_equal(array, expected[key])
    assert refused is None
    assert {*failed} == {"mkdir", "open", "fsync", "rename", "replace"}


@pytest.mark.parametrize("nameless", [True, False], ids=["nameless", "named"])
def test_a_file_that_cannot_be_made_a_stream_leaves_nothing(
    nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """io.FileIO reads the status of the file, which fails if its server is gone."""
    target = tmp_path / "states.npz"

    def fail(descriptor: int) -> None:
        os.close(descriptor)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        Faults(0, errno.EIO, lasting=False, nameless=nameless).install(patch, target)
        patch.setattr(atomic, "_Steady", fail)
        with pytest.raises(OutputError, match="cannot be written"):
            save_dump(target, ARRAYS, META)
    assert names(tmp_path) == []


@pytest.mark.parametrize("nameless", [True, False], ids=["nameless", "named"])
@pytest.mark.parametrize("before", [None, OLD], ids=["new", "replaced"])
def test_signals_are_let_through_again(
    before: bytes | None, nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "states.npz"
    if before:
        target.write_bytes(before)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    for fail_at in range(1, 100):
        faults = Faults(fail_at, errno.EIO, lasting=False, nameless=nameless)
        with monkeypatch.context() as patch:
            faults.install(patch, target)
            try:
                save_dump(target, {}, META)
            except OutputError:
                assert faults.has_fired
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == held
        if not faults.has_fired:
            break
    assert not faults.has_fired


@pytest.mark.parametrize("nameless", [True, False], ids=["nameless", "named"])
def test_what_took_the_name_meanwhile_is_replaced_only_if_it_may_be(
    nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "states.npz"
    Faults(0, 0, lasting=False, nameless=nameless).install(monkeypatch, target)

    def write(may_replace: bool) -> None:
        with replacing(target, lambda path: may_replace) as file:
            file.write(b"new")
            target.write_bytes(OLD)

    with pytest.raises(OutputError, match="exists and would be overwritten"):
        write(may_replace=False)
    assert (target.read_bytes(), names(tmp_path)) == (OLD, [target.name])
    write(may_replace=True)
    assert (target.read_bytes(), names(tmp_path)) == (b"new", [target.name])


def test_a_result_is_written_where_proc_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_inspect.files.atomic._OPEN_FILES", tmp_path / "missing")
    save_dump(tmp_path / "states.npz", ARRAYS, META)
    assert names(tmp_path) == ["states.npz"]


def test_a_folder_that_went_away_is_an_output_error(tmp_path: Path) -> None:
    target = tmp_path / "gone" / "states.npz"
    target.parent.mkdir()

    def lose_the_folder() -> None:
        with replacing(target, lambda path: True) as file:
            file.write(b"new")
            target.parent.rmdir()

    with pytest.raises(OutputError) as refused:
        lose_the_folder()
    assert str(refused.value) == f"{target}: cannot be written (No such file or directory)"


# --- the written file


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0o027])
@pytest.mark.parametrize("nameless", [True, False], ids=["nameless", "named"])
def test_the_umask_decides_who_may_read(
    nameless: bool, umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "states.npz"
    Faults(0, 0, lasting=False, nameless=nameless).install(monkeypatch, target)
    before = os.umask(umask)
    try:
        save_dump(target, {}, META)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_one_and_its_file_is_written(exists: bool, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "here").mkdir()
    file, link = tmp_path / "data" / "run1.npz", tmp_path / "here" / "states.npz"
    if exists:
        file.write_bytes(OLD)
    link.symlink_to("../data/run1.npz")
    save_dump(link, {}, META)
    assert link.is_symlink()
    assert load_dump(file)[1] == META
    assert (names(tmp_path / "data"), names(tmp_path / "here")) == (["run1.npz"], ["states.npz"])


def test_a_link_to_itself_is_an_output_error(tmp_path: Path) -> None:
    link = tmp_path / "states.npz"
    link.symlink_to(link.name)
    with pytest.raises(OutputError, match=re.escape(str(link))):
        save_dump(link, {}, META)
    assert link.is_symlink()
    assert names(tmp_path) == [link.name]


def test_another_name_of_the_file_keeps_what_it_had(tmp_path: Path) -> None:
    target, other = tmp_path / "states.npz", tmp_path / "kept.npz"
    target.write_bytes(OLD)
    other.hardlink_to(target)
    save_dump(target, {}, META)
    assert other.read_bytes() == OLD
    assert load_dump(target)[1] == META


def test_the_longest_name_that_there_is_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".npz")
    for _ in range(2):
        save_dump(target, {}, META)
    assert names(tmp_path) == [target.name]


def test_the_longest_name_in_letters_of_two_bytes_can_be_replaced(tmp_path: Path) -> None:
    """255 bytes hold 127 such letters; the temporary name must not be longer."""
    target = tmp_path / ("é" * 125 + ".npz")
    for _ in range(2):
        save_dump(target, {}, META)
    assert names(tmp_path) == [target.name]


# --- the command line in a process of its own


class Ended(NamedTuple):
    """The exit status and the output of a process."""

    status: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    inherited = {name: text for name, text in os.environ.items() if name[:3] not in ("LC_", "LAN")}
    return {**inherited, "PYTHONPATH": str(ROOT), **more}


def run(
    *arguments: str | bytes,
    python: Sequence[str] = (),
    shell: str = 'exec "$@"',
    **env: str,
) -> Ended:
    """Runs the tool from a line of shell, which may redirect or limit it."""
    tool = [sys.executable, *python, "-m", "lstm_inspect"]
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *tool, *arguments],
        env=environment(**env),
        capture_output=True,
        timeout=60,
    )
    out, err = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
    return Ended(done.returncode, out, err)


MODEL, INPUT = str(SAMPLES / "stacked.keras"), str(SAMPLES / "stacked.npy")
TRACE = ("trace", MODEL, "--input", INPUT, "--record", "all", "--out")
SHAPES = ("shapes", MODEL)


def is_one_error(text: str) -> bool:
    return bool(re.fullmatch(r"error: [^\n]{1,400}\n", text)) and "Traceback" not in text


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The dump of an undisturbed run."""
    target = tmp_path_factory.mktemp("reference") / "states.npz"
    ended = run(*TRACE, str(target))
    assert (ended.status, ended.err) == (0, "")
    assert names(target.parent) == [target.name]
    assert len(load_trace(target).arrays()) > 10
    return target.read_bytes()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Another dump, of an earlier run."""
    target = tmp_path_factory.mktemp("earlier") / "states.npz"
    save_dump(target, {}, META)
    return target.read_bytes()


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "replaced"])
def test_a_limit_on_the_size_of_files_is_an_error_and_keeps_the_old(
    is_new: bool, earlier: bytes, reference: bytes, tmp_path: Path
) -> None:
    assert len(reference) > 8192
    target = tmp_path / "states.npz"
    if not is_new:
        target.write_bytes(earlier)
    ended = run(*TRACE, str(target), shell='ulimit -f 4; exec "$@"')
    assert ended.status == 2
    assert is_one_error(ended.err)
    assert "File too large" in ended.err
    assert content(target) == (None if is_new else earlier)
    assert names(tmp_path) == ([] if is_new else [target.name])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 kB."""
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=16k", "tmpfs"]
    if mount is None or subprocess.run([mount, *options, tmp_path], capture_output=True).returncode:
        pytest.skip("no right to mount a file system, which takes root: nothing to fill")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "replaced"])
def test_a_full_disk_is_an_error_and_keeps_the_old(
    is_new: bool, earlier: bytes, reference: bytes, small_disk: Path
) -> None:
    assert len(reference) > 16 << 10
    target = small_disk / "states.npz"
    if not is_new:
        target.write_bytes(earlier)
    ended = run(*TRACE, str(target))
    assert ended.status == 2
    assert is_one_error(ended.err)
    assert re.search(r"expected \d+ free bytes in .*, found \d+", ended.err)
    assert content(target) == (None if is_new else earlier)
    assert names(small_disk) == ([] if is_new else [target.name])


# --- signals


KILLS = 6
"""How many runs are ended by each signal, in each format."""

LEFT = re.compile(r"\.lstm-inspect\.[0-9a-f]{16}\.tmp")
STATUSES = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {-signal.SIGTERM, 128 + signal.SIGTERM},
    signal.SIGINT: {-signal.SIGINT, 128 + signal.SIGINT},
}

each_signal = pytest.mark.parametrize("number", STATUSES, ids=lambda number: number.name)


class Undisturbed(NamedTuple):
    """The name and content of the dump of a run that nothing ends, and how long the run takes."""

    name: str
    content: bytes | dict[str, bytes] | None
    seconds: float


@pytest.fixture(scope="module", params=[".npz", ".h5", ".zarr"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    targets = [tmp_path_factory.mktemp("timed") / f"states{request.param}" for _ in range(2)]
    started = time.monotonic()
    for target in targets:
        assert run(*TRACE, str(target)).status == 0
    seconds = (time.monotonic() - started) / 2
    first, second = map(content, targets)
    assert first == second
    return Undisturbed(targets[0].name, first, seconds)


def kill_after(seconds: float, number: int, target: Path) -> Ended:
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_inspect", *TRACE, str(target)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


def is_of_the_start_of_python(ended: Ended) -> bool:
    """Whether a process was interrupted before the package could handle the signal."""
    importing = r"/lstm_inspect/(?!__(init|main)__\.py\", line \d+, in <module>)"
    is_ours = re.search(importing, ended.err) or "Exception ignored" in ended.err
    return ended.err.endswith("KeyboardInterrupt\n") and not is_ours


@each_signal
def test_a_run_that_is_ended_at_any_time_leaves_all_or_nothing(
    number: signal.Signals, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    rng = random.Random(number)
    ended_early = 0
    for each in range(KILLS):
        target = tmp_path / str(each) / undisturbed.name
        target.parent.mkdir()
        if each % 2:
            save_dump(target, {}, META)
        before = content(target)
        seconds = rng.uniform(0, 1.15) * undisturbed.seconds
        ended = kill_after(seconds, number, target)
        where = f"run {each}, {seconds:.3f} of {undisturbed.seconds:.3f} s: {ended}"
        others = [path for path in target.parent.iterdir() if path != target]
        if number == signal.SIGKILL and target.suffix == ".zarr":
            assert all(LEFT.fullmatch(path.name) for path in others), where
            is_between = not target.exists() and before in map(content, others)
        else:
            assert others == [], where
            is_between = False
        assert is_between or content(target) in (before, undisturbed.content), where
        assert is_of_the_start_of_python(ended) or (
            ended.status in {0, *STATUSES[number]} and "Traceback" not in ended.err
        ), where
        assert ended.status or content(target) == undisturbed.content, where
        ended_early += bool(ended.status)
    assert ended_early > 0


def traced_by(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a script that runs the command line."""
    return subprocess.run(
        [sys.executable, "-c", script, *TRACE, str(folder / "states.npz")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_after_all_is_done_shows_no_traceback(number: int, tmp_path: Path) -> None:
    """Python takes a while to exit, and nothing catches what a handler raises then."""
    script = (
        "import atexit, os, sys\n"
        f"atexit.register(os.kill, os.getpid(), {int(number)})\n"
        "from lstm_inspect.__main__ import main\n"
        "main()\n"
    )
    done = traced_by(script, tmp_path)
    assert (done.stderr, done.returncode in {0, -number, 128 + number}) == ("", True)
    assert load_trace(tmp_path / "states.npz")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_while_modules_are_imported_is_not_lost(number: int, tmp_path: Path) -> None:
    """An import ends in a callback, and Python drops exceptions raised in a callback."""
    script = (
        "import os, sys, weakref\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'lstm_inspect.replay':\n"
        "            lock = Finder()\n"
        f"            told = weakref.ref(lock, lambda _: os.kill(os.getpid(), {int(number)}))\n"
        "            del lock\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from lstm_inspect.__main__ import main\n"
        "main()\n"
    )
    done = traced_by(script, tmp_path)
    assert done.returncode in {-number, 128 + number}
    assert "Traceback" not in done.stderr
    assert names(tmp_path) == []


BLOCKED = """
import os, sys
import numpy as np
from lstm_inspect.__main__ import main

where, nameless, *sys.argv[1:] = sys.argv[1:]
real_open, real_write = os.open, np.lib.format.write_array_header_1_0
told = []

def open_(path, flags, *rest, **more):
    if flags & os.O_TMPFILE == os.O_TMPFILE and nameless == "False":
        raise OSError(95, "Operation not supported")
    return real_open(path, flags, *rest, **more)

def wait():
    if not told:
        told.append(True)
        os.write(1, b"ready\\n")
        os.read(0, 1)

def write_header(file, header):
    if where == "first":
        wait()
    real_write(file, header)
    if where == "middle":
        wait()

def waiting(real):
    def call(*arguments, **more):
        result = real(*arguments, **more)
        wait()
        return result
    return call

os.open, np.lib.format.write_array_header_1_0 = open_, write_header
if where in ("fsync", "link", "replace", "rename"):
    setattr(os, where, waiting(getattr(os, where)))
main()
"""


def kill_at(where: str, number: int, target: Path, *, nameless: bool) -> Ended:
    """Sends a signal to a run that waits for it at a point of the writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKED, where, str(nameless), *TRACE, str(target)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "ready\n", process.communicate()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


@each_signal
@pytest.mark.parametrize("where", ["first", "middle", "fsync"])
@pytest.mark.parametrize("nameless", [True, False], ids=["nameless", "named"])
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "replaced"])
def test_a_run_that_is_ended_while_it_writes_leaves_the_old(
    is_new: bool,
    nameless: bool,
    where: str,
    number: signal.Signals,
    earlier: bytes,
    tmp_path: Path,
) -> None:
    target = tmp_path / "states.npz"
    before = None if is_new else earlier
    if before is not None:
        target.write_bytes(before)
    ended = kill_at(where, number, target, nameless=nameless)
    assert ended.status in STATUSES[number]
    assert "Traceback" not in ended.err
    assert content(target) == before
    others = [name for name in names(tmp_path) if name != target.name]
    if number == signal.SIGKILL and not nameless:
        # No process is left to clean up; the name of the file shows that it is not a result.
        assert len(others) == 1
        assert LEFT.fullmatch(others[0])
    else:
        assert others == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    ("where", "nameless", "is_new"),
    [
        ("link", True, True),
        ("link", True, False),
        ("replace", True, False),
        ("replace", False, True),
        ("replace", False, False),
    ],
)
def test_a_signal_waits_while_the_file_gets_its_name(
    where: str,
    nameless: bool,
    is_new: bool,
    number: signal.Signals,
    earlier: bytes,
    reference: bytes,
    tmp_path: Path,
) -> None:
    target = tmp_path / "states.npz"
    if not is_new:
        target.write_bytes(earlier)
    ended = kill_at(where, number, target, nameless=nameless)
    assert ended.status == 128 + number
    assert "Traceback" not in ended.err
    assert (names(tmp_path), target.read_bytes()) == ([target.name], reference)


@pytest.mark.parametrize("where", ["link", "replace"])
def test_a_run_that_is_killed_while_it_replaces_leaves_the_old_or_the_new(
    where: str, earlier: bytes, reference: bytes, tmp_path: Path
) -> None:
    target = tmp_path / "states.npz"
    target.write_bytes(earlier)
    ended = kill_at(where, signal.SIGKILL, target, nameless=True)
    assert ended.status == -signal.SIGKILL
    assert target.read_bytes() == (earlier if where == "link" else reference)


@each_signal
def test_a_run_that_is_ended_between_the_two_renames_of_a_folder(
    number: signal.Signals, tmp_path: Path
) -> None:
    """A folder cannot replace another in one step; docs/safety.md says what a kill leaves."""
    target = tmp_path / "states.zarr"
    save_dump(target, {}, META)
    before = content(target)
    ended = kill_at("rename", number, target, nameless=True)
    assert ended.status in STATUSES[number]
    if number == signal.SIGKILL:
        assert not target.exists()
        assert all(map(LEFT.fullmatch, names(tmp_path)))
        old, new = sorted(tmp_path.iterdir(), key=lambda path: content(path) != before)
        assert content(old) == before
        assert len(load_trace(new).arrays()) > 10
    else:
        assert "Traceback" not in ended.err
        assert names(tmp_path) == [target.name]
        assert len(load_trace(target).arrays()) > 10


# --- streams


@pytest.fixture(scope="module")
def table() -> str:
    """The output of `shapes` to an ordinary stream."""
    ended = run(*SHAPES)
    assert (ended.status, ended.err) == (0, "")
    return ended.out


@pytest.mark.parametrize(
    "arguments", [SHAPES, (*SHAPES, "--format", "json")], ids=["table", "json"]
)
def test_a_reader_who_has_gone_ends_it_in_silence(arguments: tuple[str, ...]) -> None:
    receiving, sending = os.pipe()
    os.close(receiving)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lstm_inspect", *arguments],
            env=environment(),
            stdout=sending,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(sending)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["shapes", "trace"])
@pytest.mark.parametrize(
    ("redirected", "says"),
    [(">&-", "standard output is closed"), (">/dev/full", "No space left on device")],
)
def test_a_standard_output_that_takes_nothing_is_an_error(
    redirected: str, says: str, command: str, tmp_path: Path
) -> None:
    arguments = SHAPES if command == "shapes" else (*TRACE, str(tmp_path / "states.npz"))
    ended = run(*arguments, shell=f'exec "$@" {redirected}')
    assert ended.status == 2
    assert is_one_error(ended.err)
    assert says in ended.err


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("shapes", "--help")], ids=str)
def test_a_full_standard_output_is_an_error_of_what_only_prints(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments, shell='exec "$@" >/dev/full')
    assert ended.status == 2
    assert is_one_error(ended.err)


def test_the_driver_that_the_environment_sets_for_hdf5_does_not_count(table: str) -> None:
    assert run(*SHAPES, shell='HDF5_DRIVER=nonsense exec "$@"') == (0, table, "")


def test_a_closed_standard_error_does_not_change_what_shapes_says(
    table: str, tmp_path: Path
) -> None:
    assert run(*SHAPES, shell='exec "$@" 2>&-') == (0, table, "")
    assert run("shapes", str(tmp_path / "none.keras"), shell='exec "$@" 2>&-') == (2, "", "")


def test_a_closed_standard_error_does_not_stop_a_trace(tmp_path: Path) -> None:
    target = tmp_path / "states.npz"
    assert run(*TRACE, str(target), shell='exec "$@" 2>&-').status == 0
    assert load_trace(target)
    assert names(tmp_path) == [target.name]


def test_a_full_standard_error_keeps_the_status(tmp_path: Path) -> None:
    ended = run("shapes", str(tmp_path / "none.keras"), shell='exec "$@" 2>/dev/full')
    assert (ended.status, ended.out) == (2, "")


def test_a_closed_standard_input_changes_nothing(table: str, tmp_path: Path) -> None:
    assert run(*SHAPES, shell='exec "$@" <&-') == (0, table, "")
    target = tmp_path / "states.npz"
    assert run(*TRACE, str(target), shell='exec "$@" <&-').status == 0
    assert load_trace(target)


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"TERM": "dumb", "COLUMNS": "20"},
        {"PYTHONINTMAXSTRDIGITS": "640"},
        {"PYTHONOPTIMIZE": "2"},
    ],
    ids=lambda env: " ".join(f"{name}={text}" for name, text in env.items()),
)
def test_no_setting_of_the_environment_stops_it(env: dict[str, str], tmp_path: Path) -> None:
    for arguments in (SHAPES, (*TRACE, str(tmp_path / "states.npz"))):
        ended = run(*arguments, **env)
        assert (ended.status, ended.err) == (0, "")
        assert "lstm" in ended.out


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_names_that_are_no_utf8_are_files_like_others(
    locale: str, reference: bytes, tmp_path: Path
) -> None:
    folder = os.fsencode(tmp_path)
    model, target = folder + b"/m\xff.keras", folder + b"/s\xfe.npz"
    shutil.copy(os.fsencode(MODEL), model)
    assert run("shapes", model, LC_ALL=locale).status == 0
    options = [each for each in TRACE if each not in ("trace", MODEL)]
    ended = run("trace", model, *options, target, LC_ALL=locale)
    assert (ended.status, ended.err) == (0, "")
    arrays, meta = load_dump(os.fsdecode(target))
    (tmp_path / "same.npz").write_bytes(reference)
    expected = load_dump(tmp_path / "same.npz")[0]
    assert arrays.keys() == expected.keys()
    assert all(np.array_equal(arrays[key], expected[key]) for key in arrays)
    assert meta["model"]["name"] == os.fsdecode(b"m\xff.keras")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("name", [b"none\xff.keras", b"a\nb.keras", b"\x1b[2J.keras"])
def test_an_error_about_an_odd_name_is_one_line(name: bytes, locale: str, tmp_path: Path) -> None:
    for arguments in ((b"shapes", name), (b"trace", MODEL.encode(), b"--input", name)):
        out = [b"--out", os.fsencode(tmp_path) + b"/s.npz"] if arguments[0] == b"trace" else []
        ended = run(*arguments, *out, LC_ALL=locale)
        assert ended.status == 2
        assert is_one_error(ended.err)
        assert ended.err.rstrip("\n").isprintable()
    assert names(tmp_path) == []


@pytest.mark.parametrize("python", [("-X", "dev", "-W", "error"), ("-bb", "-W", "error")])
def test_python_has_nothing_to_warn_of(python: tuple[str, ...], table: str, tmp_path: Path) -> None:
    assert run(*SHAPES, python=python) == (0, table, "")
    ended = run(*TRACE, str(tmp_path / "states.npz"), python=python)
    assert (ended.status, ended.err) == (0, "")
