"""Options that several commands share."""

from pathlib import Path

import click

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For a MODEL that holds weights alone: what model.to_json() gave, or a whole model.",
)
