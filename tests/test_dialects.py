"""Tests configs whose words mean different things in different versions of Keras."""

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

import lstm_inspect
from lstm_inspect import Trace, UnsupportedLayerError
from tests.conftest import (
    Json,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    sequential,
    write_h5,
)

pytestmark = pytest.mark.usefixtures("parsed_here")


def traced(
    folder: Path,
    config: Json,
    weights: Any,
    inputs: Any,
    *,
    keras_version: str = "2.15.0",
    **options: Any,
) -> Trace:
    path = write_h5(folder / "m.h5", config, weights, keras_version=keras_version)
    return lstm_inspect.trace(lstm_inspect.open_model(path), inputs, **options)


# --- a model called on a dict


def called_on_a_dict(node: Json, *, inner_inputs: Any) -> Json:
    inner = functional(
        input_layer("first", 3, 2),
        input_layer("second", 3, 2),
        layer("Subtract", "minus", ["first", "second"]),
        inputs=["first", "second"],
        outputs=["minus"],
        name="inner",
    )
    inner["config"]["input_layers"] = inner_inputs
    return functional(
        input_layer("x", 3, 2),
        input_layer("y", 3, 2),
        {**inner, "inbound_nodes": [node]},
        lstm("lstm", 2, ("inner", 0, 0)),
        inputs=["x", "y"],
        outputs=["lstm"],
    )


def keras_tensor(name: str) -> Json:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


@pytest.mark.parametrize(
    "node",
    [
        {"b": ["y", 0, 0, {}], "a": ["x", 0, 0, {}]},
        {"args": [{"b": keras_tensor("y"), "a": keras_tensor("x")}], "kwargs": {}},
    ],
    ids=["keras 2", "keras 3"],
)
def test_the_inputs_of_a_model_that_is_called_on_a_dict_are_told_by_key(
    node: Json, tmp_path: Path
) -> None:
    config = called_on_a_dict(node, inner_inputs={"b": ["second", 0, 0], "a": ["first", 0, 0]})
    inputs = {"x": random(1, 3, 2), "y": 2 * random(1, 3, 2)}
    weights = {"lstm": lstm_weights("lstm", 2, 2)}
    trace = traced(tmp_path, config, weights, inputs, record="x")
    np.testing.assert_array_equal(trace["lstm"].x, inputs["x"] - inputs["y"])


# --- masks


@pytest.mark.parametrize(
    ("keras_version", "masked_step"),
    [("2.2.4", "repeats"), ("2.3.1", "repeats"), ("2.2.4-tf", "zero"), ("2.15.0", "zero")],
)
def test_a_bidirectional_of_tf_keras_hands_on_0_at_a_masked_step(
    keras_version: str, masked_step: str, tmp_path: Path
) -> None:
    inner = layer("LSTM", "inner", units=2, return_sequences=True)
    config = functional(
        input_layer("x", 3, 2),
        layer("Masking", "masked", "x", mask_value=0.0),
        layer("Bidirectional", "bi", "masked", layer=inner, merge_mode="concat"),
        lstm("next", 2, "bi"),
        inputs=["x"],
        outputs=["next"],
    )
    ways = {**lstm_weights("forward", 2, 2), **lstm_weights("backward", 2, 2)}
    weights = {"bi": ways, "next": lstm_weights("next", 4, 2)}
    x = random(1, 3, 2)
    x[:, 1] = 0
    trace = traced(tmp_path, config, weights, x, record="x", keras_version=keras_version)
    forward = trace["next"].x[0, :, :2]
    expected = forward[0] if masked_step == "repeats" else np.zeros(2)
    np.testing.assert_array_equal(forward[1], expected)


# --- training=True


def called_in_training(class_name: str, **config: Any) -> Json:
    return functional(
        input_layer("x", 3, 2),
        layer(class_name, "front", "x", call_kwargs={"training": True}, **config),
        lstm("lstm", 2, "front"),
        inputs=["x"],
        outputs=["lstm"],
    )


