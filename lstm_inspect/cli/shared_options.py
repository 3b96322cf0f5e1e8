"""Options that several commands share."""

import os
from pathlib import Path

import click

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For a MODEL that holds weights alone: what model.to_json() gave, or a whole model.",
)

input_option = click.option(
    "--input",
    "inputs",
    metavar="[NAME=]FILE",
    multiple=True,
    help="A .npy array, batch first; NAME=FILE for each of several inputs, or one .npz.",
)

feed_option = click.option(
    "--feed",
    metavar="LAYER=FILE",
    multiple=True,
    help="The output of a layer that cannot be run; LAYER:input=FILE for the x of a recurrent one.",
)

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table to read, or one JSON object.",
)

report_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "junit", "sarif", "github"]),
    default=lambda: "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text",
    show_default="text; github in GitHub Actions",
    help="Lines to read, or a report for machines.",
)

limit_option = click.option(
    "--limit",
    "limit",
    metavar="NAME=VALUE",
    multiple=True,
    help="Allow a file to ask for more, where an error names a limit.",
)

nonfinite_option = click.option(
    "--allow-nonfinite",
    is_flag=True,
    help="Replay inputs and weights that hold NaN or infinity, with a warning.",
)
