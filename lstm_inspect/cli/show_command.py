"""``lstm-inspect show``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstm_inspect.cli.shared_options import (
    limit_option,
    recorded_layers_option,
    sample_option,
    signals_option,
    units_option,
)

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits

_EXAMPLES = """\b
Examples:
  lstm-inspect show states.npz
  lstm-inspect show states.npz --layer lstm --signal c,f --sample 3
  lstm-inspect show states.npz --signal c --units 0,5,8:16
"""


@click.command(epilog=_EXAMPLES)
@click.argument("states", type=click.Path(path_type=Path))
@recorded_layers_option
@signals_option("Show these signals, separated by commas; or all. Default: h and c.")
@sample_option
@units_option
@limit_option
def show(
    states: Path,
    layers: Sequence[str],
    signals: Sequence[str],
    sample: int | None,
    units: str | None,
    limits: "Limits",
) -> None:
    """Draw recorded states in the terminal: units downwards, timesteps to the right.

    STATES is a dump (.npz, .h5, .zarr), which `trace` writes. A terminal gets colors; elsewhere the
    numbers are shades of plain text.

    Exit status: 0 done; 2 an error.
    """
    from lstm_inspect.pictures.heat_map import HeatMap
    from lstm_inspect.pictures.sparklines import Sparklines
    from lstm_inspect.traces.cuts import read_cut
    from lstm_inspect.traces.sequences import one_sample, units_over_time
    from lstm_inspect.traces.stored_trace import open_trace
    from lstm_inspect.views.printing import print_drawing

    cut = read_cut("units", units)
    with open_trace(states, limits) as dump:
        trace = dump.selected(layers)
        recorded = [*units_over_time(trace, signals, one_sample(trace, sample))]
    if cut is not None:
        recorded = [each.at_units(cut.among(each.units)) for each in recorded]
    for each in recorded:
        print_drawing(HeatMap(each) if cut is None else Sparklines(each))
