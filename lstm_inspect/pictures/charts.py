"""Draws signals with Matplotlib, as a PNG, SVG or PDF: heat maps, or a line for each unit."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from itertools import accumulate, chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lstm_inspect.errors import InputError, MissingExtraError, OutputError
from lstm_inspect.notation import advice
from lstm_inspect.pictures.panels import (
    DPI,
    FONT,
    MASKED,
    NOT_FINITE,
    LineStyle,
    draw_heat_map,
    draw_lines,
    text_of,
)
from lstm_inspect.pictures.units_over_time import UnitsOverTime, by_layer

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
"""The suffixes of pictures, and how such a file begins."""

_MOST_PANELS = 64
_LARGEST = 1e300  # the ends of a scale around 0 are twice as far apart, which a float64 must hold
_SIDE_BY_SIDE = 4

# All sizes are inches.
_WIDTH = 10.0
_TITLE = 0.4
_LEFT, _LEFT_OF_LINES, _RIGHT = 0.7, 1.0, 0.1  # of a panel, for labels
_LEAST_MAP, _UNIT, _MOST_MAP = 0.7, 0.2, 2.0
_ABOVE_MAP, _BELOW_MAP = 0.3, 1.05
_ABOVE_SCALE, _SCALE = 0.5, 0.1
_LINES, _BETWEEN_LINES, _BELOW_LINES = 1.2, 0.15, 0.3
_LEGEND_ROW = 0.2
_LETTERS = 80  # of a title

# Okabe and Ito's colors without yellow, which color-blind people can tell apart; then dashed.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_DASHES: tuple[LineStyle, ...] = ("-", "--", ":", "-.")
_STYLES: list[tuple[str, LineStyle]] = [(color, dash) for dash in _DASHES for color in _COLORS]


def check_matplotlib() -> None:
    """Refuses to draw without Matplotlib.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401 - so that it is missed before any work is done
    except ImportError as error:
        how = 'pip install "lstm-inspect[plot]"'
        raise MissingExtraError(f"a picture needs Matplotlib; install it with: {how}") from error


