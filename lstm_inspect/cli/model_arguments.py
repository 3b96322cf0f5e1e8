"""The models that a command is given, as files or on standard input, and how it opens them."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from lstm_inspect.errors import ModelFileError

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits
    from lstm_inspect.model import Model

STDIN = Path("stdin")
"""The model on standard input, as messages and results call it. No file is this very object."""

_TAKEN = "lstm_inspect.stdin"


class ModelPath(click.Path):
    """The path of a model; ``-`` is standard input."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns a Path, `STDIN` for ``-``."""
        return STDIN if value == "-" else super().convert(value, param, ctx)


model_argument = click.argument("model", type=ModelPath())


def open_given(
    path: Path,
    config: Path | None = None,
    *,
    replace_config: bool = False,
    assume: Mapping[str, str] | None = None,
    limits: "Limits",
) -> "Model":
    """Opens a model as `lstm_inspect.open_model` does; `STDIN` is read from standard input."""
    from lstm_inspect.files.content import read_stream
    from lstm_inspect.sources import open_model, read_model

    if path is not STDIN:
        return open_model(path, config, replace_config=replace_config, assume=assume, limits=limits)
    content = read_stream(take_stdin("a model"), STDIN, limits)
    return read_model(content, config, replace_config=replace_config, assume=assume, limits=limits)


def take_stdin(expected: str) -> BinaryIO:
    """Standard input, for its only reader: a second one would find it empty.

    Args:
        expected: What it should be, as the error says it.
    """
    meta = click.get_current_context().meta
    if _TAKEN in meta:
        raise click.UsageError("Standard input (-) is given twice; it can be read once.")
    meta[_TAKEN] = True
    if sys.stdin is None:
        raise ModelFileError(f"{STDIN}: expected {expected}, but standard input is closed")
    if sys.stdin.isatty():
        raise ModelFileError(
            f"{STDIN}: expected {expected}, received a terminal; send a file: command - < FILE"
        )
    return sys.stdin.buffer
