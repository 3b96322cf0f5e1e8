"""What the shell completes: names out of the model that stands on the line."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lstm_inspect.model import Model

_Complete = Callable[[click.Context, click.Parameter, str], list[str]]

_QUICK = 256 << 20  # a larger file would keep the user waiting


def _quietly(complete: Callable[[click.Context, str], Iterable[str]]) -> _Complete:
    """Gives no completion in place of an error, which the shell would print into the command."""

    def completed(ctx: click.Context, option: click.Parameter, typed: str) -> list[str]:
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [each for each in complete(ctx, typed) if each.startswith(typed)]
        return []

    return completed


@_quietly
def complete_layer(ctx: click.Context, typed: str) -> Iterable[str]:
    """The paths of the recurrent layers, for ``--layer``."""
    return [call.path for call in _model(ctx).calls if call.layer.is_recurrent]


@_quietly
def complete_record(ctx: click.Context, typed: str) -> Iterable[str]:
    """The signals that a layer of the model has, behind those that were typed."""
    signals = dict.fromkeys(name for each in _model(ctx).recurrent for name in each.kind.signals)
    before = typed.rpartition(",")[0]
    if not before:
        return ["all", *signals]
    return [f"{before},{name}" for name in signals if name not in before.split(",")]


@_quietly
def complete_limit(ctx: click.Context, typed: str) -> Iterable[str]:
    """The names of the limits."""
    from dataclasses import fields

    from lstm_inspect.files.limits import Limits

    return [f"{each.name}=" for each in fields(Limits)]


@_quietly
def complete_assume(ctx: click.Context, typed: str) -> Iterable[str]:
    """What the model leaves open: of all layers, then of each."""
    open_fields = {
        call.path: [*each.open_fields, *sorted(each.defaults)]
        for call, each in _model(ctx).recurrent_calls
    }
    of_all = dict.fromkeys(name for names in open_fields.values() for name in names)
    rows = {"*": of_all, **open_fields}
    return [f"{path}.{name}=" for path, names in rows.items() for name in names]


@_quietly
def complete_input(ctx: click.Context, typed: str) -> Iterable[str]:
    """``NAME=`` of each input of the model, and files."""
    name, equals, file = typed.partition("=")
    if equals:
        return _files(f"{name}=", file)
    with suppress(Exception):
        return [*(f"{each.name}=" for each in _model(ctx).inputs), *_files("", typed)]
    return _files("", typed)


@_quietly
def complete_feed(ctx: click.Context, typed: str) -> Iterable[str]:
    """``LAYER=`` of each layer of the model, then files."""
    path, equals, file = typed.partition("=")
    if equals:
        return _files(f"{path}=", file)
    return [f"{call.path}=" for call in _model(ctx).calls]


def _files(before: str, typed: str) -> Iterator[str]:
    """The files that a path may become, each behind what stands before it."""
    folder, slash, name = typed.rpartition("/")
    for path in sorted(Path(f"{folder}{slash}" or ".").iterdir()):
        if not path.name.startswith(".") or name.startswith("."):
            yield f"{before}{folder}{slash}{path.name}{'/' if path.is_dir() else ''}"


def _model(ctx: click.Context) -> "Model":
    """The model on the line."""
    from lstm_inspect.files.limits import Limits
    from lstm_inspect.sources import open_model

    arguments = [each for each in ctx.command.params if isinstance(each, click.Argument)]
    given = [ctx.params.get(each.name or "") or () for each in arguments]
    paths = [path for each in given for path in (each if isinstance(each, tuple) else (each,))]
    # If the value of an option is missing, click parses no arguments, and leaves them in `args`.
    path = next(path for path in (*paths, *map(Path, ctx.args)) if path.exists())
    return open_model(
        path,
        ctx.params.get("config"),
        replace_config=bool(ctx.params.get("replace_config")),
        limits=Limits(file_bytes=_QUICK),
    )
