"""``lstm-inspect plot``."""

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
  lstm-inspect plot states.npz --out states.png
  lstm-inspect plot states.npz --layer lstm --signal c,f --sample 3 --out c.svg
  lstm-inspect plot states.npz --units 0,5,8:16 --out units.pdf
"""


@click.command(epilog=_EXAMPLES)
@click.argument("states", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="The .png, .svg or .pdf to write.",
)
@recorded_layers_option
@signals_option(
    "Draw these signals, separated by commas; or all, which draws x too. Default: h, c and gates."
)
@sample_option
@units_option
@click.option("--force", is_flag=True, help="Replace a file at --out that is not a picture.")
@limit_option
def plot(
    states: Path,
    out: Path,
    layers: Sequence[str],
    signals: Sequence[str],
    sample: int | None,
    units: str | None,
    force: bool,
    limits: "Limits",
) -> None:
    """Draw recorded states as a picture: units downwards, timesteps to the right.

    STATES is a dump (.npz, .h5, .zarr), which `trace` writes. The picture has h and c of each layer
    side by side, and gates below. It needs the extra [plot].

    Exit status: 0 done; 2 an error.
    """
    from lstm_inspect.files.atomic import check_target, replacing
    from lstm_inspect.pictures.charts import (
        check_matplotlib,
        heat_maps,
        image_of,
        is_picture,
        line_plots,
        suffix_of,
    )
    from lstm_inspect.traces.cuts import read_cut
    from lstm_inspect.traces.sequences import one_sample, units_over_time
    from lstm_inspect.traces.stored_trace import open_trace

    may_replace = (lambda path: True) if force else is_picture
    suffix = suffix_of(out)
    check_target(out, sources=[states], may_replace=may_replace)
    check_matplotlib()
    cut = read_cut("units", units)
    with open_trace(states, limits) as dump:
        trace = dump.selected(layers)
        recorded = units_over_time(trace, signals or ["all"], one_sample(trace, sample))
        wanted = (each for each in recorded if signals or each.signal != "x")
        if cut is None:
            figure = heat_maps([*wanted])
        else:
            figure = line_plots([each.at_units(cut.among(each.units)) for each in wanted])
    image = image_of(figure, suffix)
    with replacing(out, may_replace) as file:
        file.write(image)
