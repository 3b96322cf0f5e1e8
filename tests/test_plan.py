import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect import InputError, InspectWarning, Model, SelectionError, UnsupportedLayerError
from lstm_inspect.arrays import Array
from lstm_inspect.cli import cli
from lstm_inspect.genuine import bridge
from lstm_inspect.model import Layer
from tests.conftest import (
    Json,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    write_h5,
)


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
        "second": "custom (MyAttention) cannot be run; give its output with "
        "feed={'custom': array}, or its code with layers={'custom': function}"
    }


def test_of_a_chain_only_the_last_layer_has_to_be_fed(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 3, 2),
        layer("First", "first", "x"),
        layer("Second", "second", "first"),
        lstm("lstm", 2, "second"),
        inputs=["x"],
        outputs=["lstm"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    model = lstm_inspect.open_model(path)
    with pytest.raises(UnsupportedLayerError) as refused:
        lstm_inspect.trace(model, random(1, 3, 2))
    assert str(refused.value) == (
        "lstm not traced: first (First) cannot be run; second (Second) cannot be run; give its "
        "output with feed={'second': array}, or its code with layers={'second': function}"
    )
    assert lstm_inspect.trace(model, feed={"second": random(1, 3, 2)})["lstm"].h.shape == (1, 3, 2)
    assert refused.value.__notes__ == [
        "hint: second.npy is made where its code is, and its code is trusted:\n"
        "  model = tf_keras.models.load_model('m.h5', custom_objects={'Second': Second})\n"
        "  front = tf_keras.Model(model.inputs, model.get_layer('second').output)\n"
        "  numpy.save('second.npy', front.predict(x))"
    ]


@pytest.mark.parametrize(
    ("class_name", "name", "line"),
    [
        ("Mine", "a'); run('it", """  numpy.save("a'); run('it.npy", front.predict(x))"""),
        ("Mine}, run()", "a", None),
    ],
)
def test_a_name_of_the_file_is_never_code_in_a_hint(
    class_name: str, name: str, line: str | None, tmp_path: Path
) -> None:
    config = functional(
        input_layer("x", 3, 2),
        layer(class_name, name, "x"),
        lstm("lstm", 2, name),
        inputs=["x"],
        outputs=["lstm"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    with pytest.raises(UnsupportedLayerError) as refused:
        lstm_inspect.trace(path, random(1, 3, 2))
    notes = getattr(refused.value, "__notes__", [None])
    assert (notes[0].splitlines()[-1] if notes[0] else None) == line


def in_the_way(tmp_path: Path) -> Path:
    """x -> zeros -> twice the same custom layer -> lstm -> a layer that stops nothing."""
    config = functional(
        input_layer("x", 3, 2),
        layer("ZeroPadding1D", "zeros", "x", padding=0),
        layer("MyAttention", "mine", "zeros", ("mine", 0, 0)),
        layer("Lambda", "code", ("mine", 1, 0)),
        lstm("lstm", 2, "code", return_sequences=True),
        layer("Lambda", "behind", "lstm"),
        inputs=["x"],
        outputs=["behind"],
    )
    return write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})


@pytest.mark.parametrize("is_installed", [False, True])
def test_the_layers_that_stop_a_trace_are_counted_by_class_with_what_to_do(
    is_installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "is_installed", lambda layer: is_installed)
    path = in_the_way(tmp_path)
    own = [("MyAttention", ("mine",), "feed"), ("Lambda", ("code",), "feed")]
    extra = [] if is_installed else [("ZeroPadding1D", ("zeros",), "tensorflow")]
    assert lstm_inspect.model_shapes(path).stopping == (*extra, *own)
    result = CliRunner().invoke(cli, ["shapes", str(path), "--all"])
    assert [line for line in result.stdout.splitlines() if " a trace: " in line] == [
        "2 layers stop a trace: MyAttention (1), Lambda (1); "
        "give the output of each with --feed LAYER=FILE.npy",
        *(
            f'1 layer stops a trace: {name} (1); pip install "lstm-inspect[tensorflow]"'
            for name, _, _ in extra
        ),
    ]
    assert " a trace: " not in CliRunner().invoke(cli, ["shapes", str(path)]).stdout


MARSHALLED = "4wEAAAAAAAAAAQAAAAQAAABTAAAAcw4AAAB0AGoBfABkAWQCjQJTACkD"
KERAS_2 = {"function_type": "function", "module": "mine.layers", "output_shape_type": "raw"}
KERAS_3 = {"module": "builtins", "class_name": "function", "registered_name": "function"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ""),
        ({"function": [MARSHALLED, None, None]}, ": its code is an unnamed lambda"),
        (
            {"function": MARSHALLED, "function_type": "lambda", "module": "mine"},
            ": its code is an unnamed lambda of mine",
        ),
        (
            {"function": {"class_name": "__lambda__", "config": {"code": MARSHALLED}}},
            ": its code is an unnamed lambda",
        ),
        ({**KERAS_2, "function": "scale"}, ": its code is the function mine.layers.scale"),
        (
            {"function": {**KERAS_3, "config": "scale"}, "arguments": {"by": 2, "to": "x"}},
            ": its code is the function scale, called with by, to",
        ),
        (
            {**KERAS_2, "function": "scale", "output_shape": [None, 4]},
            ": its code is the function mine.layers.scale, output_shape (any, 4)",
        ),
        (
            {"function": {**KERAS_3, "config": "scale"}, "output_shape": [MARSHALLED, None]},
            ": its code is the function scale",
        ),
        ({"function": {**KERAS_3, "config": f"{MARSHALLED}=="}}, ""),
        ({"function": 7}, ""),
    ],
)
def test_of_a_lambda_that_stops_a_trace_the_names_are_said_and_no_code(
    settings: Json, said: str, tmp_path: Path
) -> None:
    config = functional(
        input_layer("x", 3, 2),
        layer("Lambda", "code", "x", **settings),
        lstm("lstm", 2, "code"),
        inputs=["x"],
        outputs=["lstm"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    (row,) = lstm_inspect.model_shapes(path).layers
    how = "its output with feed={'code': array}, or its code with layers={'code': function}"
    expected = f"code (Lambda) cannot be run{said}; give {how}"
    assert row.blocked_by == (expected,)


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
        layer("ZeroPadding1D", "padding", "x", padding=1),
        lstm("lstm", 2, "padding"),
        inputs=["x"],
        outputs=["lstm"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})
    monkeypatch.setattr(bridge, "is_installed", lambda layer: False)
    with pytest.raises(UnsupportedLayerError, match=r'padding .* needs Keras: pip install "lstm-'):
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


def test_a_recurrent_layer_without_weights_is_named_by_a_trace(tmp_path: Path) -> None:
    config = functional(
        input_layer("x", 3, 2),
        lstm("first", 2, "x", return_sequences=True),
        lstm("second", 2, "x"),
        inputs=["x"],
        outputs=["first", "second"],
    )
    path = write_h5(tmp_path / "m.h5", config, {"first": lstm_weights("first", 2, 2)})
    x = random(1, 3, 2)
    trace = lstm_inspect.trace(lstm_inspect.open_model(path), x)
    assert list(trace) == ["first"]
    assert trace.untraced == {"second": "second (LSTM): 2 units; the file holds 0 of its 3 arrays"}
    alone = lstm_inspect.trace(lstm_inspect.open_model(path), x, select=["first"])
    assert alone.untraced == {}


# --- masks in front of a layer that the caller computes


def masked(tmp_path: Path, keras_version: str, class_name: str = "Mine") -> Model:
    """x -> Masking -> a custom layer -> lstm; one sample has its middle step masked."""
    config = functional(
        input_layer("x", 3, 2),
        layer("Masking", "masking", "x", mask_value=0.0),
        layer(class_name, "custom", "masking"),
        lstm("lstm", 2, "custom"),
        inputs=["x"],
        outputs=["lstm"],
    )
    weights = {"lstm": lstm_weights("lstm", 2, 2)}
    path = write_h5(tmp_path / "masked.h5", config, weights, keras_version=keras_version)
    return lstm_inspect.open_model(path)


MASK = np.array([[True, False, True]])


def masked_x() -> Array:
    x = random(1, 3, 2)
    x[0, 1] = 0
    return x


def unchanged(layer: Layer, x: Array) -> Array:
    return x


def test_a_custom_layer_of_keras_on_its_own_hands_on_the_mask(tmp_path: Path) -> None:
    model = masked(tmp_path, "2.2.4")
    trace = lstm_inspect.trace(model, masked_x(), record="mask", layers={"Mine": unchanged})
    np.testing.assert_array_equal(trace["lstm"].mask, MASK)


def test_a_lambda_has_no_mask(tmp_path: Path) -> None:
    model = masked(tmp_path, "2.15.0", "Lambda")
    trace = lstm_inspect.trace(model, masked_x(), record="mask", layers={"Lambda": unchanged})
    assert trace["lstm"].mask.all()


@pytest.mark.parametrize("keras_version", ["2.15.0", "3.15.1"])
def test_of_a_custom_layer_of_later_versions_that_is_warned_of(
    keras_version: str, tmp_path: Path
) -> None:
    model = masked(tmp_path, keras_version)
    with pytest.warns(InspectWarning, match="return \\(output, mask\\) or \\(output, None\\)"):
        trace = lstm_inspect.trace(model, masked_x(), record="mask", layers={"Mine": unchanged})
    assert trace["lstm"].mask.all()


@pytest.mark.parametrize("keras_version", ["2.15.0", "3.15.1"])
@pytest.mark.parametrize("mask", [MASK, None], ids=["mask", "none"])
def test_a_function_may_return_the_mask_too(
    mask: Array | None, keras_version: str, tmp_path: Path
) -> None:
    def with_mask(layer: Layer, x: Array) -> tuple[Array, Array | None]:
        return x, mask

    model = masked(tmp_path, keras_version)
    trace = lstm_inspect.trace(model, masked_x(), record="mask", layers={"Mine": with_mask})
    expected = np.ones((1, 3), bool) if mask is None else mask
    np.testing.assert_array_equal(trace["lstm"].mask, expected)


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    def wrong(layer: Layer, x: Array) -> tuple[Array, Array]:
        return x, MASK[:, :2]

    with pytest.raises(
        InputError, match="expected a mask of shape \\(1, 3\\), received \\(1, 2\\)"
    ):
        lstm_inspect.trace(masked(tmp_path, "2.15.0"), masked_x(), layers={"Mine": wrong})


@pytest.mark.parametrize("path", ["custom", "lstm:input"])
def test_what_may_be_masked_is_fed_with_its_mask(path: str, tmp_path: Path) -> None:
    model, x = masked(tmp_path, "2.15.0"), masked_x()
    with pytest.raises(InputError, match="may mask timesteps in front of this layer"):
        lstm_inspect.trace(model, feed={path: x})
    base = path.removesuffix(":input")
    trace = lstm_inspect.trace(model, feed={path: x, f"{base}:mask": MASK}, record="mask")
    np.testing.assert_array_equal(trace["lstm"].mask, MASK)


def test_a_fed_lambda_needs_no_mask(tmp_path: Path) -> None:
    model = masked(tmp_path, "2.15.0", "Lambda")
    assert lstm_inspect.trace(model, feed={"custom": masked_x()}, record="mask")["lstm"].mask.all()


# --- large graphs


def chain(tmp_path: Path, class_name: str, count: int, *, reverse: bool = False) -> Model:
    """x -> l0 -> l1 -> ... -> lstm."""
    names = [f"l{number}" for number in range(count)]
    between = [
        layer(class_name, name, before, rate=0.5)
        for before, name in zip(["x", *names], names, strict=False)
    ]
    config = functional(
        input_layer("x", 3, 2),
        *(reversed(between) if reverse else between),
        lstm("lstm", 2, names[-1]),
        inputs=["x"],
        outputs=["lstm"],
    )
    weights = {"lstm": lstm_weights("lstm", 2, 2)}
    return lstm_inspect.open_model(write_h5(tmp_path / "chain.h5", config, weights))


def test_of_many_reasons_the_first_are_told(tmp_path: Path) -> None:
    (row,) = lstm_inspect.model_shapes(chain(tmp_path, "Lambda", 5000)).layers
    assert len(row.blocked_by) == 8
    assert row.blocked_by[0].startswith("l0 (Lambda) cannot be run")
    assert row.blocked_by[-2] == "and more"
    assert row.blocked_by[-1].startswith("l4999 (Lambda) cannot be run; give its output")


def test_layers_may_stand_in_reverse_order(tmp_path: Path) -> None:
    """Each round over all layers would find one that is ready: 25 million looks for 5,000."""
    model = chain(tmp_path, "Dropout", 5000, reverse=True)
    assert [call.path for call in model.calls] == [*(f"l{n}" for n in range(5000)), "lstm"]
    trace = lstm_inspect.trace(model, random(1, 3, 2), record="x")
    np.testing.assert_array_equal(trace["lstm"].x, random(1, 3, 2))
