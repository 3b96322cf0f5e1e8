"""Runs a parser of untrusted bytes in a child process, so that only the child crashes or hangs."""

import json
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from lstm_inspect.errors import InspectError, LimitError, ModelFileError
from lstm_inspect.files.interruptions import ENDING, interruptions_held
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.own_memory import own_memory

IS_CONFINED = sys.platform == "linux"
"""Whether parsers run in a child process; other systems lack the resource limits or fork."""

if IS_CONFINED:
    import fcntl
    import resource

_REFUSALS = {error.__name__: error for error in (ModelFileError, LimitError)}
_BYTES_IN_TIME = 20 << 20

# Warning filters belong to the whole process: only one thread at a time may change them.
_FORK = threading.Lock()
_SHORT_ANSWER = 1 << 20
_SIZE_BYTES = 8


def run_confined(parse: Callable[[], Any], what: str, limits: Limits, size: int = 0) -> Any:
    """Runs a parser where it can open no file and no connection, and returns its answer.

    A forked child sees the bytes that this process has read. Its only descriptor is the pipe for
    its answer, and it cannot open another. It writes no file and no core dump, and its memory and
    time are limited. If the system has no such child, the parser runs in this process.

    Args:
        parse: Returns JSON data, or raises ModelFileError or LimitError.
        what: The name of the bytes in errors.
        limits: The limits on memory and time.
        size: How many bytes there are to parse.

    Raises:
        ModelFileError: The parser refuses the bytes, crashes or does not finish.
        LimitError: The bytes ask for more than the limits allow.
    """
    if not IS_CONFINED:
        return _within_memory(parse, what, limits)
    with _FORK, interruptions_held(), warnings.catch_warnings():
        # Interruptions wait: an exception raised in a callback of fork would be printed and lost.
        # Python 3.12 warns about threads, because a lock that one of them holds now is never
        # released in the child. The child takes only h5py's lock, which h5py holds during the fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        receiving, sending = os.pipe()
        child = os.fork()
        if not child:
            seconds = limits.parser_seconds * (1 + size // _BYTES_IN_TIME)
            _answer(parse, what, sending, limits, seconds)
        os.close(sending)
    status = 0
    try:
        with os.fdopen(receiving, "rb") as pipe:
            # Not up to the end of the pipe: a process forked by another thread may keep it open.
            size = int.from_bytes(pipe.read(_SIZE_BYTES), "little")
            text = pipe.read(min(size, _SHORT_ANSWER + 2 * limits.hdf5_metadata_bytes))
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):  # if SIGCHLD is ignored, nothing is left to wait for
            _, status = os.waitpid(child, 0)
    return _outcome(text, status, what, limits)


def _outcome(text: bytes, status: int, what: str, limits: Limits) -> Any:
    try:
        answer = json.loads(text)
    except ValueError:
        code = os.waitstatus_to_exitcode(status)
        if code in (-signal.SIGXCPU, -signal.SIGALRM):
            limit = f"parser_seconds={limits.parser_seconds}"
            reason = f"took longer than the limit {limit}; {limits.advice('parser_seconds')}"
        else:
            how = signal.Signals(-code).name if code < 0 else f"status {code}"
            reason = f"stopped with {how}"
        raise ModelFileError(
            f"{what}: damaged or hostile HDF5 data; the confined process that parsed it {reason}"
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


def _answer(
    parse: Callable[[], Any], what: str, sending: int, limits: Limits, seconds: int
) -> NoReturn:
    """Parses in the child and sends the result; never returns, even after an exception."""
    try:
        _confine(sending, limits, seconds)
        try:
            text = _within_memory(lambda: json.dumps({"parsed": parse()}), what, limits)
        except InspectError as error:
            text = json.dumps({"refusal": type(error).__name__, "message": str(error)})
        except Exception:
            text = json.dumps({"bug": traceback.format_exc()})
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # also sent while the parent reads the answer
        encoded = text.encode()
        left = memoryview(len(encoded).to_bytes(_SIZE_BYTES, "little") + encoded)
        while left:
            left = left[os.write(sending, left) :]
        os._exit(0)
    finally:
        os._exit(1)


def _confine(sending: int, limits: Limits, seconds: int) -> None:
    """Takes away from the child everything that a parser does not need."""
    for each in (*ENDING, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    os.closerange(0, sending)
    os.closerange(sending + 1, os.sysconf("SC_OPEN_MAX"))
    _end_without_reader(sending)
    _limit_resources(limits, seconds)
    signal.alarm(seconds)  # waiting does not count as processor time


def _end_without_reader(sending: int) -> None:
    """Ends the child if the parent was killed and nobody is left to read the answer.

    An asynchronous pipe sends SIGIO to its owner when the pipe becomes writable, and also when the
    other end is closed (Linux, fcntl(2), ``F_SETOWN``). By default, SIGIO ends the process.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(sending, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sending, fcntl.F_SETFL, fcntl.fcntl(sending, fcntl.F_GETFL) | os.O_ASYNC)


def _limit_resources(limits: Limits, seconds: int) -> None:
    own = own_memory()
    granted = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    if own is not None:
        granted[resource.RLIMIT_AS] = own + limits.parser_bytes
    for name, most in granted.items():
        _, hard = resource.getrlimit(name)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        # Past the soft CPU limit a process gets SIGXCPU; past the hard one it is just killed.
        resource.setrlimit(name, (most, most + (name == resource.RLIMIT_CPU and hard != most)))
