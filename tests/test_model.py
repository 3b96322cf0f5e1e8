import contextlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import Model, ModelFileError
from lstm_inspect.model import Recurrence, Ref
from tests.conftest import (
    SAMPLES,
    Array,
    Json,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    sequential,
    write_h5,
)

pytestmark = pytest.mark.usefixtures("parsed_here")

OLDER = sorted(
    path for folder in SAMPLES.glob("keras-*") for path in folder.iterdir() if path.stem != "make"
)


def paths(model: Model) -> list[str]:
    """The paths of the recurrent calls."""
    return [call.path for call, _ in model.recurrent_calls]


def refusal(path: Path) -> str:
    """Returns the one-line error about the file."""
    with pytest.raises(ModelFileError) as refused:
        lstm_inspect.open_model(path)
    message = str(refused.value)
    assert "\n" not in message
    return message


def one_lstm(**config: Any) -> Json:
    """A model of one LSTM of 2 units that reads 3 steps of 2 features."""
    return sequential(input_layer("x", 3, 2), lstm("lstm", 2, **config))


def facts(recurrence: Recurrence) -> dict[str, Any]:
    """The fields of a recurrence, without its arrays and how the file stores them."""
    return {
        key: value for key, value in vars(recurrence).items() if key not in ("weights", "stored")
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one_unit_last_h", ["lstm"]),
        ("stacked", ["lstm", "lstm_1"]),
        ("encoder_decoder", ["encoder", "decoder"]),
        ("bidirectional_masking", ["bidirectional/forward", "bidirectional/backward"]),
    ],
)
def test_recurrent_layers_have_the_paths_of_the_readme(name: str, expected: list[str]) -> None:
    assert paths(lstm_inspect.open_model(SAMPLES / f"{name}.keras")) == expected


def test_there_are_older_samples() -> None:
    assert OLDER


