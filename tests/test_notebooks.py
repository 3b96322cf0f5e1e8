"""Tests how models and results show themselves: one line in a console, tables in a notebook."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import Comparison, InputError, LayerTrace, Trace, Verification
from tests.conftest import (
    SAMPLES,
    load_dump,
    lstm,
    lstm_weights,
    random,
    sample_input,
    save_dump,
    sequential,
    write_h5,
)

MODEL = SAMPLES / "encoder_decoder.keras"
NAME = "<b>\x1b[31mbad\n</b>"


class _Tables(HTMLParser):
    """The cells of the tables of a page, row by row, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag == "br":
            self.rows[-1][-1] += "\n"

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1][-1] += data


def traced() -> Trace:
    return lstm_inspect.trace(MODEL, sample_input("encoder_decoder"))


def verification(path: str = "lstm", *, absolute: float = 1e-6) -> Verification:
    compared = Comparison(path, "h", absolute, absolute, (0, 2, 1), 1e-4)
    return Verification(comparisons=(compared,), skipped={"the whole model": "it has a Lambda"})


def strange(folder: Path) -> Path:
    """A model whose names try to be markup and to color a terminal."""
    config = sequential(lstm("lstm", 2, batch_input_shape=[None, 3, 2]), name=NAME)
    return write_h5(folder / "m.h5", config, {"lstm": lstm_weights("lstm", 2, 2)})


def test_a_model_is_one_line() -> None:
    model = lstm_inspect.open_model(MODEL)
    assert repr(model) == (
        "<Model 'encoder_decoder' of Keras 3.15.1: 2 recurrent layers (encoder, decoder), "
        "504 parameters>"
    )
    assert repr(model.source) == "<Source encoder_decoder.keras: keras of Keras 3.15.1>"
    assert repr(model.recurrent[0]) == ("<Recurrence encoder: LSTM, 4 features, 6 units, forward>")
    assert repr(model.calls[-1].layer) == "<Layer dense (Dense): weights (6, 3), (3,)>"


def test_a_model_names_the_layers_that_lack_arrays(tmp_path: Path) -> None:
    config = sequential(
        lstm("a", 2, batch_input_shape=[None, 3, 2], return_sequences=True), lstm("b", 2)
    )
    path = write_h5(tmp_path / "m.h5", config, {"a": lstm_weights("a", 2, 2), "b": {}})
    assert repr(lstm_inspect.open_model(path)).endswith(
        ": 1 recurrent layer (a), 40 parameters; incomplete: b (LSTM)>"
    )


def test_shapes_are_one_line() -> None:
    shapes = lstm_inspect.model_shapes(MODEL, batch=1)
    assert repr(shapes) == (
        "<ModelShapes of encoder_decoder.keras: encoder (h, c: 1 x timesteps x 6), "
        "decoder (h, c: 1 x timesteps x 6)>"
    )
    assert repr(shapes.layers[0]) == "<LayerShapes encoder: LSTM, h, c: 1 x timesteps x 6>"


def test_a_trace_is_one_line_without_its_numbers() -> None:
    trace = traced()
    assert repr(trace) == (
        "<Trace of encoder_decoder.keras: encoder (h, c: 3 x 7 x 6), decoder (h, c: 3 x 5 x 6)>"
    )
    assert repr(trace["encoder"]) == "<LayerTrace encoder: lstm, forward; h, c: 3 x 7 x 6>"


def test_a_trace_names_the_layers_that_were_not_traced() -> None:
    layer = LayerTrace(
        path="a", cell="lstm", units=1, direction="forward", signals={"mask": np.ones((1, 2), bool)}
    )
    trace = Trace(layers={"a": layer}, untraced={"b": "why"}, model={})
    assert repr(trace) == "<Trace of an unknown model: a (mask: 1 x 2); not traced: b>"


