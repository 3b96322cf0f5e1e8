"""Reads sequences from a ``.csv``: a row is a timestep, a column is a feature."""

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, ModelFileError
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.whole_file import read_bytes

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs"}

_MOST_EXACT = 1 << 53  # a float64 has all whole numbers below

_Row = tuple[int, list[str]]
"""The number of a line, counted from 1, and its cells."""


def read_csv(path: Path, batch: str | None, limits: Limits) -> Array:
    """Reads one sequence, or several that a column tells apart.

    The first line is a header if one of its cells is not a number.

    Args:
        path: The file, in UTF-8, with commas.
        batch: The column that tells the sequences apart: its name in the header, or its number
            counted from 0. None reads one sequence.
        limits: ``input_bytes`` is the most that the file may have.

    Returns:
        (batch, timesteps, features), the sequences in the order in which they begin. int64 if all
        numbers are whole, else float64.

    Raises:
        InputError: The file cannot be read, or is no table of numbers; the error names the line.
            Or the sequences have several lengths.
        LimitError: The file is larger than the limit.
    """
    try:
        text = read_bytes(path, limits, "input_bytes").decode("utf-8-sig")
    except ModelFileError as error:
        raise InputError(str(error)) from error
    except UnicodeDecodeError as error:
        raise _refused(path, f"bytes that are not UTF-8 at {error.start}") from error
    rows = _rows(path, text)
    first = next(rows, None)
    if first is None:
        raise _refused(path, "no line")
    names = None if all(map(_is_number, first[1])) else first[1]
    table = [*rows] if names else [first, *rows]
    if not table:
        raise _refused(path, "a header alone")
    width = len(first[1])
    for line, cells in table:
        if len(cells) != width:
            raise _refused(path, f"{len(cells)} cells in line {line}, where others have {width}")
    place = None if batch is None else _place(path, batch, names, width)
    features = [column for column in range(width) if column != place]
    if not features:
        raise _refused(path, "no column of features")
    numbers = _numbers(path, table, features, names)
    if place is None:
        return numbers[np.newaxis]
    sequences: dict[str, list[int]] = {}
    for row, (_, cells) in enumerate(table):
        sequences.setdefault(cells[place].strip(), []).append(row)
    lengths = {name: len(own) for name, own in sequences.items()}
    if len({*lengths.values()}) > 1:
        shortest, longest = (pick(lengths, key=lengths.__getitem__) for pick in (min, max))
        raise InputError(
            f"{path}: expected sequences of one length, received {lengths[shortest]} rows of "
            f"{shortest} and {lengths[longest]} of {longest}"
        )
    return numbers[[*sequences.values()]]


def _rows(path: Path, text: str) -> Iterator[_Row]:
    """Yields the lines that are not empty."""
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        for cells in reader:
            if len(cells) == 1:
                for delimiter, what in _OTHER_DELIMITERS.items():
                    if delimiter in cells[0]:
                        raise _refused(path, f"{what}; write the table with commas")
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise _refused(path, f"line {reader.line_num}, which is no CSV ({error})") from error


def _place(path: Path, batch: str, names: Sequence[str] | None, width: int) -> int:
    stripped = [name.strip() for name in names or ()]
    if batch in stripped:
        return stripped.index(batch)
    if batch.isdecimal() and int(batch) < width:
        return int(batch)
    there = ", ".join(stripped) if names else f"0 to {width - 1}, as there is no header"
    raise InputError(f"{path}: expected the column {batch}, received {there}")


def _numbers(
    path: Path, table: Sequence[_Row], features: Sequence[int], names: Sequence[str] | None
) -> Array:
    """The numbers of some columns, (rows, columns)."""
    cells = chain.from_iterable([row[column] for column in features] for _, row in table)
    try:
        numbers = np.fromiter(map(float, cells), np.float64, len(table) * len(features))
    except ValueError:
        line, column, cell = next(
            (line, column, row[column])
            for line, row in table
            for column in features
            if not _is_number(row[column])
        )
        called = f"column {names[column].strip()}" if names else f"column {column}"
        raise _refused(path, f"{cell!r:.40} in line {line}, {called}") from None
    array = numbers.reshape(len(table), len(features))
    written_whole = all(table[0][1][column].strip().lstrip("+-").isdecimal() for column in features)
    is_whole = written_whole and bool((np.abs(array) < _MOST_EXACT).all())
    return array.astype(np.int64) if is_whole and (array == np.rint(array)).all() else array


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refused(path: Path, received: str) -> InputError:
    return InputError(f"{path}: expected a table of numbers, received {received}")
