import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InputError, SelectionError, UnsupportedLayerError
from lstm_inspect.arrays import Array
from lstm_inspect.genuine import bridge
from lstm_inspect.model import Layer
from tests.conftest import functional, input_layer, layer, lstm, lstm_weights, random, write_h5


@pytest.fixture
def custom(tmp_path: Path) -> Path:
    """A model x -> first -> custom -> second; the custom layer doubles its input."""
    config = functional(
        input_layer("x", 3, 2),
        lstm("first", 4, "x", return_sequences=True),
        layer("MyAttention", "custom", "first", factor=2),
        lstm("second", 2, "custom"),
        inputs=["x"],
        outputs=["second"],
    )
    weights = {"first": lstm_weights("first", 2, 4), "second": lstm_weights("second", 4, 2)}
    return write_h5(tmp_path / "custom.h5", config, weights)


def test_what_cannot_be_run_is_named_with_the_line_that_gives_it(custom: Path) -> None:
    trace = lstm_inspect.trace(lstm_inspect.open_model(custom), random(1, 3, 2))
    assert list(trace) == ["first"]
    assert trace.untraced == {
        "second": "custom (MyAttention) cannot be run; give its output with feed={'custom': array}"
    }


def test_a_fed_output_takes_the_place_of_the_layer(custom: Path) -> None:
    model, x = lstm_inspect.open_model(custom), random(1, 3, 2)
    doubled = 2 * lstm_inspect.trace(model, x)["first"].h
    trace = lstm_inspect.trace(model, x, record="x", feed={"custom": doubled})
    assert trace.untraced == {}
    np.testing.assert_array_equal(trace["second"].x, doubled)


def test_a_fed_input_takes_the_place_of_all_that_stands_in_front(custom: Path) -> None:
    model, x = lstm_inspect.open_model(custom), random(2, 3, 4)
    trace = lstm_inspect.trace(model, select=["second"], feed={"second:input": x}, record="x")
    np.testing.assert_array_equal(trace["second"].x, x)


def test_the_code_of_a_custom_layer_can_be_given(custom: Path) -> None:
    def double(layer: Layer, x: Array) -> Array:
        doubled: Array = x * layer.config["factor"]
        return doubled

    model, x = lstm_inspect.open_model(custom), random(1, 3, 2)
    trace = lstm_inspect.trace(model, x, record=("h", "x"), layers={"MyAttention": double})
    np.testing.assert_array_equal(trace["second"].x, 2 * trace["first"].h)


def test_there_must_be_something_to_feed_at_a_path(custom: Path) -> None:
    with pytest.raises(SelectionError, match=r"feed nowhere: .* there are first, custom, second"):
        lstm_inspect.trace(lstm_inspect.open_model(custom), feed={"nowhere": random(1, 3, 4)})


def test_what_is_fed_has_the_batch_of_the_input(custom: Path) -> None:
    model = lstm_inspect.open_model(custom)
    with pytest.raises(InputError, match=r"feed custom: expected a batch of 1 .*, received 2"):
        lstm_inspect.trace(model, random(1, 3, 2), feed={"custom": random(2, 3, 4)})


def test_without_keras_a_layer_that_needs_it_is_named_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = functional(
        input_layer("x", 3, 2),
        layer("LayerNormalization", "norm", "x"),
        lstm("lstm", 2, "norm"),
        inputs=["x"],
        outputs=["lstm"],
    )
    norm = {"norm/gamma:0": random(2), "norm/beta:0": random(2)}
    weights = {"norm": norm, "lstm": lstm_weights("lstm", 2, 2)}
    path = write_h5(tmp_path / "m.h5", config, weights)
    monkeypatch.setattr(bridge, "is_installed", lambda: False)
    with pytest.raises(UnsupportedLayerError, match=r'norm .* needs Keras: pip install "lstm-'):
        lstm_inspect.trace(lstm_inspect.open_model(path), random(1, 3, 2))


def test_nothing_of_keras_is_imported_for_a_model_that_does_not_need_it(custom: Path) -> None:
    program = f"""
import sys, numpy, lstm_inspect
model = lstm_inspect.open_model({str(custom)!r})
trace = lstm_inspect.trace(model, numpy.zeros((1, 3, 2)))
assert list(trace) == ["first"]
print({{"keras", "tensorflow"}} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("set()\n", "")
