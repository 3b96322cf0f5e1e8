"""States as recorded here, against those that genuine Keras layers give.

The oracle: one eager call of the model in memory shows what each of its recurrent layers is called
on. A copy of the layer, with the same weights, then reads that from the start as far as timestep t
and returns its state: (h_t, c_t), for every t, computed by Keras alone.
"""

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import lstm_inspect
from tests.keras_oracle import Array, Keras, KerasLayer, KerasModel, import_keras, padded

pytestmark = pytest.mark.keras

Build = Callable[[Keras], KerasModel]

TIMESTEPS = 5

# By how much a state between -1 and 1 may differ, about eight units in the last place; larger ones
# by as much more. In float16, where Keras rounds every intermediate result, one unit.
TOLERANCE = {"float16": 1e-3, "float32": 1e-6, "float64": 2e-15}


@pytest.fixture(scope="session")
def keras() -> Keras:
    return import_keras()


# --- the oracle


class Reference(NamedTuple):
    """A model with random weights, its inputs, and the states that genuine Keras layers give."""

    model: KerasModel
    inputs: list[Array]
    states: dict[str, Array]


class Called(NamedTuple):
    """What a recurrent layer was called on."""

    x: Array
    mask: Array | None
    initial_state: list[Array] | None


@functools.cache
def reference(build: Build) -> Reference:
    import keras

    keras.utils.clear_session()  # layers are numbered from the start again
    model = build(keras)
    generator = np.random.default_rng(2026)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.get_weights()]
        layer.set_weights([generator.uniform(-0.5, 0.5, shape) for shape in shapes])
    inputs = [padded(each, generator) for each in model.inputs]
    states: dict[str, Array] = {}
    recurrent = dict(recurrent_layers(keras, model))
    for layer, calls in calls_of(model, inputs, list(recurrent.values())).items():
        path = next(path for path, each in recurrent.items() if each is layer)
        for number, called in enumerate(calls, start=1):
            h, c = states_of(keras, layer, called)
            name = path.format("" if number == 1 else f"#{number}")
            states |= {f"{name}/h": h, f"{name}/c": c}
    return Reference(model, inputs, states)


def recurrent_layers(
    keras: Keras, model: KerasModel, prefix: str = ""
) -> Iterator[tuple[str, KerasLayer]]:
    """Each LSTM by its path, with {} where the number of a later call goes."""
    for layer in model.layers:
        path = f"{prefix}{layer.name}" + ("" if prefix else "{}")
        match layer:
            case keras.Model():
                yield from recurrent_layers(keras, layer, f"{path}/")
            case keras.layers.Bidirectional():
                yield f"{path}/forward", layer.forward_layer
                yield f"{path}/backward", layer.backward_layer
            case keras.layers.LSTM():
                yield path, layer


def calls_of(
    model: KerasModel, inputs: list[Array], layers: list[KerasLayer]
) -> dict[KerasLayer, list[Called]]:
    """Runs a model once and notes what each of the layers is called on."""
    noted: dict[KerasLayer, list[Called]] = {layer: [] for layer in layers}

    def watch(layer: KerasLayer) -> None:
        genuine = layer.call

        def call(x: Any, initial_state: Any = None, mask: Any = None, **rest: Any) -> Any:
            states = None if initial_state is None else [np.asarray(s) for s in initial_state]
            called = Called(np.asarray(x), None if mask is None else np.asarray(mask), states)
            noted[layer].append(called)
            return genuine(x, initial_state=initial_state, mask=mask, **rest)

        layer.call = call

    for layer in layers:
        watch(layer)
    model(inputs[0] if len(inputs) == 1 else inputs, training=False)
    return noted


