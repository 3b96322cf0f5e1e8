import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import lstm_inspect
from lstm_inspect import LayerTrace, Model
from lstm_inspect.cells import ACTIVATIONS
from tests.conftest import (
    Array,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    write_h5,
)


def open_lstm(
    path: Path,
    weights: Sequence[Any],
    *,
    masked: bool = False,
    **config: Any,
) -> Model:
    """A model of one LSTM that reads x and starts from the inputs h0 and c0.

    Args:
        path: The folder to write it to.
        weights: kernel, recurrent_kernel, bias.
        masked: Whether steps of x whose features are all 0 are masked.
        config: Options of the LSTM.
    """
    kernel, recurrent_kernel, bias = (np.asarray(each, "float32") for each in weights)
    units = len(recurrent_kernel)
    sequence = "masking" if masked else "x"
    model = functional(
        input_layer("x", None, len(kernel)),
        input_layer("h0", units),
        input_layer("c0", units),
        *([layer("Masking", "masking", "x", mask_value=0.0)] if masked else []),
        lstm("lstm", units, [sequence, "h0", "c0"], **config),
        inputs=["x", "h0", "c0"],
        outputs=["lstm"],
    )
    stored = {"kernel:0": kernel, "recurrent_kernel:0": recurrent_kernel, "bias:0": bias}
    return lstm_inspect.open_model(write_h5(path / "model.h5", model, {"lstm": stored}))


