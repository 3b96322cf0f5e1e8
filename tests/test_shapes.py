import json
from pathlib import Path

import pytest

import lstm_inspect
from lstm_inspect import ModelShapes, SelectionError
from tests.conftest import (
    SAMPLES,
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


def shapes_of_sample(name: str, **sizes: int) -> ModelShapes:
    """The shapes of a sample model."""
    return lstm_inspect.model_shapes(lstm_inspect.open_model(SAMPLES / f"{name}.keras"), **sizes)


def shapes_of(path: Path, config: Json, **features_and_units: tuple[int, int]) -> ModelShapes:
    """The shapes of a model whose LSTMs are given as ``name=(features, units)``."""
    weights = {name: lstm_weights(name, *sizes) for name, sizes in features_and_units.items()}
    return lstm_inspect.model_shapes(
        lstm_inspect.open_model(write_h5(path / "model.h5", config, weights))
    )


def sizes(shapes: ModelShapes) -> dict[str, tuple[int | str, ...]]:
    """Batch and timesteps by path."""
    return {each.path: each.sequences["h"][:2] for each in shapes.layers}


def test_the_json_of_a_model() -> None:
    shapes = shapes_of_sample("encoder_decoder")
    encoder = {
        "path": "encoder",
        "cell": "lstm",
        "units": 6,
        "features": 4,
        "direction": "forward",
        "weights": {"kernel": [4, 24], "recurrent_kernel": [6, 24], "bias": [24]},
        "states": {"h": ["batch", 6], "c": ["batch", 6]},
        "sequences": {"h": ["batch", "timesteps", 6], "c": ["batch", "timesteps", 6]},
        "parameters": 264,
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "return_sequences": False,
        "return_state": True,
        "stateful": False,
        "dtype": "float32",
        "blocked_by": [],
        "notes": [],
    }
    decoder = {
        **encoder,
        "path": "decoder",
        "features": 3,
        "weights": {"kernel": [3, 24], "recurrent_kernel": [6, 24], "bias": [24]},
        "parameters": 240,
        "return_sequences": True,
    }
    assert shapes.as_json() == {
        "schema": 2,
        "file": {
            "name": "encoder_decoder.keras",
            "format": "keras",
            "keras_version": "3.15.1",
            "model": "encoder_decoder",
        },
        "inputs": [
            {"name": "encoder_input", "shape": [None, None, 4], "dtype": "float32"},
            {"name": "decoder_input", "shape": [None, None, 3], "dtype": "float32"},
        ],
        "incomplete": [],
        "layers": [encoder, decoder],
        "parameters": 504,
    }


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.keras")), ids=lambda path: path.stem)
def test_the_json_survives_a_round_trip(path: Path) -> None:
    plain = shapes_of_sample(path.stem).as_json()
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize(
    "name", ["one_unit_state", "stacked", "encoder_decoder", "bidirectional_masking"]
)
def test_parameters_are_those_of_the_equations(name: str) -> None:
    plain = shapes_of_sample(name).as_json()
    expected = []
    for row in plain["layers"]:
        features, units = row["features"], row["units"]
        expected.append(4 * (features * units + units**2 + units))
        assert row["parameters"] == expected[-1]
    assert plain["parameters"] == sum(expected)


def test_parameters_of_a_shared_layer_count_once(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 3, 2),
        lstm("lstm", 2, "x", "again", return_sequences=True),
        layer("Activation", "again", "lstm", activation="relu"),
        inputs=["x"],
        outputs=[("lstm", 1, 0)],
    )
    shapes = shapes_of(tmp_path, config, lstm=(2, 2))
    assert [(each.path, each.recurrence.parameters) for each in shapes.layers] == [
        ("lstm", 40),
        ("lstm#2", 40),
    ]
    assert shapes.parameters == 40


def test_states_and_sequences_have_a_shape_each() -> None:
    (only,) = shapes_of_sample("eight_units_stateful").layers
    assert only.states == {"h": (2, 8), "c": (2, 8)}
    assert only.sequences == {"h": (2, 5, 8), "c": (2, 5, 8)}


def test_a_size_that_is_left_open_is_a_name() -> None:
    assert sizes(shapes_of_sample("encoder_decoder")) == {
        "encoder": ("batch", "timesteps"),
        "decoder": ("batch", "timesteps"),
    }


def test_a_size_that_is_left_open_may_be_given() -> None:
    assert sizes(shapes_of_sample("encoder_decoder", batch=32, timesteps=9)) == {
        "encoder": (32, 9),
        "decoder": (32, 9),
    }


def test_timesteps_are_known_behind_other_layers(tmp_path: Path) -> None:
    config = sequential(
        input_layer("x", 12, 3),
        layer("Dropout", "dropout", rate=0.5),
        lstm("first", 4, return_sequences=True),
        lstm("second", 2),
        layer("RepeatVector", "repeat", n=7),
        lstm("third", 1),
    )
    shapes = shapes_of(tmp_path, config, first=(3, 4), second=(4, 2), third=(2, 1))
    assert sizes(shapes) == {"first": ("batch", 12), "second": ("batch", 12), "third": ("batch", 7)}


def test_timesteps_are_known_behind_a_bidirectional(tmp_path: Path) -> None:
    config = sequential(
        input_layer("x", 12, 3),
        layer("Bidirectional", "bi", layer=lstm("lstm", 2, return_sequences=True)),
        lstm("next", 1),
    )
    weights = {
        "bi": {**lstm_weights("forward", 3, 2), **lstm_weights("backward", 3, 2)},
        "next": lstm_weights("next", 4, 1),
    }
    model = lstm_inspect.open_model(write_h5(tmp_path / "model.h5", config, weights))
    assert sizes(lstm_inspect.model_shapes(model)) == {
        "bi/forward": ("batch", 12),
        "bi/backward": ("batch", 12),
        "next": ("batch", 12),
    }


