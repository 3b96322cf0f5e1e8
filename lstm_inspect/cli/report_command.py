"""``lstm-inspect report``."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_inspect.cli.arguments import files_of, read_feed, read_inputs
from lstm_inspect.cli.messages import say_error, say_untraced
from lstm_inspect.cli.model_arguments import ModelPath, open_given
from lstm_inspect.cli.shared_options import (
    atol_option,
    csv_batch_option,
    feed_option,
    input_option,
    limit_option,
    model_options,
    nonfinite_option,
    recorded_layers_option,
    rtol_option,
    signals_option,
    stateful_option,
)
from lstm_inspect.errors import InputError

if TYPE_CHECKING:
    from lstm_inspect.checks.diff.two_arrays import Tolerance
    from lstm_inspect.checks.findings import Finding
    from lstm_inspect.files.limits import Limits
    from lstm_inspect.model import Model
    from lstm_inspect.replay.options import ReplayOptions
    from lstm_inspect.traces.stored_trace import StoredTrace

_EXAMPLES = """\b
Examples:
  lstm-inspect report states.npz --out report.html
  lstm-inspect report states.npz --model model.keras --labels tokens.txt --out report.html
  lstm-inspect report model.keras --input x.npy --out report.html
"""


@click.command(epilog=_EXAMPLES)
@click.argument("source", type=ModelPath())
@click.option(
    "--out", "-o", required=True, type=click.Path(path_type=Path), help="The .html to write."
)
@click.option(
    "--model",
    type=ModelPath(),
    metavar="MODEL",
    help="Show the shapes of the model that the states come from.",
)
@input_option
@csv_batch_option
@feed_option
@stateful_option
@recorded_layers_option
@signals_option("Show the numbers of these signals, separated by commas. Default: all.")
@click.option("--samples", metavar="PLACES", help="Show the numbers of these samples: 0,5,8:16.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Name the timesteps: a label a line; an empty line begins the next sample.",
)
@click.option("--verify", is_flag=True, help="With --input: compare with Keras, and show it.")
@click.option(
    "--diff",
    "others",
    type=ModelPath(),
    metavar="OTHER",
    multiple=True,
    help="Show how the states differ from another dump, or the model from another one.",
)
@atol_option
@rtol_option
@click.option("--force", is_flag=True, help="Replace a file at --out that is not a report.")
@model_options
@nonfinite_option
@limit_option
@click.pass_context
def report(
    ctx: click.Context,
    source: Path,
    out: Path,
    model: Path | None,
    inputs: Sequence[str],
    csv_batch: str | None,
    feed: Sequence[str],
    stateful: bool,
    layers: Sequence[str],
    signals: Sequence[str],
    samples: str | None,
    labels: Path | None,
    verify: bool,
    others: Sequence[Path],
    atol: float,
    rtol: float,
    force: bool,
    config: Path | None,
    replace_config: bool,
    assume: Mapping[str, str],
    allow_nonfinite: bool,
    limits: "Limits",
) -> None:
    """Write a page about recorded states that opens in any browser, without a network.

    SOURCE is a dump (.npz, .h5, .zarr), which `trace` writes. With --input it is a model, which is
    replayed first.

    The page has heat maps, the course of each unit, the figures and notes of `stats`, and where the
    numbers come from. If it has no room for all samples, it says so.

    Exit status: 0 done; 1 --verify found a difference; 2 an error, or a layer was not traced.
    """
    from lstm_inspect.checks.diff.two_arrays import Tolerance
    from lstm_inspect.files.atomic import check_target
    from lstm_inspect.page.contents import Beside, page_of
    from lstm_inspect.page.labels import read_labels
    from lstm_inspect.page.writing import drawing_library, is_page, write_page
    from lstm_inspect.replay.options import ReplayOptions
    from lstm_inspect.shapes import model_shapes
    from lstm_inspect.traces.cuts import read_cut
    from lstm_inspect.traces.sequences import samples_of
    from lstm_inspect.traces.stored_trace import open_trace

    is_replayed = bool(inputs or feed)
    if is_replayed and model:
        raise click.UsageError("--model: SOURCE is the model if there is an --input.")
    of_replay = {"--verify": verify, "--stateful": stateful, "--csv-batch": csv_batch is not None}
    _check_needed(of_replay | {"--allow-nonfinite": allow_nonfinite}, is_replayed, "an --input")
    _check_needed({"--atol": atol, "--rtol": rtol}, bool(others), "a --diff")
    file = source if is_replayed else model
    of_model = {"--config": config, "--replace-config": replace_config, "--assume": assume}
    _check_needed(of_model, file is not None, "a --model or an --input")
    library = drawing_library()
    may_replace = (lambda path: True) if force else is_page
    read = files_of(inputs, feed)
    read += [each for each in (source, model, config, labels, *others) if each]
    check_target(out, sources=read, may_replace=may_replace)
    opened = None
    if file:
        opened = open_given(
            file, config, replace_config=replace_config, assume=assume, limits=limits
        )
    wanted = signals or ["all"]
    with ExitStack() as stack:
        if is_replayed and opened:
            options = ReplayOptions(
                record=wanted,
                select=layers or ("*",),
                feed=read_feed(feed, limits),
                stateful=stateful,
                allow_nonfinite=allow_nonfinite,
                limits=limits,
            )
            arrays = read_inputs(inputs, opened, csv_batch, limits)
            trace = _replayed(opened, arrays, options, verify=verify)
        else:
            try:
                dump = stack.enter_context(open_trace(source, limits))
            except InputError as error:
                error.add_note("hint: a model needs an --input, and is replayed first")
                raise
            trace = dump.selected(layers)
        cut = read_cut("samples", samples)
        page = page_of(
            trace,
            source.name,
            Beside(
                shapes=model_shapes(opened) if opened else None,
                differences=[
                    (str(other), _differences(other, trace, opened, Tolerance(atol, rtol), limits))
                    for other in others
                ],
                labels=read_labels(labels) if labels else None,
            ),
            signals=wanted,
            samples=cut and cut.among(samples_of(trace)),
        )
    write_page(out, page, library, may_replace)
    if is_replayed and say_untraced(trace.untraced):
        ctx.exit(2)
    if verify and trace.verification and not trace.verification["agrees"]:
        say_error("the replay and Keras do not agree; the page shows where")
        ctx.exit(1)


def _check_needed(options: Mapping[str, Any], is_there: bool, needed: str) -> None:
    """Refuses options that say nothing without something else."""
    names = [name for name, given in options.items() if given]
    if names and not is_there:
        raise click.UsageError(f"{', '.join(names)}: expected {needed} too.")


def _replayed(
    model: "Model", arrays: Any, options: "ReplayOptions", *, verify: bool
) -> "StoredTrace":
    from lstm_inspect.checks.verification import compare, replay_to_compare
    from lstm_inspect.replay.run import IN_MEMORY, Replay

    if not verify:
        return Replay(model, arrays, options, block_bytes=IN_MEMORY).in_memory().trace.stored()
    replayed = replay_to_compare(model, arrays, options)
    verification = compare(model, replayed, options.limits)
    return replayed.trace.with_verification(verification.as_json()).stored()


def _differences(
    other: Path,
    trace: "StoredTrace",
    model: "Model | None",
    tolerance: "Tolerance",
    limits: "Limits",
) -> "Sequence[Finding]":
    """How the states differ from those of another dump, or the model from another model."""
    from lstm_inspect.checks.diff.two_dumps import diff_traces
    from lstm_inspect.checks.diff.two_models import diff_models
    from lstm_inspect.traces.dumps import is_dump
    from lstm_inspect.traces.stored_trace import open_trace

    if is_dump(other, limits):
        with open_trace(other, limits) as before:
            return diff_traces(before, trace, other, tolerance)
    if model is None:
        raise InputError(f"{other}: expected a dump, as there is no model to compare with it")
    return diff_models(open_given(other, limits=limits), model, tolerance)
