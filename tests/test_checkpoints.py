"""TensorFlow checkpoints and SavedModel folders are read without TensorFlow."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import LimitError, ModelFileError
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.files.tensor_bundle import TensorBundle
from tests import checkpoints
from tests.checkpoints import DTYPES, Graph, metadata_of, write_bundle, write_saved_model
from tests.conftest import Array, functional, input_layer, layer, lstm, random, sequential

# --- the checkpoint


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)], ids=str)
def test_a_variable_is_read_with_its_dtype_and_shape(
    dtype: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)
    bundle = TensorBundle(write_bundle(tmp_path / "v", {"a": array, "b": array}), DEFAULT_LIMITS)
    assert bundle.keys == ("a", "b")
    read = bundle.array("b")
    assert read is not None
    np.testing.assert_array_equal(read, array, strict=True)
    assert not read.flags.writeable


def damage(suffix: str, at: int, value: int) -> Callable[[Path], None]:
    def change(prefix: Path) -> None:
        path = prefix.with_name(prefix.name + suffix)
        content = bytearray(path.read_bytes())
        content[at] ^= value
        path.write_bytes(bytes(content))

    return change


def cut(suffix: str, size: int) -> Callable[[Path], None]:
    def change(prefix: Path) -> None:
        path = prefix.with_name(prefix.name + suffix)
        path.write_bytes(path.read_bytes()[:size])

    return change


def rewrite_index(entries: list[tuple[bytes, bytes]], kind: int = 0) -> Callable[[Path], None]:
    def change(prefix: Path) -> None:
        path = prefix.with_name(f"{prefix.name}.index")
        path.write_bytes(checkpoints.table(entries, kind=kind))

    return change


HEADER = (b"", checkpoints.number(1, 1))
ENTRY = checkpoints.entry(1, (2,), 0, bytes(8), checkpoints.masked_crc(bytes(8)))
SHARD, INDEX = ".data-00000-of-00001", ".index"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(damage(SHARD, 3, 1), "checksum of a", id="another number"),
        pytest.param(cut(SHARD, 5), "beyond the end of its shard", id="truncated shard"),
        pytest.param(damage(INDEX, 4, 1), "checksum of a block", id="another key"),
        pytest.param(cut(INDEX, 60), "does not end as an index does", id="truncated index"),
        pytest.param(cut(INDEX, 0), "does not end as an index does", id="empty index"),
        pytest.param(rewrite_index([HEADER, (b"a", ENTRY)], 1), "compressed", id="compressed"),
        pytest.param(
            rewrite_index([HEADER, (b"b", ENTRY), (b"a", ENTRY)]), "not in order", id="unordered"
        ),
        pytest.param(
            rewrite_index([(b"", checkpoints.number(1, 2)), (b"a", ENTRY)]),
            "data-00000-of-00002: no such file",
            id="missing shard",
        ),
        pytest.param(
            rewrite_index([(b"", checkpoints.number(1, 1) + checkpoints.number(2, 1))]),
            "big-endian",
            id="big-endian",
        ),
        pytest.param(rewrite_index([HEADER, (b"\xff", ENTRY)]), "not UTF-8", id="key"),
        pytest.param(rewrite_index([HEADER, (b"a", b"\x08")]), "damaged", id="half a varint"),
        pytest.param(rewrite_index([HEADER, (b"a", b"\x0b")]), "wire type 3", id="wire type"),
        pytest.param(rewrite_index([HEADER, (b"a", b"\x12\x50")]), "too early", id="half a field"),
        pytest.param(
            rewrite_index([HEADER, (b"a", ENTRY + checkpoints.data(7, b""))]),
            "a part of a is missing",
            id="partitioned",
        ),
        pytest.param(
            rewrite_index([HEADER, (b"a", ENTRY), (b"b", ENTRY)]), "share bytes", id="overlap"
        ),
        pytest.param(
            rewrite_index([HEADER, (b"a", ENTRY.replace(b"\x08\x02", b"\x08\x03"))]),
            "a has 2 numbers, its shape is (3,)",
            id="shape",
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(
    change: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    prefix = write_bundle(tmp_path / "v", {"a": np.zeros(2, "float32")})
    change(prefix)
    with pytest.raises(ModelFileError) as refused:
        TensorBundle(prefix, DEFAULT_LIMITS).array("a")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("size", range(0, 400, 7))
def test_an_index_that_is_cut_anywhere_is_refused(size: int, tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "v", {f"a{n}": np.zeros(2, "float32") for n in range(8)})
    index = prefix.with_name("v.index")
    whole = index.read_bytes()
    index.write_bytes(whole[: min(size, len(whole) - 1)])
    with pytest.raises(ModelFileError):
        TensorBundle(prefix, DEFAULT_LIMITS)


def test_the_shards_count_against_the_limit_on_weights(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "v", {"a": np.zeros(2, "float32")})
    with pytest.raises(LimitError, match="weight_bytes=7"):
        TensorBundle(prefix, Limits(weight_bytes=7)).array("a")


# --- the SavedModel


def lstm_arrays(features: int, units: int) -> dict[str, Array]:
    return {
        "kernel": random(features, 4 * units),
        "recurrent_kernel": random(units, 4 * units),
        "bias": random(4 * units),
    }


def rnn_and_dense(folder: Path, keys: dict[str, str], *, lists: bool) -> tuple[Path, Array]:
    """A SimpleRNN(2) and a Dense(2), whose arrays have the same shapes.

    Args:
        folder: The folder to write.
        keys: The key of each variable in the checkpoint.
        lists: Whether each layer lists its variables, as one that was saved with its functions.
    """
    arrays = {"rnn/kernel": random(2, 2), "rnn/recurrent": -random(2, 2), "rnn/bias": random(2)}
    arrays |= {"dense/kernel": 2 * random(2, 2), "dense/bias": 2 * random(2)}
    graph = Graph()
    names = ["kernel", "recurrent_kernel", "bias"]
    cell = [graph.add(f"layer-0/cell/{name}") for name in names]
    dense = [graph.add(f"layer-1/{name}") for name in ("kernel", "bias")]
    if lists:
        for number, variables in enumerate((cell, dense)):
            for at, variable in enumerate(variables):
                graph.add(f"layer-{number}/variables/{at}", number=variable)
    for variable, name in zip((*cell, *dense), arrays, strict=True):
        graph.keys[variable] = keys[name]
    stored = {keys[name]: array for name, array in arrays.items()}
    # The slots of an optimizer have the shapes of the variables that they belong to.
    for name in arrays:
        stored[f"{keys[name]}/.OPTIMIZER_SLOT/optimizer/m"] = 9 * np.ones_like(arrays[name])
    config = sequential(
        input_layer("x", 3, 2),
        layer("SimpleRNN", "rnn", units=2, activation="tanh"),
        layer("Dense", "dense", units=2),
    )
    return write_saved_model(folder, {"root": metadata_of(config)}, graph, stored), arrays[
        "rnn/kernel"
    ]


FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


@pytest.mark.parametrize("name", [*FILES, "keras_metadata.pb"])
def test_a_pipe_in_a_saved_model_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    keys = {each: each for each in VARIABLES}
    folder, _ = rnn_and_dense(tmp_path / "saved", keys, lists=False)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelFileError):
        lstm_inspect.open_model(folder)


def test_a_checkpoint_file_does_not_lead_out_of_a_saved_model(tmp_path: Path) -> None:
    keys = {each: each for each in VARIABLES}
    folder, _ = rnn_and_dense(tmp_path / "saved", keys, lists=False)
    elsewhere = write_bundle(tmp_path / "elsewhere", {"a": np.zeros(2, "float32")})
    for name in FILES[1:]:
        (folder / name).unlink()
    (folder / "variables" / "variables").mkdir()
    state = f'model_checkpoint_path: "{elsewhere}"'
    (folder / "variables" / "variables" / "checkpoint").write_text(state)
    with pytest.raises(ModelFileError, match=r"variables\.index: no such file"):
        lstm_inspect.open_model(folder)


VARIABLES = ("rnn/kernel", "rnn/recurrent", "rnn/bias", "dense/kernel", "dense/bias")
VALUE = ".ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([f"variables/{n}/{VALUE}" for n in range(5)], id="variables"),
        pytest.param(
            [f"trainable_variables/{n}/{VALUE}" for n in range(5)], id="trainable_variables"
        ),
        pytest.param(
            [
                *(f"variables/{n}/{VALUE}" for n in range(3)),
                *(f"layer_with_weights-1/{name}/{VALUE}" for name in ("kernel", "bias")),
            ],
            id="variables-and-layers",
        ),
        pytest.param(
            [
                *(f"layer_with_weights-0/cell/{n}/{VALUE}" for n in ("kernel", "r", "bias")),
                *(f"variables/{n}/{VALUE}" for n in (0, 1)),
            ],
            id="layers-and-variables",
        ),
    ],
)
@pytest.mark.parametrize("lists", [True, False], ids=["lists", "attributes"])
def test_the_object_graph_says_whose_a_variable_is_not_its_key(
    keys: list[str], lists: bool, tmp_path: Path
) -> None:
    folder, kernel = rnn_and_dense(
        tmp_path / "m", dict(zip(VARIABLES, keys, strict=True)), lists=lists
    )
    (recurrence,) = lstm_inspect.open_model(folder).recurrent
    np.testing.assert_array_equal(recurrence.weights["kernel"], kernel)
    assert (recurrence.weights["recurrent_kernel"] == -random(2, 2)).all()


def test_bidirectional_and_nested_layers_are_found_by_their_attributes(tmp_path: Path) -> None:
    inner = functional(
        input_layer("inner_x", 3, 2),
        lstm("inside", 2, "inner_x", return_sequences=True),
        inputs=["inner_x"],
        outputs=["inside"],
        name="inner",
    )
    inner["inbound_nodes"] = [[["x", 0, 0, {}]]]
    both = layer("Bidirectional", "bi", "inner", layer=lstm("lstm", 2), merge_mode="sum")
    config = functional(input_layer("x", 3, 2), inner, both, inputs=["x"], outputs=["bi"])
    places = {
        "inner/inside": "layer-1/layer-1/cell",
        "bi/forward": "layer-2/forward_layer/cell",
        "bi/backward": "layer-2/backward_layer/cell",
    }
    graph, stored = Graph(), {}
    for inputs in ("layer-0", "layer-1/layer-0"):
        graph.add(inputs)
    for number, place in enumerate(places.values()):
        for name, array in lstm_arrays(2, 2).items():
            stored[f"{place}/{name}/{VALUE}"] = array + number
            graph.add(f"{place}/{name}", f"{place}/{name}/{VALUE}")
    metadata = {"root": metadata_of(config)}
    model = lstm_inspect.open_model(write_saved_model(tmp_path / "m", metadata, graph, stored))
    assert [recurrence.path for recurrence in model.recurrent] == list(places)
    for number, recurrence in enumerate(model.recurrent):
        for name, array in lstm_arrays(2, 2).items():
            np.testing.assert_array_equal(recurrence.weights[name], array + number)


def test_variables_of_other_layers_than_the_config_has_are_refused(tmp_path: Path) -> None:
    graph, stored = Graph(), {}
    for name, array in lstm_arrays(2, 2).items():
        stored[name] = array
        graph.add(f"layer-1/cell/{name}", name)
    config = sequential(input_layer("x", 3, 2), lstm("lstm", 2))
    metadata = {"root": metadata_of(config)}
    with pytest.raises(ModelFileError, match=r"variables of 2 layers, received those of layers 1$"):
        lstm_inspect.open_model(write_saved_model(tmp_path / "m", metadata, graph, stored))


def test_a_truncated_shard_of_a_saved_model_is_one_line(tmp_path: Path) -> None:
    keys = dict(zip(VARIABLES, [f"variables/{n}/{VALUE}" for n in range(5)], strict=True))
    folder, _ = rnn_and_dense(tmp_path / "m", keys, lists=True)
    shard = folder / "variables" / "variables.data-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:8])
    with pytest.raises(ModelFileError) as refused:
        lstm_inspect.open_model(folder)
    assert "\n" not in str(refused.value)


def test_layers_below_a_subclassed_root_have_their_own_configs(tmp_path: Path) -> None:
    graph, stored = Graph(), {}
    for path in ("encoder", "decoder"):
        for name, array in lstm_arrays(2, 2).items():
            key = f"{path}/cell/{name}/{VALUE}"
            graph.add(f"{path}/cell/{name}", key)
            stored[key] = array
    config = lstm("lstm_7", 2, activation="relu", go_backwards=True)
    root = {"class_name": "Mine", "config": {}}
    metadata = {
        "root": metadata_of(root),
        "root.encoder": config,
        "root.encoder.cell": layer("LSTMCell", "lstm_cell", units=2),
    }
    model = lstm_inspect.open_model(write_saved_model(tmp_path / "m", metadata, graph, stored))
    (encoder,) = model.recurrent
    assert (encoder.path, encoder.activation, encoder.direction) == ("encoder", "relu", "backward")
    assert model.why_unwired is not None
    assert "Mine is a subclassed model" in model.why_unwired


def test_a_saved_model_without_any_config_shows_what_its_weights_say(tmp_path: Path) -> None:
    graph, stored = Graph(), {}
    for name, array in lstm_arrays(3, 2).items():
        key = f"rnn/cell/{name}/{VALUE}"
        variable = graph.add(f"rnn/cell/{name}", key)
        graph.add(f"optimizer/{name}", number=variable)
        stored[key] = array
    folder = write_saved_model(tmp_path / "m", {}, graph, stored)
    (folder / "keras_metadata.pb").unlink()
    node = checkpoints.data(1, b"")
    graphs = checkpoints.data(2, checkpoints.data(7, node))
    (folder / "saved_model.pb").write_bytes(checkpoints.number(1, 1) + graphs)
    (recurrence,) = lstm_inspect.open_model(folder).recurrent
    assert (recurrence.path, recurrence.cell, recurrence.units) == ("rnn", "lstm", 2)
    assert recurrence.features == 3


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (b"", "its object graph is empty"),
        (
            checkpoints.data(
                1, checkpoints.data(1, checkpoints.number(1, 5) + checkpoints.data(2, "a"))
            ),
            "names an object it lacks",
        ),
        (
            checkpoints.data(
                1,
                checkpoints.data(
                    2, checkpoints.data(1, "VARIABLE_VALUE") + checkpoints.data(3, "gone")
                ),
            ),
            "names a tensor it lacks",
        ),
        (struct.pack("<I", 0xFFFFFFFF), "damaged"),
    ],
    ids=["empty", "object", "tensor", "bytes"],
)
def test_a_damaged_object_graph_is_refused(graph: bytes, says: str, tmp_path: Path) -> None:
    keys = dict(zip(VARIABLES, [f"variables/{n}/{VALUE}" for n in range(5)], strict=True))
    folder, _ = rnn_and_dense(tmp_path / "m", keys, lists=True)
    write_bundle(folder / "variables" / "variables", {}, graph)
    with pytest.raises(ModelFileError) as refused:
        lstm_inspect.open_model(folder)
    assert says in str(refused.value)
