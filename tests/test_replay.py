from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import (
    InputError,
    Model,
    ModelFileError,
    SelectionError,
    Trace,
    UnsupportedLayerError,
)
from tests.conftest import (
    ORACLES,
    SAMPLES,
    Array,
    Json,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    sample_input,
    sequential,
    write_h5,
)

pytestmark = pytest.mark.usefixtures("parsed_here")

MODELS = sorted([*SAMPLES.rglob("*.keras"), *SAMPLES.rglob("*.h5")])


def replay(path: Path, inputs: Any, **options: Any) -> Trace:
    """The trace of a model file."""
    return lstm_inspect.trace(lstm_inspect.open_model(path), inputs, **options)


def replay_sample(name: str, **options: Any) -> Trace:
    """The trace of a sample model on its input."""
    return replay(SAMPLES / f"{name}.keras", sample_input(name), **options)


def close(received: Array, expected: Array) -> None:
    """Asserts that two arrays differ by rounding in float32 at most."""
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-6)


# --- against genuine Keras


def test_there_are_sample_models() -> None:
    assert MODELS


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.relative_to(SAMPLES).as_posix())
def test_every_state_is_the_one_that_keras_computes(path: Path) -> None:
    oracle = ORACLES / path.parent.relative_to(SAMPLES) / f"{path.stem}.npz"
    with np.load(oracle) as file:
        expected = {key: file[key] for key in file.files if key != "__keras__"}
    arrays = replay(path, sample_input(path.stem)).arrays()
    assert set(arrays) == set(expected)
    for key, array in expected.items():
        assert arrays[key].dtype == array.dtype
        close(arrays[key], array)


# --- the recorded signals


def test_h_and_c_are_recorded_unless_more_is_asked_for() -> None:
    assert list(replay_sample("one_unit_last_h")["lstm"].signals) == ["h", "c"]


def test_all_records_every_signal() -> None:
    lstm_trace = replay_sample("stacked", record="all")["lstm"]
    assert {name: array.shape for name, array in lstm_trace.signals.items()} == {
        **dict.fromkeys("hcifgo", (2, 10, 100)),
        "x": (2, 10, 7),
        "mask": (2, 10),
        "h0": (2, 100),
        "c0": (2, 100),
    }


def test_one_signal_may_be_asked_for_by_its_name_alone() -> None:
    assert list(replay_sample("one_unit_last_h", record="f")["lstm"].signals) == ["f"]


def test_signals_stand_in_one_order_however_asked_for() -> None:
    recorded = replay_sample("one_unit_last_h", record=["mask", "o", "c", "h"])["lstm"]
    assert list(recorded.signals) == ["h", "c", "o", "mask"]


def test_an_unknown_signal_is_refused_with_those_there_are() -> None:
    with pytest.raises(SelectionError, match=r"signal y: unknown; .* h, c, i, f, g, o,.* and all"):
        replay_sample("one_unit_last_h", record=["h", "y"])


def test_layers_stand_in_the_order_of_computation() -> None:
    assert list(replay_sample("encoder_decoder")) == ["encoder", "decoder"]


def test_x_is_what_the_layer_received() -> None:
    trace = replay_sample("stacked", record=["x", "h"])
    np.testing.assert_array_equal(trace["lstm"].x, sample_input("stacked"))
    np.testing.assert_array_equal(trace["lstm_1"].x, trace["lstm"].h)


def test_mask_is_all_true_if_nothing_is_masked() -> None:
    mask = replay_sample("stacked", record="mask")["lstm"].mask
    assert mask.dtype == bool
    assert mask.all()


def test_the_trace_says_which_file_was_replayed() -> None:
    path = SAMPLES / "keras-2.15" / "one_unit_last_h.h5"
    model = lstm_inspect.open_model(path)
    trace = lstm_inspect.trace(model, sample_input("one_unit_last_h"))
    assert trace.model["name"] == "one_unit_last_h.h5"
    assert trace.model["keras_version"] == "2.15.0"
    assert trace.model["sha256"] == model.source.sha256


