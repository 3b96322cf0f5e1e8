"""Shows a progress bar on stderr, if stderr is a terminal and the work takes long."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lstm_inspect.notation import printable
from lstm_inspect.replay.options import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_PATIENCE_SECONDS = 0.7


@contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """Gives the function that a replay calls after each step; None if stderr is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    bar = _Bar()
    try:
        yield bar.update
    finally:
        bar.close()


class _Bar:
    """A bar that appears, and imports Rich, only after the work has taken a while."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _PATIENCE_SECONDS
        self._drawn: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}

    def update(self, path: str, done: int, timesteps: int) -> None:
        if time.monotonic() < self._due:
            return
        if self._drawn is None:
            from rich.console import Console
            from rich.progress import Progress as RichProgress

            self._drawn = RichProgress(console=Console(stderr=True), transient=True)
            self._drawn.start()
        if path not in self._tasks:
            from rich.markup import escape

            self._tasks[path] = self._drawn.add_task(escape(printable(path)), total=timesteps)
        self._drawn.update(self._tasks[path], completed=done)

    def close(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()