def states_of(keras: Keras, layer: KerasLayer, called: Called) -> tuple[Array, Array]:
    """h_t and c_t for every t of the input, each from the layer's own final state."""
    config = layer.get_config() | {
        "return_sequences": False,
        "return_state": True,
        "stateful": False,
    }
    copy = keras.layers.LSTM.from_config(config)
    copy.build(called.x.shape)
    copy.set_weights(layer.get_weights())
    timesteps = called.x.shape[1]
    states = []
    for t in range(timesteps):
        read = slice(t, timesteps) if layer.go_backwards else slice(0, t + 1)
        mask = None if called.mask is None else called.mask[:, read]
        _, *state = copy(called.x[:, read], initial_state=called.initial_state, mask=mask)
        states.append([np.asarray(each) for each in state])
    h, c = (np.stack(each, axis=1) for each in zip(*states, strict=True))
    return h, c


def assert_agrees_with_keras(build: Build, path: Path) -> None:
    """Saves, traces and compares; ``path`` names the format by its suffix."""
    model, inputs, expected = reference(build)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # .h5 is called legacy
        model.save(path)
    opened = lstm_inspect.open_model(path)
    names = [each.name for each in opened.inputs]
    trace = lstm_inspect.trace(opened, dict(zip(names, inputs, strict=True)))
    recorded = trace.arrays()
    assert not trace.untraced
    assert recorded.keys() == expected.keys()
    for key, array in recorded.items():
        assert array.dtype == expected[key].dtype
        tolerance = TOLERANCE[str(array.dtype)] * max(1, np.abs(expected[key]).max())
        np.testing.assert_allclose(array, expected[key], rtol=0, atol=tolerance, err_msg=key)


formats = pytest.mark.parametrize("suffix", [".keras", ".h5"])


# --- one LSTM, every way


@dataclass(frozen=True)
class Lstm:
    """A model of one LSTM, perhaps behind a Masking."""

    config: tuple[tuple[str, Any], ...]
    masked: bool = False
    shape: tuple[int | None, ...] = (TIMESTEPS, 3)
    dtype: str = "float32"

    def __call__(self, keras: Keras) -> KerasModel:
        x = inputs = keras.Input(self.shape, dtype=self.dtype)
        if self.masked:
            x = keras.layers.Masking(dtype=self.dtype)(x)
        outputs = keras.layers.LSTM(**({"units": 4, "dtype": self.dtype} | dict(self.config)))(x)
        return keras.Model(inputs, outputs)


def one_lstm(masked: bool = False, **config: Any) -> Lstm:
    return Lstm(tuple(config.items()), masked)


@formats
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    ("return_sequences", "return_state"), [*itertools.product([False, True], repeat=2)]
)
def test_states_of_an_lstm_in_every_mode(
    keras: Keras,
    tmp_path: Path,
    suffix: str,
    masked: bool,
    go_backwards: bool,
    use_bias: bool,
    return_sequences: bool,
    return_state: bool,
) -> None:
    build = one_lstm(
        masked=masked,
        go_backwards=go_backwards,
        use_bias=use_bias,
        return_sequences=return_sequences,
        return_state=return_state,
    )
    assert_agrees_with_keras(build, tmp_path / f"model{suffix}")


ACTIVATIONS = (
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu"),
    *("hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish"),
    *("relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus"),
    *("softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh"),
    "tanh_shrink",
)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("role", ["activation", "recurrent_activation"])
def test_states_under_each_activation(keras: Keras, tmp_path: Path, role: str, name: str) -> None:
    """Of two timesteps: a third exponential of an exponential would be all rounding error."""
    build = Lstm(((role, name),), shape=(2, 3))
    assert_agrees_with_keras(build, tmp_path / "model.keras")


def test_every_activation_that_keras_can_name_in_a_layer_is_compared(keras: Keras) -> None:
    public = {name for name in dir(keras.activations) if not name.startswith("_")}
    # glu halves the width, and threshold wants arguments: no layer can have them by name.
    assert public - {"get", "serialize", "deserialize", "glu", "threshold"} == set(ACTIVATIONS)


