"""``lstm-inspect shapes``."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_inspect.cli.messages import say_failure, say_lacking
from lstm_inspect.cli.model_arguments import (
    ModelPath,
    files_from_option,
    named_paths,
    open_given,
)
from lstm_inspect.cli.shared_options import format_option, limit_option, model_options
from lstm_inspect.errors import InspectError

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits
    from lstm_inspect.shapes import ModelShapes

    _Read = Callable[[Path], ModelShapes]

_SCHEMA_OF_SEVERAL = 1

_EXAMPLES = """\b
Examples:
  lstm-inspect shapes model.keras
  lstm-inspect shapes model.keras --gates --all
  lstm-inspect shapes models/ other.h5 --json
  lstm-inspect shapes model.h5 --batch 1 --timesteps 60 --format json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("models", metavar="MODEL...", nargs=-1, type=ModelPath())
@files_from_option
@format_option
@click.option("--batch", type=click.IntRange(min=1), help="Fill in the batch size.")
@click.option("--timesteps", type=click.IntRange(min=1), help="Fill in the number of timesteps.")
@click.option(
    "--gates",
    is_flag=True,
    help="Show which rows and columns of the weights belong to which gate, in the file and in "
    "canonical form.",
)
@click.option(
    "--all",
    "all_",
    is_flag=True,
    help="Show the output shape of every layer, and count those that stop a trace.",
)
@model_options
@limit_option
@click.pass_context
def shapes(
    ctx: click.Context,
    models: Sequence[Path],
    files_from: Path | None,
    format_: str,
    batch: int | None,
    timesteps: int | None,
    gates: bool,
    all_: bool,
    config: Path | None,
    replace_config: bool,
    assume: Mapping[str, str],
    limits: "Limits",
) -> None:
    """Print the shapes of the recurrent weights and states of models.

    MODEL is a file, a SavedModel, a checkpoint, a folder of models, a pattern such as
    'models/*.keras', or - for standard input.

    If one of several models cannot be read, stderr says why, and the others are shown.

    Exit status: 0 done; 2 an error, or a file lacks the weights of a layer.
    """
    from lstm_inspect.shapes import model_shapes

    def read(path: Path) -> "ModelShapes":
        opened = open_given(
            path, config, replace_config=replace_config, assume=assume, limits=limits
        )
        return model_shapes(opened, batch=batch, timesteps=timesteps)

    paths = named_paths(models, files_from)
    also = [name for name, wanted in {"calls": all_, "gates": gates}.items() if wanted]
    # A folder of one model is printed as one of many, so the form depends on the arguments alone.
    show = _show_one if paths == list(models[:1]) else _show_several
    if not show(paths, read, also, format_):
        ctx.exit(2)


def _show_one(paths: Sequence[Path], read: "_Read", also: Collection[str], format_: str) -> bool:
    """Shows the only model; returns whether it is whole."""
    from lstm_inspect.views.printing import print_json

    (path,) = paths
    found = read(path)
    if format_ == "json":
        print_json(found.as_json(also))
    else:
        _print_tables(found, also)
    return not say_lacking(path, found.model.lacking)


def _show_several(
    paths: Sequence[Path], read: "_Read", also: Collection[str], format_: str
) -> bool:
    """Shows each model under its path; returns whether all could be read and are whole."""
    from lstm_inspect.views.printing import print_heading, print_json

    are_whole = True
    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            found = read(path)
        except InspectError as error:
            rows.append({"path": str(path), "error": say_failure(error, path)})
            are_whole = False
            continue
        if format_ == "table":
            print_heading(path, is_first=not any("shapes" in row for row in rows))
            _print_tables(found, also)
        rows.append({"path": str(path), "shapes": found.as_json(also)})
        are_whole &= not say_lacking(path, found.model.lacking)
    if format_ == "json":
        print_json({"schema": _SCHEMA_OF_SEVERAL, "models": rows})
    return are_whole


def _print_tables(found: "ModelShapes", also: Collection[str]) -> None:
    from lstm_inspect.views.printing import print_view

    if found.layers or also:
        from lstm_inspect.views.tables import shapes_view

        print_view(shapes_view(found, also))