@pytest.mark.parametrize("path", OLDER, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_model_reads_the_same_whichever_keras_saved_it(path: Path) -> None:
    older = lstm_inspect.open_model(path)
    current = lstm_inspect.open_model(SAMPLES / f"{path.stem}.keras")
    assert older.inputs == current.inputs
    assert [facts(recurrence) for recurrence in older.recurrent] == [
        facts(recurrence) for recurrence in current.recurrent
    ]
    for old, new in zip(older.recurrent, current.recurrent, strict=True):
        assert list(old.weights) == list(new.weights)
        for name, array in old.weights.items():
            np.testing.assert_array_equal(array, new.weights[name])


@pytest.mark.parametrize(
    "path",
    sorted(SAMPLES.rglob("encoder_decoder.[kh]*")),
    ids=lambda path: f"{path.parent.name}-{path.name}",
)
def test_the_states_of_the_encoder_start_the_decoder(path: Path) -> None:
    calls = {call.path: call for call in lstm_inspect.open_model(path).calls}
    assert list(calls) == ["encoder", "decoder", "dense"]
    assert calls["encoder"].args == (Ref("encoder_input"),)
    assert "initial_state" not in calls["encoder"].kwargs
    assert calls["decoder"].args == (Ref("decoder_input"),)
    assert calls["decoder"].kwargs["initial_state"] == (Ref("encoder", 1), Ref("encoder", 2))
    assert calls["dense"].args == (Ref("decoder", 0),)


def test_the_flags_of_a_layer_are_those_of_its_config(tmp_path: Path) -> None:
    config = one_lstm(
        activation="relu",
        recurrent_activation="hard_sigmoid",
        go_backwards=True,
        return_sequences=True,
        return_state=True,
        stateful=True,
        dtype="float64",
    )
    weights = lstm_weights("lstm", 2, 2)
    path = write_h5(tmp_path / "model.h5", config, {"lstm": weights})
    (recurrence,) = lstm_inspect.open_model(path).recurrent
    expected = {
        "path": "lstm",
        "cell": "lstm",
        "units": 2,
        "features": 2,
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid_0.2",
        "go_backwards": True,
        "return_sequences": True,
        "return_state": True,
        "stateful": True,
        "zero_output_for_mask": False,
        "dtype": "float64",
    }
    assert {name: getattr(recurrence, name) for name in expected} == expected


def test_a_layer_without_a_bias_has_two_arrays(tmp_path: Path) -> None:
    kernel, recurrent_kernel, _ = lstm_weights("lstm", 2, 2).items()
    weights = {"lstm": dict([kernel, recurrent_kernel])}
    path = write_h5(tmp_path / "model.h5", one_lstm(use_bias=False), weights)
    (recurrence,) = lstm_inspect.open_model(path).recurrent
    assert list(recurrence.weights) == ["kernel", "recurrent_kernel"]


class TestBidirectional:
    def model(self, path: Path, **config: Any) -> Model:
        """A model of a Bidirectional whose six arrays are filled with 0, 1, ... 5."""
        weights = {**lstm_weights("bi/forward", 2, 2), **lstm_weights("bi/backward", 2, 2)}
        numbered = {
            name: np.full_like(array, number)
            for number, (name, array) in enumerate(weights.items())
        }
        forward = lstm("lstm", 2, return_sequences=True, return_state=True)
        model = functional(
            input_layer("x", 3, 2),
            layer("Bidirectional", "bi", "x", layer=forward, **config),
            lstm("next", 1, [("bi", 0, 0), *[("bi", 0, number) for number in (1, 2)]]),
            inputs=["x"],
            outputs=["next"],
        )
        written = {"bi": numbered, "next": lstm_weights("next", 4, 1)}
        return lstm_inspect.open_model(write_h5(path / "model.h5", model, written))

    def test_it_is_written_out_as_two_recurrences_and_a_merge(self, tmp_path: Path) -> None:
        forward, backward, merge, _ = self.model(tmp_path).calls
        assert (forward.path, backward.path, merge.path) == ("bi/forward", "bi/backward", "bi")
        assert forward.args == backward.args == (Ref("x"),)
        assert merge.args == (Ref("bi/forward"), Ref("bi/backward"))

    def test_the_first_half_of_its_arrays_is_the_forward_layers(self, tmp_path: Path) -> None:
        forward, backward, _ = self.model(tmp_path).recurrent
        assert [array.flat[0] for array in forward.weights.values()] == [0, 1, 2]
        assert [array.flat[0] for array in backward.weights.values()] == [3, 4, 5]

    def test_its_backward_layer_is_the_forward_one_turned_round(self, tmp_path: Path) -> None:
        forward, backward, _ = self.model(tmp_path).recurrent
        expected = {**facts(forward), "path": "bi/backward", "go_backwards": True}
        assert facts(backward) == expected
        assert (forward.direction, backward.direction) == ("forward", "backward")

    def test_its_backward_layer_may_have_a_config_of_its_own(self, tmp_path: Path) -> None:
        own = lstm(
            "own", 2, return_sequences=True, return_state=True, go_backwards=True, activation="relu"
        )
        forward, backward, _ = self.model(tmp_path, backward_layer=own).recurrent
        assert (forward.activation, backward.activation) == ("tanh", "relu")

    def test_its_directions_give_zero_at_masked_steps(self, tmp_path: Path) -> None:
        forward, backward, _ = self.model(tmp_path).recurrent
        assert forward.zero_output_for_mask
        assert backward.zero_output_for_mask

    def test_its_states_are_those_of_its_directions(self, tmp_path: Path) -> None:
        *_, following = self.model(tmp_path).calls
        assert following.args == (Ref("bi"),)
        assert following.kwargs["initial_state"] == (Ref("bi/forward", 1), Ref("bi/forward", 2))

    def test_its_initial_states_are_shared_out_among_its_directions(self, tmp_path: Path) -> None:
        states = [input_layer(name, 2) for name in ("fh", "fc", "bh", "bc")]
        names = [each["name"] for each in states]
        config = functional(
            input_layer("x", 3, 2),
            *states,
            layer("Bidirectional", "bi", ["x", *names], layer=lstm("lstm", 2)),
            inputs=["x", *names],
            outputs=["bi"],
        )
        weights = {"bi": {**lstm_weights("forward", 2, 2), **lstm_weights("backward", 2, 2)}}
        path = write_h5(tmp_path / "model.h5", config, weights)
        forward, backward, _ = lstm_inspect.open_model(path).calls
        assert forward.kwargs["initial_state"] == (Ref("fh"), Ref("fc"))
        assert backward.kwargs["initial_state"] == (Ref("bh"), Ref("bc"))

    def test_its_states_stand_behind_both_outputs_if_it_does_not_merge(
        self, tmp_path: Path
    ) -> None:
        *_, following = self.model(tmp_path, merge_mode=None).calls
        assert following.kwargs["initial_state"] == (Ref("bi", 1), Ref("bi/forward", 1))


class TestNestedModel:
    inner = functional(
        input_layer("inner_x", 3, 2),
        lstm("inner", 2, "inner_x", return_sequences=True),
        inputs=["inner_x"],
        outputs=["inner"],
        name="enc",
    )

    def open(self, path: Path, *calls: Json, outputs: list[Any]) -> Model:
        model = functional(
            input_layer("x", 3, 2), *calls, inputs=["x"], outputs=outputs, name="outer"
        )
        inner = {"enc": "inner", "top": "top"}
        weights = {call["name"]: lstm_weights(inner[call["name"]], 2, 2) for call in calls}
        return lstm_inspect.open_model(write_h5(path / "model.h5", model, weights))

    def test_its_layers_are_written_out_under_its_name(self, tmp_path: Path) -> None:
        nested = {**self.inner, "inbound_nodes": [[["x", 0, 0, {}]]]}
        # For Keras, call 0 of the inner model is the one that built it.
        model = self.open(tmp_path, nested, lstm("top", 2, ("enc", 1, 0)), outputs=["top"])
        assert paths(model) == ["enc/inner", "top"]
        assert [call.args for call in model.calls] == [(Ref("x"),), (Ref("enc/inner"),)]
        assert [each.name for each in model.inputs] == ["x"]

    def test_a_second_call_of_it_has_a_path_of_its_own(self, tmp_path: Path) -> None:
        nested = {**self.inner, "inbound_nodes": [[["x", 0, 0, {}]], [["enc", 1, 0, {}]]]}
        model = self.open(tmp_path, nested, outputs=[("enc", 2, 0)])
        assert paths(model) == ["enc/inner", "enc#2/inner"]
        assert [call.args for call in model.calls] == [(Ref("x"),), (Ref("enc/inner"),)]
        assert len(model.recurrent) == 1

    def test_a_sequential_one_needs_no_wiring_of_its_own(self, tmp_path: Path) -> None:
        inner = sequential(
            input_layer("inner_x", 3, 2), lstm("inner", 2, return_sequences=True), name="enc"
        )
        nested = {**inner, "name": "enc", "inbound_nodes": [[["x", 0, 0, {}]]]}
        model = self.open(tmp_path, nested, lstm("top", 2, ("enc", 1, 0)), outputs=["top"])
        assert paths(model) == ["enc/inner", "top"]


def test_every_call_of_a_shared_layer_has_a_path(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 3, 2),
        input_layer("y", 3, 2),
        lstm("lstm", 2, "x", "y"),
        inputs=["x", "y"],
        outputs=[("lstm", 0, 0), ("lstm", 1, 0)],
    )
    path = write_h5(tmp_path / "model.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    model = lstm_inspect.open_model(path)
    assert [(call.path, call.args) for call, _ in model.recurrent_calls] == [
        ("lstm", (Ref("x"),)),
        ("lstm#2", (Ref("y"),)),
    ]
    assert [recurrence.path for recurrence in model.recurrent] == ["lstm"]


def test_layers_may_stand_in_any_order_in_the_config(tmp_path: Path) -> None:
    config = functional(
        lstm("second", 1, "first"),
        lstm("first", 2, "x", return_sequences=True),
        input_layer("x", 3, 2),
        inputs=["x"],
        outputs=["second"],
    )
    weights = {"second": lstm_weights("second", 2, 1), "first": lstm_weights("first", 2, 2)}
    model = lstm_inspect.open_model(write_h5(tmp_path / "model.h5", config, weights))
    assert paths(model) == ["first", "second"]


def test_two_layers_of_one_name_are_refused(tmp_path: Path) -> None:
    layers = [input_layer("x", 3, 2), lstm("a", 2, return_sequences=True), lstm("a", 2)]
    path = write_h5(tmp_path / "m.h5", sequential(*layers), {"a": lstm_weights("a", 2, 2)})
    with pytest.raises(ModelFileError, match="received two layers called a"):
        lstm_inspect.open_model(path)


def test_two_layers_of_one_path_are_refused(tmp_path: Path) -> None:
    inner = functional(input_layer("y", 3, 2), lstm("l", 2, "y"), inputs=["y"], outputs=["l"])
    inner["config"]["name"] = "m"
    config = functional(
        input_layer("x", 3, 2),
        lstm("m/l", 2, "x", return_sequences=True),
        {**inner, "name": "m", "inbound_nodes": [[["m/l", 0, 0, {}]]]},
        inputs=["x"],
        outputs=["m"],
    )
    with pytest.raises(ModelFileError, match="received two of m/l"):
        lstm_inspect.open_model(write_h5(tmp_path / "m.h5", config, {}))


@pytest.mark.parametrize(
    "name", ["a\0b", "..", "../../lstm", "a/../b", "/lstm", "..\\lstm", "a//b"]
)
def test_a_name_that_no_file_in_a_dump_can_have_is_refused(name: str, tmp_path: Path) -> None:
    config = sequential(input_layer("x", 3, 2), lstm(name, 2))
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"class_name": "Sequential", **config}))
    weights = write_h5(tmp_path / "w.h5", one_lstm(), {"lstm": lstm_weights("lstm", 2, 2)})
    with h5py.File(weights, "r+") as file:
        del file.attrs["model_config"]
    with pytest.raises(ModelFileError, match="names of layers that can be parts of a path"):
        lstm_inspect.open_model(weights, path)