def test_timesteps_are_known_behind_layers_that_only_keras_can_run(tmp_path: Path) -> None:
    """20 steps and a causal convolution, 2 more and 4 less, an operation, twice as many."""
    config = functional(
        input_layer("x", 20, 3),
        layer("SeparableConv1D", "conv", "x", filters=4, kernel_size=[3], padding="causal"),
        layer("PReLU", "relu", "conv"),
        layer("ZeroPadding1D", "pad", "relu", padding=[0, 2]),
        layer("Cropping1D", "crop", "pad", cropping=[3, 1]),
        layer("TFOpLambda", "double", ["crop"], function="math.multiply", call_kwargs={"y": 2.0}),
        layer("UpSampling1D", "up", "double", size=2),
        lstm("lstm", 2, "up"),
        inputs=["x"],
        outputs=["lstm"],
    )
    shapes = shapes_of(tmp_path, config, lstm=(4, 2))
    assert [call.output for call in shapes.calls] == [
        *[("batch", 20, 4)] * 2,
        ("batch", 22, 4),
        *[("batch", 18, 4)] * 2,
        ("batch", 36, 4),
        ("batch", 2),
    ]
    assert sizes(shapes) == {"lstm": ("batch", 36)}
    with pytest.raises(lstm_inspect.InputError, match="timesteps 99: the file says 36"):
        lstm_inspect.model_shapes(shapes.model, timesteps=99)


def test_timesteps_are_known_inside_a_time_distributed(tmp_path: Path) -> None:
    crop = layer("Cropping1D", "crop", cropping=[1, 1])
    config = sequential(
        input_layer("x", 5, 7, 3),
        layer("TimeDistributed", "each", layer=crop),
        layer("TimeDistributed", "lstms", layer=lstm("lstm", 2, return_sequences=True)),
    )
    shapes = shapes_of(tmp_path, config, lstms=(3, 2))
    assert [call.output for call in shapes.calls] == [("batch", 5, 5, 3), ("batch", 5, 5, 2)]


def test_a_size_that_an_operation_makes_of_an_open_one_is_open(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", None, 3),
        layer(
            "SlicingOpLambda",
            "even",
            ["x"],
            function="__operators__.getitem",
            call_kwargs={
                "slice_spec": [
                    {"start": None, "stop": None, "step": None},
                    {"start": None, "stop": None, "step": 2},
                ]
            },
        ),
        lstm("lstm", 2, "even"),
        inputs=["x"],
        outputs=["lstm"],
    )
    assert sizes(shapes_of(tmp_path, config, lstm=(3, 2))) == {"lstm": ("batch", "timesteps")}


def test_a_config_that_takes_more_than_its_input_has_is_refused(tmp_path: Path) -> None:
    crop = layer("Cropping1D", "front", cropping=[3, 4])
    model = sequential(input_layer("x", 6, 3), crop, lstm("lstm", 2))
    what = r"front \(Cropping1D\): its config asks for more than \(any, 6, 3\) has"
    with pytest.raises(lstm_inspect.ModelFileError, match=what):
        shapes_of(tmp_path, model, lstm=(3, 2))


@pytest.mark.parametrize(
    ("name", "config"), [("Cropping1D", {"cropping": "all"}), ("ZeroPadding2D", {"padding": 1})]
)
def test_a_config_that_only_keras_could_read_tells_no_shape(
    name: str, config: Json, tmp_path: Path
) -> None:
    model = sequential(input_layer("x", 6, 3), layer(name, "front", **config), lstm("lstm", 2))
    assert shapes_of(tmp_path, model, lstm=(3, 2)).calls[0].output is None


def test_a_layer_behind_one_without_a_form_is_listed_with_what_blocks_it(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 12, 3),
        lstm("before", 2, "x", return_sequences=True),
        layer("Lambda", "code", "before"),
        lstm("behind", 1, "code", return_sequences=True),
        lstm("further", 1, "behind"),
        inputs=["x"],
        outputs=["further"],
    )
    shapes = shapes_of(tmp_path, config, before=(3, 2), behind=(2, 1), further=(1, 1))
    blocked_by = {each.path: each.blocked_by for each in shapes.layers}
    assert blocked_by["before"] == ()
    for path in ("behind", "further"):
        (reason,) = blocked_by[path]
        assert "code (Lambda)" in reason
    assert sizes(shapes)["behind"] == ("batch", "timesteps")


def test_a_model_without_a_recurrent_layer_is_refused_with_what_it_has(tmp_path: Path) -> None:
    config = sequential(input_layer("x", 2), layer("Dense", "dense", units=1))
    path = write_h5(tmp_path / "model.h5", config, {"dense": {"dense/kernel:0": random(2, 1)}})
    with pytest.raises(SelectionError, match=r"no recurrent layer; it has dense \(Dense\)"):
        lstm_inspect.model_shapes(lstm_inspect.open_model(path))


def test_a_size_that_contradicts_the_file_is_refused() -> None:
    model = lstm_inspect.open_model(SAMPLES / "eight_units_stateful.keras")
    for size in ({"batch": 3}, {"timesteps": 99}):
        with pytest.raises(lstm_inspect.InputError, match=r"(batch 3|timesteps 99): the file says"):
            lstm_inspect.model_shapes(model, **size)
    (row,) = lstm_inspect.model_shapes(model, batch=2, timesteps=5).layers
    assert row.sequences["h"] == (2, 5, 8)