def test_a_dropout_that_acts_at_inference_stops_what_stands_behind_it(tmp_path: Path) -> None:
    config = called_in_training("Dropout", rate=0.5)
    with pytest.raises(UnsupportedLayerError, match=r"front \(Dropout\) .* training=True"):
        traced(tmp_path, config, {"lstm": lstm_weights("lstm", 2, 2)}, random(1, 3, 2))


def test_in_keras_3_predict_has_the_last_word_on_training(tmp_path: Path) -> None:
    config = called_in_training("Dropout", rate=0.5)
    weights = {"lstm": lstm_weights("lstm", 2, 2)}
    trace = traced(tmp_path, config, weights, random(1, 3, 2), record="x", keras_version="3.15.1")
    np.testing.assert_array_equal(trace["lstm"].x, random(1, 3, 2))


def test_a_recurrence_with_dropout_in_training_is_named(tmp_path: Path) -> None:
    call = {"call_kwargs": {"training": True}}
    config = functional(
        input_layer("x", 3, 2),
        lstm("lstm", 2, "x", dropout=0.5, **call),
        inputs=["x"],
        outputs=["lstm"],
    )
    with pytest.raises(UnsupportedLayerError, match="lstm has dropout"):
        traced(tmp_path, config, {"lstm": lstm_weights("lstm", 2, 2)}, random(1, 3, 2))


def test_training_reaches_into_a_nested_model(tmp_path: Path) -> None:
    inner = sequential(input_layer("in", 3, 2), layer("Dropout", "drop", rate=0.5), name="inner")
    config = functional(
        input_layer("x", 3, 2),
        {**inner, "name": "inner", "inbound_nodes": [[["x", 0, 0, {"training": True}]]]},
        lstm("lstm", 2, ("inner", 1, 0)),
        inputs=["x"],
        outputs=["lstm"],
    )
    with pytest.raises(UnsupportedLayerError, match=r"inner/drop \(Dropout\)"):
        traced(tmp_path, config, {"lstm": lstm_weights("lstm", 2, 2)}, random(1, 3, 2))


# --- dtypes


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_numbers_are_cast_to_the_dtype_of_the_input_before_anything_else(
    dtype: str, tmp_path: Path
) -> None:
    config = functional(
        input_layer("x", 3, 2, dtype="float32"),
        layer("Add", "sum", ["x", "x"]),
        lstm("lstm", 2, "sum"),
        inputs=["x"],
        outputs=["lstm"],
    )
    x = np.full((1, 3, 2), 200, dtype)
    weights = {"lstm": lstm_weights("lstm", 2, 2)}
    trace = traced(tmp_path, config, weights, x, record="x")
    assert trace["lstm"].x.dtype == "float32"
    assert (trace["lstm"].x == 400).all()


def test_the_indices_of_an_embedding_are_not_rounded_to_its_dtype(tmp_path: Path) -> None:
    config = functional(
        input_layer("ids", 1, dtype="float32"),
        layer("Embedding", "words", "ids", input_dim=4099, output_dim=2, dtype="mixed_float16"),
        lstm("lstm", 2, "words"),
        inputs=["ids"],
        outputs=["lstm"],
    )
    table = np.arange(4099 * 2, dtype="float32").reshape(4099, 2) / 4099
    weights = {"words": {"words/embeddings:0": table}, "lstm": lstm_weights("lstm", 2, 2)}
    trace = traced(tmp_path, config, weights, np.array([[4097.0]], "float32"), record="x")
    np.testing.assert_allclose(trace["lstm"].x[0, 0], table[4097], atol=1e-3)


# --- Keras 1


