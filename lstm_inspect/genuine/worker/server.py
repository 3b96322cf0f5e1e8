"""Serves the requests of the program, one after the other, until it ends."""

import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from lstm_inspect.files.own_memory import own_memory
from lstm_inspect.genuine.pipe import read_message, write_message
from lstm_inspect.genuine.worker.keras_library import MissingError, RejectedError, import_library
from lstm_inspect.genuine.worker.run_layer import run_layer
from lstm_inspect.genuine.worker.run_model import run_model
from lstm_inspect.genuine.worker.run_operation import run_operation
from lstm_inspect.genuine.worker.run_recurrence import run_recurrence
from lstm_inspect.genuine.worker.run_signature import run_signature

REQUESTS: dict[str, Callable[..., Any]] = {
    "layer": run_layer,
    "model": run_model,
    "operation": run_operation,
    "recurrence": run_recurrence,
    "signature": run_signature,
}
"""Everything that the program can ask for. Each takes the library and the arguments."""


def serve() -> None:
    """Answers requests from standard input on standard output, until there are no more."""
    threading.Thread(target=_end_without_parent, args=[os.getppid()], daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Keras prints must not come between the answers
    warnings.simplefilter("ignore")
    while True:
        try:
            message = read_message(sys.stdin.buffer, reserve=lambda size: None)
        except EOFError:
            return
        write_message(answers, _answer(**message))


def _end_without_parent(parent: int) -> None:
    """Ends this process if the program was killed, which then stops no request that takes long."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _answer(request: str, library: str, memory: int, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        imported = import_library(library)
        _limit_memory(memory)
        return {"answer": REQUESTS[request](imported, **arguments)}
    except MissingError as error:
        return {"missing": str(error)}
    except RejectedError as error:
        return {"rejected": str(error)}
    except MemoryError:
        return {"rejected": f"it takes more memory than the limit keras_bytes={memory}"}
    except Exception:
        return {"bug": traceback.format_exc()}


def _limit_memory(most: int) -> None:
    """Limits the memory that this process may take from now on, where the system can do that."""
    own = own_memory()
    if own is None:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    highest = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    soft = min(own + most, highest)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
