"""``lstm-inspect check`` and ``lstm-inspect contract``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstm_inspect.cli.messages import say_error, say_failure, say_lacking
from lstm_inspect.cli.model_arguments import (
    ModelPath,
    files_from_option,
    model_argument,
    named_paths,
    open_given,
)
from lstm_inspect.cli.shared_options import (
    exit_zero_option,
    limit_option,
    model_options,
    report_option,
)
from lstm_inspect.errors import InspectError

if TYPE_CHECKING:
    from lstm_inspect.checks.findings import Finding
    from lstm_inspect.files.limits import Limits

_CHECK_EXAMPLES = """\b
Examples:
  lstm-inspect check model.keras contract.json
  lstm-inspect check models/ contract.json
  lstm-inspect check model.keras --expect encoder.units=256 \\
      --expect 'decoder.states.h=(batch,256)'
  lstm-inspect check encoder.keras --same-states-as decoder.keras
"""

_CONTRACT_EXAMPLES = """\b
Examples:
  lstm-inspect contract model.keras
  lstm-inspect contract model.keras --out contract.json
"""


@click.command(epilog=_CHECK_EXAMPLES)
@click.argument(
    "files",
    metavar="MODEL... [CONTRACT]...",
    nargs=-1,
    type=ModelPath(),
)
@files_from_option
@click.option(
    "--expect",
    metavar="LAYER.FIELD=VALUE",
    multiple=True,
    help="Check one field, without a CONTRACT; VALUE is a number, a range (1..8, ..8), a shape or "
    "a text.",
)
@click.option(
    "--same-states-as",
    "other",
    type=ModelPath(),
    metavar="MODEL",
    help="Check that the final states of the models fit as initial states of this one.",
)
@click.option("--update", is_flag=True, help="Rewrite CONTRACT to match MODEL.")
@report_option
@exit_zero_option
@model_options
@limit_option
@click.pass_context
def check(
    ctx: click.Context,
    files: Sequence[Path],
    files_from: Path | None,
    expect: Sequence[str],
    other: Path | None,
    update: bool,
    format_: str,
    exit_zero: bool,
    config: Path | None,
    replace_config: bool,
    assume: Mapping[str, str],
    limits: "Limits",
) -> None:
    """Check the state dimensions of models against a contract.

    MODEL is a file (.keras, .h5), a SavedModel folder or a checkpoint.
    CONTRACT is a .json or .toml file with any part of what `shapes --format json` prints. A layer
    path in it may be a glob, in which * matches anything.

    MODEL may be a folder of models, a pattern such as 'models/*.keras', or - for standard input.

    Exit status: 0 all models match; 1 some do not; 2 a file could not be read.
    """
    from lstm_inspect.checks.contract.contracts import (
        Contract,
        check_contract_name,
        expectations,
        is_contract,
        read_contract,
        write_contract,
    )
    from lstm_inspect.checks.contract.handover import check_states
    from lstm_inspect.checks.contract.matching import check_contract
    from lstm_inspect.checks.contract.renewal import renewed
    from lstm_inspect.checks.findings import Report
    from lstm_inspect.shapes import model_shapes
    from lstm_inspect.views.printing import print_report

    paths = named_paths(files, files_from)
    models = [path for path in paths if not is_contract(path)]
    contract_files = [path for path in paths if is_contract(path)]
    contracts = [read_contract(path, limits=limits) for path in contract_files]
    names = ", ".join(map(str, files))
    if not models:
        raise click.UsageError(f"Expected a MODEL, received only contracts: {names}.")
    if not (contracts or expect or other):
        raise click.UsageError(
            f"Expected a CONTRACT (.json, .toml), --expect or --same-states-as, received {names}."
        )
    if update and (len(models) != 1 or len(contracts) != 1 or expect or other):
        raise click.UsageError(
            "--update takes one MODEL and one CONTRACT, without --expect and --same-states-as."
        )
    if update:
        check_contract_name(contract_files[0])
    held_to = [*contracts, *([expectations(expect)] if expect else [])]
    taking = model_shapes(open_given(other, limits=limits)) if other else None
    findings: list[Finding] = []
    unread: dict[Path, str] = {}
    for path in models:
        try:
            opened = open_given(
                path, config, replace_config=replace_config, assume=assume, limits=limits
            )
            shapes = model_shapes(opened)
        except InspectError as error:
            unread[path] = say_failure(error, path)
            continue
        if say_lacking(path, opened.lacking):
            unread[path] = f"{opened.lacking[0].label}: {opened.lacking[0].lacks}"
        for contract in held_to:
            findings += check_contract(contract, shapes)
        if taking:
            findings += check_states(shapes, taking)
    print_report(
        Report(command="check", files=tuple(models), findings=tuple(findings), unread=unread),
        format_,
    )
    if unread:
        ctx.exit(2)
    if findings and update:
        content = renewed(contracts[0], shapes)
        findings = check_contract(Contract(content), shapes)
        write_contract(contract_files[0], content, may_replace=lambda path: True)
        click.echo(f"{contract_files[0]}: rewritten", err=True)
        for finding in findings:
            say_error(f"the contract is still broken, edit it by hand: {finding.message}")
    if findings and not exit_zero:
        ctx.exit(1)


@click.command(epilog=_CONTRACT_EXAMPLES)
@model_argument
@click.option(
    "--out", "-o", type=click.Path(path_type=Path), help="Write to this file instead of stdout."
)
@click.option("--force", is_flag=True, help="Replace an existing file at --out.")
@model_options
@limit_option
@click.pass_context
def contract(
    ctx: click.Context,
    model: Path,
    out: Path | None,
    force: bool,
    config: Path | None,
    replace_config: bool,
    assume: Mapping[str, str],
    limits: "Limits",
) -> None:
    """Write the contract that a model matches today, as JSON.

    MODEL is a file (.keras, .h5), a SavedModel folder or a checkpoint.
    `check` holds models to the contract.

    Exit status: 0 done; 2 an error, or the file lacks the weights of a layer.
    """
    from lstm_inspect.checks.contract.contracts import check_contract_name, write_contract
    from lstm_inspect.checks.contract.renewal import contract_of
    from lstm_inspect.files.atomic import check_target
    from lstm_inspect.shapes import model_shapes
    from lstm_inspect.views.printing import print_json

    if out:
        check_contract_name(out)
    opened = open_given(model, config, replace_config=replace_config, assume=assume, limits=limits)
    if out:
        sources = [*opened.source.paths, *([config] if config else [])]
        check_target(out, sources=sources, may_replace=lambda path: force)
    content = contract_of(model_shapes(opened))
    if out:
        write_contract(out, content, may_replace=lambda path: force)
    else:
        print_json(content)
    if say_lacking(model, opened.lacking):
        ctx.exit(2)