def test_a_pooling_of_keras_1_pools_by_its_length(tmp_path: Path) -> None:
    config = {
        "class_name": "Sequential",
        "config": [
            {
                "class_name": "MaxPooling1D",
                "config": {
                    "name": "pool",
                    "batch_input_shape": [None, 8, 2],
                    "pool_length": 4,
                    "stride": 4,
                    "border_mode": "valid",
                },
            },
            {
                "class_name": "LSTM",
                "config": {
                    "name": "lstm",
                    "output_dim": 2,
                    "activation": "tanh",
                    "inner_activation": "hard_sigmoid",
                },
            },
        ],
    }
    gates = {
        f"lstm_{part}_{gate}:0": random(*shape)
        for gate in "icfo"
        for part, shape in (("W", (2, 2)), ("U", (2, 2)), ("b", (2,)))
    }
    x = random(1, 8, 2)
    trace = traced(tmp_path, config, {"lstm": gates}, x, keras_version="1.2.2", record="x")
    np.testing.assert_array_equal(trace["lstm"].x, x.reshape(1, 2, 4, 2).max(axis=2))


# --- operations of tf.keras


@pytest.mark.parametrize("one", [1.0, 1], ids=["float", "int"])
def test_what_tf_keras_writes_between_layers_is_computed(one: float, tmp_path: Path) -> None:
    every = {"start": None, "stop": None, "step": None}
    config = functional(
        input_layer("x", 3, 2),
        {
            "class_name": "SlicingOpLambda",
            "name": "tail",
            "config": {"name": "tail", "function": "__operators__.getitem"},
            "inbound_nodes": [
                ["x", 0, 0, {"slice_spec": [every, {"start": 1, "stop": None, "step": None}]}]
            ],
        },
        {
            "class_name": "TFOpLambda",
            "name": "one_less",
            "config": {"name": "one_less", "function": "math.subtract"},
            "inbound_nodes": [["_CONSTANT_VALUE", -1, one, {"y": ["tail", 0, 0], "name": None}]],
        },
        {
            "class_name": "TFOpLambda",
            "name": "unknown",
            "config": {"name": "unknown", "function": "py_function"},
            "inbound_nodes": [["one_less", 0, 0, {}]],
        },
        lstm("lstm", 2, "one_less"),
        lstm("behind", 2, "unknown"),
        inputs=["x"],
        outputs=["lstm", "behind"],
    )
    x = random(1, 3, 2)
    weights = {"lstm": lstm_weights("lstm", 2, 2), "behind": lstm_weights("behind", 2, 2)}
    trace = traced(tmp_path, config, weights, x, record="x")
    np.testing.assert_array_equal(trace["lstm"].x, 1 - x[:, 1:])
    assert "unknown (py_function) cannot be run" in trace.untraced["behind"]


def between(tmp_path: Path, class_name: str, *args: Any, **config: Any) -> lstm_inspect.Model:
    """A Keras 3 model: x -> an operation -> an LSTM(2)."""

    def tensor(name: str) -> Json:
        history = {"keras_history": [name, 0, 0]}
        return {"class_name": "__keras_tensor__", "config": history}

    operation = {
        "class_name": class_name,
        "module": "keras.src.ops.numpy",
        "name": "op",
        "config": {"name": "op", **config},
        "inbound_nodes": [{"args": [tensor("x"), *args], "kwargs": {}}],
    }
    last = lstm("lstm", 2)
    last["inbound_nodes"] = [{"args": [tensor("op")], "kwargs": {}}]
    model = functional(input_layer("x", 5, 2), operation, last, inputs=["x"], outputs=["lstm"])
    weights = {"lstm": lstm_weights("lstm", 2, 2)}
    path = write_h5(tmp_path / "m.h5", model, weights, keras_version="3.15.1")
    return lstm_inspect.open_model(path)


def test_an_array_that_a_call_names_is_read(tmp_path: Path) -> None:
    row = {"class_name": "__numpy__", "config": {"value": [1.0, 2.0], "dtype": "float32"}}
    trace = lstm_inspect.trace(between(tmp_path, "Add", row), random(1, 5, 2), record="x")
    np.testing.assert_array_equal(trace["lstm"].x, random(1, 5, 2) + np.array([1, 2], "float32"))
    strange = {"class_name": "__numpy__", "config": {"value": ["a"], "dtype": "float32"}}
    with pytest.raises(lstm_inspect.ModelFileError, match="expected an array of numbers"):
        between(tmp_path, "Add", strange)


