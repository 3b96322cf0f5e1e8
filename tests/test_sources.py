"""Tests that a new source, kind of cell or dump format works without changes elsewhere.

This module makes up one of each, and runs the commands on them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import lstm_inspect
from lstm_inspect import ModelFileError
from lstm_inspect.cells import CELLS, LSTM, CellKind, Scratch, Weight
from lstm_inspect.cells.lstm import LstmCell
from lstm_inspect.cli import cli
from lstm_inspect.files.atomic import replacing
from lstm_inspect.files.content import Content
from lstm_inspect.files.limits import Limits
from lstm_inspect.model import Call, Dense, Layer, Model, ModelInput, Recurrence, Ref, Source
from lstm_inspect.sources import SOURCES, SourceReader
from lstm_inspect.traces.dump_format import (
    ArrayInMemory,
    DumpReader,
    DumpWriter,
    NewArray,
    StoredArray,
)
from lstm_inspect.traces.dumps import FORMATS
from tests.conftest import SAMPLES, Array, random


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)


# --- a kind of cell: an LSTM with a projection; its h is narrower than its c, and it has its own
# activation between c and h

PROJECTED = CellKind(
    name="projected_lstm",
    title="projected LSTM",
    states={"h": "projection", "c": "units"},
    gates=LSTM.gates,
    weights={
        "kernel": Weight(("features", "gates")),
        "projection": Weight(("units", "projection")),
        "recurrent_kernel": Weight(("projection", "gates")),
    },
    activations=("activation", "recurrent_activation", "output_activation"),
)


class ProjectedLstmCell(LstmCell):
    """h_t = (o · output_activation(c_t)) · projection; the output activation must be "linear"."""

    kind = PROJECTED

    def __init__(self, projection: Array, output_activation: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.units = len(projection)
        self._projection = projection
        assert output_activation == "linear"

    def shapes(self, features: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        return {**super().shapes(features), "h": self._projection.shape[1:]}

    def _emit(self, o: Array, out: Mapping[str, Array], scratch: Scratch) -> None:
        out["h"][...] = (out["c"] * o) @ self._projection


# --- a source: a file of "toy", then JSON with kernel, recurrent_kernel and projection

TOY = b"toy\n"


def is_toy(content: Content) -> bool:
    return content.data.startswith(TOY)


def read_toy(content: Content, config: Path | None, replace_config: bool, limits: Limits) -> Model:
    """Reads a model x -> dense -> lstm, whose weights are all in the file."""
    path, data = content.path, content.data
    stored = json.loads(data.removeprefix(TOY))
    arrays = {name: np.asarray(stored[name], "float32") for name in stored}
    dense = Layer(
        name="linear",
        class_name="Linear",
        framework="Toy",
        options=Dense(units=2),
        weights=(arrays.pop("dense"),),
        config={},
    )
    recurrence = Recurrence(
        path="lstm",
        kind=PROJECTED,
        units=len(arrays["projection"]),
        weights=arrays,
        activations={
            "activation": "tanh",
            "recurrent_activation": "sigmoid",
            "output_activation": "linear",
        },
        go_backwards=False,
        return_sequences=True,
    )
    return Model(
        name="toy",
        source=Source(path=path, format="toy", framework="Toy", version="0.7", data=data),
        inputs=(ModelInput("x", (None, None, 1), "float32"),),
        calls=(
            Call(path="linear", layer=dense, args=(Ref("x"),)),
            Call(path="lstm", layer=recurrence, args=(Ref("linear"),)),
        ),
    )


# --- a format of dumps: JSON


class JsonWriter:
    def __init__(self, arrays: Mapping[str, NewArray]) -> None:
        self._arrays = {key: np.zeros(each.shape, each.dtype) for key, each in arrays.items()}
        self._document = ""

    def write(self, key: str, at: tuple[int, ...], block: Array) -> None:
        part = tuple(slice(each, each + size) for each, size in zip(at, block.shape, strict=True))
        self._arrays[key][part] = block

    def write_document(self, text: str) -> None:
        self._document = text

    def content(self) -> dict[str, Any]:
        arrays = {
            key: {"shape": each.shape, "dtype": each.dtype.str, "numbers": each.ravel().tolist()}
            for key, each in self._arrays.items()
        }
        return {"arrays": arrays, "document": self._document}


class JsonReader:
    def __init__(self, content: Mapping[str, Any]) -> None:
        self._document: str = content["document"]
        self.arrays: Mapping[str, StoredArray] = {
            key: ArrayInMemory(np.asarray(each["numbers"], each["dtype"]).reshape(each["shape"]))
            for key, each in content["arrays"].items()
        }

    def read_document(self) -> str | None:
        return self._document


class JsonFormat:
    suffix = ".jsondump"
    is_folder = False
    compresses = False
    resumes = False

    def recognises(self, path: Path, limits: Limits) -> bool:
        return path.is_file() and path.read_bytes().startswith(b'{"arrays"')

    @contextmanager
    def create(
        self,
        path: Path,
        arrays: Mapping[str, NewArray],
        may_replace: Callable[[Path], bool],
        *,
        compress: bool,
    ) -> Iterator[DumpWriter]:
        writer = JsonWriter(arrays)
        with replacing(path, may_replace) as file:
            yield writer
            file.write(json.dumps(writer.content()).encode())

    @contextmanager
    def open(self, path: Path, limits: Limits) -> Iterator[DumpReader]:
        yield JsonReader(json.loads(path.read_bytes()))


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, PROJECTED, ProjectedLstmCell)
    monkeypatch.setattr("lstm_inspect.sources.SOURCES", [*SOURCES, SourceReader(is_toy, read_toy)])
    monkeypatch.setattr("lstm_inspect.traces.dumps.FORMATS", [*FORMATS, JsonFormat()])


WEIGHTS = {
    "dense": random(1, 2),
    "kernel": random(2, 12),
    "projection": random(3, 2),
    "recurrent_kernel": random(2, 12),
}


def write_toy(path: Path, **changed: Array) -> Path:
    weights = {name: array.tolist() for name, array in (WEIGHTS | changed).items()}
    path.write_bytes(TOY + json.dumps(weights).encode())
    return path


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_toy(tmp_path / "model.toy")


def test_the_shapes_of_a_model_of_another_source_are_shown(toy: Path) -> None:
    shown = run("shapes", toy)
    assert shown.exit_code == 0
    for said in (
        "projected LSTM, forward",
        "projection (3, 2)",
        "h (batch, timesteps, 2)",
        "c (batch, timesteps, 3)",
        "tanh, sigmoid, linear",
        "saved by Toy 0.7",
    ):
        assert said in shown.stdout


def test_its_blocks_stand_in_the_file_as_in_canonical_form_unless_the_source_says_else(
    toy: Path,
) -> None:
    lines = run("shapes", toy, "--gates").stdout.splitlines()
    rows = [line.split("  ") for line in lines if "kernel_g" in line or "projection[" in line]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells == [
        ["kernel_g", "(2, 3)", "kernel[0:2, 6:9]", "kernel[0:2, 6:9]"],
        ["projection", "(3, 2)", "projection[0:3, 0:2]", "projection[0:3, 0:2]"],
        [
            *("recurrent_kernel_g", "(2, 3)"),
            *("recurrent_kernel[0:2, 6:9]", "recurrent_kernel[0:2, 6:9]"),
        ],
    ]


def test_its_weights_are_written_with_its_projection(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights.npz"
    assert run("weights", toy, "--gates", "--out", out).exit_code == 0
    with np.load(out, allow_pickle=False) as written:
        np.testing.assert_array_equal(written["lstm/projection"], WEIGHTS["projection"])
        np.testing.assert_array_equal(written["lstm/kernel_f"], WEIGHTS["kernel"][:, 3:6])


def test_it_is_replayed_through_its_layers_and_cell(toy: Path) -> None:
    x = random(2, 4, 1)
    trace = lstm_inspect.trace(lstm_inspect.open_model(toy), x, record="all")["lstm"]
    h, c = np.zeros((2, 2)), np.zeros((2, 3))
    for t in range(4):
        z = x[:, t] @ WEIGHTS["dense"] @ WEIGHTS["kernel"] + h @ WEIGHTS["recurrent_kernel"]
        i, f, g, o = np.split(z, 4, axis=-1)
        i, f, g, o = (1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), np.tanh(g), 1 / (1 + np.exp(-o)))
        c = f * c + i * g
        h = (o * c) @ WEIGHTS["projection"]
        for name, expected in {"h": h, "c": c, "i": i, "o": o}.items():
            np.testing.assert_allclose(trace.signals[name][:, t], expected, rtol=0, atol=1e-6)
    assert trace.cell == "projected_lstm"
    assert (trace.h0.shape, trace.c0.shape) == ((2, 2), (2, 3))


def test_it_keeps_its_contract_and_breaks_that_of_another(toy: Path, tmp_path: Path) -> None:
    contract = tmp_path / "contract.json"
    assert run("contract", toy, "--out", contract).exit_code == 0
    assert run("check", toy, contract).exit_code == 0
    broken = run("check", toy, "--expect", "lstm.states.h=(batch,3)")
    assert broken.exit_code == 1
    assert "lstm: states.h: expected (batch, 3), found (batch, 2)" in broken.stdout


def test_two_of_them_are_compared_gate_by_gate(toy: Path, tmp_path: Path) -> None:
    kernel = WEIGHTS["kernel"].copy()
    kernel[1, 4] += 1
    found = run("diff", toy, write_toy(tmp_path / "other.toy", kernel=kernel))
    assert found.exit_code == 1
    assert "lstm: weights.kernel (f) at (1, 1)" in found.stdout


def test_weights_that_do_not_fit_its_cell_are_refused(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "model.toy", recurrent_kernel=random(3, 12))
    with pytest.raises(ModelFileError) as refused:
        lstm_inspect.open_model(path)
    assert "expected recurrent_kernel of shape (2, 12) for 3 units" in str(refused.value)


def test_states_go_into_another_format_and_come_back(toy: Path, tmp_path: Path) -> None:
    x = tmp_path / "x.npy"
    np.save(x, random(2, 4, 1))
    dumps = [tmp_path / "states.npz", tmp_path / "states.jsondump"]
    for dump in dumps:
        assert run("trace", toy, "--input", x, "--record", "all", "--out", dump).exit_code == 0
    assert dumps[1].read_bytes().startswith(b'{"arrays"')
    assert run("diff", *dumps).exit_code == 0
    one, other = map(lstm_inspect.load_trace, dumps)
    assert one.model == other.model
    for key, array in one.arrays().items():
        np.testing.assert_array_equal(other.arrays()[key], array, strict=True)


def test_an_earlier_dump_of_another_format_may_be_replaced(toy: Path, tmp_path: Path) -> None:
    x, dump = SAMPLES / "one_unit_state.npy", tmp_path / "states.jsondump"
    for _ in range(2):
        assert run("trace", toy, "--input", x, "--out", dump).exit_code == 0
    other = tmp_path / "thesis.jsondump"
    other.write_bytes(b"{}")
    assert run("trace", toy, "--input", x, "--out", other).exit_code == 2
    assert other.read_bytes() == b"{}"
