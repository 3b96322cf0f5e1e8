"""``lstm-inspect verify``."""

from collections.abc import Sequence
from pathlib import Path

import click

from lstm_inspect.cli.options import (
    config_option,
    feed_option,
    format_option,
    input_option,
    limit_option,
    nonfinite_option,
)
from lstm_inspect.cli.reading import read_feed, read_inputs, read_limits

_EXAMPLES = """\b
Examples:
  lstm-inspect verify model.keras --input x.npy
  lstm-inspect verify model.h5 --input x.npy --format json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@input_option
@feed_option
@format_option
@config_option
@nonfinite_option
@limit_option
@click.pass_context
def verify(
    ctx: click.Context,
    model: Path,
    inputs: Sequence[str],
    feed: Sequence[str],
    format_: str,
    config: Path | None,
    allow_nonfinite: bool,
    limit: Sequence[str],
) -> None:
    """Hold the replay against genuine Keras.

    Each recurrent layer is run by today's Keras too, on the x, mask and initial states of the
    replay; and the whole model, where today's Keras loads it. Exit status: 0 all agree, 1 some
    differ, 2 nothing could be compared.
    """
    from lstm_inspect.model import open_model
    from lstm_inspect.verification import verify as compare

    limits = read_limits(limit)
    verification = compare(
        open_model(model, config, limits=limits),
        read_inputs(inputs, limits),
        feed=read_feed(feed, limits),
        allow_nonfinite=allow_nonfinite,
        limits=limits,
    )
    if format_ == "json":
        import json

        click.echo(json.dumps(verification.as_json(), indent=2))
    else:
        from lstm_inspect.views.tables import print_verification

        print_verification(verification)
    if not verification.agrees:
        ctx.exit(1 if verification.comparisons else 2)