def test_an_index_beyond_the_timesteps_is_one_line(tmp_path: Path) -> None:
    every = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
    model = between(tmp_path, "GetItem", [every, 10])
    with pytest.raises(lstm_inspect.ModelFileError) as refused:
        lstm_inspect.trace(model, random(1, 5, 2))
    assert "layer op (GetItem): its config, weights and inputs do not fit" in str(refused.value)


def test_a_parameter_that_an_operation_does_not_know_stops_what_stands_behind(
    tmp_path: Path,
) -> None:
    model = between(tmp_path, "Flip", axis=1, where="everywhere")
    with pytest.raises(lstm_inspect.UnsupportedLayerError, match=r"op \(Flip\)"):
        lstm_inspect.trace(model, random(1, 5, 2))
    flipped = lstm_inspect.trace(between(tmp_path, "Flip", axis=1), random(1, 5, 2), record="x")
    np.testing.assert_array_equal(flipped["lstm"].x, random(1, 5, 2)[:, ::-1])


# --- structure


def test_a_subclassed_model_shows_what_its_weights_say(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        for number, shape in enumerate([(3, 8), (2, 8), (8,)]):
            file.create_dataset(f"recurrence/cell/vars/{number}", data=random(*shape))
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps({"class_name": "MyModel", "config": {}}))
        archive.write(tmp_path / "model.weights.h5", "model.weights.h5")
    model = lstm_inspect.open_model(tmp_path / "m.keras")
    (row,) = lstm_inspect.model_shapes(model).layers
    assert (row.path, row.recurrence.cell, row.recurrence.units) == ("recurrence", "lstm", 2)
    assert row.blocked_by == (
        "the file does not say its activation, recurrent_activation, go_backwards; say for example "
        "assume={'*.activation': 'tanh', '*.recurrent_activation': 'sigmoid', "
        "'*.go_backwards': 'false'}",
    )
    assert model.why_unwired == (
        "MyModel is a subclassed model; Keras does not save how it calls its layers"
    )


def test_a_store_that_windows_wrote_is_read_by_its_backslashes(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers\\lstm\\cell")
        for number, shape in enumerate([(3, 8), (2, 8), (8,)]):
            group.create_dataset(f"vars/{number}", data=random(*shape))
    (row,) = lstm_inspect.model_shapes(lstm_inspect.open_model(path)).layers
    assert (row.path, row.recurrence.units) == ("lstm", 2)


def test_a_model_of_somebodys_own_class_is_a_model_by_its_wiring(tmp_path: Path) -> None:
    inner = functional(
        input_layer("in", 3, 2), lstm("lstm", 2, "in"), inputs=["in"], outputs=["lstm"], name="mine"
    )
    config = functional(
        input_layer("x", 3, 2),
        {**inner, "class_name": "MyModel", "inbound_nodes": [[["x", 0, 0, {}]]]},
        inputs=["x"],
        outputs=[("mine", 1, 0)],
    )
    weights = {"mine": lstm_weights("lstm", 2, 2)}
    assert list(traced(tmp_path, config, weights, random(1, 3, 2))) == ["mine/lstm"]


def test_several_inputs_may_be_a_list(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 3, 2),
        input_layer("y", 3, 2),
        layer("Subtract", "minus", ["x", "y"]),
        lstm("lstm", 2, "minus"),
        inputs=["x", "y"],
        outputs=["lstm"],
    )
    x, y = random(1, 3, 2), 2 * random(1, 3, 2)
    trace = traced(tmp_path, config, {"lstm": lstm_weights("lstm", 2, 2)}, [x, y], record="x")
    np.testing.assert_array_equal(trace["lstm"].x, x - y)


