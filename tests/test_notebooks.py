"""Tests how models and results show themselves: one line in a console, tables in a notebook."""

import re
import sys
from base64 import b64decode
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import Comparison, InputError, LayerTrace, SelectionError, Trace, Verification
from lstm_inspect.traces.kept import Kept
from tests.conftest import (
    SAMPLES,
    Array,
    load_dump,
    lstm,
    lstm_weights,
    random,
    sample_input,
    save_dump,
    sequential,
    write_h5,
)
from tests.test_cli import run
from tests.test_import import imported_by

MODEL = SAMPLES / "encoder_decoder.keras"
NAME = "<b>\x1b[31mbad\n</b>"


class _Tables(HTMLParser):
    """The cells of the tables of a page, row by row, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
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


# --- pictures


class _Pictures(_Tables):
    """The pictures of a page: the bytes and the words of each."""

    def __init__(self, html: str) -> None:
        self.pictures: list[tuple[bytes, str]] = []
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag == "img":
            given = dict(attrs)
            kind, _, data = (given["src"] or "").partition(",")
            assert kind == "data:image/png;base64"
            self.pictures.append((b64decode(data), given["alt"] or ""))


def layer_of(path: str = "lstm", **others: Any) -> LayerTrace:
    signals = {"h": random(2, 5, 3), "c": random(2, 5, 3), "f": abs(random(2, 5, 3))}
    given = {"path": path, "cell": "lstm", "units": 3, "direction": "forward", "signals": signals}
    return LayerTrace(**{**given, **others})


@pytest.fixture
def _no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, ["--signal", "h,c"]),
        ({"signals": "c, f", "sample": 1}, ["--signal", "c,f", "--sample", "1"]),
        ({"signals": ["c", "f"], "sample": 1}, ["--signal", "c,f", "--sample", "1"]),
        ({"signals": "all", "units": [0, 2]}, ["--signal", "all", "--units", "0,2"]),
        ({"signals": "all", "units": range(1, 3)}, ["--signal", "all", "--units", "1:3"]),
    ],
    ids=str,
)
def test_a_picture_is_what_the_commands_draw(
    options: dict[str, Any], command: list[str], tmp_path: Path
) -> None:
    layer = layer_of()
    dump, out = tmp_path / "s.npz", tmp_path / "p.png"
    Trace(layers={"lstm": layer}, model={}).save(dump)
    picture = layer.show(**options)
    assert repr(picture) + "\n\n" == run("show", str(dump), *command).stdout
    assert run("plot", str(dump), "--out", str(out), *command).exit_code == 0
    ((png, _),) = _Pictures(picture._repr_html_()).pictures
    assert png == out.read_bytes()


def test_a_picture_has_words_for_who_cannot_see_it() -> None:
    drawn = [layer_of().show("h,f", units=units) for units in (None, "1:2")]
    pages = [_Pictures(each._repr_html_()) for each in drawn]
    assert [words for page in pages for _, words in page.pictures] == [
        "lstm, sample 0: heat maps of h, f over 5 timesteps",
        "lstm, sample 0: lines of h, f over 5 timesteps",
    ]


@pytest.mark.usefixtures("_no_matplotlib")
def test_without_matplotlib_a_picture_is_text_and_says_how_to_get_more() -> None:
    picture = layer_of().show()
    page = picture._repr_html_()
    assert _Pictures(page).pictures == []
    assert "install it with: pip install &quot;lstm-inspect[plot]&quot;</p><pre>" in page
    for line in repr(picture).splitlines():
        assert escape(line) in page


def test_a_notebook_shows_the_statistics_and_the_states_of_a_layer() -> None:
    layer = layer_of()
    page = _Pictures(layer._repr_html_())
    assert [row[0] for row in page.rows] == ["key", "lstm/h", "lstm/c", "lstm/f"]
    assert escape(repr(layer)) in layer._repr_html_()
    ((png, words),) = page.pictures
    assert words == "lstm, sample 0: heat maps of h, c over 5 timesteps"
    assert [(png, words)] == _Pictures(layer.show()._repr_html_()).pictures


@pytest.mark.usefixtures("_no_matplotlib")
def test_without_matplotlib_a_notebook_shows_the_statistics_of_a_layer() -> None:
    page = layer_of()._repr_html_()
    assert [row[0] for row in _Tables(page).rows] == ["key", "lstm/h", "lstm/c", "lstm/f"]
    assert "pip install &quot;lstm-inspect[plot]&quot;" in page


def test_a_notebook_shows_the_first_sample_that_was_recorded() -> None:
    layer = layer_of(kept={"batch": Kept.of([4, 6], 9)})
    ((_, words),) = _Pictures(layer._repr_html_()).pictures
    assert words.startswith("lstm, sample 4: ")


@pytest.mark.parametrize(
    ("signals", "why"),
    [
        ({"h0": random(2, 3)}, "expected signals over timesteps to show, received none"),
        ({"h": np.zeros((0, 5, 3))}, "expected signals over timesteps to show, received none"),
        ({"h": np.full((1, 2, 3), 1e301)}, "lstm/h: expected numbers up to 1e+300"),
    ],
)
def test_a_notebook_says_why_there_is_no_picture(signals: dict[str, Array], why: str) -> None:
    page = layer_of(signals=signals)._repr_html_()
    assert len(_Tables(page).rows) == 2
    assert why in page


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"signals": "q"}, SelectionError, "signal q: was not recorded; there are h, c, f"),
        ({"sample": 2}, InputError, "sample 2: expected one of 0 to 1"),
        ({"units": [3]}, InputError, "units: expected numbers below 3, received 3"),
        ({"units": "a"}, InputError, 'units: expected places such as "0,5,8:16"'),
    ],
    ids=str,
)
def test_a_picture_of_what_was_not_recorded_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        layer_of().show(**options)


@pytest.mark.parametrize("units", [None, [0]])
def test_a_picture_takes_no_name_as_markup(units: list[int] | None) -> None:
    picture = layer_of(NAME).show(units=units)
    assert "\x1b" not in repr(picture)
    html = picture._repr_html_()
    assert _Pictures(html).tags == {"img"}
    assert "\x1b" not in html


@pytest.mark.usefixtures("_no_matplotlib")
def test_the_text_of_a_picture_takes_no_name_as_markup() -> None:
    html = layer_of(NAME).show()._repr_html_()
    assert _Pictures(html).tags == {"p", "pre"}
    assert "\x1b" not in html


def test_a_layer_is_shown_without_waiting_for_what_draws() -> None:
    modules = imported_by("import lstm_inspect; lstm_inspect.load_trace, lstm_inspect.LayerTrace")
    assert not modules & {"rich", "matplotlib"}
