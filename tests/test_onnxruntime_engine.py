import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_inspect import cells
from lstm_inspect.cells import ACTIVATIONS, CELLS, Cell, Convolution
from lstm_inspect.engines import Computed, Wanted, Work, numpy_engine, onnxruntime_engine
from lstm_inspect.engines.onnxruntime_engine import why_not
from tests.conftest import Array

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TOLERANCES = {"float32": 2e-6, "float64": 1e-14}
"""For signals of about 1, after some timesteps."""


class Cells:
    """Makes cells with random weights, and what to run them on."""

    def __init__(self, dtype: str = "float32", features: int = 3, units: int = 5) -> None:
        self.dtype, self.features, self.units = dtype, features, units
        self._random = np.random.default_rng(1)

    def array(self, *shape: int) -> Array:
        return self._random.uniform(-1, 1, shape).astype(self.dtype)

    def make(self, kind: cells.CellKind, **arguments: Any) -> Cell:
        width = self.units * max(1, len(kind.gates))
        named = dict.fromkeys(kind.activations, "sigmoid")
        made_of = {
            "kernel": self.array(self.features, width),
            # So small that a difference by rounding does not grow from step to step.
            "recurrent_kernel": self.array(self.units, width) / self.units,
            "bias": self.array(width),
            **named,
            "activation": "tanh",
        }
        return CELLS[kind](**{**made_of, **arguments})

    def lstm(self, **arguments: Any) -> Cell:
        return self.make(cells.LSTM, **arguments)

    def lstm_without_bias(self) -> Cell:
        return self.lstm(bias=None)

    def peephole_lstm(self) -> Cell:
        return self.make(cells.PEEPHOLE_LSTM, peepholes=self.array(3, self.units))

    def gru_reset_after(self) -> Cell:
        return self.make(cells.GRU, bias=self.array(2, 3 * self.units), reset_after=True)

    def gru_reset_after_with_one_bias(self) -> Cell:
        return self.make(cells.GRU, reset_after=True)

    def gru_reset_before(self) -> Cell:
        return self.make(cells.GRU, reset_after=False)

    def simple_rnn(self, **arguments: Any) -> Cell:
        return self.make(cells.SIMPLE_RNN, **arguments)

    def work(self, cell: Cell, batch: int, timesteps: int, *, masked: bool = False) -> Work:
        mask = self._random.random((batch, timesteps)) < 0.6
        return Work(
            cell,
            x=self.array(batch, timesteps, self.features),
            initial_state={state: self.array(batch, self.units) for state in cell.kind.states},
            mask=mask if masked else None,
        )


FORMS: tuple[Callable[[Cells], Cell], ...] = (
    Cells.lstm,
    Cells.lstm_without_bias,
    Cells.peephole_lstm,
    Cells.gru_reset_after,
    Cells.gru_reset_after_with_one_bias,
    Cells.gru_reset_before,
    Cells.simple_rnn,
)


def everything(work: Work) -> Wanted:
    steps = range(work.x.shape[1])
    return Wanted(work.cell.kind.computed, steps, units=None, sequence=True)


def assert_same(computed: Computed, expected: Computed) -> None:
    assert list(computed.recorded) == list(expected.recorded)
    assert list(computed.final_states) == list(expected.final_states)
    assert (computed.sequence is None) == (expected.sequence is None)
    for array, other in zip(arrays_of(computed), arrays_of(expected), strict=True):
        assert array.dtype == other.dtype
        assert array.shape == other.shape
        most = TOLERANCES[other.dtype.name]
        np.testing.assert_allclose(array, other, rtol=most, atol=most)


def arrays_of(computed: Computed) -> list[Array]:
    sequence = [] if computed.sequence is None else [computed.sequence]
    return [*computed.recorded.values(), *computed.final_states.values(), *sequence]


def assert_as_numpy(work: Work, wanted: Wanted | None = None) -> None:
    wanted = wanted or everything(work)
    assert_same(onnxruntime_engine.run(work, wanted), numpy_engine.run(work, wanted))


