"""A child process in which a parser of untrusted bytes can crash or hang alone."""

import json
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from lstm_inspect.errors import InspectError, LimitError, ModelFileError
from lstm_inspect.files.interruptions import ENDING, interruptions_held
from lstm_inspect.files.limits import Limits

IS_CONFINED = sys.platform == "linux"
"""Whether there is such a child: other systems lack the limits, or the fork."""

if IS_CONFINED:
    import fcntl
    import resource

_REFUSALS = {error.__name__: error for error in (ModelFileError, LimitError)}
_WALL_CLOCK_SLACK = 60

# The filters of warnings are the whole process's: threads change them one after the other.
_FORK = threading.Lock()
_SHORT_ANSWER = 1 << 20
_SIZE_BYTES = 8


def run_confined(parse: Callable[[], Any], what: str, limits: Limits) -> Any:
    """Calls a parser where it can open no file and connect to nothing, and gives its answer.

    A forked child sees the bytes that this process has read. It has no descriptor but that of its
    answer and can open none, writes no file and no core, and is held to a share of memory and time.
    Where the system has no such child, the parser is called here.

    Args:
        parse: Gives JSON data, or raises ModelFileError or LimitError.
        what: What to call the bytes in an error.
        limits: Its memory and time.

    Raises:
        ModelFileError: The parser refuses the bytes, crashes or does not come to an end.
        LimitError: The bytes ask for more than is granted.
    """
    if not IS_CONFINED:
        return _within_memory(parse, what, limits)
    with _FORK, interruptions_held(), warnings.catch_warnings():
        # What is raised in a callback of the fork is printed and lost: interruptions wait.
        # Python 3.12 warns of threads: one that holds a lock at this moment never releases it in
        # the child. The child takes h5py's alone, which h5py holds while it forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        receiving, sending = os.pipe()
        child = os.fork()
        if not child:
            _answer(parse, what, sending, limits)
        os.close(sending)
    status = 0
    try:
        with os.fdopen(receiving, "rb") as pipe:
            # Not to the end of the pipe: a process that another thread forks may hold it open.
            size = int.from_bytes(pipe.read(_SIZE_BYTES), "little")
            text = pipe.read(min(size, _SHORT_ANSWER + 2 * limits.hdf5_metadata_bytes))
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):  # who ignores SIGCHLD has no children to wait for
            _, status = os.waitpid(child, 0)
    return _outcome(text, status, what, limits)


def _outcome(text: bytes, status: int, what: str, limits: Limits) -> Any:
    try:
        answer = json.loads(text)
    except ValueError:
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGXCPU:
            limit = f"parser_seconds={limits.parser_seconds}"
            reason = f"it took longer than the limit {limit}; {limits.advice('parser_seconds')}"
        else:
            how = signal.Signals(-code).name if code < 0 else f"status {code}"
            reason = f"it stopped with {how}"
        raise ModelFileError(
            f"{what}: damaged or hostile HDF5 data; the confined process that parsed it was lost: "
            f"{reason}"
        ) from None
    if "bug" in answer:
        raise RuntimeError(f"in the confined process:\n{answer['bug']}")
    if "refusal" in answer:
        raise _REFUSALS[answer["refusal"]](answer["message"])
    return answer["parsed"]


def _within_memory(parse: Callable[[], Any], what: str, limits: Limits) -> Any:
    try:
        return parse()
    except MemoryError as error:
        limit = f"parser_bytes={limits.parser_bytes}"
        raise LimitError(
            f"{what}: parsing it takes more memory than the limit {limit}; "
            f"{limits.advice('parser_bytes')}"
        ) from error


def _answer(parse: Callable[[], Any], what: str, sending: int, limits: Limits) -> NoReturn:
    """Parses in the child and sends what came of it; never returns, whatever is raised."""
    try:
        _confine(sending, limits)
        try:
            text = _within_memory(lambda: json.dumps({"parsed": parse()}), what, limits)
        except InspectError as error:
            text = json.dumps({"refusal": type(error).__name__, "message": str(error)})
        except Exception:
            text = json.dumps({"bug": traceback.format_exc()})
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent too while the answer is being read
        encoded = text.encode()
        left = memoryview(len(encoded).to_bytes(_SIZE_BYTES, "little") + encoded)
        while left:
            left = left[os.write(sending, left) :]
        os._exit(0)
    finally:
        os._exit(1)


def _confine(sending: int, limits: Limits) -> None:
    """Takes from the child what a parser does not need."""
    for each in (*ENDING, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    os.closerange(0, sending)
    os.closerange(sending + 1, os.sysconf("SC_OPEN_MAX"))
    _end_without_reader(sending)
    _limit_resources(limits)
    signal.alarm(limits.parser_seconds + _WALL_CLOCK_SLACK)


def _end_without_reader(sending: int) -> None:
    """Ends the child when nobody is left to read its answer, because the parent was killed.

    An asynchronous pipe tells its owner with SIGIO that it can be written to, which it can when its
    other end is closed (Linux, fcntl(2), ``F_SETOWN``). The default action of SIGIO ends a process.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(sending, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sending, fcntl.F_SETFL, fcntl.fcntl(sending, fcntl.F_GETFL) | os.O_ASYNC)


def _limit_resources(limits: Limits) -> None:
    own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for name, most in {
        resource.RLIMIT_AS: own + limits.parser_bytes,
        resource.RLIMIT_CPU: limits.parser_seconds,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }.items():
        _, hard = resource.getrlimit(name)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        # Past the soft limit of time a process is told, past the hard one killed without a reason.
        resource.setrlimit(name, (most, most + (name == resource.RLIMIT_CPU and hard != most)))
