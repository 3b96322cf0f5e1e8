"""Draws single units over the timesteps, a line each."""

from dataclasses import dataclass
from math import isfinite

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from lstm_inspect.notation import printable
from lstm_inspect.pictures.characters import can_write
from lstm_inspect.pictures.units_over_time import UnitsOverTime

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-=+*#@"


@dataclass(frozen=True)
class Sparklines:
    """A line for each unit: its smallest number, its course, its largest number."""

    shown: UnitsOverTime

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws them, as wide as the console."""
        shown = self.shown
        bars = _BARS if can_write(console, _BARS) else _PLAIN_BARS
        names = [f"{shown.axis} {unit}" for unit in shown.units]
        margin = max(map(len, names))
        cells = shown.cells(len(names), max(1, options.max_width - margin - 22))
        yield Text(printable(shown.heading), style="bold")
        for name, means, (low, high) in zip(names, cells.means, shown.ends, strict=True):
            line = "".join(_bar(mean, low, high, bars) for mean in means)
            yield Text(f"{name:<{margin}} {low:>9.3g} {line} {high:<9.3g}".rstrip())
        size = max(group.stop - group.start for group in cells.of_steps)
        if size > 1:
            yield Text(f"timesteps: each cell is the mean of up to {size}")
        yield from map(Text, shown.notes)


def _bar(number: float, low: float, high: float, bars: str) -> str:
    if not isfinite(number):
        return "!"
    if high <= low:
        return bars[0]
    return bars[min(int((number - low) / (high - low) * len(bars)), len(bars) - 1)]
