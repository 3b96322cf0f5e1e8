"""A table that is laid out for the width it gets, and never cuts a word or a number."""

from collections.abc import Collection, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

_GAP = 2  # between two columns
_INDENT = 2  # of a cell below its title


class FittedTable:
    """Rows side by side in columns, or stacked as ``column: value`` lines if that is too wide.

    Titles and the cells of prose fold at spaces. All other lines stay whole: ``(batch, 8)``.
    """

    def __init__(
        self, *columns: str, right: Collection[str] = (), prose: Collection[str] = ()
    ) -> None:
        """Makes a table without rows.

        Args:
            columns: The titles of the columns.
            right: The columns that are aligned at the right: numbers.
            prose: The columns whose cells may fold.
        """
        self._columns = columns
        self._right = right
        self._prose = prose
        self._rows: list[Sequence[Text]] = []
        self._gaps: set[int] = set()

    def add_row(self, *cells: str | Text) -> None:
        """Adds a row; a text is no markup."""
        self._rows.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def add_gap(self) -> None:
        """Sets the rows that follow apart from those before."""
        self._gaps.add(len(self._rows))

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Lays the table out."""
        cells = [
            [row[number].plain for row in self._rows] for number, _ in enumerate(self._columns)
        ]
        lines = [*map(_longest_line, cells)]
        folded = [
            _longest_word(column) if title in self._prose else line
            for title, column, line in zip(self._columns, cells, lines, strict=True)
        ]
        widths = self._widths(options.max_width, lines, folded)
        if widths is not None:
            yield self._side_by_side(widths)
        else:
            yield self._stacked(options.max_width, max(folded))

    def _widths(self, room: int, lines: Sequence[int], folded: Sequence[int]) -> list[int] | None:
        """The width of each column, or None if they do not fit side by side.

        Titles fold before cells do.
        """
        titles = [_longest_word([title]) for title in self._columns]
        widths = [*map(max, lines, map(cell_len, self._columns))]
        excess = sum(widths) + _GAP * (len(widths) - 1) - room
        for least in ([*map(max, lines, titles)], [*map(max, folded, titles)]):
            for number, width in enumerate(widths):
                saved = min(width - least[number], max(excess, 0))
                widths[number] -= saved
                excess -= saved
        return widths if excess <= 0 else None

    def _side_by_side(self, widths: Sequence[int]) -> Table:
        columns = [
            Column(
                title,
                width=width,
                justify="right" if title in self._right else "left",
                overflow="fold",
            )
            for title, width in zip(self._columns, widths, strict=True)
        ]
        # The box has one blank between columns, and the padding is the other.
        table = Table(
            *columns,
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, _GAP - 1, 0, 0),
        )
        for number, row in enumerate(self._rows, 1):
            table.add_row(*row, end_section=number in self._gaps)
        return table

    def _stacked(self, room: int, widest: int) -> Table:
        titles = [Text(f"{title}:", style="table.header") for title in self._columns]
        is_below = max(title.cell_len for title in titles) + 1 + widest > room
        if is_below:  # the cells stand below their titles, as they do not fit beside them
            grid = Table.grid(Column(overflow="fold"))
        else:
            grid = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 1, 0, 0))
        for number, row in enumerate(self._rows):
            if number:
                grid.add_row()
            for title, cell in zip(titles, row, strict=True):
                if is_below and cell:
                    grid.add_row(title)
                    grid.add_row(Padding(cell, (0, 0, 0, _INDENT)))
                elif cell:
                    grid.add_row(title, cell)
        return grid


def _longest_line(texts: Sequence[str]) -> int:
    return max((cell_len(line) for text in texts for line in text.splitlines()), default=0)


def _longest_word(texts: Sequence[str]) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=0)
