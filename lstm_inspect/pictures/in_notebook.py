"""Signals as an object that a notebook shows as a picture, and a console as text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console

from lstm_inspect.errors import MissingExtraError
from lstm_inspect.notebooks import as_html, image_as_html, lines_as_html
from lstm_inspect.pictures import TEXT_WIDTH
from lstm_inspect.pictures.charts import check_matplotlib, heat_maps, image_of, line_plots
from lstm_inspect.pictures.heat_map import HeatMap
from lstm_inspect.pictures.sparklines import Sparklines
from lstm_inspect.pictures.units_over_time import UnitsOverTime

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False, eq=False)
class Picture:
    """Signals of one layer, drawn when they are looked at.

    Attributes:
        what: What they are drawn as: ``"heat maps"``.
        shown: The signals.
        in_text: Draws one of them with characters.
        in_colors: Draws all of them with Matplotlib.
    """

    what: str
    shown: Sequence[UnitsOverTime]
    in_text: Callable[[UnitsOverTime], HeatMap | Sparklines]
    in_colors: Callable[[Sequence[UnitsOverTime]], "Figure"]

    @classmethod
    def of_heat_maps(cls, shown: Sequence[UnitsOverTime]) -> "Picture":
        """A heat map of each signal."""
        return cls("heat maps", shown, HeatMap, heat_maps)

    @classmethod
    def of_lines(cls, shown: Sequence[UnitsOverTime]) -> "Picture":
        """A line for each unit of each signal."""
        return cls("lines", shown, Sparklines, line_plots)

    def __repr__(self) -> str:
        """The text that `lstm-inspect show` writes to a file."""
        file = StringIO()
        console = Console(
            file=file, width=TEXT_WIDTH, color_system=None, force_jupyter=False, highlight=False
        )
        for each in self.shown:
            console.print(self.in_text(each))
            console.print()
        return file.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        """A picture; without Matplotlib the text, below a line that says how to get pictures."""
        try:
            check_matplotlib()
        except MissingExtraError as error:
            return as_html(str(error)) + lines_as_html(repr(self))
        return image_as_html(image_of(self.in_colors(self.shown), ".png"), self._in_words)

    @property
    def _in_words(self) -> str:
        """What is to be seen, for who cannot see it."""
        first = self.shown[0]
        signals = ", ".join(each.signal for each in self.shown)
        steps = f"{len(first.steps)} timesteps"
        return f"{first.layer}, sample {first.sample}: {self.what} of {signals} over {steps}"
