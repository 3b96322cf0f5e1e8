"""``lstm-inspect shapes``."""

from collections.abc import Sequence
from pathlib import Path

import click

from lstm_inspect.cli.arguments import read_assumptions, read_limits
from lstm_inspect.cli.shared_options import format_option, limit_option, model_options

_EXAMPLES = """\b
Examples:
  lstm-inspect shapes model.keras
  lstm-inspect shapes model.h5 --batch 1 --timesteps 60 --format json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@format_option
@click.option("--batch", type=click.IntRange(min=1), help="Fill in the batch size.")
@click.option("--timesteps", type=click.IntRange(min=1), help="Fill in the number of timesteps.")
@model_options
@limit_option
def shapes(
    model: Path,
    format_: str,
    batch: int | None,
    timesteps: int | None,
    config: Path | None,
    replace_config: bool,
    assume: Sequence[str],
    limit: Sequence[str],
) -> None:
    """Print the shapes of a model's recurrent weights and states."""
    from lstm_inspect.shapes import model_shapes
    from lstm_inspect.sources import open_model
    from lstm_inspect.views.printing import print_json, print_view

    opened = open_model(
        model,
        config,
        replace_config=replace_config,
        assume=read_assumptions(assume),
        limits=read_limits(limit),
    )
    found = model_shapes(opened, batch=batch, timesteps=timesteps)
    if format_ == "json":
        print_json(found.as_json())
    else:
        from lstm_inspect.views.tables import shapes_view

        print_view(shapes_view(found))