@pytest.mark.parametrize("dtype", ["int8", "bool", "complex64"])
def test_a_layer_that_computes_in_other_numbers_than_fractions_is_refused(
    tmp_path: Path, dtype: str
) -> None:
    config = sequential(input_layer("x", 3, 2), lstm("a", 2, dtype=dtype))
    path = write_h5(tmp_path / "m.h5", config, {"a": lstm_weights("a", 2, 2)})
    with pytest.raises(ModelFileError, match=f"expected a dtype of .*, received {dtype}"):
        lstm_inspect.open_model(path)


def test_a_bidirectional_in_itself_60_deep_is_counted_once(tmp_path: Path) -> None:
    wrapped = layer("Dense", "dense", units=1)
    for number in range(60):
        wrapped = layer("Bidirectional", f"b{number}", layer=wrapped)
    inner = sequential(input_layer("y", 3, 2), wrapped)
    inner["config"]["name"] = "inner"
    config = sequential(input_layer("x", 3, 2), lstm("a", 2, return_sequences=True), inner)
    path = write_h5(tmp_path / "m.h5", config, {"a": lstm_weights("a", 2, 2)})
    assert paths(lstm_inspect.open_model(path)) == ["a"]


def test_a_sequential_may_state_its_input_at_its_first_layer(tmp_path: Path) -> None:
    config = sequential(lstm("lstm", 2, batch_input_shape=[None, 7, 3]))
    path = write_h5(tmp_path / "model.h5", config, {"lstm": lstm_weights("lstm", 3, 2)})
    (only,) = lstm_inspect.open_model(path).inputs
    assert (only.name, only.shape) == ("lstm_input", (None, 7, 3))


