"""Tests the memory that a replay may take: what is reserved is at least what is taken."""

import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import LimitError, Limits
from lstm_inspect.layers import bytes_needed
from lstm_inspect.replay.account import Account
from tests.conftest import (
    FIXTURES,
    Array,
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

MEGABYTE = 1 << 20


class TestAccount:
    def test_it_refuses_what_would_exceed_the_limit_with_what_is_held(self) -> None:
        account = Account(Limits(replay_bytes=100))
        held = np.zeros(60, np.uint8)
        account.hold(held)
        account.reserve(40, "layer a")
        with pytest.raises(LimitError, match="layer a, with all that is held: 101 is more than"):
            account.reserve(41, "layer a")

    def test_it_counts_an_array_and_its_views_once(self) -> None:
        account = Account(Limits(replay_bytes=100))
        held = np.zeros(60, np.uint8)
        for view in (held, held[:10], held.reshape(6, 10)):
            account.hold(view)
        account.reserve(40, "layer a")

    def test_a_view_holds_the_whole_array(self) -> None:
        account = Account(Limits(replay_bytes=100))
        view = np.zeros(60, np.uint8)[:1]
        account.hold(view)
        with pytest.raises(LimitError):
            account.reserve(41, "layer a")

    def test_it_gives_back_what_nobody_refers_to_any_more(self) -> None:
        account = Account(Limits(replay_bytes=100))
        held = np.zeros(60, np.uint8)
        account.hold(held)
        del held
        account.reserve(100, "layer a")


def model_of(tmp_path: Path, *layers: Json, x: tuple[int, ...], features: int) -> Path:
    """A model x -> layers -> an LSTM that reads so many features."""
    names = [each["config"]["name"] for each in layers]
    config = functional(
        input_layer("x", *x), *layers, lstm("lstm", 2, names[-1]), inputs=["x"], outputs=["lstm"]
    )
    weights: dict[str, dict[str, Array]] = {name: {} for name in names}
    weights["lstm"] = lstm_weights("lstm", features, 2)
    return write_h5(tmp_path / "model.h5", config, weights)


def repeated(tmp_path: Path, times: int) -> Path:
    return model_of(tmp_path, layer("RepeatVector", "repeat", "x", n=times), x=(3,), features=3)


def pooled(tmp_path: Path, size: int) -> Path:
    pool = layer("MaxPooling1D", "pool", "x", pool_size=size, strides=1, padding="same")
    return model_of(tmp_path, pool, x=(5, 3), features=3)


def doubled(tmp_path: Path, times: int) -> Path:
    """A model in which a layer joins the output of the one before with itself, again and again."""
    layers = [
        layer("Concatenate", f"c{number}", [f"c{number - 1}" if number else "x"] * 2, axis=1)
        for number in range(times)
    ]
    return model_of(tmp_path, *layers, x=(5, 3), features=3)


@pytest.mark.parametrize(
    ("make", "size", "x"),
    [
        (repeated, 10_000_000, random(1, 3)),
        (pooled, 100_000_000, random(1, 5, 3)),
        (doubled, 26, random(1, 5, 3)),
    ],
)
def test_a_small_model_that_asks_for_gigabytes_is_refused_before_they_are_taken(
    tmp_path: Path, make: Callable[[Path, int], Path], size: int, x: Array
) -> None:
    model = lstm_inspect.open_model(make(tmp_path, size))
    limits = Limits(replay_bytes=20 * MEGABYTE)
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match=r"layer \w+, with all that is held: \d+ is more"):
            lstm_inspect.trace(model, x, limits=limits)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * MEGABYTE


def test_an_operation_on_numbers_alone_needs_next_to_nothing() -> None:
    assert bytes_needed(((2, 3), {"axis": None})) < 100


def test_a_small_model_that_asks_for_many_timesteps_is_refused(tmp_path: Path) -> None:
    model = lstm_inspect.open_model(repeated(tmp_path, 2_000_001))
    with pytest.raises(LimitError, match="2000001 is more than the limit replay_steps=2000000"):
        lstm_inspect.trace(model, random(1, 3))


def test_the_output_of_a_given_layer_counts(tmp_path: Path) -> None:
    path = model_of(tmp_path, layer("Mine", "mine", "x"), x=(5, 3), features=3)
    model = lstm_inspect.open_model(path)
    limits = Limits(replay_bytes=MEGABYTE)
    large = np.zeros((1, MEGABYTE, 3), np.float32)
    with pytest.raises(LimitError, match="layer mine"):
        lstm_inspect.trace(
            model, random(1, 5, 3), layers={"Mine": lambda layer, x: large}, limits=limits
        )


def test_the_batches_of_a_stateful_model_are_counted_when_they_are_joined(tmp_path: Path) -> None:
    config = sequential(lstm("lstm", 2, stateful=True, batch_input_shape=[1, 1000, 3]))
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 3, 2)})
    model = lstm_inspect.open_model(path)
    x = random(50, 1000, 3)
    limits = Limits(replay_bytes=2 * 50 * 1000 * 2 * 4)  # h and c; the input is the user's own
    with pytest.raises(LimitError, match="layer lstm in all batches"):
        lstm_inspect.trace(model, x, stateful=True, limits=limits)


def fixtures() -> list[Path]:
    """The models of one version of Keras, with an input each."""
    files = sorted((FIXTURES / "keras-3.15").glob("*.keras"))
    return [path for path in files if path.with_suffix(".npz").exists() and path.stem != "stateful"]


@pytest.mark.parametrize("path", fixtures(), ids=lambda path: path.stem)
def test_a_replay_takes_no_more_than_it_reserves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = np.load(path.with_suffix(".npz"))
    inputs = {key[3:]: oracle[key] for key in oracle.files if key.startswith("in/")}
    copies = max(1, MEGABYTE // max(array.nbytes for array in inputs.values()))
    many = {name: np.concatenate([array] * copies) for name, array in inputs.items()}
    given = many if len(many) > 1 else next(iter(many.values()))
    asked = []
    reserve = Account.reserve

    def noted(account: Account, size: int, what: str) -> None:
        asked.append(account._total + size)
        reserve(account, size, what)

    monkeypatch.setattr(Account, "reserve", noted)
    model = lstm_inspect.open_model(path)
    tracemalloc.start()
    try:
        with warnings.catch_warnings(action="ignore", category=lstm_inspect.InspectWarning):
            lstm_inspect.trace(model, given, record="all", limits=Limits(replay_bytes=1 << 40))
        _, peak = tracemalloc.get_traced_memory()
    except lstm_inspect.UnsupportedLayerError:
        return  # a layer that only Keras runs
    finally:
        tracemalloc.stop()
    held = sum(array.nbytes for array in many.values())
    assert held + peak < max(asked) + MEGABYTE // 8