def test_a_verification_is_one_line() -> None:
    assert repr(verification()) == "<Verification: agrees; lstm (layer only)>"
    assert repr(verification(absolute=1.0)) == "<Verification: differs; lstm (layer only)>"
    nothing = Verification(comparisons=(), skipped={"lstm": "it has a Lambda"})
    assert repr(nothing) == "<Verification: nothing compared; lstm (not compared)>"


def test_a_line_is_short_however_many_layers_there_are(tmp_path: Path) -> None:
    names = [f"a_layer_of_a_long_name_{number}" for number in range(100)]
    config = sequential(
        *(lstm(name, 2, batch_input_shape=[None, 3, 2], return_sequences=True) for name in names)
    )
    path = write_h5(tmp_path / "m.h5", config, {name: lstm_weights(name, 2, 2) for name in names})
    model = lstm_inspect.open_model(path)
    shapes, trace = lstm_inspect.model_shapes(model), lstm_inspect.trace(model, random(1, 3, 2))
    for line in (repr(model), repr(shapes), repr(trace)):
        assert len(line) <= 300


def test_a_notebook_shows_the_sizes_of_a_model() -> None:
    head, encoder, _ = _Tables(lstm_inspect.open_model(MODEL)._repr_html_()).rows
    assert dict(zip(head, encoder, strict=True)) == {
        "path": "encoder",
        "cell": "lstm",
        "units": "6",
        "features": "4",
        "direction": "forward",
        "weights": "kernel (4, 24)\nrecurrent_kernel (6, 24)\nbias (24,)",
        "parameters": "264",
    }


def test_a_notebook_shows_the_states_of_shapes_too() -> None:
    head, encoder, _ = _Tables(lstm_inspect.model_shapes(MODEL)._repr_html_()).rows
    cells = dict(zip(head, encoder, strict=True))
    assert cells["states"] == "h (batch, 6)\nc (batch, 6)"
    assert cells["sequences"] == "h (batch, timesteps, 6)\nc (batch, timesteps, 6)"


def test_a_notebook_shows_the_statistics_of_a_trace() -> None:
    head, encoder_h, *others = _Tables(traced()._repr_html_()).rows
    assert head == ["key", "shape", "dtype", "low", "mean", "high", "nonfinite"]
    assert encoder_h == ["encoder/h", "(3, 7, 6)", "float32", "-0.156", "0.1111", "0.435", "0"]
    assert len(others) == 3


def test_a_notebook_shows_what_was_compared_and_what_is_proven() -> None:
    head, compared, proven_head, proven = _Tables(verification()._repr_html_()).rows
    cells = dict(zip(head, compared, strict=True))
    assert (cells["path"], cells["what"], cells["agrees"]) == ("lstm", "h", "yes")
    assert proven_head == ["path", "proof", "reason"]
    assert proven == ["lstm", "layer only", "it has a Lambda"]


def test_names_from_a_file_are_neither_markup_nor_escape_sequences(tmp_path: Path) -> None:
    model = lstm_inspect.open_model(strange(tmp_path))
    signals = {"h": random(1, 2, 3)}
    layer = LayerTrace(path=NAME, cell=NAME, units=3, direction="forward", signals=signals)
    trace = Trace(layers={NAME: layer}, model={"name": NAME})
    for each in (model, trace, layer, verification(NAME)):
        assert repr(each).isprintable()
    for shown in (model, trace, verification(NAME)):
        page = _Tables(shown._repr_html_())
        assert page.tags <= {"p", "table", "thead", "tbody", "tr", "th", "td", "br"}
        assert "\x1b" not in shown._repr_html_()


@pytest.mark.parametrize("field", ["model", "untraced"])
def test_a_dump_whose_document_cannot_be_shown_is_refused(field: str, tmp_path: Path) -> None:
    path = tmp_path / "states.npz"
    traced().save(path)
    arrays, document = load_dump(path)
    save_dump(path, arrays, {**document, field: "text"})
    with pytest.raises(InputError, match="its document does not describe its arrays"):
        lstm_inspect.load_trace(path)
