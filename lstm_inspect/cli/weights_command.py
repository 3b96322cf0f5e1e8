"""``lstm-inspect weights``."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstm_inspect.cli.completion import complete_layer
from lstm_inspect.cli.messages import say_lacking
from lstm_inspect.cli.model_arguments import model_argument, open_given
from lstm_inspect.cli.shared_options import (
    force_option,
    format_option,
    limit_option,
    model_options,
    out_option,
)

if TYPE_CHECKING:
    from lstm_inspect.arrays import Array
    from lstm_inspect.files.limits import Limits

_EXAMPLES = """\b
Examples:
  lstm-inspect weights model.keras --out weights.npz
  lstm-inspect weights model.h5 --gates --layer 'decoder*' --out weights.npz
"""


@click.command(epilog=_EXAMPLES)
@model_argument
@out_option
@click.option(
    "--gates", is_flag=True, help="Write each gate apart too: kernel_i, kernel_f and so on."
)
@click.option(
    "--layer",
    "layers",
    metavar="GLOB",
    shell_complete=complete_layer,
    multiple=True,
    help="Write only the recurrent layers that match this; may be repeated.",
)
@force_option
@format_option
@model_options
@limit_option
@click.pass_context
def weights(
    ctx: click.Context,
    model: Path,
    out: Path,
    gates: bool,
    layers: Sequence[str],
    force: bool,
    format_: str,
    config: Path | None,
    replace_config: bool,
    assume: Mapping[str, str],
    limits: "Limits",
) -> None:
    """Write the weights in one form.

    The form is the same whichever Keras or TensorFlow saved them.

    MODEL is a file (.keras, .h5), a SavedModel folder or a checkpoint.

    Exit status: 0 done; 2 an error, or the file lacks the weights of a layer, which stderr names.
    """
    from lstm_inspect.traces.dumps import check_new_dump, is_dump
    from lstm_inspect.traces.statistics import stats_of
    from lstm_inspect.views.printing import print_json, print_view
    from lstm_inspect.weight_dump import (
        gate_weights,
        save_weights,
        select_lacking,
        select_recurrences,
        weights_as_json,
        whole_weights,
    )

    started = time.perf_counter()
    patterns = layers or ("*",)
    opened = open_given(model, config, replace_config=replace_config, assume=assume, limits=limits)
    may_replace = (lambda path: True) if force else is_dump
    sources = [*opened.source.paths, *([config] if config else [])]
    check_new_dump(out, sources=sources, may_replace=may_replace)
    chosen = select_recurrences(opened, patterns)
    arrays: dict[str, Array] = {}
    for recurrence in chosen:
        arrays |= whole_weights(recurrence)
        if gates:
            arrays |= gate_weights(recurrence)
    save_weights(out, arrays, opened, chosen, may_replace)
    stats = stats_of(arrays)
    if format_ == "json":
        print_json(weights_as_json(stats, opened, out))
    else:
        from lstm_inspect.views.tables import dump_view

        print_view(dump_view(stats, out, time.perf_counter() - started))
    if say_lacking(model, select_lacking(opened, patterns)):
        ctx.exit(2)