def test_the_axes_of_a_conv_lstm_with_its_channels_first_are_named(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 3, 2, 4, 5),
        layer(
            "ConvLSTM2D",
            "conv",
            "x",
            filters=6,
            kernel_size=[1, 1],
            strides=[1, 1],
            data_format="channels_first",
        ),
        inputs=["x"],
        outputs=["conv"],
    )
    arrays = [random(1, 1, 2, 24), random(1, 1, 6, 24), random(24)]
    weights = {"conv": {f"conv/{number}:0": array for number, array in enumerate(arrays)}}
    trace = traced(tmp_path, config, weights, random(1, 3, 2, 4, 5))
    assert trace["conv"].h.shape == (1, 3, 6, 4, 5)
    assert trace["conv"].dims == ("batch", "timesteps", "units", "rows", "columns")
    assert trace["conv"].dims_of("h0") == ("batch", "units", "rows", "columns")


def test_the_outer_timesteps_of_a_time_distributed_stand_behind_the_batch(tmp_path: Path) -> None:
    inner = layer("LSTM", "inner", units=2, return_sequences=True)
    config = functional(
        input_layer("x", 4, 3, 2),
        layer("TimeDistributed", "over", "x", layer=inner),
        inputs=["x"],
        outputs=["over"],
    )
    weights = {"over": lstm_weights("over", 2, 2)}
    trace = traced(tmp_path, config, weights, random(1, 4, 3, 2))
    assert trace["over"].h.shape == (1, 4, 3, 2)
    assert trace["over"].dims == ("batch", "outer timesteps 0", "timesteps", "units")


def windows_store(path: Path, *, extra: str | None = None) -> Path:
    """A ``.keras`` of Keras 2.13.1 saved on Windows: Dense, LSTM, Dense, each group one name."""
    container = "_layer_checkpoint_dependencies"
    stored = {
        "dense": [random(2, 2), random(2)],
        "dense_2": [2 * random(2, 2), 2 * random(2)],
        "lstm\\cell": list(lstm_weights("lstm", 2, 2).values()),
    }
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for group, arrays in stored.items():
            for number, array in enumerate(arrays):
                file.create_dataset(f"{container}\\{group}/vars/{number}", data=array)
        if extra is not None:
            file.create_group(extra)
    config = sequential(
        input_layer("x", 3, 2),
        layer("Dense", "first", units=2),
        layer("Dense", "second", units=2),
        lstm("lstm", 2),
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.13.1"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", path.with_suffix(".h5").read_bytes())
    return path


def test_a_store_of_keras_2_13_counts_a_layer_twice_on_windows_too(tmp_path: Path) -> None:
    model = lstm_inspect.open_model(windows_store(tmp_path / "m.keras"))
    x = random(1, 3, 2)
    first = x @ random(2, 2) + random(2)
    trace = lstm_inspect.trace(model, x, record="x")
    expected = first @ (2 * random(2, 2)) + 2 * random(2)
    np.testing.assert_allclose(trace["lstm"].x, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "extra", ["layers/lstm/cell/vars", "layers\\lstm\\cell/vars"], ids=["nested", "one-name"]
)
def test_two_groups_of_one_path_are_refused(extra: str, tmp_path: Path) -> None:
    with pytest.raises(lstm_inspect.ModelFileError, match="received two of one path"):
        lstm_inspect.open_model(windows_store(tmp_path / "m.keras", extra=extra))


# --- words of one version or another


def one(tmp_path: Path, entry: Json, **options: Any) -> lstm_inspect.Recurrence:
    config = sequential(input_layer("x", 3, 2), entry)
    arrays = lstm_weights("lstm", 2, 2)
    path = write_h5(tmp_path / "m.h5", config, {entry["config"]["name"]: arrays}, **options)
    (recurrence,) = lstm_inspect.open_model(path).recurrent
    return recurrence


def test_a_unified_lstm_is_an_lstm(tmp_path: Path) -> None:
    """Previews of TensorFlow 2 called it so."""
    assert one(tmp_path, layer("UnifiedLSTM", "unified_lstm", units=2)).cell == "lstm"