@given(
    form=st.sampled_from(FORMS),
    dtype=st.sampled_from(sorted(TOLERANCES)),
    batch=st.integers(1, 40),
    timesteps=st.integers(0, 9),
    features=st.integers(1, 9),
    units=st.integers(1, 20),
    masked=st.booleans(),
    sequence=st.booleans(),
    data=st.data(),
)
def test_it_computes_what_numpy_computes(
    form: Callable[[Cells], Cell],
    dtype: str,
    batch: int,
    timesteps: int,
    features: int,
    units: int,
    masked: bool,
    sequence: bool,
    data: st.DataObject,
) -> None:
    some = Cells(dtype, features, units)
    cell = form(some)
    signals = data.draw(st.sets(st.sampled_from(cell.kind.computed)), "signals")
    steps = data.draw(st.sets(st.sampled_from(range(timesteps))) if timesteps else st.just(set()))
    places = data.draw(st.none() | st.sets(st.sampled_from(range(units)), min_size=1), "units")
    wanted = Wanted(
        sorted(signals), sorted(steps), None if places is None else sorted(places), sequence
    )
    assert_as_numpy(some.work(cell, batch, timesteps, masked=masked), wanted)


@pytest.mark.parametrize("form", FORMS)
def test_a_masked_step_keeps_the_states_to_the_bit(form: Callable[[Cells], Cell]) -> None:
    some = Cells()
    mask = np.array([[False, True, False, True], [True] * 4])
    work = some.work(form(some), 2, 4)._replace(mask=mask)
    recorded = onnxruntime_engine.run(work, everything(work)).recorded
    for state in work.cell.kind.states:
        array = recorded[state]
        np.testing.assert_array_equal(array[0, 0], work.initial_state[state][0])
        np.testing.assert_array_equal(array[0, 2], array[0, 1])
        assert (array[1, 1:] != array[1, :-1]).all()


def test_one_cell_runs_on_any_shape_and_is_built_once_with_and_once_without_a_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = []

    def counted(cell: Cell, form: Any, build: Any = onnxruntime_engine._built) -> Any:
        built.append(form.masked)
        return build(cell, form)

    monkeypatch.setattr(onnxruntime_engine, "_built", counted)
    some = Cells()
    cell = some.gru_reset_after()
    for batch, timesteps in ((2, 3), (1, 1), (7, 20), (2, 3)):
        for masked in (False, True):
            assert_as_numpy(some.work(cell, batch, timesteps, masked=masked))
    assert built == [False, True]


def test_what_is_kept_for_a_cell_goes_with_it() -> None:
    some = Cells()
    cell = some.lstm()
    assert_as_numpy(some.work(cell, 1, 1))
    (kept,) = onnxruntime_engine._SESSIONS[cell].values()
    session = weakref.ref(kept)
    del kept
    del cell
    gc.collect()
    assert session() is None


STEP_BYTES = 50 * (3 + 6 * 5) * 4
"""What x and all signals of one step take: batch · (features + h, c and four gates) · float32."""


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("steps_a_block", [1, 3, 7])
def test_a_long_sequence_in_several_blocks_is_the_same_as_in_one(
    steps_a_block: int, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = Cells()
    monkeypatch.setattr(onnxruntime_engine, "_BLOCK_BYTES", steps_a_block * STEP_BYTES)
    work = some.work(some.lstm(), 50, 7, masked=masked)
    assert_as_numpy(work)
    assert_as_numpy(work, Wanted(("h", "f"), (0, 2, 6), (1, 4), sequence=False))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3, 99])
def test_a_large_batch_is_divided_among_threads(
    threads: int, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_engine, "thread_count", lambda: threads)
    monkeypatch.setattr(onnxruntime_engine, "_LEAST_MULTIPLICATIONS", 1)
    some = Cells()
    work = some.work(some.lstm(), 50, 7, masked=masked)
    assert len(onnxruntime_engine._pieces(work)) == min(threads, 3)
    assert_as_numpy(work)


def test_a_batch_whose_run_is_short_is_not_divided() -> None:
    some = Cells()
    assert onnxruntime_engine._pieces(some.work(some.lstm(), 50, 7)) == [slice(0, 50)]


