import signal
import threading

import pytest

from lstm_inspect.files.interruptions import interruptions_held


def held_while_the_other_thread_receives(
    other: threading.Thread, over: threading.Event, reached: list[bool]
) -> None:
    assert other.ident is not None
    with interruptions_held():
        signal.pthread_kill(other.ident, signal.SIGINT)
        for _ in range(100):
            over.wait(0.001)  # Python would handle the signal here
        reached.append(True)


def test_a_signal_that_another_thread_receives_waits_too() -> None:
    """The process has a thread that blocks no signals, as BLAS has."""
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    reached: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        held_while_the_other_thread_receives(other, over, reached)
    over.set()
    other.join()
    assert reached == [True]


def test_the_handlers_are_those_from_before() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with interruptions_held():
        pass
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
