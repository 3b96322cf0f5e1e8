"""``lstm-inspect trace``."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstm_inspect.cli.arguments import (
    files_of,
    read_feed,
    read_initial_state,
    read_inputs,
)
from lstm_inspect.cli.completion import complete_layer, complete_record
from lstm_inspect.cli.messages import say_error, say_hint, say_untraced
from lstm_inspect.cli.model_arguments import model_argument, open_given
from lstm_inspect.cli.shared_options import (
    csv_batch_option,
    engine_option,
    feed_option,
    force_option,
    format_option,
    input_option,
    limit_option,
    model_options,
    nonfinite_option,
    out_option,
    stateful_option,
)

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits
    from lstm_inspect.traces.statistics import ArrayStats

_EXAMPLES = """\b
Examples:
  lstm-inspect trace model.keras --input x.npy --out states.npz
  lstm-inspect trace model.h5 --input encoder=x.npy --input decoder=y.npy \\
      --record all --layer 'decoder*' --out states.npz
"""


@click.command(epilog=_EXAMPLES)
@model_argument
@input_option
@csv_batch_option
@out_option
@click.option(
    "--record",
    multiple=True,
    default=["h,c"],
    show_default=True,
    metavar="SIGNALS",
    shell_complete=complete_record,
    help="Record any of h, c, i, f, g, o, z, r, n, x, mask, h0, c0, separated by commas; or all. "
    "May be repeated.",
)
@click.option(
    "--layer",
    "layers",
    metavar="GLOB",
    shell_complete=complete_layer,
    multiple=True,
    help="Record only the recurrent layers that match this; may be repeated.",
)
@feed_option
@click.option(
    "--initial-state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Start from states, not from zeros: an .npz of them, as lstm/h0 and lstm/c0, or a dump, "
    "of which the last ones are taken.",
)
@stateful_option
@click.option(
    "--steps", metavar="PLACES", help="Record these timesteps alone: 0:100:10, or 0,5,8:16."
)
@click.option("--last", is_flag=True, help="Record the final states alone: the last step read.")
@click.option(
    "--time-chunk",
    type=click.IntRange(1),
    metavar="N",
    help="Take long sequences in pieces of N timesteps, rounded up to a multiple of 64.",
)
@click.option("--units", metavar="PLACES", help="Record these units of states and gates alone.")
@click.option("--samples", metavar="PLACES", help="Replay these samples alone.")
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32", "float64"]),
    help="Record in this dtype, not in that of the layer.",
)
@engine_option
@click.option("--verify", is_flag=True, help="Compare with Keras and store the result in the dump.")
@click.option("--compress", is_flag=True, help="Compress the dump; for .h5 and .zarr.")
@click.option(
    "--resume",
    is_flag=True,
    help="Keep what is done if the run is interrupted, and go on with it; for .h5 and .zarr.",
)
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Compute on the Dask cluster of this scheduler; --out is a .zarr that all workers see.",
)
@force_option
@click.option(
    "--quiet",
    "-q",
    is_flag=True,
    help="Print no table and no progress; errors, warnings and --format json are still printed.",
)
@format_option
@model_options
@nonfinite_option
@limit_option
@click.pass_context
def trace(
    ctx: click.Context,
    model: Path,
    inputs: Sequence[str],
    csv_batch: str | None,
    out: Path,
    record: Sequence[str],
    layers: Sequence[str],
    feed: Sequence[str],
    initial_state: Path | None,
    stateful: bool,
    steps: str | None,
    last: bool,
    time_chunk: int | None,
    units: str | None,
    samples: str | None,
    dtype: str | None,
    engine: str,
    verify: bool,
    compress: bool,
    resume: bool,
    dask: str | None,
    force: bool,
    quiet: bool,
    format_: str,
    config: Path | None,
    replace_config: bool,
    assume: Mapping[str, str],
    allow_nonfinite: bool,
    limits: "Limits",
) -> None:
    """Replay a model and write h_t, c_t and gates to a dump.

    MODEL is a file (.keras, .h5), a SavedModel folder or a checkpoint.

    If a layer depends on one that cannot be run, the dump leaves it out, and stderr names it.

    Exit status: 0 done; 1 --verify found a difference; 2 an error, or something is left out.
    """
    from lstm_inspect.replay.options import ReplayOptions
    from lstm_inspect.replay.run import Replay
    from lstm_inspect.replay.to_dump import BLOCK_BYTES, write_dump
    from lstm_inspect.traces.dumps import check_new_dump, is_dump
    from lstm_inspect.traces.statistics import stats_of
    from lstm_inspect.traces.unfinished import partial_of
    from lstm_inspect.views.printing import print_json, print_view
    from lstm_inspect.views.progress import progress_of

    started = time.perf_counter()
    given = files_of(inputs, feed)
    given += [each for each in (config, initial_state) if each]
    opened = open_given(model, config, replace_config=replace_config, assume=assume, limits=limits)
    may_replace = (lambda path: True) if force else is_dump
    sources = [*opened.source.paths, *given]
    check_new_dump(out, sources=sources, may_replace=may_replace, compress=compress, resume=resume)
    if verify + resume + (dask is not None) > 1:
        raise click.UsageError("--verify, --resume and --dask: expected one of them.")
    partial = partial_of(out)
    if partial.exists() and not resume:
        say_hint(f"{partial} has what an interrupted run has done; --resume goes on with it")
    arrays, fed = read_inputs(inputs, opened, csv_batch, limits), read_feed(feed, limits)
    with progress_of(out, quiet=quiet) as progress:
        options = ReplayOptions(
            record=record,
            select=layers or ("*",),
            feed=fed,
            initial_state=read_initial_state(initial_state, limits),
            time_chunk=time_chunk,
            stateful=stateful,
            steps=steps,
            last=last,
            units=units,
            samples=samples,
            dtype=dtype,
            engine=engine,
            allow_nonfinite=allow_nonfinite,
            limits=limits,
            progress=progress.step,
        )
        if verify:
            from lstm_inspect.checks.verification import compare, replay_to_compare

            replayed = replay_to_compare(opened, arrays, options)
            verification = compare(opened, replayed, limits)
            recorded = replayed.trace.with_verification(verification.as_json())
            recorded.save(out, may_replace=may_replace, compress=compress)
            stats: Sequence[ArrayStats] = [*stats_of(recorded.arrays())]
            hint = replayed.ready.hint
        else:
            verification = None
            if dask:
                from lstm_inspect.replay.on_cluster import connected, write_on_cluster

                with connected(dask):
                    written = write_on_cluster(
                        opened,
                        arrays,
                        options,
                        out,
                        may_replace,
                        compress=compress,
                        begin=progress.begin,
                    )
            else:
                ready = Replay(opened, arrays, options, block_bytes=BLOCK_BYTES)
                if resume:
                    from lstm_inspect.replay.resuming import made_from, resume_dump

                    said = {f"--assume {field}": value for field, value in assume.items()}
                    said["--compress"] = "given" if compress else "none"
                    origin = made_from(opened, ready, options, said)
                    written = resume_dump(
                        ready, out, origin, may_replace, compress=compress, follower=progress
                    )
                else:
                    written = write_dump(
                        ready, out, may_replace, compress=compress, follower=progress
                    )
            recorded, stats, hint = written
    if format_ == "json":
        print_json(recorded.as_json(stats, out))
    elif not quiet:
        from lstm_inspect.views.tables import dump_view

        print_view(dump_view(stats, out, time.perf_counter() - started))
    is_incomplete = say_untraced(recorded.untraced)
    if hint:
        say_hint(hint)
    if is_incomplete:
        ctx.exit(2)
    if verification is not None and verification.differs:
        say_error("the replay and Keras differ; lstm-inspect verify shows where")
        ctx.exit(1)
    if verification is not None and not verification.is_complete:
        say_error("not every layer could be compared; lstm-inspect verify says why")
        ctx.exit(2)
