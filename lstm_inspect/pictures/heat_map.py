"""Draws a signal of one sequence in a terminal: units downwards, timesteps to the right."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from lstm_inspect.notation import printable
from lstm_inspect.pictures.characters import can_write
from lstm_inspect.pictures.units_over_time import UnitsOverTime

_MOST_LINES = 24
_WIDEST_CELL = 4
_LEGEND = 21
_TICKS = 10  # columns between two numbers of the ruler, at least

# Blue for negative, red for positive numbers, which color-blind people can tell apart. 0 is a grey
# that shows on dark and light terminals. A number stands out more, the further it is from 0.
_DIVERGING = ((25, 110, 225), (128, 128, 128), (220, 40, 40))
# That of Matplotlib's viridis.
_SEQUENTIAL = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_FEW_DIVERGING = ("bright_blue", "blue", "bright_black", "red", "bright_red")
_FEW_SEQUENTIAL = ("bright_black", "blue", "cyan", "green", "bright_yellow")
_NOT_FINITE = (255, 0, 255)

_BELOW_ZERO = " -=xX"
_ABOVE_ZERO = " .+*#"
_SHADES = " .:-=+*#%@"
_NO_NUMBER = "!"


@dataclass(frozen=True)
class HeatMap:
    """A heat map of one signal of one sequence, as wide as the console.

    With colors a line has two units, without one. The scale of a gate goes from 0 to 1, that of
    other signals is even around 0.
    """

    shown: UnitsOverTime

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws it: in colors with two units a line, or in shades with one."""
        shown = self.shown
        colored = console.color_system is not None and can_write(console, "▀")
        margin = len(str(max(shown.units, default=0))) + 1
        columns = max(1, options.max_width - margin)
        means, of_units, of_steps = shown.cells(_MOST_LINES * (2 if colored else 1), columns)
        wide = max(1, min(_WIDEST_CELL, columns // len(of_steps)))
        has_few = console.color_system == "standard"
        scale = _Scale(*shown.scale(means), shown.is_gate, has_few)
        yield Text(printable(shown.heading), style="bold")
        per_line = 2 if colored else 1
        for row in range(0, len(means), per_line):
            line = Text(f"{shown.units[of_units[row].start]:>{margin - 1}} ")
            lower = means[row + 1] if colored and row + 1 < len(means) else None
            for column, upper in enumerate(means[row]):
                if colored:
                    below = None if lower is None else scale.style(lower[column])
                    line.append("▀" * wide, Style(color=scale.style(upper), bgcolor=below))
                else:
                    line.append(scale.shade(upper) * wide)
            yield line
        if shown.masked and any(shown.masked):
            marks = "".join(_mark(shown.masked[group]) * wide for group in of_steps)
            yield Text(f"{'':>{margin}}{marks}")
        starts = [shown.steps[group.start] for group in of_steps]
        yield Text(f"{'':>{margin}}{_ruler(starts, wide, columns)}")
        yield _legend(scale, colored, margin, columns)
        if shown.masked and any(shown.masked):
            yield Text(f"{'':>{margin}}m: masked timesteps")
        for what, groups in ((f"{shown.axis}s", of_units), ("timesteps", of_steps)):
            size = max(group.stop - group.start for group in groups)
            if size > 1:
                yield Text(f"{'':>{margin}}{what}: each cell is the mean of up to {size}")
        yield from (Text(f"{'':>{margin}}{note}") for note in shown.notes)


@dataclass(frozen=True)
class _Scale:
    """Numbers as colors and shades.

    Attributes:
        low: The number at the lower end.
        high: The number at the upper end.
        is_gate: Whether the scale is that of a gate, not even around 0.
        has_few: Whether there are 16 colors, which have no colors between them.
    """

    low: float
    high: float
    is_gate: bool
    has_few: bool

    def place(self, number: float) -> float:
        """Where a number stands between the ends, from 0 to 1."""
        return min(max((number - self.low) / (self.high - self.low), 0.0), 1.0)

    def style(self, number: float) -> str:
        """The color of a number, as Rich writes it."""
        if not isfinite(number):
            return _rgb(_NOT_FINITE)
        if self.has_few:
            names = _FEW_SEQUENTIAL if self.is_gate else _FEW_DIVERGING
            return names[min(int(self.place(number) * len(names)), len(names) - 1)]
        colors = _SEQUENTIAL if self.is_gate else _DIVERGING
        place = self.place(number) * (len(colors) - 1)
        first = min(int(place), len(colors) - 2)
        share = place - first
        pairs = zip(colors[first], colors[first + 1], strict=True)
        return _rgb([round(one + (other - one) * share) for one, other in pairs])

    def shade(self, number: float) -> str:
        """The character of a number, where there are no colors."""
        if not isfinite(number):
            return _NO_NUMBER
        if self.is_gate:
            return _SHADES[min(int(self.place(number) * len(_SHADES)), len(_SHADES) - 1)]
        ramp = _BELOW_ZERO if number < 0 else _ABOVE_ZERO
        place = abs(number) / self.high * len(ramp) + 1e-9  # so that 0.2 is as -0.2
        return ramp[min(int(place), len(ramp) - 1)]


def _rgb(color: Sequence[int]) -> str:
    return f"rgb({color[0]},{color[1]},{color[2]})"


def _mark(masked: Sequence[bool]) -> str:
    return "m" if all(masked) else "." if any(masked) else " "


def _ruler(steps: Sequence[int], wide: int, room: int) -> str:
    """The timesteps below the columns that begin with them, as many as have room."""
    line = ""
    for number, step in enumerate(steps):
        at = number * wide
        is_tick = number == 0 or (at % _TICKS < wide and at + len(str(step)) <= room)
        if at >= len(line) and is_tick:
            line = f"{line:<{at}}{step} "
    return line.rstrip()


def _legend(scale: _Scale, colored: bool, margin: int, room: int) -> Text:
    low, high = f"{scale.low:.3g} ", f" {scale.high:.3g}"
    line = Text(f"{'':>{margin}}{low}")
    size = max(2, min(_LEGEND, room - len(low) - len(high)))
    for place in range(size):
        number = scale.low + (scale.high - scale.low) * place / (size - 1)
        if colored:
            line.append(" ", Style(bgcolor=scale.style(number)))
        else:
            line.append(scale.shade(number))
    line.append(high)
    return line