def test_progress_is_told_of_each_layer_until_it_is_done() -> None:
    """The sample has 3 sequences, of 7 steps for the encoder and of 5 for the decoder."""
    told: list[tuple[str, int, int]] = []
    replay_sample("encoder_decoder", progress=lambda *steps: told.append(steps))
    assert [each for each in told if each[1] == each[2]] == [
        ("encoder", 21, 21),
        ("decoder", 15, 15),
    ]
    assert all(done <= steps for _, done, steps in told)


@pytest.mark.parametrize("name", ["stacked", "thirty_units_sequences_state"])
def test_recorded_gates_give_the_recorded_states(name: str) -> None:
    for recorded in replay_sample(name, record="all").values():
        before = np.concatenate([np.zeros_like(recorded.c[:, :1]), recorded.c[:, :-1]], axis=1)
        close(recorded.c, recorded.f * before + recorded.i * recorded.g)
        close(recorded.h, recorded.o * np.tanh(recorded.c))


def test_replaying_leaves_the_input_as_it_is() -> None:
    x = sample_input("bidirectional_masking")
    assert isinstance(x, np.ndarray)
    before = x.copy()
    replay(SAMPLES / "bidirectional_masking.keras", x, record="all")
    np.testing.assert_array_equal(x, before)


# --- the time index


def test_a_backward_layer_is_indexed_by_the_timestep_of_its_input(tmp_path: Path) -> None:
    weights = {"lstm": lstm_weights("lstm", 2, 3)}
    x = random(2, 5, 2)
    traces = [
        replay(
            write_h5(
                tmp_path / f"{backwards}.h5",
                sequential(input_layer("x", 5, 2), lstm("lstm", 3, go_backwards=backwards)),
                weights,
            ),
            x[:, ::-1] if backwards else x,
            record="all",
        )["lstm"]
        for backwards in (False, True)
    ]
    forward, backward = traces
    assert (forward.direction, backward.direction) == ("forward", "backward")
    for name, array in forward.signals.items():
        close(backward.signals[name][:, ::-1], array)


def test_the_last_state_of_a_backward_layer_is_at_index_0(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 4, 2),
        lstm("back", 3, "x", go_backwards=True, return_state=True),
        layer("RepeatVector", "repeat", "back", n=1),
        lstm("next", 3, ["repeat", ("back", 0, 1), ("back", 0, 2)]),
        inputs=["x"],
        outputs=["next"],
    )
    weights = {"back": lstm_weights("back", 2, 3), "next": lstm_weights("next", 3, 3)}
    path = write_h5(tmp_path / "model.h5", config, weights)
    trace = replay(path, random(2, 4, 2), record="all")
    np.testing.assert_array_equal(trace["next"].x[:, 0], trace["back"].h[:, 0])
    following = trace["next"]
    close(
        following.c[:, 0],
        following.f[:, 0] * trace["back"].c[:, 0] + (following.i * following.g)[:, 0],
    )


def test_a_backward_layer_hands_on_its_last_timestep_first(tmp_path: Path) -> None:
    config = sequential(
        input_layer("x", 4, 2),
        lstm("back", 3, go_backwards=True, return_sequences=True),
        lstm("next", 1),
    )
    weights = {"back": lstm_weights("back", 2, 3), "next": lstm_weights("next", 3, 1)}
    path = write_h5(tmp_path / "model.h5", config, weights)
    trace = replay(path, random(2, 4, 2), record=["h", "x"])
    np.testing.assert_array_equal(trace["next"].x, trace["back"].h[:, ::-1])