EDGES: dict[str, Lstm] = {
    "one unit": one_lstm(units=1),
    "one timestep": Lstm((), shape=(1, 3)),
    "one feature": Lstm((), shape=(TIMESTEPS, 1)),
    "one of each": Lstm((("units", 1),), shape=(1, 1)),
    "timesteps left open": Lstm((), shape=(None, 3)),
    "unroll": one_lstm(unroll=True),
    "unroll, masked, backwards": one_lstm(masked=True, unroll=True, go_backwards=True),
    "dropout is off at inference": one_lstm(dropout=0.5, recurrent_dropout=0.5),
    "hard_sigmoid gates, masked": one_lstm(masked=True, recurrent_activation="hard_sigmoid"),
    "zero_output_for_mask": one_lstm(masked=True, return_sequences=True, zero_output_for_mask=True),
    "float64": Lstm((), dtype="float64"),
    "float64, masked": Lstm((), dtype="float64", masked=True),
    "float16": Lstm((), dtype="float16"),
    "mixed_float16": one_lstm(dtype="mixed_float16"),
}


@formats
@pytest.mark.parametrize("edge", EDGES)
def test_states_at_the_edges(keras: Keras, tmp_path: Path, edge: str, suffix: str) -> None:
    assert_agrees_with_keras(EDGES[edge], tmp_path / f"model{suffix}")


# --- whole models; each is named for what it holds

MODELS: list[Build] = []


def whole_model(build: Build) -> Build:
    MODELS.append(build)
    return build


def sequences(keras: Keras, features: int = 3, **config: Any) -> Any:
    return keras.Input((TIMESTEPS, features), **config)


def lstm(keras: Keras, units: int = 4, **config: Any) -> KerasLayer:
    return keras.layers.LSTM(units, return_sequences=True, **config)


@whole_model
def sequential_stack(keras: Keras) -> KerasModel:
    layers = [keras.layers.LSTM(2), keras.layers.Dense(1)]
    return keras.Sequential([sequences(keras), lstm(keras), lstm(keras, 5), *layers])


@whole_model
def sequential_without_an_input_layer(keras: Keras) -> KerasModel:
    model = keras.Sequential([lstm(keras), keras.layers.LSTM(2)])
    model.build((None, TIMESTEPS, 3))
    return model


@whole_model
def layers_made_in_another_order_than_called(keras: Keras) -> KerasModel:
    second, first = lstm(keras, name="a"), lstm(keras, name="b")
    x = sequences(keras)
    return keras.Model(x, second(first(x)))


@whole_model
def two_branches_in_one_order_and_their_outputs_in_the_other(keras: Keras) -> KerasModel:
    x = sequences(keras)
    left, right = lstm(keras, name="left")(x), lstm(keras, name="right")(x)
    return keras.Model(x, [right, keras.layers.LSTM(2)(left)])


@whole_model
def a_bidirectional_in_half_precision_around_layers_in_single(keras: Keras) -> KerasModel:
    x = sequences(keras)
    both = keras.layers.Bidirectional(lstm(keras, dtype="float32"), dtype="mixed_float16")
    return keras.Model(x, keras.layers.LSTM(2)(both(keras.layers.Masking()(x))))


@whole_model
def stateful(keras: Keras) -> KerasModel:
    x = keras.Input(batch_shape=(5, TIMESTEPS, 3))
    return keras.Model(x, keras.layers.LSTM(4, stateful=True)(x))


@whole_model
def masking_before_a_stack(keras: Keras) -> KerasModel:
    x = sequences(keras)
    return keras.Model(x, lstm(keras)(lstm(keras)(keras.layers.Masking()(x))))


@whole_model
def masking_by_a_value_of_its_own(keras: Keras) -> KerasModel:
    x = sequences(keras)
    shifted = keras.layers.Dense(3, use_bias=False)(x)
    return keras.Model(x, lstm(keras)(keras.layers.Masking(mask_value=0.0)(shifted)))


@whole_model
def sequential_with_masking(keras: Keras) -> KerasModel:
    return keras.Sequential([sequences(keras), keras.layers.Masking(), keras.layers.LSTM(4)])


@whole_model
def zero_output_for_mask_is_what_the_next_layer_reads(keras: Keras) -> KerasModel:
    masked = keras.layers.Masking()(x := sequences(keras))
    return keras.Model(x, lstm(keras)(lstm(keras, zero_output_for_mask=True)(masked)))


