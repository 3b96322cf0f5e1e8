"""``lstm-inspect stats``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstm_inspect.cli.shared_options import (
    format_option,
    limit_option,
    recorded_layers_option,
)

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits

_EXAMPLES = """\b
Examples:
  lstm-inspect stats states.npz
  lstm-inspect stats states.h5 --layer 'encoder*' --json
  lstm-inspect stats states.zarr --fail-on nonfinite,dead
"""


def _kinds(ctx: click.Context, option: click.Parameter, given: Sequence[str]) -> list[str]:
    from lstm_inspect.checks.state_notes import KINDS

    kinds = [kind.strip() for each in given for kind in each.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise click.BadParameter(f"expected some of {', '.join(KINDS)}; received {kind!r}.")
    return kinds


@click.command(epilog=_EXAMPLES)
@click.argument("states", type=click.Path(path_type=Path))
@recorded_layers_option
@click.option(
    "--fail-on",
    metavar="KINDS",
    multiple=True,
    callback=_kinds,
    help="Exit with 1 if a note is of one of these kinds, separated by commas: nonfinite, dead, "
    "saturated, large, growing, forgetful, lasting, masked.",
)
@format_option
@limit_option
@click.pass_context
def stats(
    ctx: click.Context,
    states: Path,
    layers: Sequence[str],
    fail_on: Sequence[str],
    format_: str,
    limits: "Limits",
) -> None:
    """Print the figures of recorded states, and what is notable about them.

    STATES is a dump (.npz, .h5, .zarr), which `trace` writes.

    Exit status: 0 done; 1 a note is of a kind in --fail-on; 2 an error.
    """
    from lstm_inspect.checks.state_notes import notes_of, stats_as_json
    from lstm_inspect.traces.figures import figures_of
    from lstm_inspect.traces.stored_trace import open_trace
    from lstm_inspect.views.printing import print_json, print_view

    with open_trace(states, limits) as trace:
        figures = figures_of(trace.selected(layers))
    notes = notes_of(figures)
    if format_ == "json":
        print_json(stats_as_json(states, trace.model, figures, notes))
    else:
        from lstm_inspect.views.tables import figures_view

        print_view(figures_view(figures, notes))
    if any(note.kind in fail_on for note in notes):
        ctx.exit(1)