def replay(model: Model, x: Any, h0: Any, c0: Any, engine: str) -> LayerTrace:
    """Replays the model and records every signal of its LSTM."""
    inputs = {"x": np.asarray(x), "h0": np.asarray(h0), "c0": np.asarray(c0)}
    return lstm_inspect.trace(model, inputs, record="all", engine=engine)["lstm"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """An LSTM with random weights, 3 features and 2 units, after a Masking."""
    weights = list(lstm_weights("lstm", 3, 2).values())
    return open_lstm(tmp_path_factory.mktemp("lstm"), weights, masked=True)


def test_a_step_computed_by_hand(tmp_path: Path, engine: str) -> None:
    # Gates that come out even: i = sigmoid(ln 3) = 3/4, f = sigmoid(-ln 3) = 1/4,
    # g = tanh(ln 2) = 3/5, o = sigmoid(ln 4) = 4/5.
    z = np.array([1.0986122886681098, -1.0986122886681098, 0.6931471805599453, 1.3862943611198906])
    # x = 2, h0 = 0.5 and the bias bring a half, a quarter and a quarter of z.
    step = open_lstm(tmp_path, [[z / 4], [z / 2], z / 4])
    lstm_trace = replay(step, x=[[[2.0]]], h0=[[0.5]], c0=[[2.0]], engine=engine)
    expected = {
        "i": 0.75,
        "f": 0.25,
        "g": 0.6,
        "o": 0.8,
        "c": 0.95,  # 0.25 · 2 + 0.75 · 0.6
        "h": 0.5918264410192034,  # 0.8 · tanh(0.95)
    }
    for name, value in expected.items():
        np.testing.assert_allclose(lstm_trace.signals[name], [[[value]]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("source", ["kernel", "recurrent_kernel", "bias"])
def test_the_blocks_of_the_weights_are_i_f_g_o(source: str, tmp_path: Path, engine: str) -> None:
    blocks = np.repeat([0.1, 0.2, 0.3, 0.4], 3)
    weights = {
        "kernel": np.zeros((1, 12)),
        "recurrent_kernel": np.zeros((3, 12)),
        "bias": np.zeros(12),
    }
    weights[source][...] = blocks
    ones_met = {"kernel": 1, "recurrent_kernel": 3, "bias": 1}[source]
    step = open_lstm(
        tmp_path,
        list(weights.values()),
        activation="linear",
        recurrent_activation="linear",
    )
    lstm_trace = replay(
        step, x=[[[1.0]]], h0=[[1.0, 1.0, 1.0]], c0=[[0.0, 0.0, 0.0]], engine=engine
    )
    for name, value in {"i": 0.1, "f": 0.2, "g": 0.3, "o": 0.4}.items():
        expected = np.full((1, 1, 3), ones_met * value)
        np.testing.assert_allclose(lstm_trace.signals[name], expected, rtol=0, atol=1e-6)


def test_each_unit_has_its_own_weights(tmp_path: Path, engine: str) -> None:
    bias = np.arange(8)
    step = open_lstm(
        tmp_path, [np.zeros((1, 8)), np.zeros((2, 8)), bias], recurrent_activation="linear"
    )
    lstm_trace = replay(step, x=[[[1.0]]], h0=[[0.0, 0.0]], c0=[[0.0, 0.0]], engine=engine)
    assert lstm_trace.i.tolist() == [[[0, 1]]]
    assert lstm_trace.f.tolist() == [[[2, 3]]]
    assert lstm_trace.o.tolist() == [[[6, 7]]]


def test_the_activation_serves_the_candidate_and_the_way_to_h(tmp_path: Path, engine: str) -> None:
    one = open_lstm(
        tmp_path,
        [[[0.0] * 4], [[0.0] * 4], [1.0, 1.0, 3.0, 0.5]],
        activation="relu",
        recurrent_activation="linear",
    )
    lstm_trace = replay(one, x=[[[1.0]]], h0=[[0.0]], c0=[[-1.0]], engine=engine)
    assert lstm_trace.g.item() == 3.0
    assert lstm_trace.c.item() == 2.0
    assert lstm_trace.h.item() == 1.0
    assert replay(one, x=[[[1.0]]], h0=[[0.0]], c0=[[-9.0]], engine=engine).h.item() == 0.0


SPLIT = 6
STEPS = arrays.arrays(
    np.float32, (2, SPLIT, 3), elements=st.floats(-3, 3, width=32, allow_subnormal=False)
)
STATE = arrays.arrays(
    np.float32, (2, 2), elements=st.floats(-1, 1, width=32, allow_subnormal=False)
)


@given(x=STEPS, h0=STATE, c0=STATE, first=st.integers(1, SPLIT - 1))
def test_a_sequence_may_be_run_in_two_parts(
    model: Model, x: Array, h0: Array, c0: Array, first: int, engine: str
) -> None:
    whole = replay(model, x, h0, c0, engine=engine)
    start = replay(model, x[:, :first], h0, c0, engine=engine)
    rest = replay(model, x[:, first:], start.h[:, -1], start.c[:, -1], engine=engine)
    for name in ("h", "c", "i", "f", "g", "o", "mask"):
        parts = np.concatenate([start.signals[name], rest.signals[name]], axis=1)
        np.testing.assert_allclose(parts, whole.signals[name], rtol=0, atol=1e-6)


class TestMaskedStep:
    x = random(2, 4, 3)
    x[0, 2] = 0
    h0, c0 = random(2, 2), -random(2, 2)

    def test_it_carries_the_state_over(self, model: Model, engine: str) -> None:
        lstm_trace = replay(model, self.x, self.h0, self.c0, engine=engine)
        assert lstm_trace.mask.tolist() == [[True, True, False, True], [True] * 4]
        for state in (lstm_trace.h, lstm_trace.c):
            np.testing.assert_array_equal(state[0, 2], state[0, 1])
            assert (state[1, 2] != state[1, 1]).all()

    def test_it_carries_the_initial_state_over_if_it_is_the_first(
        self, model: Model, engine: str
    ) -> None:
        lstm_trace = replay(model, np.zeros((2, 1, 3)), self.h0, self.c0, engine=engine)
        np.testing.assert_array_equal(lstm_trace.h[:, 0], self.h0)
        np.testing.assert_array_equal(lstm_trace.c[:, 0], self.c0)

    def test_its_gates_are_those_computed(self, model: Model, tmp_path: Path, engine: str) -> None:
        unmasked = open_lstm(tmp_path, list(lstm_weights("lstm", 3, 2).values()))
        lstm_trace = replay(model, self.x, self.h0, self.c0, engine=engine)
        alone = replay(
            unmasked, self.x[:, 2:3], lstm_trace.h[:, 1], lstm_trace.c[:, 1], engine=engine
        )
        for gate in ("i", "f", "g", "o"):
            np.testing.assert_allclose(
                lstm_trace.signals[gate][:, 2], alone.signals[gate][:, 0], rtol=0, atol=1e-6
            )


@pytest.mark.parametrize("steps_a_block", [1, 3, 7])
def test_a_long_sequence_in_several_blocks_is_the_same_as_in_one(
    steps_a_block: int, model: Model, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    x, h0, c0 = random(2, 7, 3), random(2, 2), -random(2, 2)
    expected = replay(model, x, h0, c0, engine=engine)
    step_bytes = 2 * 8 * 4  # batch · 4 · units · float32
    monkeypatch.setattr(
        f"lstm_inspect.engines.{engine}_engine._BLOCK_BYTES", steps_a_block * step_bytes
    )
    lstm_trace = replay(model, x, h0, c0, engine=engine)
    for name, array in lstm_trace.signals.items():
        np.testing.assert_allclose(array, expected.signals[name], rtol=0, atol=1e-6)


POINTS = (-7.0, -2.0, -0.7, -0.25, 0.0, 0.25, 0.7, 2.0, 7.0)


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _softplus(z: float) -> float:
    return math.log1p(math.exp(z))


def _elu(z: float) -> float:
    return z if z > 0 else math.exp(z) - 1


def _clipped(z: float, low: float, high: float) -> float:
    return min(max(z, low), high)


def _soft_shrink(z: float) -> float:
    return z - math.copysign(0.5, z) if abs(z) > 0.5 else 0.0


def _sparse_plus(z: float) -> float:
    if z <= -1:
        return 0.0
    return (z + 1) ** 2 / 4 if z < 1 else z


def _silu(z: float) -> float:
    return z * _sigmoid(z)


def _hard_silu(z: float) -> float:
    return z * _clipped(z / 6 + 0.5, 0, 1)


ELEMENTWISE: dict[str, Callable[[float], float]] = {
    "celu": _elu,
    "elu": _elu,
    "exponential": math.exp,
    "gelu": lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2,
    "hard_shrink": lambda z: z if abs(z) > 0.5 else 0.0,
    "hard_sigmoid": lambda z: _clipped(z / 6 + 0.5, 0, 1),
    "hard_sigmoid_0.2": lambda z: _clipped(0.2 * z + 0.5, 0, 1),
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "hard_tanh": lambda z: _clipped(z, -1, 1),
    "leaky_relu": lambda z: z if z > 0 else 0.2 * z,
    "linear": lambda z: z,
    "log_sigmoid": lambda z: -_softplus(-z),
    "mish": lambda z: z * math.tanh(_softplus(z)),
    "relu": lambda z: max(z, 0.0),
    "relu6": lambda z: _clipped(z, 0, 6),
    "selu": lambda z: 1.05070098 * (z if z > 0 else 1.67326324 * (math.exp(z) - 1)),
    "sigmoid": _sigmoid,
    "silu": _silu,
    "soft_shrink": _soft_shrink,
    "softplus": _softplus,
    "softsign": lambda z: z / (1 + abs(z)),
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": lambda z: _clipped((z + 1) / 2, 0, 1),
    "squareplus": lambda z: (z + math.hypot(z, 2)) / 2,
    "swish": _silu,
    "tanh": math.tanh,
    "tanh_shrink": lambda z: z - math.tanh(z),
}
# Of [0, ln 2, ln 5], where exp gives 1, 2 and 5. The sparsemax of [0, 0.5, 1] worked out by hand,
# with Keras's threshold of (1 + 1.5 - 1) / 2; the paper's would be (1.5 - 1) / 2.
OVER_UNITS = {
    "softmax": ([0, math.log(2), math.log(5)], [1 / 8, 2 / 8, 5 / 8]),
    "log_softmax": (
        [0, math.log(2), math.log(5)],
        [-math.log(8), math.log(2 / 8), math.log(5 / 8)],
    ),
    "sparsemax": ([0, 0.5, 1], [0, 0, 0.25]),
}


def test_every_activation_is_tested_here() -> None:
    assert set(ACTIVATIONS) == {*ELEMENTWISE, *OVER_UNITS}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_activation_is_the_one_that_keras_defines(name: str, dtype: str) -> None:
    z = np.array([POINTS], dtype)
    ACTIVATIONS[name](z)
    expected = np.array([[ELEMENTWISE[name](point) for point in POINTS]])
    assert z.dtype == dtype
    # Beside 7 and e⁷ only rounding in float32 is left, relative to the value.
    np.testing.assert_allclose(z, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", OVER_UNITS)
def test_an_activation_over_all_units_looks_at_the_last_axis_alone(name: str) -> None:
    given, expected = OVER_UNITS[name]
    z = np.array([[given, given[::-1]]], "float32")
    ACTIVATIONS[name](z)
    np.testing.assert_allclose(z, [[expected, expected[::-1]]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_stays_finite_far_out(name: str) -> None:
    z = np.array([[-1000, 0, 80]], "float32")
    ACTIVATIONS[name](z)
    assert np.isfinite(z).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_writes_into_a_part_of_a_larger_array(name: str) -> None:
    whole = np.full((2, 3, 4), 0.5, "float32")
    alone = np.full((2, 4), 0.5, "float32")
    ACTIVATIONS[name](alone)
    ACTIVATIONS[name](whole[:, 1])
    np.testing.assert_array_equal(whole[:, 1], alone)
    assert (whole[:, ::2] == 0.5).all()