def suffix_of(path: Path) -> str:
    """Returns the suffix of a path for a picture, one of `FORMATS`.

    Raises:
        OutputError: It has another one.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        *others, last = FORMATS
        expected = f"{', '.join(others)} or {last}"
        raise OutputError(f"{path}: expected a name ending in {expected} for the picture")
    return suffix


def is_picture(path: Path) -> bool:
    """Whether a file is a picture in the format that its suffix names, judged by its start."""
    start = FORMATS.get(path.suffix.lower())
    if start is None:
        return False
    with path.open("rb") as file:
        return file.read(len(start)) == start


def image_of(figure: "Figure", suffix: str) -> bytes:
    """Returns a picture as the bytes of a file; equal pictures have equal bytes.

    Args:
        figure: The picture.
        suffix: One of `FORMATS`.
    """
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    file = BytesIO()
    with _own_style():
        figure.savefig(file, format=suffix[1:], dpi=DPI, metadata=dates.get(suffix))
    return file.getvalue()


def heat_maps(shown: Sequence[UnitsOverTime]) -> "Figure":
    """Draws a heat map of each signal: units downwards, timesteps to the right.

    States stand side by side, gates below them, x below these. The scale of a gate goes from 0 to
    1, that of other signals is even around 0. If there are more units or timesteps than pixels, a
    cell is a mean, and the label of the axis says so.

    Args:
        shown: The signals, layer by layer.

    Raises:
        InputError: There are no signals, more than one picture has room for, or numbers that are
            too large to draw.
    """
    layers = by_layer(shown)
    rows = [_side_by_side(layer) for layer in layers]
    heights = [[*map(_height_of_row, each)] for each in rows]
    with _own_style():
        figure, tops = _figure(layers, [*map(sum, heights)], _meaning_of_marks(shown))
        for top, rows_of_layer, heights_of_rows in zip(tops, rows, heights, strict=True):
            tops_of_rows = accumulate(heights_of_rows, initial=top)
            for row, top_of_row in zip(rows_of_layer, tops_of_rows, strict=False):
                _draw_row(figure, row, top_of_row)
    return figure


def line_plots(shown: Sequence[UnitsOverTime]) -> "Figure":
    """Draws each signal as a line for each unit, one signal below the other.

    A unit has the same line in all of them.

    Args:
        shown: The signals, layer by layer, with the units to draw.

    Raises:
        InputError: As for `heat_maps`; or there are more units than lines that can be told apart.
    """
    from matplotlib.lines import Line2D

    units = sorted({unit for each in shown for unit in each.units})
    if len(units) > len(_STYLES):
        raise InputError(
            f"expected at most {len(_STYLES)} units, so that each has a line of its own, received "
            f"{len(units)}; choose fewer units, or draw heat maps"
        )
    styles = dict(zip(units, _STYLES, strict=False))
    lines = [
        Line2D([], [], label=f"unit {unit}", color=color, linestyle=dash)
        for unit, (color, dash) in styles.items()
    ]
    layers = by_layer(shown)
    heights = [_LINES * len(layer) + _BELOW_LINES for layer in layers]
    with _own_style():
        figure, tops = _figure(layers, heights, [*lines, *_meaning_of_marks(shown)])
        for top, layer in zip(tops, layers, strict=True):
            for place, each in enumerate(layer):
                width, height = _WIDTH - _LEFT_OF_LINES - _RIGHT, _LINES - _BETWEEN_LINES
                axes = _axes(figure, _LEFT_OF_LINES, top + place * _LINES, width, height)
                draw_lines(axes, each, styles, is_last=each is layer[-1])
    return figure


def _own_style() -> AbstractContextManager[None]:
    """The style of all pictures, whatever a user has set for other ones.

    Names come from files, so that no text is taken as mathematics.
    """
    from matplotlib import style

    ours = {
        "agg.path.chunksize": 10_000,  # a line of very many timesteps is too long for one path
        "axes.titlesize": "medium",
        "font.family": FONT,
        "font.size": 9,
        "svg.hashsalt": "lstm-inspect",  # else the identifiers in an SVG are random
        "text.parse_math": False,
    }
    return style.context(["default", ours])


def _side_by_side(layer: Sequence[UnitsOverTime]) -> list[list[UnitsOverTime]]:
    """Which signals of a layer stand side by side."""
    rows = []
    for _, alike in groupby(sorted(layer, key=_place), key=_place):
        row = [*alike]
        rows += [row[at : at + _SIDE_BY_SIDE] for at in range(0, len(row), _SIDE_BY_SIDE)]
    return rows


def _place(each: UnitsOverTime) -> int:
    return {"h": 0, "c": 0, "x": 2}.get(each.signal, 1)


def _height_of_map(row: Sequence[UnitsOverTime]) -> float:
    units = max(len(each.units) for each in row)
    return min(max(_LEAST_MAP, _UNIT * units), _MOST_MAP)


def _height_of_row(row: Sequence[UnitsOverTime]) -> float:
    return _ABOVE_MAP + _height_of_map(row) + _BELOW_MAP


def _draw_row(figure: "Figure", row: Sequence[UnitsOverTime], top: float) -> None:
    wide, height = _WIDTH / len(row), _height_of_map(row)
    for place, each in enumerate(row):
        left, width = place * wide + _LEFT, wide - _LEFT - _RIGHT
        axes = _axes(figure, left, top + _ABOVE_MAP, width, height)
        below = top + _ABOVE_MAP + height + _ABOVE_SCALE
        draw_heat_map(axes, _axes(figure, left, below, width, _SCALE), each)


def _figure(
    layers: Sequence[Sequence[UnitsOverTime]], heights: Sequence[float], legend: Sequence["Artist"]
) -> tuple["Figure", list[float]]:
    """Makes a figure with an empty part below the name of each layer, and a legend.

    Args:
        layers: The signals of each layer.
        heights: How high the part of each is.
        legend: What stands in the legend.

    Returns:
        The figure, and how far below its top each part begins.

    Raises:
        InputError: There are no signals or too many, or too large numbers.
    """
    from matplotlib.figure import Figure

    count = sum(map(len, layers))
    if not count:
        raise InputError("expected signals to draw, received none; record h and c, or gates")
    if count > _MOST_PANELS:
        fewer = advice(python="signals=", command_line="--layer or --signal")
        raise InputError(
            f"expected at most {_MOST_PANELS} signals in one picture, received {count}; "
            f"choose some with {fewer}"
        )
    for each in chain(*layers):
        if any(abs(end) > _LARGEST for ends in each.ends for end in ends):
            raise InputError(
                f"{each.layer}/{each.signal}: expected numbers up to {_LARGEST:g} to draw, "
                "received a larger one; `stats` prints the largest"
            )
    tops = [*accumulate((_TITLE + height for height in heights), initial=0.0)]
    rows = -(-len(legend) // len(_COLORS))
    height = tops[-1] + _LEGEND_ROW * (rows + 1) * bool(rows)
    figure = Figure(figsize=(_WIDTH, height), dpi=DPI)
    for top, (first, *_) in zip(tops, layers, strict=False):
        notes = "".join(f"; {note}" for note in first.notes)
        title = text_of(f"{first.layer}, sample {first.sample}{notes}", _LETTERS)
        middle = 1 - (top + _TITLE / 2) / height
        figure.text(0.5, middle, title, ha="center", va="center", fontweight="bold", size="large")
    if rows:
        figure.legend(handles=[*legend], loc="lower center", ncols=len(_COLORS))
    return figure, [top + _TITLE for top in tops[:-1]]


def _axes(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    wide, high = figure.get_size_inches()
    bottom = high - top - height
    return figure.add_axes((left / wide, bottom / high, width / wide, height / high))


def _meaning_of_marks(shown: Sequence[UnitsOverTime]) -> list["Artist"]:
    """What a legend says of the marks that are there."""
    from matplotlib.patches import Patch

    there = {
        ("masked timestep", MASKED): any(any(each.masked or ()) for each in shown),
        ("NaN or infinite", NOT_FINITE): not all(np.isfinite(each.numbers).all() for each in shown),
    }
    return [Patch(label=label, color=color) for (label, color), it_is in there.items() if it_is]
