"""``lstm-inspect diff``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstm_inspect.cli.messages import say_lacking
from lstm_inspect.cli.model_arguments import ModelPath, open_given
from lstm_inspect.cli.shared_options import (
    assume_option,
    atol_option,
    exit_zero_option,
    limit_option,
    report_option,
    rtol_option,
)
from lstm_inspect.errors import InputError

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits
    from lstm_inspect.model import Layer

_EXAMPLES = """\b
Examples:
  lstm-inspect diff model.h5 model.keras
  lstm-inspect diff before.npz after.npz --atol 1e-5
"""


@click.command(epilog=_EXAMPLES)
@click.argument("first", metavar="A", type=ModelPath())
@click.argument("second", metavar="B", type=ModelPath())
@atol_option
@rtol_option
@report_option
@exit_zero_option
@assume_option
@limit_option
@click.pass_context
def diff(
    ctx: click.Context,
    first: Path,
    second: Path,
    atol: float,
    rtol: float,
    format_: str,
    exit_zero: bool,
    assume: Mapping[str, str],
    limits: "Limits",
) -> None:
    """Compare two models or two dumps.

    A and B are both models (.keras, .h5, SavedModel folders, checkpoints), or both dumps of
    states (.npz), which `trace` writes.

    For each array that differs, print the first number that differs and the largest difference.

    Exit status: 0 nothing differs; 1 something differs; 2 a file could not be read.
    """
    from lstm_inspect.checks.diff.two_arrays import Tolerance
    from lstm_inspect.checks.diff.two_dumps import diff_dumps
    from lstm_inspect.checks.diff.two_models import diff_models
    from lstm_inspect.checks.findings import Report
    from lstm_inspect.traces.dumps import is_dump
    from lstm_inspect.views.printing import print_report

    tolerance = Tolerance(atol, rtol)
    lacking: dict[Path, tuple[Layer, ...]] = {}
    kinds = [is_dump(path, limits) for path in (first, second)]
    if all(kinds):
        findings = diff_dumps(first, second, tolerance, limits)
    elif any(kinds):
        raise InputError(
            f"{first}, {second}: expected two models or two dumps, received one of each"
        )
    else:
        one, other = (open_given(path, assume=assume, limits=limits) for path in (first, second))
        findings = diff_models(one, other, tolerance)
        lacking = {first: one.lacking, second: other.lacking}
    print_report(Report(command="diff", files=(second,), findings=tuple(findings)), format_)
    are_lacking = [say_lacking(path, layers) for path, layers in lacking.items()]
    if any(are_lacking):
        ctx.exit(2)
    if findings and not exit_zero:
        ctx.exit(1)
