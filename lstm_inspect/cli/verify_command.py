"""``lstm-inspect verify``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstm_inspect.cli.arguments import read_feed, read_inputs
from lstm_inspect.cli.messages import say_error
from lstm_inspect.cli.model_arguments import model_argument, open_given
from lstm_inspect.cli.shared_options import (
    csv_batch_option,
    engine_option,
    exit_zero_option,
    feed_option,
    format_option,
    input_option,
    limit_option,
    model_options,
    nonfinite_option,
    stateful_option,
)

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits

_EXAMPLES = """\b
Examples:
  lstm-inspect verify model.keras --input x.npy
  lstm-inspect verify model.keras --input x.npy --require whole
  lstm-inspect verify model.h5 --input x.npy --format json
"""


@click.command(epilog=_EXAMPLES)
@model_argument
@input_option
@csv_batch_option
@feed_option
@stateful_option
@engine_option
@click.option(
    "--require",
    type=click.Choice(["layer", "whole"]),
    default="layer",
    show_default=True,
    help="Fail unless each recurrent layer was compared: alone, or in the whole model.",
)
@click.option(
    "--atol",
    type=click.FloatRange(min=0),
    help="Absolute tolerance: how far apart two numbers may be; 0 if only --rtol is given.",
)
@click.option(
    "--rtol",
    type=click.FloatRange(min=0),
    help="Relative tolerance: the same, as a share of the largest number of the array, or of 1. "
    "Without both: 1e-4 in float32.",
)
@format_option
@exit_zero_option
@model_options
@nonfinite_option
@limit_option
@click.pass_context
def verify(
    ctx: click.Context,
    model: Path,
    inputs: Sequence[str],
    csv_batch: str | None,
    feed: Sequence[str],
    stateful: bool,
    engine: str,
    require: str,
    atol: float | None,
    rtol: float | None,
    format_: str,
    exit_zero: bool,
    config: Path | None,
    replace_config: bool,
    assume: Mapping[str, str],
    allow_nonfinite: bool,
    limits: "Limits",
) -> None:
    """Compare the replay with genuine Keras.

    The installed Keras runs each recurrent layer on the x, mask and initial states of the replay.
    If it can load the whole model, it runs that too.

    MODEL is a file (.keras, .h5), a SavedModel folder or a checkpoint.

    Exit status: 0 all agree; 1 some differ; 2 a recurrent layer was not compared as required.
    """
    from lstm_inspect.api import verify as compare
    from lstm_inspect.checks.diff.two_arrays import Tolerance
    from lstm_inspect.views.printing import print_json, print_view

    is_given = atol is not None or rtol is not None
    opened = open_given(model, config, replace_config=replace_config, assume=assume, limits=limits)
    verification = compare(
        opened,
        read_inputs(inputs, opened, csv_batch, limits),
        feed=read_feed(feed, limits),
        stateful=stateful,
        engine=engine,
        allow_nonfinite=allow_nonfinite,
        limits=limits,
        tolerance=Tolerance(atol or 0.0, rtol or 0.0) if is_given else None,
    )
    if format_ == "json":
        print_json(verification.as_json())
    else:
        from lstm_inspect.views.tables import verification_view

        print_view(verification_view(verification))
    if verification.differs and not exit_zero:
        ctx.exit(1)
    if not verification.is_complete:
        ctx.exit(2)
    alone = [layer.path for layer in verification.layers if layer.proof != "whole model"]
    if require == "whole" and alone:
        say_error(f"not compared in the whole model: {', '.join(alone)}")
        ctx.exit(2)
