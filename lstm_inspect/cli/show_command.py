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
    sample: int,
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
    from lstm_inspect.traces.sequences import units_over_time
    from lstm_inspect.traces.stored_trace import open_trace
    from lstm_inspect.views.printing import print_drawing

    cut = read_cut("units", units)
    with open_trace(states, limits) as trace:
        for shown in units_over_time(trace.selected(layers), signals, [sample]):
            if cut is None:
                print_drawing(HeatMap(shown))
            else:
                print_drawing(Sparklines(shown.at_units(cut.among(shown.units))))