def test_weights_under_other_names_are_found_behind_a_layer_named_like_an_augmentation(
    tmp_path: Path,
) -> None:
    """RandomFourierFeatures is not one of the random layers without weights."""
    features = layer("RandomFourierFeatures", "features", output_dim=2)
    config = sequential(input_layer("x", 3, 2), features, lstm("lstm", 2))
    named = lstm_weights("lstm_3", 2, 2)
    weights = {"features_3": {"features_3/kernel:0": random(2, 2)}, "lstm_3": named}
    path = write_h5(tmp_path / "m.h5", config, weights)
    (recurrence,) = lstm_inspect.open_model(path).recurrent
    kernel = next(array for name, array in named.items() if "recurrent" not in name)
    np.testing.assert_array_equal(recurrence.weights["kernel"], kernel)


@pytest.mark.parametrize(("given", "read"), [(1, True), (0, False), (True, True)])
def test_a_flag_may_be_a_number(given: object, read: bool, tmp_path: Path) -> None:
    assert one(tmp_path, lstm("lstm", 2, stateful=given)).stateful is read


@pytest.mark.parametrize("given", [2, -1, "true", 1.0])
def test_another_number_is_no_flag(given: object, tmp_path: Path) -> None:
    with pytest.raises(lstm_inspect.ModelFileError, match="expected stateful to be true or false"):
        one(tmp_path, lstm("lstm", 2, stateful=given))


@pytest.mark.parametrize(
    ("mode", "expected"), [("mul", [[[2, 6]]]), ("sum", [[[3, 5]]]), ("concat", [[[1, 2, 2, 3]]])]
)
def test_the_merge_of_keras_1_stands_in_models_of_keras_2(
    mode: str, expected: list[Any], tmp_path: Path
) -> None:
    merge = layer("Merge", "merge", ["x", "y"], mode=mode, concat_axis=-1, output_mask=None)
    config = functional(
        input_layer("x", 1, 2),
        input_layer("y", 1, 2),
        merge,
        lstm("lstm", 2, "merge"),
        inputs=["x", "y"],
        outputs=["lstm"],
    )
    weights = {"lstm": lstm_weights("lstm", 4 if mode == "concat" else 2, 2)}
    inputs = {"x": np.array([[[1.0, 2.0]]]), "y": np.array([[[2.0, 3.0]]])}
    trace = traced(tmp_path, config, weights, inputs, keras_version="2.1.6", record="x")
    assert trace["lstm"].x.tolist() == expected


@pytest.mark.parametrize(
    ("cells", "named"),
    [(["LMUCell"], "LMUCell"), (["GRUCell", "LMUCell", "LMUCell"], "GRUCell and LMUCell")],
)
def test_a_custom_cell_is_named(cells: list[str], named: str, tmp_path: Path) -> None:
    """Also one of several that are stacked."""
    configs = [layer(name, name.lower(), units=2) for name in cells]
    stack = layer("StackedRNNCells", "stack", cells=configs)
    rnn = layer("RNN", "rnn", cell=stack if len(cells) > 1 else configs[0])
    config = sequential(input_layer("x", 3, 2), rnn, lstm("lstm", 2))
    weights = {"rnn": {"a:0": random(2, 2)}, "lstm": lstm_weights("lstm", 2, 2)}
    with pytest.raises(UnsupportedLayerError, match=f"rnn \\(RNN of {named}\\) cannot be run"):
        traced(tmp_path, config, weights, random(1, 3, 2))


# --- a config in YAML

PLAIN = """
class_name: Sequential
config:
- class_name: LSTM
  config: {name: lstm, units: 2, batch_input_shape: !!python/tuple [null, 3, 2], activation: relu}
keras_version: 2.2.4
"""
ALIASES = """
class_name: Sequential
config:
- class_name: LSTM
  config: {name: lstm, units: 2, batch_input_shape: &shape [null, 3, 2], activation: relu,
    input_shape: *shape}
keras_version: 2.2.4
"""


def with_yaml(tmp_path: Path, text: str) -> lstm_inspect.Model:
    (tmp_path / "config.yaml").write_text(text)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = ["lstm"]
        group = file.create_group("lstm")
        arrays = lstm_weights("lstm", 2, 2)
        group.attrs["weight_names"] = list(arrays)
        for name, array in arrays.items():
            group.create_dataset(name, data=array)
    return lstm_inspect.open_model(tmp_path / "w.h5", tmp_path / "config.yaml")