@whole_model
def embedding_and_dropout(keras: Keras) -> KerasModel:
    tokens = keras.Input((TIMESTEPS,), dtype="int32")
    embedded = keras.layers.Embedding(6, 3, mask_zero=True)(tokens)
    return keras.Model(tokens, keras.layers.LSTM(4)(keras.layers.Dropout(0.5)(embedded)))


@whole_model
def sequential_with_embedding_without_a_mask(keras: Keras) -> KerasModel:
    tokens = keras.Input((TIMESTEPS,), dtype="int32")
    return keras.Sequential([tokens, keras.layers.Embedding(6, 3), keras.layers.LSTM(4)])


# --- states wired from elsewhere


@whole_model
def encoder_and_decoder(keras: Keras) -> KerasModel:
    source, target = sequences(keras, name="source"), sequences(keras, 2, name="target")
    _, *states = keras.layers.LSTM(4, return_state=True)(source)
    decoded = lstm(keras, name="decoder")(target, initial_state=states)
    return keras.Model([source, target], keras.layers.Dense(2, activation="softmax")(decoded))


@whole_model
def masked_encoder_and_decoder(keras: Keras) -> KerasModel:
    source, target = (keras.Input((None,), dtype="int32", name=name) for name in "xy")
    embedding = keras.layers.Embedding(6, 3, mask_zero=True)
    _, *states = keras.layers.LSTM(4, return_state=True)(embedding(source))
    return keras.Model(
        [source, target], lstm(keras)(lstm(keras)(embedding(target), initial_state=states))
    )


@whole_model
def initial_states_as_inputs(keras: Keras) -> KerasModel:
    states = [keras.Input((4,), name=name) for name in ("h0", "c0")]
    x = sequences(keras)
    return keras.Model([x, *states], lstm(keras)(x, initial_state=states))


@whole_model
def initial_states_before_a_masked_step_are_not_what_the_next_layer_reads(
    keras: Keras,
) -> KerasModel:
    states = [keras.Input((4,), name=name) for name in ("h0", "c0")]
    masked = keras.layers.Masking()(x := sequences(keras))
    return keras.Model([x, *states], lstm(keras)(lstm(keras)(masked, initial_state=states)))


@whole_model
def a_mask_given_by_hand(keras: Keras) -> KerasModel:
    x, mask = sequences(keras, name="x"), keras.Input((TIMESTEPS,), dtype="bool", name="mask")
    return keras.Model([x, mask], lstm(keras)(lstm(keras)(x, mask=mask)))


@whole_model
def states_read_by_another_layer(keras: Keras) -> KerasModel:
    x = sequences(keras)
    _, h, c = keras.layers.LSTM(4, return_state=True)(x)
    joined = keras.layers.Concatenate()([h, c])
    return keras.Model(x, lstm(keras)(keras.layers.RepeatVector(3)(joined)))


# --- Bidirectional


@dataclass(frozen=True)
class Bidirectional:
    """A masked Bidirectional, and an LSTM which reads what it gives."""

    merge_mode: str | None
    return_sequences: bool = True

    def __call__(self, keras: Keras) -> KerasModel:
        x = sequences(keras)
        each = keras.layers.LSTM(4, return_sequences=self.return_sequences)
        wrapped = keras.layers.Bidirectional(each, merge_mode=self.merge_mode)
        merged = wrapped(keras.layers.Masking()(x))
        if self.merge_mode is None:
            merged = keras.layers.Subtract()(merged)
        if not self.return_sequences:
            merged = keras.layers.RepeatVector(3)(merged)
        return keras.Model(x, keras.layers.LSTM(2)(merged))


@formats
@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul", None])
def test_states_in_and_behind_a_bidirectional(
    keras: Keras, tmp_path: Path, merge_mode: str | None, return_sequences: bool, suffix: str
) -> None:
    build = Bidirectional(merge_mode, return_sequences)
    assert_agrees_with_keras(build, tmp_path / f"model{suffix}")


@whole_model
def bidirectional_stack(keras: Keras) -> KerasModel:
    wrapped = [keras.layers.Bidirectional(lstm(keras, units)) for units in (4, 2)]
    return keras.Sequential([sequences(keras), *wrapped])