@pytest.mark.parametrize(
    ("units", "own"),
    [
        pytest.param(3, {}, id="turned round"),
        pytest.param(
            2,
            {"backward_layer": lstm("backward", 2, return_sequences=True, go_backwards=True)},
            id="of another width",
        ),
    ],
)
def test_a_bidirectional_hands_on_both_directions_by_timestep(
    units: int, own: dict[str, Json], tmp_path: Path
) -> None:
    config = sequential(
        input_layer("x", 4, 2),
        layer("Bidirectional", "bi", layer=lstm("lstm", 3, return_sequences=True), **own),
        lstm("next", 1),
    )
    weights = {
        "bi": {**lstm_weights("forward", 2, 3), **lstm_weights("backward", 2, units)},
        "next": lstm_weights("next", 3 + units, 1),
    }
    path = write_h5(tmp_path / "model.h5", config, weights)
    trace = replay(path, random(2, 4, 2), record=["h", "x"])
    both = np.concatenate([trace["bi/forward"].h, trace["bi/backward"].h], axis=-1)
    np.testing.assert_array_equal(trace["next"].x, both)


# --- masks, and state against output


class TestMaskedSteps:
    x = random(1, 5, 2)
    x[:, [0, 3]] = 0

    def two(self, path: Path, **config: Any) -> Trace:
        """Traces two LSTMs after a Masking; the second reads the output of the first."""
        model = functional(
            input_layer("x", 5, 2),
            input_layer("h0", 3),
            input_layer("c0", 3),
            layer("Masking", "masking", "x", mask_value=0.0),
            lstm("first", 3, ["masking", "h0", "c0"], return_sequences=True, **config),
            lstm("second", 1, "first"),
            inputs=["x", "h0", "c0"],
            outputs=["second"],
        )
        weights = {"first": lstm_weights("first", 2, 3), "second": lstm_weights("second", 3, 1)}
        inputs = {"x": self.x, "h0": random(1, 3), "c0": random(1, 3)}
        return replay(write_h5(path / "model.h5", model, weights), inputs, record="all")

    def test_the_mask_reaches_every_layer(self, tmp_path: Path) -> None:
        trace = self.two(tmp_path)
        expected = [[False, True, True, False, True]]
        assert trace["first"].mask.tolist() == expected
        assert trace["second"].mask.tolist() == expected

    def test_an_output_repeats_the_one_before(self, tmp_path: Path) -> None:
        trace = self.two(tmp_path)
        np.testing.assert_array_equal(trace["second"].x[:, 1:], trace["first"].h[:, 1:])
        np.testing.assert_array_equal(trace["second"].x[:, 3], trace["second"].x[:, 2])

    def test_an_output_is_0_before_the_first_unmasked_step(self, tmp_path: Path) -> None:
        trace = self.two(tmp_path)
        assert trace["second"].x[0, 0].tolist() == [0, 0, 0]
        assert trace["first"].h[0, 0].tolist() == random(1, 3)[0].tolist()

    def test_an_output_may_be_0_where_the_state_is_carried(self, tmp_path: Path) -> None:
        trace = self.two(tmp_path, zero_output_for_mask=True)
        assert trace["second"].x[0, 3].tolist() == [0, 0, 0]
        np.testing.assert_array_equal(trace["first"].h[:, 3], trace["first"].h[:, 2])

    def test_a_backward_layer_reads_the_mask_backwards(self) -> None:
        recorded = replay_sample("bidirectional_masking", record="all")["bidirectional/backward"]
        assert recorded.mask[0].tolist() == [True, True, True, True, False, False]
        assert (recorded.h[0, 4:] == 0).all()
        masked_gap = recorded.h[1, 3]
        np.testing.assert_array_equal(masked_gap, recorded.h[1, 4])


# --- which layers, which inputs


def test_a_glob_chooses_layers() -> None:
    assert list(replay_sample("bidirectional_masking", select=["*/back*"])) == [
        "bidirectional/backward"
    ]


def test_several_patterns_choose_what_any_of_them_matches() -> None:
    assert list(replay_sample("stacked", select=["lstm_1", "lstm*"])) == ["lstm", "lstm_1"]


def test_a_pattern_that_matches_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(SelectionError, match=r"layer gru\*: .*there are lstm, lstm_1"):
        replay_sample("stacked", select=["lstm", "gru*"])


