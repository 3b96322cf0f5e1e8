"""Tests whose rows and columns the weights are, in the file and in canonical form."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import Recurrence, SelectionError
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.files.tensor_bundle import TensorBundle
from tests.conftest import FIXTURES, Array, Json


def rows_of(path: Path) -> list[tuple[Recurrence, list[Json]]]:
    """Each recurrent layer of a file, with what ``shapes --gates --format json`` says of it."""
    shapes = lstm_inspect.model_shapes(lstm_inspect.open_model(path))
    rows = shapes.as_json(also=["gates"])["gates"]
    recurrences = [layer.recurrence for layer in shapes.layers]
    return [(each, row["blocks"]) for each, row in zip(recurrences, rows, strict=True)]


def arrays_in(path: Path) -> dict[str, Array]:
    """All arrays of a file by their paths in it, read by h5py; of a checkpoint by their keys."""
    if path.suffix == ".ckpt":
        bundle = TensorBundle(path, DEFAULT_LIMITS)
        tensors = {key: bundle.array(key) for key in bundle.keys}
        return {key: array for key, array in tensors.items() if array is not None}
    source: Any = path
    if path.suffix == ".keras" and zipfile.is_zipfile(path):
        source = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5"))
    arrays: dict[str, Array] = {}
    with h5py.File(source) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return arrays


def named(arrays: dict[str, Array], name: str) -> Array:
    """The only array of a name. Keras puts the name of its layer in front of it."""
    (path,) = (path for path in arrays if f"/{path}".endswith(f"/{name}"))
    return arrays[path]


def at(place: Json, array: Array) -> Array:
    ranges = [slice(*each) if isinstance(each, list) else each for each in place["ranges"]]
    return array[(..., *ranges)]


def block_of(parts: Sequence[Array], form: str) -> Array:
    """What the parts of a file make, as docs/json.md says."""
    match form:
        case "as it is":
            return parts[0]
        case "transposed":
            rows, columns = parts[0].shape
            return np.array(parts[0]).reshape(columns, rows).T
        case "turned round":
            return parts[0][::-1, ::-1]
        case "sum":
            return parts[0] + parts[1]
        case "rows":
            return np.array(parts)
    raise AssertionError(form)


pytestmark = pytest.mark.usefixtures("parsed_here")

FILES = sorted(
    path
    for pattern in (
        *("keras-1.2/*.h5", "keras-1.2-theano/*.h5", "keras-2.0/*.h5", "keras-2.2*/*.h5"),
        *(f"keras-2.15/{name}*" for name in ("cudnn", "gru", "rnn_cells", "conv", "bidirectional")),
        "keras-3.15/*.keras",
    )
    for path in FIXTURES.glob(pattern)
    if path.suffix in (".h5", ".keras") and path.stem != "bfloat16"  # h5py has no such numbers
)


CHECKPOINTS = sorted(path.with_suffix("") for path in FIXTURES.glob("tensorflow-1/*.ckpt.index"))


@pytest.mark.parametrize(
    "path", [*FILES, *CHECKPOINTS], ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_stated_rows_and_columns_of_the_file_are_the_canonical_blocks(path: Path) -> None:
    arrays = arrays_in(path)
    for recurrence, rows in rows_of(path):
        rebuilt = {name: np.full(array.shape, np.nan) for name, array in recurrence.weights.items()}
        for row in rows:
            parts = [at(place, named(arrays, place["array"])) for place in row["stored"]]
            block = block_of(parts, row["form"])
            assert list(block.shape) == row["shape"]
            at(row["canonical"], rebuilt[row["canonical"]["array"]])[...] = block
        for name, array in recurrence.weights.items():
            np.testing.assert_array_equal(rebuilt[name].astype(array.dtype), array)


def forms(name: str) -> set[str]:
    return {row["form"] for _, rows in rows_of(FIXTURES / name) for row in rows}


def test_the_fixtures_have_every_form() -> None:
    assert forms("keras-2.15/cudnn.h5") == {"transposed", "sum", "rows"}
    assert forms("keras-2.2-theano/conv_lstm_2d.h5") == {"turned round", "as it is"}
    assert forms("keras-2.15/lstm.h5") == {"as it is"}


def order(name: str) -> list[str]:
    """The blocks of the first layer of a file, in the order of the file."""
    return [row["name"] for row in rows_of(FIXTURES / name)[0][1]]


def test_blocks_are_listed_in_the_order_of_the_file() -> None:
    assert order("keras-1.2/lstm.h5") == [
        f"{weight}_{gate}" for gate in "igfo" for weight in ("kernel", "recurrent_kernel", "bias")
    ]
    assert order("keras-2.15/lstm.h5") == [
        f"{weight}_{gate}" for weight in ("kernel", "recurrent_kernel", "bias") for gate in "ifgo"
    ]
    assert order("tensorflow-1/lstm.ckpt") == [
        f"{weight}_{gate}" for weight in ("kernel", "recurrent_kernel", "bias") for gate in "igfo"
    ]
    assert order("keras-2.15/gru.h5")[:3] == ["kernel_z", "kernel_r", "kernel_n"]
    assert order("keras-2.15/simple_rnn.h5") == ["kernel", "recurrent_kernel", "bias"]


def test_each_array_of_keras_1_is_one_block() -> None:
    candidate = rows_of(FIXTURES / "keras-1.2/lstm.h5")[0][1][3]
    assert candidate == {
        "name": "kernel_g",
        "weight": "kernel",
        "gate": "g",
        "shape": [2, 3],
        "stored": [{"array": "lstm_W_c:0", "ranges": [[0, 2], [0, 3]]}],
        "form": "as it is",
        "canonical": {"array": "kernel", "ranges": [[0, 2], [6, 9]]},
    }


def recurrent(name: str) -> Recurrence:
    return lstm_inspect.open_model(FIXTURES / name).recurrent[0]


def test_a_gate_has_its_columns_of_each_weight() -> None:
    lstm = recurrent("keras-2.15/lstm.h5")
    gate = lstm.gate("f")
    assert list(gate) == ["kernel", "recurrent_kernel", "bias"]
    for name, block in gate.items():
        np.testing.assert_array_equal(block, lstm.weights[name][..., 3:6])


def test_the_gates_of_a_layer_are_its_weights() -> None:
    lstm = recurrent("keras-1.2/lstm.h5")
    for name, array in lstm.weights.items():
        blocks = [lstm.gate(gate)[name] for gate in "ifgo"]
        np.testing.assert_array_equal(np.concatenate(blocks, axis=-1), array)


@pytest.mark.parametrize(
    ("name", "gate", "shapes"),
    [
        ("keras-1.2/gru.h5", "z", [(2, 3), (3, 3), (3,)]),
        ("keras-2.15/gru.h5", "n", [(2, 3), (3, 3), (2, 3)]),
        ("keras-2.2-tf/peephole.h5", "o", [(2, 3), (3, 3), (3,), (3,)]),
        ("keras-2.2-tf/peephole.h5", "g", [(2, 3), (3, 3), (3,)]),
    ],
)
def test_the_weights_of_a_gate_have_the_shapes_of_the_cell(
    name: str, gate: str, shapes: list[tuple[int, ...]]
) -> None:
    assert [block.shape for block in recurrent(name).gate(gate).values()] == shapes


@pytest.mark.parametrize(
    ("name", "gate", "says"),
    [
        ("keras-2.15/lstm.h5", "z", "layer lstm: no gate z; its gates are i, f, g, o"),
        ("keras-2.15/simple_rnn.h5", "i", "no gate i; its gates are none"),
    ],
)
def test_a_gate_that_the_cell_lacks_is_refused_with_those_it_has(
    name: str, gate: str, says: str
) -> None:
    with pytest.raises(SelectionError, match=says):
        recurrent(name).gate(gate)