@whole_model
def bidirectional_with_a_backward_layer_of_its_own(keras: Keras) -> KerasModel:
    x = sequences(keras)
    other = lstm(keras, 2, go_backwards=True, activation="relu", use_bias=False, name="other")
    return keras.Model(x, keras.layers.Bidirectional(lstm(keras), backward_layer=other)(x))


@whole_model
def bidirectional_encoder_and_decoder(keras: Keras) -> KerasModel:
    source, target = sequences(keras, name="source"), sequences(keras, 2, name="target")
    encoder = keras.layers.Bidirectional(keras.layers.LSTM(4, return_state=True))
    _, *states = encoder(keras.layers.Masking()(source))
    decoded = keras.layers.Bidirectional(lstm(keras))(target, initial_state=states)
    return keras.Model([source, target], decoded)


@whole_model
def bidirectional_states_joined(keras: Keras) -> KerasModel:
    source, target = sequences(keras, name="source"), sequences(keras, 2, name="target")
    _, h, c, back_h, back_c = keras.layers.Bidirectional(
        keras.layers.LSTM(4, return_state=True), merge_mode="sum"
    )(source)
    join = keras.layers.Concatenate
    states = [join()([h, back_h]), join()([c, back_c])]
    return keras.Model([source, target], lstm(keras, 8)(target, initial_state=states))


# --- models in models, and what is called more than once


@whole_model
def functional_in_sequential(keras: Keras) -> KerasModel:
    inner = keras.Model(x := sequences(keras), lstm(keras, name="inside")(x), name="inner")
    return keras.Sequential([sequences(keras), inner, keras.layers.LSTM(2)])


@whole_model
def sequential_in_functional(keras: Keras) -> KerasModel:
    inner = keras.Sequential(
        [sequences(keras), keras.layers.Masking(), lstm(keras), keras.layers.Dense(3)],
        name="inner",
    )
    x = sequences(keras)
    return keras.Model(x, lstm(keras, name="outside")(inner(x)))


@whole_model
def nested_twice(keras: Keras) -> KerasModel:
    inner = keras.Sequential([sequences(keras), lstm(keras, 3, name="deep")], name="inner")
    middle = keras.Sequential([sequences(keras), inner, lstm(keras, name="half")], name="middle")
    x = sequences(keras)
    return keras.Model(x, middle(x))


@whole_model
def nested_bidirectional(keras: Keras) -> KerasModel:
    inner = keras.Sequential([sequences(keras), keras.layers.Bidirectional(lstm(keras))])
    return keras.Model(x := sequences(keras), inner(x))


@whole_model
def nested_model_of_the_same_name_as_its_layer(keras: Keras) -> KerasModel:
    layers = [keras.layers.Dense(3, name="head"), lstm(keras, name="encoder")]
    inner = keras.Sequential([sequences(keras), *layers], name="encoder")
    return keras.Model(x := sequences(keras), inner(x))


@whole_model
def nested_layers_of_the_same_name_as_those_outside(keras: Keras) -> KerasModel:
    inner = keras.Sequential([sequences(keras), lstm(keras, name="lstm")], name="inner")
    return keras.Model(x := sequences(keras), lstm(keras, name="lstm")(inner(x)))


@whole_model
def nested_encoder_that_gives_states(keras: Keras) -> KerasModel:
    x = sequences(keras)
    encoder = keras.Model(x, keras.layers.LSTM(4, return_state=True)(x)[1:], name="encoder")
    source, target = sequences(keras, name="source"), sequences(keras, 2, name="target")
    decoded = lstm(keras, name="decoder")(target, initial_state=encoder(source))
    return keras.Model([source, target], decoded)


@whole_model
def siamese_layer(keras: Keras) -> KerasModel:
    left, right = sequences(keras, name="left"), sequences(keras, name="right")
    shared = keras.layers.LSTM(4, name="shared")
    return keras.Model([left, right], keras.layers.Subtract()([shared(left), shared(right)]))


