"""Makes interruptions wait while something must not be interrupted."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The signals that ask a process to end; Windows has no SIGHUP."""


@contextmanager
def interruptions_held() -> Iterator[None]:
    """Holds back the signals that ask this process to end, if the system can do that.

    A mask holds them back from this thread alone. What another one receives, such as a thread of
    BLAS, Python handles in the main thread all the same. So there it is noted, and handled when the
    block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    noted: dict[int, None] = {}
    handlers = {}
    try:
        with suppress(ValueError):  # no other thread than the main one may set handlers
            for number in ENDING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    handlers[number] = signal.signal(number, lambda got, _: noted.setdefault(got))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in noted:
            signal.raise_signal(number)