@pytest.mark.parametrize(
    "text",
    [PLAIN, ALIASES, yaml.safe_dump(PLAIN)],
    ids=["plain", "aliases", "yaml-in-yaml"],
)
def test_a_config_may_be_yaml(text: str, tmp_path: Path) -> None:
    model = with_yaml(tmp_path, text)
    (recurrence,) = model.recurrent
    assert (recurrence.activation, model.why_unwired) == ("relu", None)
    assert model.inputs[0].shape == (None, 3, 2)


DOUBLING = "a0: &a0 [1, 1]\n" + "".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class_name: [", "not valid YAML"),
        ("class_name: !!python/object/apply:os.system [true]", "not valid YAML"),
        ("class_name: !!python/name:os.system", "not valid YAML"),
        ("class_name: &a [*a]", "a value that holds itself"),
        ("class_name: 2001-01-01", "received a date"),
        ("- class_name: 1", "expected a YAML mapping"),
        (f"class_name: x\n{DOUBLING}", "is more than the limit json_values"),
        ("class_name: " + "[" * 200 + "]" * 200, "json_depth"),
    ],
    ids=["damaged", "call", "name", "cycle", "date", "list", "doubling", "deep"],
)
def test_yaml_that_is_not_plain_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(lstm_inspect.InspectError) as refused:
        with_yaml(tmp_path, text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_layers_that_are_no_list_are_refused_where_no_version_is_stated(tmp_path: Path) -> None:
    config = tmp_path / "m.json"
    config.write_text('{"class_name": "Sequential", "config": {"layers": 0.5}}')
    weights = write_h5(tmp_path / "w.h5", {}, {"lstm": lstm_weights("lstm", 2, 2)})
    with h5py.File(weights, "r+") as file:
        del file.attrs["model_config"]
        del file.attrs["keras_version"]
    with pytest.raises(lstm_inspect.ModelFileError, match="layers"):
        lstm_inspect.open_model(weights, config)


def test_a_time_major_layer_in_a_time_distributed_is_refused(tmp_path: Path) -> None:
    """The axis that it takes for the timesteps is the batch with the outer timesteps in it."""
    wrapped = layer("TimeDistributed", "each", layer=lstm("lstm", 2, time_major=True))
    config = sequential(input_layer("x", 4, 3, 2), wrapped)
    path = write_h5(tmp_path / "m.h5", config, {"each": lstm_weights("lstm", 2, 2)})
    with pytest.raises(lstm_inspect.ModelFileError, match="the batch in front inside a TimeDist"):
        lstm_inspect.open_model(path)


def test_a_masking_without_timesteps_is_refused(tmp_path: Path) -> None:
    masking = layer("Masking", "masking")
    config = sequential(input_layer("x"), masking, lstm("lstm", 2))
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    with pytest.raises(
        lstm_inspect.ModelFileError, match=r"of shape \(batch, timesteps, ...\), received \(3,\)"
    ):
        lstm_inspect.trace(lstm_inspect.open_model(path), random(3))


def test_an_unknown_dim_ordering_of_keras_1_is_refused(tmp_path: Path) -> None:
    pool = layer("MaxPooling1D", "pool", dim_ordering=[])
    config = sequential(input_layer("x", 4, 2), pool, lstm("lstm", 2))
    path = write_h5(
        tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)}, keras_version="1.2.2"
    )
    with pytest.raises(lstm_inspect.ModelFileError, match="expected a dim_ordering of tf, th"):
        lstm_inspect.open_model(path)


def test_an_input_without_timesteps_is_refused_in_one_line(tmp_path: Path) -> None:
    config = sequential(input_layer("x"), lstm("lstm", 2))
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    with pytest.raises(lstm_inspect.InspectError, match=r"received \(3,\)"):
        lstm_inspect.trace(lstm_inspect.open_model(path), random(3))
