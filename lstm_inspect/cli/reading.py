"""What the options of several commands name, read from disk."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click


def split_input(given: str) -> tuple[str | None, Path]:
    """``NAME=FILE`` or ``FILE``; a file whose own name has a "=" is a file."""
    name, equals, path = given.partition("=")
    if equals and not Path(given).exists():
        return name, Path(path)
    return None, Path(given)


def split_feed(given: str) -> tuple[str, Path]:
    """``LAYER=FILE``."""
    path, equals, file = given.partition("=")
    if not equals:
        raise click.BadParameter(f"expected LAYER=FILE, received {given}", param_hint="--feed")
    return path, Path(file)


def read_inputs(inputs: Sequence[str]) -> Any:
    """What ``--input`` names: None, one array, or arrays by input name."""
    from lstm_inspect.arrays import read_arrays
    from lstm_inspect.errors import InputError

    match [split_input(given) for given in inputs]:
        case []:
            return None
        case [(None, path)]:
            return read_arrays(path)
        case several:
            arrays = {}
            for name, path in several:
                if name is None:
                    raise InputError(
                        f"--input {path}: of several inputs, each is given as NAME=FILE.npy"
                    )
                if name in arrays:
                    raise InputError(f"--input {name}={path}: {name} is given twice")
                arrays[name] = _one_array(path)
            return arrays


def read_feed(feed: Sequence[str]) -> dict[str, Any]:
    """What ``--feed`` names: arrays by path."""
    return {path: _one_array(file) for path, file in map(split_feed, feed)}


def _one_array(path: Path) -> Any:
    from lstm_inspect.arrays import read_arrays
    from lstm_inspect.errors import InputError

    array = read_arrays(path)
    if isinstance(array, dict):
        raise InputError(f"{path}: expected one array, a .npy, received an .npz of {len(array)}")
    return array


@contextmanager
def quiet_warnings() -> Iterator[None]:
    """Shows a warning as one line on stderr, and the same one once."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        yield


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    click.echo(f"warning: {message}", err=True)