def test_a_sequential_may_be_a_bare_list_of_layers(tmp_path: Path) -> None:
    layers = [lstm("lstm", 2, batch_input_shape=[None, 7, 3]), layer("Dense", "dense", units=1)]
    config = {"class_name": "Sequential", "config": layers}
    weights = {"lstm": lstm_weights("lstm", 3, 2), "dense": {"dense/kernel:0": np.ones((2, 1))}}
    path = write_h5(tmp_path / "model.h5", config, weights, keras_version="2.1.3")
    model = lstm_inspect.open_model(path)
    assert [call.path for call in model.calls] == ["lstm", "dense"]


@pytest.mark.parametrize(
    ("changes", "expected", "received"),
    [
        ({"units": 0}, "units to be a positive whole number", "0"),
        ({"units": "8"}, "units to be a positive whole number", "'8'"),
        ({"units": True}, "units to be a positive whole number", "True"),
        ({"units": None}, "units to be a positive whole number", "None"),
        ({"use_bias": "false"}, "use_bias to be true or false", "'false'"),
        ({"go_backwards": None}, "go_backwards to be true or false", "None"),
        ({"activation": 7}, "activation to be the name of an activation", "7"),
        ({"dtype": 32}, "dtype to be a dtype or a dtype policy", "32"),
    ],
    ids=str,
)
def test_a_config_of_the_wrong_kind_is_refused_with_its_layer(
    changes: Json, expected: str, received: str, tmp_path: Path
) -> None:
    weights = {"lstm": lstm_weights("lstm", 2, 2)}
    config = one_lstm()
    config["config"]["layers"][1]["config"].update(changes)
    message = refusal(write_h5(tmp_path / "model.h5", config, weights))
    assert message.endswith(f"layer lstm (LSTM): expected {expected}, received {received}")


