"""Runs ``python -m lstm_inspect`` and the script ``lstm-inspect``."""

import os
import signal
import sys
from types import FrameType

# A signal that is already ignored stays ignored, as in a background job.
_ENDING = [
    each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) != signal.SIG_IGN
]
if signal.SIGINT in _ENDING:
    # Until main() can catch an interruption, it ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Runs the command line."""
    from lstm_inspect.cli import cli

    for number in _ENDING:
        signal.signal(number, _end)
    try:
        cli(prog_name="lstm-inspect")
    finally:
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    """Ends the process in order, so that no half-written file is left.

    An import may swallow an exception that is raised during it (importlib/_bootstrap.py, a callback
    in ``_get_module_lock``). Nothing is written during an import, so the process ends at once.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(128 + number)
        frame = frame.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
