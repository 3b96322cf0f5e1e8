"""Parses the options that several commands share, and reads the files that they name."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_inspect.cli.model_arguments import STDIN, take_stdin

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits
    from lstm_inspect.model import Model, Shape


def split_input(given: str) -> tuple[str | None, Path]:
    """Splits ``NAME=FILE`` or ``FILE``; an existing file may have a "=" in its own name."""
    name, equals, path = given.partition("=")
    if equals and not Path(given).exists():
        return name, _file(path, "--input")
    return None, _file(given, "--input")


def split_feed(given: str) -> tuple[str, Path]:
    """Splits ``LAYER=FILE``."""
    path, equals, file = given.partition("=")
    if not equals:
        raise click.BadParameter(f"expected LAYER=FILE, received {given}.", param_hint="--feed")
    return path, _file(file, "--feed")


def files_of(inputs: Sequence[str], feed: Sequence[str]) -> list[Path]:
    """The files that ``--input`` and ``--feed`` name."""
    return [path for _, path in [*map(split_input, inputs), *map(split_feed, feed)]]


def _file(given: str, option: str) -> Path:
    if given != "-":
        return Path(given)
    if option == "--input":
        return STDIN
    raise click.BadParameter(
        "expected a file, received -; only a MODEL or an --input can be on standard input.",
        param_hint=option,
    )


def read_limits(given: Sequence[str]) -> "Limits":
    """Returns the limits with those that ``--limit`` sets."""
    from dataclasses import fields

    from lstm_inspect.files.limits import Limits, read_amount

    names = [each.name for each in fields(Limits)]
    chosen = {}
    for each in given:
        name, _, value = each.partition("=")
        if name not in names:
            from difflib import get_close_matches

            close = get_close_matches(name, names, n=2, cutoff=0.4)
            raise click.BadParameter(
                f"expected NAME=VALUE such as file_bytes=4GiB, received {each}; "
                f"similar limits: {', '.join(close) or 'none'}; docs/safety.md lists all.",
                param_hint="--limit",
            )
        try:
            chosen[name] = read_amount(name, value)
        except ValueError as error:
            raise click.BadParameter(
                f"{name}: expected {error}, received {value or 'nothing'}.", param_hint="--limit"
            ) from error
    return Limits(**chosen)


def read_assumptions(given: Sequence[str]) -> dict[str, str]:
    """Returns the values of ``--assume`` by layer and field."""
    said = {}
    for each in given:
        field, equals, value = each.partition("=")
        if not equals or field in said:
            expected = "GLOB.FIELD=VALUE, each field once"
            raise click.BadParameter(
                f"expected {expected}, received {each}.", param_hint="--assume"
            )
        said[field] = value
    return said


def read_inputs(
    inputs: Sequence[str], model: "Model", csv_batch: str | None, limits: "Limits"
) -> Any:
    """Reads the files of ``--input``: None, one array, or arrays by input name.

    Args:
        inputs: What was given.
        model: The model; of a ``.csv``, an input without features takes the only column.
        csv_batch: The column that tells the sequences of a ``.csv`` apart.
        limits: What the files may ask for.
    """
    from lstm_inspect.errors import InputError

    shapes = {each.name: each.shape for each in model.inputs}
    only = next(iter(shapes.values())) if len(shapes) == 1 else None

    def read(path: Path, shape: "Shape | None") -> Any:
        array = _read_input(path, csv_batch, limits)
        is_column = _is_csv(path) and shape is not None and len(shape) == 2
        return array[..., 0] if is_column and array.shape[-1] == 1 else array

    if csv_batch is not None and not any(_is_csv(split_input(given)[1]) for given in inputs):
        raise click.UsageError("--csv-batch: expected an --input that ends in .csv.")
    match [split_input(given) for given in inputs]:
        case []:
            return None
        case [(None, path)]:
            return read(path, only)
        case several:
            arrays = {}
            for name, path in several:
                if name is None:
                    raise InputError(
                        f"--input {path}: expected NAME=FILE for each of several inputs, "
                        "received no NAME"
                    )
                if name in arrays:
                    raise InputError(f"--input {name}={path}: {name} is given twice")
                arrays[name] = _only(path, read(path, shapes.get(name)))
            return arrays


def _read_input(path: Path, csv_batch: str | None, limits: "Limits") -> Any:
    if path is STDIN:
        from lstm_inspect.files.npy import read_array_stream

        return read_array_stream(take_stdin("a .npy"), STDIN, limits)
    if _is_csv(path):
        from lstm_inspect.files.csv_sequences import read_csv

        return read_csv(path, csv_batch, limits)
    from lstm_inspect.files.npy import read_arrays

    return read_arrays(path, limits=limits)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def read_initial_state(path: Path | None, limits: "Limits") -> dict[str, Any]:
    """Reads the file of ``--initial-state``: states by key, or a dump with the states before."""
    if path is None:
        return {}
    from lstm_inspect.errors import InputError
    from lstm_inspect.files.npy import read_arrays
    from lstm_inspect.traces.dumps import is_dump
    from lstm_inspect.traces.final_states import final_states
    from lstm_inspect.traces.stored_trace import open_trace

    if is_dump(path, limits):
        with open_trace(path, limits) as trace:
            return final_states(trace)
    expected = "a dump, or an .npz of states such as lstm/h0"
    states = read_arrays(path, expected, limits=limits)
    if not isinstance(states, dict):
        raise InputError(f"{path}: expected {expected}, received one array")
    return states


def read_feed(feed: Sequence[str], limits: "Limits") -> dict[str, Any]:
    """Reads the files of ``--feed``: arrays by layer path."""
    from lstm_inspect.files.npy import read_arrays

    read = partial(read_arrays, limits=limits)
    return {path: _only(file, read(file)) for path, file in map(split_feed, feed)}


def _only(path: Path, array: Any) -> Any:
    from lstm_inspect.errors import InputError

    if isinstance(array, dict):
        raise InputError(f"{path}: expected one array (.npy), received an .npz of {len(array)}")
    return array
