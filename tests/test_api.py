"""Tests what the functions for Python take, and what they say of what they do not take."""

import pydoc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InputError, SelectionError
from lstm_inspect.arrays import Array
from lstm_inspect.model import Layer
from tests.conftest import (
    SAMPLES,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    write_h5,
)

pytestmark = pytest.mark.usefixtures("parsed_here")

MODEL = SAMPLES / "stacked.keras"
OTHER = SAMPLES / "encoder_decoder.keras"
CONTRACT = {"layers": [{"path": "lstm", "units": 7}]}


def x() -> Array:
    array: Array = np.load(SAMPLES / "stacked.npy")
    return array


@pytest.fixture
def attention(tmp_path: Path) -> Path:
    """A model x -> attention -> lstm; the attention is a class that its user registered."""
    config = functional(
        input_layer("x", 3, 2),
        layer("mine>Attention", "attention", "x"),
        lstm("lstm", 4, "attention"),
        inputs=["x"],
        outputs=["lstm"],
    )
    return write_h5(tmp_path / "attention.h5", config, {"lstm": lstm_weights("lstm", 2, 4)})


def doubled(layer: Layer, x: Array) -> Array:
    return 2 * x


TAKES_A_MODEL: dict[str, Callable[[Any], Any]] = {
    "trace": lambda model: [*lstm_inspect.trace(model, x()).arrays()],
    "model_shapes": lambda model: lstm_inspect.model_shapes(model).as_json(),
    "check_contract": lambda model: lstm_inspect.check_contract(CONTRACT, model),
    "diff_models": lambda model: lstm_inspect.diff_models(model, OTHER),
}


@pytest.mark.parametrize("name", TAKES_A_MODEL)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_may_stand_where_a_model_stands(name: str, kind: Callable[[Path], Any]) -> None:
    call = TAKES_A_MODEL[name]
    assert call(kind(MODEL)) == call(lstm_inspect.open_model(MODEL))


@pytest.mark.parametrize("name", TAKES_A_MODEL)
def test_what_is_neither_is_refused_in_one_line(name: str) -> None:
    expected = "^model: expected the path of a saved model .* received a value of class int$"
    with pytest.raises(InputError, match=expected):
        TAKES_A_MODEL[name](5)


def test_two_dumps_are_named_by_paths_and_compared_exactly(tmp_path: Path) -> None:
    one, other = (str(tmp_path / name) for name in ("one.npz", "other.npz"))
    lstm_inspect.trace(MODEL, x()).save(one)
    lstm_inspect.trace(MODEL, 1.5 * x()).save(other)
    assert lstm_inspect.diff_dumps(one, one) == []
    assert lstm_inspect.diff_dumps(one, other)[0].file == Path(other)


def test_the_limits_of_a_trace_hold_for_the_file_too() -> None:
    with pytest.raises(lstm_inspect.LimitError, match="file_bytes"):
        lstm_inspect.trace(MODEL, x(), limits=lstm_inspect.Limits(file_bytes=10))


@pytest.mark.parametrize(
    "record", ["h,c", "h, c", ["h", "c"], ["h,c", "h"], ("c", "h"), {"h", "c"}]
)
def test_signals_are_one_text_or_several(record: Any) -> None:
    trace = lstm_inspect.trace(MODEL, x(), record=record)
    assert [*trace["lstm"].signals] == ["h", "c"]


@pytest.mark.parametrize("select", ["lstm_1", ["lstm_1"], "*_1"])
def test_layers_are_selected_by_one_text_or_several(select: Any) -> None:
    assert [*lstm_inspect.trace(MODEL, x(), select=select)] == ["lstm_1"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("record", 5, "record: expected the names of signals, such as .* received 5"),
        ("record", [], r"record: expected the names of signals, such as .* received \[\]"),
        ("record", [5], r"record: expected the names of signals, such as .* received \[5\]"),
        ("select", 5, "select: expected paths of layers or globs .* received 5"),
        ("select", [], r"select: expected paths of layers or globs .* received \[\]"),
        ("feed", [1], r"feed: expected arrays by path, such as .* received \[1\]"),
        ("feed", np.ones(2), "feed: expected arrays by path, such as .* received array"),
        ("layers", [doubled], r"layers: expected functions by the name .* received \["),
        ("layers", {"lstm": 5}, "layers: expected functions by the name .* received {'lstm': 5}"),
    ],
)
def test_an_option_of_another_kind_is_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        lstm_inspect.trace(MODEL, x(), **{option: value})
    assert "\n" not in str(caught.value)


def test_a_signal_that_is_unknown_is_named() -> None:
    with pytest.raises(SelectionError, match="signal q: unknown; there are h, c"):
        lstm_inspect.trace(MODEL, x(), record="h,q")


@pytest.mark.parametrize("key", ["attention", "mine>Attention", "Attention"])
def test_code_is_given_by_layer_or_class_with_or_without_its_package(
    key: str, attention: Path
) -> None:
    given = random(1, 3, 2)
    trace = lstm_inspect.trace(attention, given, record="x", layers={key: doubled})
    np.testing.assert_array_equal(trace["lstm"].x, 2 * given)


@pytest.mark.parametrize("key", ["attenti0n", "mine", "lstm"])
def test_code_for_no_layer_is_refused_with_the_layers_that_there_are(
    key: str, attention: Path
) -> None:
    expected = rf"layers {key}: no layer .* there are attention \(mine>Attention\)"
    with pytest.raises(SelectionError, match=expected):
        lstm_inspect.trace(attention, random(1, 3, 2), layers={key: doubled})


def test_a_contract_is_a_dict_a_path_or_a_contract(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text('[[layers]]\npath = "lstm"\nunits = 7\n')
    (finding,) = lstm_inspect.check_contract(CONTRACT, MODEL)
    assert finding.message.startswith("lstm: units: expected 7")
    given: list[Any] = [str(path), path, lstm_inspect.Contract(CONTRACT)]
    shapes = lstm_inspect.model_shapes(MODEL)
    for contract in given:
        assert lstm_inspect.check_contract(contract, shapes) == [finding]


@pytest.mark.parametrize("contract", [5, ["lstm"], None])
def test_a_contract_of_another_kind_is_refused(contract: Any) -> None:
    with pytest.raises(InputError, match=r"contract: expected a Contract, .* received a value of"):
        lstm_inspect.check_contract(contract, MODEL)


def test_dir_lists_each_public_name_once_and_no_other() -> None:
    names = [name for name in dir(lstm_inspect) if not name.startswith("__")]
    assert names == lstm_inspect.__all__


@pytest.mark.parametrize("name", ["trace", "verify", "model_shapes", "check_contract"])
def test_help_shows_what_a_function_takes_and_gives(name: str) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(lstm_inspect, name)))
    for part in ("path of a saved model", "Args:", "Raises:"):
        assert part in text


def test_help_has_a_signature_that_can_be_read() -> None:
    text = pydoc.plain(pydoc.render_doc(lstm_inspect.trace))
    (signature,) = (line for line in text.splitlines() if line.startswith("trace("))
    plain = signature.replace("'", "")
    assert "model: Model | str | Path, inputs: Any = None" in plain
    assert "limits: Limits = Limits()," in plain
    assert repr(lstm_inspect.Limits(file_bytes=10)) == "Limits(file_bytes=10)"


def test_help_of_the_package_lists_every_name() -> None:
    text = pydoc.plain(pydoc.render_doc(lstm_inspect))
    for name in lstm_inspect.__all__:
        assert f"class {name}(" in text or f"    {name}(" in text
