"""Sequences in a ``.csv``: a row is a timestep, a column is a feature."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import lstm_inspect
from lstm_inspect import InputError
from lstm_inspect.files.csv_sequences import read_csv
from lstm_inspect.files.limits import DEFAULT_LIMITS
from tests.conftest import SAMPLES, Array, random
from tests.test_cli import run
from tests.test_inputs import tokens_model

ONE = SAMPLES / "one_unit_sequences.keras"  # takes (batch, 3, 1)


def read(folder: Path, text: str, batch: str | None = None) -> Array:
    (folder / "x.csv").write_text(text, encoding="utf-8")
    return read_csv(folder / "x.csv", batch, DEFAULT_LIMITS)


def trace(model: Path, folder: Path, *options: str) -> Result:
    given = ("--input", str(folder / "x.csv"), "--out", str(folder / "s.npz"), "--record", "x")
    return run("trace", str(model), *given, *options)


@pytest.mark.parametrize(
    "text",
    [
        "1.5,2\n3,4\n5,6\n",
        "a,b\n1.5,2\n3,4\n5,6\n",
        "\ufeffa,b\r\n1.5,2\r\n3,4\r\n5,6",
        '"a","b, c"\n" 1.5 ","2"\n\n3,4\n5,6\n\n',
    ],
    ids=["plain", "header", "byte order mark", "quotes and empty lines"],
)
def test_a_table_is_one_sequence(tmp_path: Path, text: str) -> None:
    np.testing.assert_array_equal(read(tmp_path, text), [[[1.5, 2], [3, 4], [5, 6]]])


@pytest.mark.parametrize("column", ["day", "1"])
def test_a_column_tells_sequences_apart(tmp_path: Path, column: str) -> None:
    text = "x,day,y\n1,tue,2\n3,mon,4\n5,tue,6\n7,mon,8\n"
    np.testing.assert_array_equal(
        read(tmp_path, text, column), [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]
    )


@pytest.mark.parametrize(
    ("text", "dtype"),
    [("1\n-2\n", "int64"), ("1.0\n2\n", "float64"), ("1\n2.5\n", "float64"), ("1\nnan\n", "f8")],
)
def test_whole_numbers_stay_whole(tmp_path: Path, text: str, dtype: str) -> None:
    assert read(tmp_path, text).dtype == dtype


@pytest.mark.parametrize(
    ("text", "batch", "received"),
    [
        ("", None, "no line"),
        ("a,b\n", None, "a header alone"),
        ("1,2\n3\n", None, "1 cells in line 2, where others have 2"),
        ("a,b\n1,2\n3,4,5\n", None, "3 cells in line 3, where others have 2"),
        ("a,b\n1,2\n3,x\n", None, "'x' in line 3, column b"),
        ("1,2\n3,\n", None, "'' in line 2, column 1"),
        ("1;2\n3;4\n", None, "semicolons; write the table with commas"),
        ("1\t2\n", None, "tabs; write the table with commas"),
        ('1,"2\n', None, "line 1, which is no CSV"),
        ("a,b\n1,2\n", "c", "expected the column c, received a, b"),
        ("1,2\n", "2", "expected the column 2, received 0 to 1, as there is no header"),
        ("a\n1\n", "a", "no column of features"),
        (
            "a,b\n1,u\n2,u\n3,v\n",
            "b",
            "expected sequences of one length, received 1 rows of v and 2 of u",
        ),
    ],
)
def test_what_is_no_table_of_sequences_is_refused(
    tmp_path: Path, text: str, batch: str | None, received: str
) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, text, batch)
    assert received in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"1,2\n\xff\n")
    with pytest.raises(InputError, match="received bytes that are not UTF-8 at 4"):
        read_csv(tmp_path / "x.csv", None, DEFAULT_LIMITS)


def test_the_command_takes_a_csv(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("x\n1\n2\n3\n")
    assert trace(ONE, tmp_path).exit_code == 0
    recorded = lstm_inspect.load_trace(tmp_path / "s.npz")["lstm"].x
    np.testing.assert_array_equal(recorded, [[[1], [2], [3]]])


def test_the_command_takes_several_sequences_of_a_csv(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,x\na,1\na,2\nb,4\na,3\nb,5\nb,6\n")
    assert trace(ONE, tmp_path, "--csv-batch", "id").exit_code == 0
    recorded = lstm_inspect.load_trace(tmp_path / "s.npz")["lstm"].x
    np.testing.assert_array_equal(recorded, [[[1], [2], [3]], [[4], [5], [6]]])


def test_a_model_of_tokens_takes_a_column(tmp_path: Path) -> None:
    tokens_model(tmp_path, "int32")
    (tmp_path / "x.csv").write_text("1\n2\n3\n4\n")
    result = trace(tmp_path / "m.h5", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_column_without_a_csv_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", random(1, 3, 1))
    given = ("--input", str(tmp_path / "x.npy"), "--out", str(tmp_path / "s.npz"))
    result = run("trace", str(ONE), *given, "--csv-batch", "id")
    assert result.exit_code == 2
    assert "--csv-batch: expected an --input that ends in .csv" in result.stderr
