"""The models that a command is given, as files or on standard input, and how it opens them."""

import os
import sys
from collections.abc import Mapping, Sequence
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


_MODEL_PATH = ModelPath()

model_argument = click.argument("model", type=_MODEL_PATH)

files_from_option = click.option(
    "--files-from",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take further paths from FILE, one a line; - is standard input.",
)


def named_paths(given: Sequence[Path], files_from: Path | None) -> list[Path]:
    """The paths that the arguments of a command stand for, in their order.

    A folder stands for the models in it, a pattern such as ``models/*.keras`` for what it matches.

    Args:
        given: The arguments.
        files_from: A file with further ones, one a line.
    """
    listed = [] if files_from is None else _lines(files_from)
    paths = [path for each in (*given, *listed) for path in _expanded(each)]
    if not paths:
        raise click.UsageError("Missing argument 'MODEL...'.")
    return paths


def _lines(files_from: Path) -> list[Path]:
    if files_from == Path("-"):
        data = take_stdin("a list of paths").read()
    else:
        data = files_from.read_bytes()
    if b"\0" in data:
        raise ModelFileError(
            f"{files_from}: expected one path a line, received NUL between them; "
            "use find without -print0"
        )
    lines = [line for line in data.splitlines() if line.strip()]
    if not lines:
        raise ModelFileError(f"{files_from}: expected one path a line, received none")
    return [_MODEL_PATH.convert(os.fsdecode(line), None, None) for line in lines]


def _expanded(path: Path) -> list[Path]:
    from lstm_inspect.files.content import models_in

    if path is STDIN:
        return [path]
    if path.is_dir():
        return models_in(path)
    if path.exists() or not set("*?[").intersection(str(path)):
        return [path]
    from glob import glob

    found = glob(str(path), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    matches = sorted(map(Path, found))
    if not matches:
        raise ModelFileError(f"{path}: expected a file that matches this pattern, received none")
    return [each for match in matches for each in _expanded(match)]


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
