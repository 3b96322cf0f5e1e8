"""Shows on stderr how far a replay and its dump are: a line about a large one, and a bar."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_inspect.notation import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE_SECONDS = 0.7
_LARGE = 100_000_000
"""The bytes from which people want to know the size of a dump before it is written."""


@contextmanager
def progress_of(dump: Path, *, quiet: bool) -> Iterator["DumpProgress"]:
    """Shows how far a dump is until the block ends.

    Args:
        dump: The dump.
        quiet: Whether nothing is shown.
    """
    progress = DumpProgress(dump, quiet=quiet)
    try:
        yield progress
    finally:
        progress.close()


class DumpProgress:
    """The progress of a dump, from its first block to the last byte.

    The line about its size is shown in any stream. The bar needs a terminal. It appears, and
    imports Rich, only after the work has taken a while.

    Args:
        dump: The dump.
        quiet: Whether nothing is shown.
    """

    def __init__(self, dump: Path, *, quiet: bool) -> None:
        self._dump = dump
        self._shows_size = not quiet and sys.stderr is not None
        self._shows_bar = self._shows_size and sys.stderr.isatty()
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._steps: dict[str, tuple[int, int]] = {}
        self._written = 0
        self._size: int | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def step(self, path: str, done: int, timesteps: int) -> None:
        """Takes what a replay tells its ``progress``."""
        with self._lock:
            self._steps[path] = done, timesteps
            self._show()

    def begin(self, size: int, free: int | None) -> None:
        """Takes the size of the dump, and how much is free where it is written."""
        self._size = size
        if self._shows_size and size >= _LARGE:
            from rich.filesize import decimal

            there = "" if free is None else f", {decimal(free)} free"
            with suppress(OSError):
                print(f"{printable(str(self._dump))}: {decimal(size)}{there}", file=sys.stderr)

    def wrote(self, more: int) -> None:
        """Takes how many more bytes of it were written."""
        with self._lock:
            self._written += more
            self._show()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _show(self) -> None:
        elapsed = time.monotonic() - self._started
        is_written = self._size is not None and self._written >= self._size
        is_worth = elapsed > _PATIENCE_SECONDS or (is_written and self._written >= _LARGE)
        if not (self._shows_bar and is_worth):
            return
        from rich.filesize import decimal

        if self._bar is None:
            self._bar = _new_bar()
            self._task = self._bar.add_task("", rate="", written="")
        assert self._task is not None
        done = sum(done for done, _ in self._steps.values())
        shares = [done / max(1, sum(timesteps for _, timesteps in self._steps.values()))]
        of_size = ""
        if self._size is not None:
            # What is computed is written while the next is computed, or when all is computed.
            shares.append(self._written / max(1, self._size))
            of_size = f" of {decimal(self._size)}"
        self._bar.update(
            self._task,
            description="bringing to disk" if is_written else "replaying",
            total=None if is_written else 1,
            completed=sum(shares) / len(shares),
            rate=f"{done / max(elapsed, 1e-3):,.0f} steps/s",
            written=f"{decimal(self._written)}{of_size}",
        )


def _new_bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    bar = Progress(
        "{task.description}",
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        "{task.fields[rate]}",
        "{task.fields[written]}",
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )
    bar.start()
    return bar