def test_a_layer_alone_is_the_same_as_among_all() -> None:
    alone = replay_sample("stacked", select=["lstm_1"])
    np.testing.assert_array_equal(alone["lstm_1"].h, replay_sample("stacked")["lstm_1"].h)


def test_an_input_that_no_chosen_layer_needs_may_be_missing() -> None:
    inputs = sample_input("encoder_decoder")
    assert isinstance(inputs, dict)
    path = SAMPLES / "encoder_decoder.keras"
    alone = replay(path, inputs["encoder_input"], select=["encoder"])
    np.testing.assert_array_equal(alone["encoder"].h, replay(path, inputs)["encoder"].h)


def test_a_model_without_a_recurrent_layer_is_refused_with_what_it_has(tmp_path: Path) -> None:
    config = sequential(input_layer("x", 2), layer("Dense", "dense", units=1))
    path = write_h5(tmp_path / "model.h5", config, {"dense": {"dense/kernel:0": random(2, 1)}})
    with pytest.raises(SelectionError, match=r"no recurrent layer; it has dense \(Dense\)"):
        replay(path, random(1, 2))


# --- layers without a form


def blocked(path: Path, *, free: bool = True) -> Model:
    """A model whose ``behind`` reads the output of a Lambda, and whose ``free`` does not."""
    config = functional(
        input_layer("x", 3, 2),
        layer("Lambda", "code", "x"),
        lstm("behind", 1, "code", return_sequences=True),
        lstm("further", 1, "behind"),
        *([lstm("free", 1, "x")] if free else []),
        inputs=["x"],
        outputs=["further", *(["free"] if free else [])],
    )
    weights = {
        "behind": lstm_weights("behind", 2, 1),
        "further": lstm_weights("further", 1, 1),
        "free": lstm_weights("free", 2, 1),
    }
    return lstm_inspect.open_model(write_h5(path / "model.h5", config, weights))


def test_a_layer_without_a_form_stops_only_what_stands_behind_it(tmp_path: Path) -> None:
    trace = lstm_inspect.trace(blocked(tmp_path), random(1, 3, 2))
    assert list(trace) == ["free"]
    assert set(trace.untraced) == {"behind", "further"}
    assert all("code (Lambda)" in reason for reason in trace.untraced.values())


def test_untraced_names_only_what_was_asked_for(tmp_path: Path) -> None:
    trace = lstm_inspect.trace(blocked(tmp_path), random(1, 3, 2), select=["f*"])
    assert set(trace.untraced) == {"further"}


def test_a_trace_of_nothing_is_refused_with_what_stops_it(tmp_path: Path) -> None:
    model = blocked(tmp_path, free=False)
    with pytest.raises(UnsupportedLayerError) as refused:
        lstm_inspect.trace(model, random(1, 3, 2))
    assert str(refused.value).startswith("behind, further not traced: code (Lambda)")
    assert str(refused.value).count("code (Lambda)") == 1
    assert "\n" not in str(refused.value)


def test_an_activation_of_somebodys_own_stops_its_layer(tmp_path: Path) -> None:
    own = {"class_name": "function", "config": "mine", "registered_name": "pkg>mine"}
    config = sequential(input_layer("x", 3, 2), lstm("lstm", 1, activation=own))
    path = write_h5(tmp_path / "model.h5", config, {"lstm": lstm_weights("lstm", 2, 1)})
    with pytest.raises(UnsupportedLayerError, match=r"lstm .*activation .*pkg>mine"):
        replay(path, random(1, 3, 2))


# --- the model's version of Keras, its dtype and its states


