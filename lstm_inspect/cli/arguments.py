"""Parses the options that several commands share, and reads the files that they name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lstm_inspect.files.limits import Limits


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


def _file(given: str, option: str) -> Path:
    if given == "-":
        raise click.BadParameter(
            "expected a file, received -; only a MODEL can be on standard input.",
            param_hint=option,
        )
    return Path(given)


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


def read_inputs(inputs: Sequence[str], limits: "Limits") -> Any:
    """Reads the files of ``--input``: None, one array, or arrays by input name."""
    from lstm_inspect.errors import InputError
    from lstm_inspect.files.npy import read_arrays

    match [split_input(given) for given in inputs]:
        case []:
            return None
        case [(None, path)]:
            return read_arrays(path, limits=limits)
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
                arrays[name] = _one_array(path, limits)
            return arrays


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
    return {path: _one_array(file, limits) for path, file in map(split_feed, feed)}


def _one_array(path: Path, limits: "Limits") -> Any:
    from lstm_inspect.errors import InputError
    from lstm_inspect.files.npy import read_arrays

    array = read_arrays(path, limits=limits)
    if isinstance(array, dict):
        raise InputError(f"{path}: expected one array (.npy), received an .npz of {len(array)}")
    return array
