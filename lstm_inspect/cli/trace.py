"""``lstm-inspect trace``."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from lstm_inspect.cli.options import config_option

_EXAMPLES = """\b
Examples:
  lstm-inspect trace model.keras --input x.npy --out states.npz
  lstm-inspect trace model.h5 --input encoder=x.npy --input decoder=y.npy \\
      --record all --layer 'decoder*' --out states.npz
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "inputs",
    metavar="[NAME=]FILE",
    multiple=True,
    required=True,
    help="A .npy array, batch first; NAME=FILE for each of several inputs, or one .npz.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The .npz dump to write."
)
@click.option(
    "--record",
    default="h,c",
    show_default=True,
    metavar="SIGNALS",
    help="Any of h, c, i, f, g, o, x, mask, with commas; or all.",
)
@click.option(
    "--layer",
    "layers",
    metavar="GLOB",
    multiple=True,
    help="Record only the recurrent layers that match; may be repeated.",
)
@click.option(
    "--stateful",
    is_flag=True,
    help="The input is several batches in order; stateful layers carry their states along.",
)
@click.option("--force", is_flag=True, help="Replace a file at --out that is no dump.")
@config_option
@click.pass_context
def trace(
    ctx: click.Context,
    model: Path,
    config: Path | None,
    inputs: Sequence[str],
    out: Path,
    record: str,
    layers: Sequence[str],
    stateful: bool,
    force: bool,
) -> None:
    """Replay a model and dump h_t, c_t and gates.

    A layer behind one that cannot be run is left out of the dump and named on stderr; the exit
    status is then 2.
    """
    from lstm_inspect.dumps import check_target, is_dump
    from lstm_inspect.model import open_model
    from lstm_inspect.replay import trace as replay
    from lstm_inspect.stats import trace_stats
    from lstm_inspect.views import print_trace
    from lstm_inspect.views.progress import progress_bar

    started = time.perf_counter()
    named = [_split(given) for given in inputs]
    check_target(
        out,
        sources=[model, *([config] if config else []), *(path for _, path in named)],
        may_replace=is_dump,
        force=force,
    )
    opened = open_model(model, config)
    with warnings.catch_warnings(), progress_bar() as progress:
        warnings.simplefilter("always")
        warnings.showwarning = _show_warning
        recorded = replay(
            opened,
            _read(named),
            record=[name.strip() for name in record.split(",")],
            layers=layers or ("*",),
            stateful=stateful,
            progress=progress,
        )
    recorded.save(out)
    seconds = time.perf_counter() - started
    print_trace(trace_stats(recorded), out, seconds)
    for path, reason in recorded.untraced.items():
        click.echo(f"error: {path} not traced: {reason}", err=True)
    if recorded.untraced:
        ctx.exit(2)


def _split(given: str) -> tuple[str | None, Path]:
    name, equals, path = given.partition("=")
    if equals and not Path(given).exists():
        return name, Path(path)
    return None, Path(given)


def _read(named: Sequence[tuple[str | None, Path]]) -> Any:
    """One array, or arrays by input name."""
    from lstm_inspect.arrays import read_arrays
    from lstm_inspect.errors import InputError

    match named:
        case [(None, path)]:
            return read_arrays(path)
    arrays = {}
    for name, path in named:
        array = read_arrays(path)
        if name is None or isinstance(array, dict):
            raise InputError(f"--input {path}: of several inputs, each is given as NAME=FILE.npy")
        if name in arrays:
            raise InputError(f"--input {name}={path}: {name} is given twice")
        arrays[name] = array
    return arrays


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    click.echo(f"warning: {message}", err=True)