@pytest.mark.parametrize(("keras_version", "expected"), [("2.15.0", 0.7), ("3.15.1", 1 / 6 + 0.5)])
def test_hard_sigmoid_is_that_of_the_keras_that_saved_the_model(
    keras_version: str, expected: float, tmp_path: Path
) -> None:
    config = sequential(
        input_layer("x", 1, 1), lstm("lstm", 1, recurrent_activation="hard_sigmoid")
    )
    weights = {"kernel:0": np.ones((1, 4)), "rec:0": np.ones((1, 4)), "bias:0": np.zeros(4)}
    path = write_h5(tmp_path / "model.h5", config, {"lstm": weights}, keras_version=keras_version)
    gate = replay(path, np.ones((1, 1, 1)), record="i")["lstm"].i
    close(gate, np.full((1, 1, 1), expected))


HALF: Json = {"class_name": "Policy", "config": {"name": "mixed_float16"}}


@pytest.mark.parametrize(
    ("dtype", "recorded"),
    [
        pytest.param("float64", "float64", id="float64"),
        pytest.param("float16", "float16", id="float16"),
        pytest.param("mixed_float16", "float16", id="policy-by-name"),
        pytest.param(HALF, "float16", id="policy"),
    ],
)
def test_signals_are_of_the_layers_compute_dtype(
    dtype: str | Json, recorded: str, tmp_path: Path
) -> None:
    config = sequential(input_layer("x", 3, 2), lstm("lstm", 2, dtype=dtype))
    path = write_h5(tmp_path / "model.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    signals = dict(replay(path, random(1, 3, 2), record="all")["lstm"].signals)
    assert signals.pop("mask").dtype == bool
    assert {array.dtype.name for array in signals.values()} == {recorded}


def test_float16_is_float32_rounded(tmp_path: Path) -> None:
    half, single = (
        replay(
            write_h5(
                tmp_path / f"{dtype}.h5",
                sequential(input_layer("x", 3, 2), lstm("lstm", 2, dtype=dtype)),
                {"lstm": lstm_weights("lstm", 2, 2)},
            ),
            random(1, 3, 2),
        )["lstm"]
        for dtype in ("float16", "float32")
    )
    # Weights and inputs are rounded too: allow some units in the last place of a float16 below 1.
    np.testing.assert_allclose(half.h, single.h, rtol=0, atol=4 * 2.0**-11)


def test_weights_are_rounded_to_the_compute_dtype_before_they_are_used(tmp_path: Path) -> None:
    config = sequential(
        input_layer("x", 1, 1),
        lstm("lstm", 1, dtype="mixed_float16", recurrent_activation="linear"),
    )
    # The nearest float16 of 1.00044 is 1, while that of 1.5 · 1.00044 is not 1.5.
    weights = {"kernel:0": np.full((1, 4), 1.00044), "rec:0": random(1, 4), "bias:0": np.zeros(4)}
    path = write_h5(tmp_path / "model.h5", config, {"lstm": weights})
    assert replay(path, np.full((1, 1, 1), 1.5), record="i")["lstm"].i.item() == 1.5


@pytest.mark.parametrize("dtype", ["int32", "float64", "float16", "bool"])
def test_an_input_of_any_numbers_is_cast_to_the_layers_dtype(dtype: str) -> None:
    path = SAMPLES / "one_unit_last_h.keras"
    x = np.array([[[1], [0], [1]]])
    np.testing.assert_array_equal(
        replay(path, x.astype(dtype))["lstm"].h, replay(path, x.astype("float32"))["lstm"].h
    )


def test_a_stateful_layer_starts_from_zero_every_time() -> None:
    stateless = replay_sample("eight_units_state").arrays()
    model = lstm_inspect.open_model(SAMPLES / "eight_units_stateful.keras")
    for _ in range(2):
        trace = lstm_inspect.trace(model, sample_input("eight_units_stateful"))
        for key, array in trace.arrays().items():
            np.testing.assert_array_equal(array, stateless[key])


def test_a_stateful_layer_starts_from_zero_in_every_block_of_one_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = lstm_inspect.open_model(SAMPLES / "eight_units_stateful.keras")
    x = sample_input("eight_units_stateful")
    whole = lstm_inspect.trace(model, x).arrays()
    monkeypatch.setattr("lstm_inspect.api.IN_MEMORY", 1)  # a block is one sample
    for key, array in lstm_inspect.trace(model, x).arrays().items():
        np.testing.assert_allclose(array, whole[key], atol=1e-6)


class TestInitialState:
    def model(self, path: Path) -> Model:
        """An LSTM of 2 units that starts from its inputs."""
        config = functional(
            input_layer("x", None, 2),
            input_layer("h0", None),
            input_layer("c0", None),
            lstm("lstm", 2, ["x", "h0", "c0"]),
            inputs=["x", "h0", "c0"],
            outputs=["lstm"],
        )
        weights = {"lstm": lstm_weights("lstm", 2, 2)}
        return lstm_inspect.open_model(write_h5(path / "model.h5", config, weights))

    def test_it_may_be_an_input(self, tmp_path: Path) -> None:
        inputs = {"x": random(1, 1, 2), "h0": random(1, 2), "c0": np.full((1, 2), 3.0)}
        recorded = lstm_inspect.trace(self.model(tmp_path), inputs, record="all")["lstm"]
        close(recorded.c, recorded.f * 3 + recorded.i * recorded.g)

    @pytest.mark.parametrize(
        ("name", "shape"), [("h", (1, 3)), ("c", (1, 1))], ids=["wide-h", "narrow-c"]
    )
    def test_one_of_another_width_is_refused(
        self, name: str, shape: tuple[int, int], tmp_path: Path
    ) -> None:
        inputs = {"x": random(1, 1, 2), "h0": random(1, 2), "c0": random(1, 2)}
        inputs[f"{name}0"] = random(*shape)
        with pytest.raises(InputError) as refused:
            lstm_inspect.trace(self.model(tmp_path), inputs)
        expected = f"layer lstm: expected an initial {name} of shape (1, 2), received {shape}"
        assert str(refused.value) == expected


# --- layers inside other layers


def test_the_calls_of_a_shared_layer_are_traced_each(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", None, 2),
        input_layer("y", None, 2),
        lstm("lstm", 2, "x", "y"),
        inputs=["x", "y"],
        outputs=[("lstm", 0, 0), ("lstm", 1, 0)],
    )
    path = write_h5(tmp_path / "model.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    x, y = random(2, 4, 2), random(2, 3, 2)
    trace = replay(path, {"x": x, "y": y})
    swapped = replay(path, {"x": y, "y": x})
    np.testing.assert_array_equal(trace["lstm"].h, swapped["lstm#2"].h)
    np.testing.assert_array_equal(trace["lstm#2"].h, swapped["lstm"].h)


def test_a_nested_model_is_traced_as_its_layers_alone_are(tmp_path: Path) -> None:
    weights = lstm_weights("inner", 2, 2)
    inner = sequential(input_layer("inner_x", 3, 2), lstm("inner", 2), name="enc")
    nested = functional(
        input_layer("x", 3, 2),
        {**inner, "name": "enc", "inbound_nodes": [[["x", 0, 0, {}]]]},
        inputs=["x"],
        outputs=[("enc", 1, 0)],
    )
    x = random(2, 3, 2)
    alone = replay(write_h5(tmp_path / "alone.h5", inner, {"inner": weights}), x)
    trace = replay(write_h5(tmp_path / "nested.h5", nested, {"enc": weights}), x)
    np.testing.assert_array_equal(trace["enc/inner"].h, alone["inner"].h)


def test_a_layer_whose_weights_are_not_those_of_its_config_is_refused(tmp_path: Path) -> None:
    config = sequential(
        input_layer("x", 3, 2), layer("Dense", "head", units=3, use_bias=False), lstm("lstm", 2)
    )
    weights = {"head": {"head/kernel:0": random(2, 5)}, "lstm": lstm_weights("lstm", 5, 2)}
    path = write_h5(tmp_path / "model.h5", config, weights)
    with pytest.raises(
        ModelFileError, match=r"head \(Dense\): expected \(1, 3, 3\) from its config"
    ):
        replay(path, random(1, 3, 2))
