"""``python -m lstm_inspect``, and the script ``lstm-inspect``."""

import signal
import sys
from types import FrameType

# Until there is somebody to catch an interruption, it ends the process without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Runs the command line."""
    from lstm_inspect.cli import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end)
    cli(prog_name="lstm-inspect")


def _end(number: int, frame: FrameType | None) -> None:
    """Ends in order, so that nothing half-written is left."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
