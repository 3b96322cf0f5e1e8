"""The process in which Keras runs: what crashes or hangs there does so alone.

It starts when Keras is first needed, as importing Keras takes seconds, and serves all requests of
the program. After a crash the next request starts another one.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

from lstm_inspect.errors import MissingExtraError
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.pipe import read_message, write_message

# The path of modules is handed over: the current folder must not be on it unless it is on ours.
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import {0}; {0}.serve()"
_WORKER = "lstm_inspect.genuine.worker.server"


class KerasError(Exception):
    """Keras rejected a request, crashed, or took too long; the message is one line."""


class _KerasProcess:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._foreign: list[subprocess.Popen[bytes] | None] = []

    def ask(
        self,
        request: str,
        library: str,
        needed_for: str,
        limits: Limits,
        reserve: Callable[[int], None],
        **arguments: Any,
    ) -> Any:
        """Asks Keras to compute something.

        Args:
            request: A name in ``REQUESTS`` of `lstm_inspect.genuine.worker.server`.
            library: ``"keras"``, ``"tf_keras"`` or ``"tensorflow"``.
            needed_for: What needs it; the error names that if it is not installed.
            limits: How much memory and time the request may take.
            reserve: Called before an array of the answer is read, with the bytes of all up to it.
            arguments: The arguments of the request: plain data and arrays.

        Raises:
            MissingExtraError: Keras is not installed.
            KerasError: Keras did not answer, or rejected the request.
        """
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            seconds = min(limits.keras_seconds, threading.TIMEOUT_MAX)
            timer = threading.Timer(seconds, process.kill)
            timer.start()
            try:
                message = {
                    "request": request,
                    "library": library,
                    "memory": limits.keras_bytes,
                    "arguments": arguments,
                }
                answer = _answer(process.stdin, process.stdout, message, reserve)
            except BaseException:  # an answer that nobody read would be taken for the next one
                self.stop()
                raise
            finally:
                in_time = timer.is_alive()
                timer.cancel()
            if answer is None or not in_time:
                self.stop()
        match answer:
            case {"answer": result}:
                return result
            case {"rejected": str(reason)}:
                raise KerasError(reason)
            case {"missing": str(reason)}:
                raise MissingExtraError(
                    f"{needed_for} needs Keras and TensorFlow ({reason}): "
                    'pip install "lstm-inspect[tensorflow]"'
                )
            case {"bug": str(trace)}:
                raise RuntimeError(f"in the process in which Keras runs:\n{trace}")
        if not in_time:
            limit = f"keras_seconds={limits.keras_seconds}"
            advice = limits.advice("keras_seconds")
            raise KerasError(f"it takes longer than the limit {limit}; {advice}")
        raise KerasError(f"it stopped with {_ending(process.returncode)}")

    def stop(self) -> None:
        """Ends the process, if it runs."""
        process, self._running = self._running, None
        if process is not None:
            process.kill()
            process.communicate()

    def forget(self) -> None:
        """Leaves the process to the program that this one was forked from."""
        self._lock = threading.Lock()  # another thread there may have held it
        self._foreign.append(self._running)  # so that nobody closes its pipes
        self._running = None

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._running is None or self._running.poll() is not None:
            self.stop()
            modules = json.dumps([each for each in sys.path if isinstance(each, str)])
            self._running = subprocess.Popen(
                [sys.executable, "-I", "-c", _START.format(_WORKER), modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._running


def _answer(
    requests: IO[bytes], answers: IO[bytes], message: Any, reserve: Callable[[int], None]
) -> Any:
    """The answer to a message; None if the process ended without one."""
    try:
        write_message(requests, message)
        return read_message(answers, reserve)
    except (BrokenPipeError, EOFError):
        return None


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"status {code}"


PROCESS = _KerasProcess()
"""The one process of this program in which Keras runs."""

atexit.register(PROCESS.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS.forget)
