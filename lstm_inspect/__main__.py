"""``python -m lstm_inspect``, and the script ``lstm-inspect``."""

import os
import signal
import sys
from types import FrameType

# Until there is somebody to catch an interruption, it ends the process without a traceback.
# Of one that is ignored, as of a job in the background, it is to stay so.
_ENDING = [
    each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) != signal.SIG_IGN
]
if signal.SIGINT in _ENDING:
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
    """Ends in order, so that nothing half-written is left.

    The import of a module may swallow what is raised in it (importlib/_bootstrap.py, a callback in
    ``_get_module_lock``). Nothing is written at that time: it ends at once.
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