@pytest.mark.parametrize(
    ("weight", "shape", "complaint"),
    [
        ("kernel", (2, 12), "expected kernel of shape (2, 8) for 2 units, received (2, 12)"),
        ("kernel", (), "received ()"),
        ("recurrent_kernel", (3, 8), "expected recurrent_kernel of shape (2, 8)"),
        ("bias", (2, 8), "expected bias of shape (8,) for 2 units, received (2, 8)"),
        ("bias", None, "expected 3 arrays (kernel, recurrent_kernel, bias), received 2"),
    ],
)
def test_arrays_that_contradict_the_config_are_refused_with_their_layer(
    weight: str, shape: tuple[int, ...] | None, complaint: str, tmp_path: Path
) -> None:
    weights = lstm_weights("lstm", 2, 2)
    del weights[f"lstm/lstm_cell/{weight}:0"]
    order = ["kernel", "recurrent_kernel", "bias"]
    if shape is not None:
        weights[f"lstm/lstm_cell/{weight}:0"] = np.zeros(shape)
    named: dict[str, Array] = {
        key: weights[key]
        for key in (f"lstm/lstm_cell/{name}:0" for name in order)
        if key in weights
    }
    message = refusal(write_h5(tmp_path / "model.h5", one_lstm(), {"lstm": named}))
    assert "layer lstm: " in message
    assert complaint in message


def test_a_layer_without_arrays_in_the_file_costs_only_itself(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 3, 2),
        lstm("written", 2, "x", return_sequences=True),
        lstm("unwritten", 2, "written"),
        inputs=["x"],
        outputs=["unwritten"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"written": lstm_weights("written", 2, 2)})
    shapes = lstm_inspect.model_shapes(lstm_inspect.open_model(path))
    assert [row.path for row in shapes.layers] == ["written"]
    assert shapes.incomplete == ("unwritten (LSTM)",)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        pytest.param(
            functional(lstm("a", 2, "b"), lstm("b", 2, "a"), inputs=[], outputs=["a"]),
            "expected wiring without cycles or missing layers, received one at a, b",
            id="cycle",
        ),
        pytest.param(
            functional(input_layer("x", 3, 2), lstm("a", 2, "z"), inputs=["x"], outputs=["a"]),
            "expected wiring without cycles or missing layers, received one at a",
            id="reads-what-is-not-there",
        ),
        pytest.param(
            functional(input_layer("x", 3, 2), lstm("a", 2, "x"), inputs=["x"], outputs=["z"]),
            "output 0 of call 0 of z, which does not exist",
            id="gives-what-is-not-there",
        ),
        pytest.param(
            functional(lstm("a", 2, "x"), inputs=["x"], outputs=["a"]),
            "expected its input x to be an InputLayer",
            id="input-is-not-there",
        ),
    ],
)
def test_wiring_that_leads_nowhere_is_refused(config: Json, complaint: str, tmp_path: Path) -> None:
    names = [each["name"] for each in config["config"]["layers"] if each["class_name"] == "LSTM"]
    weights = {name: lstm_weights(name, 2, 2) for name in names}
    assert complaint in refusal(write_h5(tmp_path / "model.h5", config, weights))


