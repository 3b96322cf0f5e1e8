"""Prints all results: views for people, and reports and JSON for machines."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lstm_inspect.checks.findings import Report
from lstm_inspect.notation import printable
from lstm_inspect.pictures import TEXT_WIDTH
from lstm_inspect.views.colors import shows_colors
from lstm_inspect.views.reports import FORMATS, markdown

if TYPE_CHECKING:
    from rich.console import RenderableType

# Wider than any table, so that output in a file or a CI log is never cut or folded.
_PIPED_WIDTH = 100_000


def print_view(view: "RenderableType") -> None:
    """Prints a view to standard output; a terminal gets lines of its own width."""
    _print(view, _PIPED_WIDTH)


def print_drawing(view: "RenderableType") -> None:
    """Prints what becomes as wide as it may be, and an empty line behind it."""
    _print(view, TEXT_WIDTH)
    print()


def _print(view: "RenderableType", piped_width: int) -> None:
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            """Leaves a closed pipe to the command line; Rich would exit with 1: a difference."""
            raise BrokenPipeError

    width = None if sys.stdout.isatty() else piped_width
    colors: Literal["auto"] | None = "auto" if shows_colors(sys.stdout) else None
    Output(width=width, color_system=colors, highlight=False, emoji=False).print(view)


def print_heading(path: Path, *, is_first: bool) -> None:
    """Prints the path of one of several models, above its tables."""
    gap = "" if is_first else "\n"
    print(f"{gap}{printable(str(path))}\n")


def print_json(value: Mapping[str, Any]) -> None:
    """Prints a JSON object to standard output."""
    print(json.dumps(value, indent=2))


def print_report(report: Report, format_: str) -> None:
    """Prints a report to standard output.

    Args:
        report: The findings.
        format_: One of `FORMATS`. ``"github"`` also appends a summary to the file that
            ``GITHUB_STEP_SUMMARY`` names.
    """
    print(FORMATS[format_](report))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if format_ == "github" and summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(markdown(report))
