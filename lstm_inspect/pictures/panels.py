"""Draws one signal on axes of Matplotlib: as a heat map, or as a line for each unit."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from lstm_inspect.errors import one_line
from lstm_inspect.pictures.units_over_time import UnitsOverTime

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 150
FONT = "DejaVu Sans"  # comes with Matplotlib
NOT_FINITE = "#ff00ff"  # in neither of the color maps
MASKED = "#808080"

LineStyle = Literal["-", "--", ":", "-."]

_LETTER = 12  # pixels
_FEW_STEPS = 50  # so many dots of a line can be told apart


def draw_heat_map(axes: "Axes", scale: "Axes", each: UnitsOverTime) -> None:
    """Draws a heat map; no cell is smaller than a pixel.

    Args:
        axes: The axes of the map.
        scale: Those of its scale.
        each: The signal.
    """
    from matplotlib import colormaps
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    means, of_units, of_steps = each.cells(int(axes.bbox.height), int(axes.bbox.width))
    low, high = each.scale(means)
    image = axes.imshow(
        np.where(np.isfinite(means), means, np.nan),
        cmap=colormaps["viridis" if each.is_gate else "RdBu_r"].with_extremes(bad=NOT_FINITE),
        vmin=low,
        vmax=high,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, len(each.steps) - 0.5, len(each.units) - 0.5, -0.5),
    )
    letters = int(axes.bbox.width / _LETTER)
    axes.set_title(text_of(each.signal, letters))
    ends = [low, (low + high) / 2, high]
    axes.figure.colorbar(image, cax=scale, orientation="horizontal", ticks=ends, format="%.3g")
    what = f"{each.signal}: 0 closed, 1 open" if each.is_gate else f"value of {each.signal}"
    scale.set_xlabel(text_of(what, letters))
    first, *_, last = scale.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    for axis, what, places, groups in (
        (axes.yaxis, each.axis, each.units, of_units),
        (axes.xaxis, "timestep", each.steps, of_steps),
    ):
        size = max(group.stop - group.start for group in groups)
        notes = ["recorded ones"] * _has_gaps(places) + [f"means of up to {size}"] * (size > 1)
        axis.set_label_text(f"{what} ({', '.join(notes)})" if notes else what)
        axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        axis.set_major_formatter(FuncFormatter(partial(_number_at, places)))
    _mark_masked(axes, each, range(len(each.steps)))
    axes.set(xlim=(-0.5, len(each.steps) - 0.5), ylim=(len(each.units) - 0.5, -0.5))


def _has_gaps(places: Sequence[int]) -> bool:
    return places[-1] - places[0] >= len(places)


def _number_at(places: Sequence[int], at: float, _: int | None) -> str:
    """The number of the unit or timestep that stands at an index."""
    return str(places[int(at)]) if at in range(len(places)) else ""


def draw_lines(
    axes: "Axes",
    each: UnitsOverTime,
    styles: Mapping[int, tuple[str, LineStyle]],
    *,
    is_last: bool,
) -> None:
    """Draws a line for each unit; where a number is not finite, the line has a gap.

    Args:
        axes: The axes.
        each: The signal.
        styles: The color and the dashes of each unit.
        is_last: Whether the timesteps are numbered below it.
    """
    from matplotlib.ticker import MaxNLocator

    numbers = np.where(np.isfinite(each.numbers), each.numbers, np.nan)
    has_dots = len(each.steps) <= _FEW_STEPS or _has_gaps(each.steps)
    axes.axhline(0, color=MASKED, linewidth=0.5)
    for unit, course in zip(each.units, numbers.T, strict=True):
        color, dash = styles[unit]
        axes.plot(
            each.steps,
            course,
            color=color,
            linestyle=dash,
            linewidth=1.2,
            marker="." if has_dots else "",
        )
    if each.is_gate:
        axes.set_ylim(-0.05, 1.05)
    lost = [step for step, row in zip(each.steps, numbers, strict=True) if np.isnan(row).any()]
    if lost:  # an empty line would have an endless frame
        below = axes.get_xaxis_transform()
        axes.plot(lost, [0] * len(lost), "s", color=NOT_FINITE, transform=below, clip_on=False)
    if is_last:
        axes.set_xlabel("timestep")
    axes.tick_params(labelbottom=is_last)
    name = text_of(each.signal, 15)
    margin = max(0.5, (each.steps[-1] - each.steps[0]) / 100)
    axes.set(
        ylabel=f"{name} (features)" if each.signal == "x" else name,
        xlim=(each.steps[0] - margin, each.steps[-1] + margin),
    )
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter("{x:.3g}")
    _mark_masked(axes, each, each.steps)


def _mark_masked(axes: "Axes", each: UnitsOverTime, at: Sequence[int]) -> None:
    """Draws a bar above the timesteps that are masked.

    Args:
        axes: The axes.
        each: The signal.
        at: Where each timestep stands.
    """
    masked = [place for place, it_is in zip(at, each.masked or (), strict=False) if it_is]
    bars = []
    for _, run in groupby(enumerate(masked), key=lambda pair: pair[1] - pair[0]):
        (_, first), *others = run
        bars.append((first - 0.5, 1 + len(others)))
    if bars:
        above = axes.get_xaxis_transform()
        axes.broken_barh(bars, (1.0, 0.05), transform=above, clip_on=False, color=MASKED)
        axes.set_title(axes.get_title(), pad=10)


def text_of(name: str, letters: int) -> str:
    """A name from a file in so many letters; escapes stand for what the font lacks."""
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont(FONT)).get_charmap()
    known = (c if ord(c) in glyphs else c.encode("unicode_escape").decode() for c in name)
    return one_line("".join(known), letters)
