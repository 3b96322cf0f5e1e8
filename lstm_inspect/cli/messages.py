"""Prints errors and warnings to stderr, one line each, whatever text from a file they quote."""

import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from lstm_inspect.errors import InspectError, one_line
from lstm_inspect.notation import by_line
from lstm_inspect.views.colors import colored

if TYPE_CHECKING:
    from lstm_inspect.model import Layer

DEBUG = "lstm_inspect.debug"
"""The key in ``Context.meta``, which all commands share, of whether ``--debug`` was given."""


def say_lacking(file: Path, layers: "Collection[Layer]") -> bool:
    """Names layers of which a file lacks arrays; returns whether there are any."""
    for layer in layers:
        say_error(f"{file}: {layer.label}: {layer.lacks}")
    return bool(layers)


def say_untraced(untraced: Mapping[str, str]) -> bool:
    """Names layers that were not traced, and why; returns whether there are any."""
    for line in by_line((path, f" not traced: {why}") for path, why in untraced.items()):
        say_error(line)
    return bool(untraced)


def say_failure(error: InspectError, path: Path | None = None) -> str:
    """Prints an error that was caught; with ``--debug`` also where it comes from.

    Args:
        error: The error.
        path: The one of several models that it is about.

    Returns:
        What it says, with the path.
    """
    if click.get_current_context().meta.get(DEBUG):
        import traceback

        traceback.print_exception(error)
    message = str(error)
    if path is not None and not message.startswith(str(path)):
        message = f"{path}: {message}"
    say_error(message)
    say_notes(error)
    return message


def say_error(message: str) -> None:
    """Prints an error."""
    _say("error:", "red", message)


def say_notes(error: BaseException) -> None:
    """Prints what was noted to an error about what to do."""
    for note in getattr(error, "__notes__", ()):
        say_hint(note)


def say_hint(hint: str) -> None:
    """Prints what to do about an error: a line, and lines to copy."""
    first, *rest = hint.splitlines()
    _say("hint:", "cyan", first.removeprefix("hint: "))
    with suppress(OSError):
        for line in rest:
            click.echo(f"  {one_line(line.strip())}", err=True)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Shows each warning as one line, and repeated ones only once."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        yield


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _say("warning:", "yellow", str(message))


def _say(kind: str, color: str, message: str) -> None:
    with suppress(OSError):  # there is nowhere else to report that stderr fails
        # `colored` has decided whether stderr shows colors; click would decide once more.
        line = f"{colored(kind, color, sys.stderr)} {one_line(message)}"
        click.echo(line, err=True, color=True)