@pytest.mark.parametrize("engine", [numpy_engine, onnxruntime_engine])
def test_it_tells_how_far_it_is_and_stops_when_it_is_stopped(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BLOCK_BYTES", 1)
    some = Cells()
    work = some.work(some.lstm(), 10_000, 7)
    told: list[int] = []
    engine.run(work, everything(work), told.append)
    assert sum(told) == 10_000 * 7
    assert len(told) > 7

    def stop(more: int) -> None:
        told.append(more)
        raise KeyboardInterrupt

    told.clear()
    with pytest.raises(KeyboardInterrupt):
        engine.run(work, everything(work), stop)
    assert sum(told) < 10_000 * 7


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    some = Cells()
    for form in FORMS:
        assert_as_numpy(some.work(form(some), 2, 3))
    work = some.work(some.lstm(), 2, 3)
    unfit = {"h": some.array(2, 4), "c": some.array(2, 4)}
    with pytest.raises(Exception, match="shape"):
        onnxruntime_engine.run(work._replace(initial_state=unfit), everything(work))
    assert capfd.readouterr() == ("", "")


VALUES = (-1000.0, -7.0, -2.0, -0.7, -0.25, -0.0, 0.0, 0.25, 0.7, 2.0, 7.0, 80.0, np.inf, np.nan)


LEFT_TO_NUMPY = {"hard_tanh", "relu6", "soft_shrink", "sparse_plus", "sparsemax", "squareplus"}
IN_FLOAT32_ALONE = {
    *("celu", "elu", "gelu", "hard_shrink", "hard_sigmoid", "hard_sigmoid_0.2", "hard_silu"),
    *("hard_swish", "leaky_relu", "log_sigmoid", "mish", "selu", "softplus", "softsign"),
    "sparse_sigmoid",
}
NAMES = {
    "float32": {*ACTIVATIONS} - LEFT_TO_NUMPY,
    "float64": {*ACTIVATIONS} - LEFT_TO_NUMPY - IN_FLOAT32_ALONE,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, where the result is no number
@pytest.mark.parametrize(
    ("dtype", "name"), [(dtype, name) for dtype in NAMES for name in sorted(NAMES[dtype])]
)
def test_an_activation_is_that_of_numpy(dtype: str, name: str) -> None:
    some = Cells(dtype, features=1, units=1)
    one, zero = np.ones((1, 1), dtype), np.zeros((1, 1), dtype)
    cell = some.simple_rnn(kernel=one, recurrent_kernel=zero, bias=None, activation=name)
    x = np.array(VALUES, dtype).reshape(-1, 1, 1)
    assert_as_numpy(Work(cell, x, {"h": np.zeros((len(VALUES), 1), dtype)}, mask=None))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_an_activation_over_all_units_is_over_each_gate_alone(
    name: str, form: Callable[[Cells], Cell]
) -> None:
    some = Cells()
    model = form(some)
    cell = CELLS[model.kind](
        **model.weights, **dict.fromkeys(model.activations, name), **model.options
    )
    assert_as_numpy(some.work(cell, 2, 1))


@pytest.mark.parametrize("dtype", NAMES)
def test_other_activations_are_left_to_numpy(dtype: str) -> None:
    some = Cells(dtype)
    for role in ("activation", "recurrent_activation"):
        reasons = {name: why_not(some.lstm(**{role: name})) for name in ACTIVATIONS}
        assert {name for name, reason in reasons.items() if reason is None} == NAMES[dtype]
        assert reasons["sparsemax"] == f"has no sparsemax in {dtype}"


def test_kinds_that_are_not_run() -> None:
    some = Cells()
    options: dict[cells.CellKind, dict[str, Any]] = {
        cells.TF_LSTM: {"forget_bias": 1.0, "cell_clip": None, "proj_clip": None},
        cells.CONV_LSTM: {
            "kernel": some.array(1, 3, 20),
            "recurrent_kernel": some.array(1, 5, 20),
            "convolution": Convolution(strides=(1,), dilation=(1,), padding="valid"),
        },
    }
    for kind, arguments in options.items():
        assert why_not(some.make(kind, **arguments)) == f"has no {kind.title}"


def test_weights_that_no_onnx_model_can_hold_are_left_to_numpy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = Cells().lstm()
    monkeypatch.setattr("lstm_inspect.engines.onnx_graph._MOST_BYTES_OF_WEIGHTS", 100)
    assert why_not(cell) == "has no room for 2 GiB of weights"