@whole_model
def siamese_model(keras: Keras) -> KerasModel:
    left, right = sequences(keras, name="left"), sequences(keras, name="right")
    shared = keras.Sequential([sequences(keras), keras.layers.LSTM(4, name="lstm")], name="shared")
    return keras.Model([left, right], keras.layers.Subtract()([shared(left), shared(right)]))


@whole_model
def a_layer_that_reads_its_own_output(keras: Keras) -> KerasModel:
    again = lstm(keras, 3, name="again")
    return keras.Model(x := sequences(keras), again(again(x)))


@whole_model
def unrolled_bidirectional_behind_a_mask(keras: Keras) -> KerasModel:
    k = keras.layers
    both = k.Bidirectional(k.LSTM(3, unroll=True, return_sequences=True))
    return keras.Sequential([sequences(keras), k.Masking(), both, k.LSTM(2)])


@whole_model
def nested_model_with_a_dict_of_outputs(keras: Keras) -> KerasModel:
    k = keras.layers
    x = sequences(keras, 3)
    outputs = {"second": lstm(keras, 3)(x), "first": k.Dense(3)(x)}
    outputs = keras.Model(x, outputs)(x := sequences(keras, 3))
    return keras.Model(x, k.LSTM(2)(k.Concatenate()([outputs["second"], outputs["first"]])))


# --- other layers in front


@whole_model
def dense_reshape_permute_and_flatten(keras: Keras) -> KerasModel:
    k = keras.layers
    front = [k.Dense(4, activation="relu"), k.Permute((2, 1)), k.Flatten(), k.Reshape((-1, 2))]
    return keras.Sequential([sequences(keras), *front, k.LSTM(4)])


@whole_model
def last_h_repeated(keras: Keras) -> KerasModel:
    layers = [keras.layers.LSTM(4), keras.layers.RepeatVector(3), keras.layers.LSTM(2)]
    return keras.Sequential([sequences(keras), *layers])


@whole_model
def inputs_joined_and_added(keras: Keras) -> KerasModel:
    a, b = sequences(keras, name="a"), sequences(keras, name="b")
    k = keras.layers
    merged = k.Concatenate()([k.Add()([a, b]), k.Multiply()([a, b]), k.Average()([a, b])])
    return keras.Model([a, b], k.LSTM(4)(merged))


@whole_model
def masks_joined(keras: Keras) -> KerasModel:
    a, b = sequences(keras, name="a"), sequences(keras, name="b")
    k = keras.layers
    masked = k.Masking()(a)
    joined = [k.Concatenate()([masked, b]), k.Concatenate()([masked, k.Masking()(b)])]
    added = k.Add()([masked, k.Masking()(b)])
    where_one_counts = [
        merge(pair)
        for merge in (k.Multiply(), k.Maximum(), k.Minimum())
        for pair in ([masked, b], [b, masked], [masked, k.Masking()(b)])
    ]
    return keras.Model([a, b], [k.LSTM(4)(each) for each in (*joined, added, *where_one_counts)])


@whole_model
def sequences_joined_end_to_end_with_their_masks(keras: Keras) -> KerasModel:
    a, b = sequences(keras, name="a"), sequences(keras, name="b")
    k = keras.layers
    joined = k.Concatenate(axis=1)([k.Masking()(a), k.Masking()(b)])
    return keras.Model([a, b], k.LSTM(4)(joined))


@whole_model
def a_residual_around_each_lstm(keras: Keras) -> KerasModel:
    x = inputs = sequences(keras, 4)
    for _ in range(2):
        x = keras.layers.Add()([x, lstm(keras)(x)])
    return keras.Model(inputs, x)


@whole_model
def activation_layer_behind_a_mask(keras: Keras) -> KerasModel:
    masked = keras.layers.Masking()(x := sequences(keras))
    return keras.Model(x, lstm(keras)(keras.layers.Activation("softmax")(masked)))


@formats
@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_states_of_a_model(keras: Keras, tmp_path: Path, build: Build, suffix: str) -> None:
    assert_agrees_with_keras(build, tmp_path / f"model{suffix}")
