"""``lstm-inspect shapes``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstm_inspect.cli.messages import say_lacking
from lstm_inspect.cli.model_arguments import model_argument, open_given
from lstm_inspect.cli.shared_options import format_option, limit_option, model_options

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits

_EXAMPLES = """\b
Examples:
  lstm-inspect shapes model.keras
  lstm-inspect shapes model.keras --gates --all
  lstm-inspect shapes model.h5 --batch 1 --timesteps 60 --format json
"""


@click.command(epilog=_EXAMPLES)
@model_argument
@format_option
@click.option("--batch", type=click.IntRange(min=1), help="Fill in the batch size.")
@click.option("--timesteps", type=click.IntRange(min=1), help="Fill in the number of timesteps.")
@click.option(
    "--gates",
    is_flag=True,
    help="Show which rows and columns of the weights belong to which gate, in the file and in "
    "canonical form.",
)
@click.option("--all", "all_", is_flag=True, help="Show the output shape of every layer.")
@model_options
@limit_option
@click.pass_context
def shapes(
    ctx: click.Context,
    model: Path,
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
    """Print the shapes of a model's recurrent weights and states."""
    from lstm_inspect.shapes import model_shapes
    from lstm_inspect.views.printing import print_json, print_view

    opened = open_given(model, config, replace_config=replace_config, assume=assume, limits=limits)
    found = model_shapes(opened, batch=batch, timesteps=timesteps)
    also = [name for name, wanted in {"calls": all_, "gates": gates}.items() if wanted]
    if format_ == "json":
        print_json(found.as_json(also))
    elif found.layers or also:
        from lstm_inspect.views.tables import calls_table, gates_table, shapes_view

        tables = {"calls": calls_table, "gates": gates_table}
        print_view(shapes_view(found, [tables[name](found) for name in also]))
    if say_lacking(model, opened.lacking):
        ctx.exit(2)
