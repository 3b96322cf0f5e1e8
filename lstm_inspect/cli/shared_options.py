"""The options that several commands share."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click

from lstm_inspect.cli.arguments import read_assumptions, read_limits
from lstm_inspect.cli.completion import (
    complete_assume,
    complete_feed,
    complete_input,
    complete_limit,
)
from lstm_inspect.cli.messages import DEBUG

_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The config of a MODEL with weights only: output of model.to_json(), or a whole model.",
)

_replace_config_option = click.option(
    "--replace-config",
    is_flag=True,
    help="Let --config take the place of the config that MODEL has.",
)

assume_option = click.option(
    "--assume",
    metavar="GLOB.FIELD=VALUE",
    shell_complete=complete_assume,
    multiple=True,
    callback=lambda ctx, option, given: read_assumptions(given),
    help="Say what MODEL leaves open about its recurrent layers: '*.go_backwards=false'.",
)


def model_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options about what a MODEL does not say itself."""
    return _config_option(_replace_config_option(assume_option(command)))


input_option = click.option(
    "--input",
    "-i",
    "inputs",
    metavar="[NAME=]FILE",
    shell_complete=complete_input,
    multiple=True,
    help="A .npy array, batch first; - is standard input. For several inputs: NAME=FILE for each, "
    "or one .npz. A .csv is one sequence: a row for each timestep.",
)

csv_batch_option = click.option(
    "--csv-batch",
    metavar="COLUMN",
    help="The column of a .csv that tells its sequences apart: its name, or its number from 0.",
)

feed_option = click.option(
    "--feed",
    metavar="LAYER=FILE",
    shell_complete=complete_feed,
    multiple=True,
    help="Give the output of a layer that cannot be run; LAYER:mask=FILE gives the mask that it "
    "hands on, and LAYER:input=FILE the x of a recurrent layer.",
)


recorded_layers_option = click.option(
    "--layer",
    "layers",
    metavar="GLOB",
    multiple=True,
    help="Take only the recorded layers that match this; may be repeated.",
)


def _names(ctx: click.Context, option: click.Parameter, given: Sequence[str]) -> list[str]:
    return [name.strip() for each in given for name in each.split(",") if name.strip()]


def signals_option(help_: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """``--signal``, which may be repeated and take several names."""
    return click.option(
        "--signal", "signals", metavar="SIGNALS", multiple=True, callback=_names, help=help_
    )


sample_option = click.option(
    "--sample", type=click.IntRange(0), help="Show this sample. Default: the first one recorded."
)

units_option = click.option(
    "--units",
    metavar="PLACES",
    help="Draw a line for each of these units in place of a heat map: 0,5,8:16.",
)

out_option = click.option(
    "--out",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="The .npz, .h5 or .zarr to write.",
)

force_option = click.option(
    "--force", is_flag=True, help="Replace a file at --out that is not a dump."
)


def _format_option(
    formats: Sequence[str], default: str | Callable[[], str], show_default: str | bool, help_: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """``--format``, and ``--json`` for the most wanted one."""
    option = partial(click.option, default=default)
    format_ = option(
        "--format",
        "format_",
        type=click.Choice(formats),
        show_default=show_default,
        help=help_,
    )
    # Click before 8.3.1 takes the default of either one, so both have it.
    json = option("--json", "format_", flag_value="json", help="The same as --format json.")
    return lambda command: json(format_(command))


format_option = _format_option(
    ["table", "json"], "table", True, "Print a table or one JSON object."
)

report_option = _format_option(
    ["text", "json", "junit", "sarif", "github"],
    lambda: "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text",
    "text; github in GitHub Actions",
    "Print lines of text or a report for other tools.",
)

exit_zero_option = click.option(
    "--exit-zero",
    is_flag=True,
    help="Exit with 0 in place of 1 if something differs; an error still exits with 2.",
)


def _remember_debug(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta[DEBUG] = True


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_remember_debug,
    help="Show a traceback with each error.",
)

limit_option = click.option(
    "--limit",
    "limits",
    metavar="NAME=VALUE",
    shell_complete=complete_limit,
    multiple=True,
    callback=lambda ctx, option, given: read_limits(given),
    help="Raise a limit that an error named: file_bytes=4GiB, keras_seconds=20min.",
)

nonfinite_option = click.option(
    "--allow-nonfinite",
    is_flag=True,
    help="Accept NaN and infinity in inputs and weights, with a warning.",
)

engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "numpy", "onnxruntime"]),
    default="auto",
    show_default=True,
    help="Run the cells in this; onnxruntime needs the extra [fast].",
)

stateful_option = click.option(
    "--stateful",
    is_flag=True,
    help="Take the input as several batches in order; stateful layers keep their states.",
)

atol_option = click.option(
    "--atol",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Absolute tolerance of a comparison: how far apart two numbers may be.",
)

rtol_option = click.option(
    "--rtol",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Relative tolerance: the same, as a share of the number that was there before.",
)