def test_a_sequential_without_layers_is_refused(tmp_path: Path) -> None:
    message = refusal(write_h5(tmp_path / "model.h5", sequential(), {}))
    assert message == "model model: expected layers, received none"


def test_a_sequential_that_is_called_with_nothing_is_refused(tmp_path: Path) -> None:
    inner = {**sequential(lstm("b", 2), name="inner"), "name": "inner"}
    inner["inbound_nodes"] = [{"args": [], "kwargs": {}}]
    config = functional(input_layer("x", 3, 2), inner, inputs=["x"], outputs=["inner"])
    message = refusal(write_h5(tmp_path / "model.h5", config, {"b": lstm_weights("b", 2, 2)}))
    assert message == "model inner: expected a tensor for b, received none"


def test_of_a_model_of_somebodys_own_class_the_weights_are_known(tmp_path: Path) -> None:
    config = {"class_name": "Transducer", "config": {"name": "mine"}}
    weights = {"lstm": lstm_weights("lstm", 2, 3)}
    model = lstm_inspect.open_model(write_h5(tmp_path / "model.h5", config, weights))
    (recurrence,) = model.recurrent
    assert (recurrence.path, recurrence.features, recurrence.units) == ("lstm", 2, 3)
    assert model.why_unwired is not None
    assert "Transducer" in model.why_unwired


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The key paths of everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [
        place
        for key, inner in items
        for place in [
            (*here, key),
            *(places(inner, (*here, key)) if isinstance(inner, (dict, list)) else []),
        ]
    ]


KERAS_3_TENSOR = {
    "class_name": "__keras_tensor__",
    "config": {"shape": [None, 3, 2], "dtype": "float32", "keras_history": ["x", 0, 0]},
}


@pytest.mark.parametrize("wrong", [None, 7, "x", [], {}, [7], {"x": 7}], ids=repr)
@pytest.mark.parametrize(
    ("keras_version", "node"),
    [
        pytest.param("2.15.0", [["x", 0, 0, {}]], id="keras-2"),
        pytest.param("3.15.1", {"args": [KERAS_3_TENSOR], "kwargs": {}}, id="keras-3"),
    ],
)
def test_a_config_with_anything_anywhere_is_read_or_refused(
    keras_version: str, node: Any, wrong: Any, tmp_path: Path
) -> None:
    bidirectional = layer("Bidirectional", "bi", layer=lstm("forward", 2))
    config = functional(
        input_layer("x", 3, 2),
        {**bidirectional, "inbound_nodes": [node]},
        inputs=["x"],
        outputs=["bi"],
    )
    weights = {"bi": {**lstm_weights("forward", 2, 2), **lstm_weights("backward", 2, 2)}}
    escaped = []
    for number, place in enumerate(places(config)):
        changed = json.loads(json.dumps(config))
        around = changed
        for key in place[:-1]:
            around = around[key]
        around[place[-1]] = wrong
        path = write_h5(tmp_path / f"{number}.h5", changed, weights, keras_version=keras_version)
        try:
            with contextlib.suppress(ModelFileError):
                lstm_inspect.open_model(path)
        except Exception as error:
            escaped.append(f"{'/'.join(map(str, place))}: {type(error).__name__}: {error}")
    assert not escaped, "\n".join(escaped)
