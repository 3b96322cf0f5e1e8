"""What `report` writes: which numbers a page holds, what it says, and when it is refused."""

import json
import re
import zlib
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import LayerTrace, Trace
from lstm_inspect.page import explorer
from lstm_inspect.page.packing import packed_numbers, rounded
from lstm_inspect.traces.kept import Kept
from tests.conftest import SAMPLES, Array, random, sample_input
from tests.test_cli import run
from tests.test_state_notes import MODEL, ordinary, trace_of

ENCODER_DECODER = str(SAMPLES / "encoder_decoder.keras")


class Page(HTMLParser):
    """What a page holds: its texts, its tags, and the texts of its scripts by their id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.scripts: dict[str, str] = {}
        self.tags: set[str] = set()
        self._script: str | None = None
        self.feed(html)
        self.described = json.loads(self.scripts["report"])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("script", "style"):
            self._script = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = data
        elif data.strip():
            self.said.append(data.strip())

    def numbers(self, layer: int, signal: str, sample: int) -> Array:
        return unpacked(self.scripts[f"{layer}/{signal}/{sample}"])


def unpacked(text: str) -> Array:
    planes = np.frombuffer(zlib.decompress(b64decode(text)), np.uint8).reshape(4, -1)
    return planes.T.copy().view("<f4").ravel()


def written(trace: Trace, folder: Path, *arguments: str) -> Page:
    trace.save(folder / "states.npz")
    result = run("report", str(folder / "states.npz"), "--out", str(folder / "r.html"), *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return Page((folder / "r.html").read_text(encoding="utf-8"))


def refused(trace: Trace, folder: Path, *arguments: str) -> str:
    trace.save(folder / "states.npz")
    result = run("report", str(folder / "states.npz"), "--out", str(folder / "r.html"), *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not (folder / "r.html").exists()
    return result.stderr


# --- numbers


@pytest.mark.parametrize("shape", [(1,), (3, 5), (0, 4)])
def test_packed_numbers_are_the_numbers(shape: tuple[int, ...]) -> None:
    numbers = random(*shape)
    assert np.array_equal(unpacked(packed_numbers(numbers)), numbers.ravel())


def test_rounded_numbers_are_right_to_four_digits_and_keep_what_is_not_finite() -> None:
    numbers = random(1000) * np.float32(10) ** np.arange(-30, 30).repeat(1000 // 60 + 1)[:1000]
    numbers = numbers.astype(np.float32)
    assert (abs(rounded(numbers) - numbers) <= abs(numbers) * 2.0**-14).all()
    strange = np.array([np.nan, np.inf, -np.inf, 0.0, np.finfo("f").max], np.float32)
    assert np.array_equal(rounded(strange), strange, equal_nan=True)


def test_a_page_holds_the_numbers_of_each_signal_and_sample(tmp_path: Path) -> None:
    h, f = random(2, 5, 3), ordinary(2, 5, 3)
    page = written(trace_of(h=h, f=f), tmp_path)
    for sample in range(2):
        assert np.array_equal(page.numbers(0, "h", sample).reshape(3, 5), h[sample].T)
        assert np.array_equal(page.numbers(0, "f", sample).reshape(3, 5), f[sample].T)
    largest = float(abs(h).max())
    assert page.described == {
        "digits": 6,
        "samples": [0, 1],
        "labels": None,
        "layers": [
            {
                "path": "lstm",
                "steps": [0, 1, 2, 3, 4],
                "masked": False,
                "signals": [
                    {
                        "name": "h",
                        "units": [0, 1, 2],
                        "axis": "unit",
                        "gate": False,
                        "notes": [],
                        "scale": [-largest, largest],
                    },
                    {
                        "name": "f",
                        "units": [0, 1, 2],
                        "axis": "unit",
                        "gate": True,
                        "notes": [],
                        "scale": [0, 1],
                    },
                ],
            }
        ],
    }


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_a_dump_of_each_format_has_a_page(suffix: str, tmp_path: Path) -> None:
    h = random(3, 70, 5)
    trace_of(h=h).save(tmp_path / f"s{suffix}")
    result = run("report", str(tmp_path / f"s{suffix}"), "--out", str(tmp_path / "r.html"))
    assert result.exit_code == 0
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert np.array_equal(page.numbers(0, "h", 2).reshape(5, 70), h[2].T)


def test_equal_states_give_equal_pages(tmp_path: Path) -> None:
    trace = trace_of(h=random(2, 5, 3))
    pages = []
    for _ in range(2):
        written(trace, tmp_path)
        pages.append((tmp_path / "r.html").read_bytes())
    assert pages[0] == pages[1]


def test_masked_timesteps_are_on_the_page(tmp_path: Path) -> None:
    mask = np.array([[True, False, True, True]])
    page = written(trace_of(h=random(1, 4, 2), mask=mask), tmp_path)
    assert page.described["layers"][0]["masked"]
    assert page.numbers(0, "mask", 0).tolist() == [0, 1, 0, 0]


def test_a_part_of_a_dump_keeps_the_numbers_of_its_steps_and_units(tmp_path: Path) -> None:
    x = np.load(SAMPLES / "stacked.npy")
    trace = lstm_inspect.trace(
        SAMPLES / "stacked.keras", x, steps="2,5", units="1,3", samples="1", record="h,x"
    )
    page = written(trace, tmp_path)
    h, given = page.described["layers"][0]["signals"]
    assert page.described["samples"] == [1]
    assert page.described["layers"][0]["steps"] == [2, 5]
    assert h["units"] == [1, 3]
    assert (given["axis"], given["units"]) == ("feature", [*range(x.shape[-1])])


def test_layers_signals_and_samples_can_be_chosen(tmp_path: Path) -> None:
    trace = lstm_inspect.trace(ENCODER_DECODER, sample_input("encoder_decoder"), record="all")
    page = written(trace, tmp_path, "--layer", "dec*", "--signal", "c,f", "--samples", "0,2")
    (layer,) = page.described["layers"]
    assert layer["path"] == "decoder"
    assert [signal["name"] for signal in layer["signals"]] == ["c", "f"]
    assert page.described["samples"] == [0, 2]
    assert np.array_equal(page.numbers(0, "c", 1).reshape(6, 5), trace["decoder"].c[2].T)


# --- what has no room


def test_numbers_are_rounded_if_that_makes_room_for_all_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = random(4, 50, 8)
    monkeypatch.setattr(explorer, "ROOM", 8000)
    page = written(trace_of(h=h), tmp_path)
    assert page.described["samples"] == [0, 1, 2, 3]
    assert page.described["digits"] == 4
    found = page.numbers(0, "h", 3).reshape(8, 50)
    assert 0 < abs(found - h[3].T).max() <= 2.0**-14
    assert "Numbers are rounded to about four digits." in page.said


def test_samples_that_have_no_room_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "ROOM", 4000)
    page = written(trace_of(h=random(4, 50, 8)), tmp_path)
    shown = page.described["samples"]
    assert 1 <= len(shown) < 4
    assert sum(len(text) for name, text in page.scripts.items() if name.startswith("0/")) <= 4000
    told = f"There is room for {len(shown)} of 4 samples. Choose with --samples, --layer and "
    assert f"{told}--signal." in page.said


def test_a_sample_that_has_no_room_keeps_every_kth_timestep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h, mask = random(1, 50, 8), np.ones((1, 50), bool)
    monkeypatch.setattr(explorer, "ROOM", 600)
    page = written(trace_of(h=h, mask=mask), tmp_path)
    (layer,) = page.described["layers"]
    assert layer["steps"] == [*range(0, 50, 3)]
    found = page.numbers(0, "h", 0).reshape(8, -1)
    assert found == pytest.approx(h[0, ::3].T, rel=2.0**-14)
    assert len(page.numbers(0, "mask", 0)) == len(layer["steps"])
    assert any(line.startswith("There is room for one of 3 timesteps.") for line in page.said)


@pytest.mark.slow
def test_512_units_1000_timesteps_and_8_samples_have_room(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (8, 1000, 512)).astype("float32")
    page = written(trace_of(h=noise, c=noise[::-1]), tmp_path)
    assert page.described["samples"] == [*range(8)]
    assert page.described["layers"][0]["steps"] == [*range(1000)]
    assert (tmp_path / "r.html").stat().st_size < 30_000_000


def test_more_timesteps_than_a_browser_can_draw_are_thinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "_MOST_STEPS", 10)
    page = written(trace_of(h=random(1, 25, 2)), tmp_path)
    assert page.described["layers"][0]["steps"] == [*range(0, 25, 3)]
    assert page.described["digits"] == 6


def test_numbers_beyond_float32_are_refused(tmp_path: Path) -> None:
    h = np.array([[[1e300]], [[1.0]]])
    assert refused(trace_of(h=h), tmp_path) == (
        "error: lstm/h: expected numbers that fit float32, received larger ones\n"
    )


# --- labels


def test_labels_name_the_timesteps_of_all_samples_or_of_each(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    trace = trace_of(h=random(2, 3, 2))
    tokens.write_text("the\n \ncat\n", encoding="utf-8")
    page = written(trace, tmp_path, "--labels", str(tokens))
    assert page.described["labels"] == [["the", " ", "cat"]]
    tokens.write_text("a\nb\nc\n\n\nd\ne\nf\n", encoding="utf-8")
    page = written(trace, tmp_path, "--labels", str(tokens))
    assert page.described["labels"] == [["a", "b", "c"], ["d", "e", "f"]]
    page = written(trace, tmp_path, "--labels", str(tokens), "--samples", "1")
    assert page.described["labels"] == [["d", "e", "f"]]


def test_labels_of_all_timesteps_fit_a_dump_of_some(tmp_path: Path) -> None:
    kept = {"timesteps": Kept.of((1, 3), 4)}
    layer = replace(trace_of(h=random(1, 2, 2)).layers["lstm"], kept=kept)
    (tmp_path / "tokens.txt").write_text("a\nb\nc\nd", encoding="utf-8")
    trace = Trace(layers={"lstm": layer}, model=MODEL)
    page = written(trace, tmp_path, "--labels", str(tmp_path / "tokens.txt"))
    assert page.described["labels"] == [["b", "d"]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\nb\n", "labels: expected 3, one for each timestep, received 2 for sample 0"),
        (
            "a\nb\nc\n\nd\ne\nf\n\ng\nh\ni\n",
            "labels: expected those of one sample or of all 2, received those of 3; an empty line "
            "stands between two samples",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(text: str, told: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(text, encoding="utf-8")
    error = refused(trace_of(h=random(2, 3, 2)), tmp_path, "--labels", str(tokens))
    assert error == f"error: {told}\n"


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_bytes(b"\xff\xfe\x00")
    trace = trace_of(h=random(2, 3, 2))
    error = refused(trace, tmp_path, "--labels", str(tmp_path / "tokens.txt"))
    assert "tokens.txt: expected labels as text in UTF-8, one a line" in error
    assert "none.txt: no such file or directory" in refused(
        trace, tmp_path, "--labels", str(tmp_path / "none.txt")
    )


# --- tables


def test_a_page_has_the_notes_the_figures_and_where_the_numbers_come_from(tmp_path: Path) -> None:
    h = ordinary(2, 8, 3)
    h[..., 1] = 0.25
    page = written(trace_of(h=h), tmp_path)
    assert "lstm/h: 1 unit never moves by more than 1e-06: 1" in page.said
    for each in ("model", "1 recurrent layer, 2 samples, from states.npz", "0" * 64, "3.15.1"):
        assert each in page.said
    at = page.said.index("Figures")
    assert page.said[at + 14 : at + 18] == ["lstm", "h", "(2, 8, 3)", f"{h.min():.4g}"]
    assert "h (2, 8, 3) float32" in page.said
    assert "numpy" in page.said


def test_a_page_of_ordinary_states_says_so(tmp_path: Path) -> None:
    assert "Nothing is notable." in written(trace_of(h=ordinary(2, 8, 3)), tmp_path).said


def test_model_shows_the_shapes(tmp_path: Path) -> None:
    trace = lstm_inspect.trace(ENCODER_DECODER, sample_input("encoder_decoder"))
    page = written(trace, tmp_path, "--model", ENCODER_DECODER)
    assert "Shapes" in page.said
    assert "recurrent_kernel (6, 24)" in page.said
    assert "Shapes" not in written(trace, tmp_path).said


def test_shapes_of_another_model_than_that_of_the_states_are_said_to_be(tmp_path: Path) -> None:
    trace = lstm_inspect.trace(ENCODER_DECODER, sample_input("encoder_decoder"))
    other = str(SAMPLES / "stacked.keras")
    told = "stacked.keras is another file than the model that the states come from."
    assert told in written(trace, tmp_path, "--model", other).said
    page = written(trace, tmp_path, "--model", ENCODER_DECODER)
    assert not any("another file" in line for line in page.said)


def test_dumps_of_one_name_are_each_compared(tmp_path: Path) -> None:
    h = random(1, 3, 2)
    paths = []
    for name, numbers in (("a", h), ("b", h + 1)):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "before.npz")
        trace_of(h=numbers).save(paths[-1])
    arguments = [argument for path in paths for argument in ("--diff", str(path))]
    said = written(trace_of(h=h), tmp_path, *arguments).said
    assert f"Compared with {paths[0]}: nothing differs." in said
    assert f"Compared with {paths[1]}: these differences." in said


def test_diff_shows_the_differences_from_another_dump(tmp_path: Path) -> None:
    h = random(2, 3, 2)
    trace_of(h=h).save(tmp_path / "before.npz")
    other = h.copy()
    other[1, 2, 0] += 0.5
    page = written(trace_of(h=other), tmp_path, "--diff", str(tmp_path / "before.npz"))
    assert f"Compared with {tmp_path}/before.npz: these differences." in page.said
    assert any("h at sample 1, step 2, unit 0: expected" in line for line in page.said)
    page = written(trace_of(h=h), tmp_path, "--diff", str(tmp_path / "before.npz"))
    assert f"Compared with {tmp_path}/before.npz: nothing differs." in page.said
    arguments = ("--diff", str(tmp_path / "before.npz"), "--atol", "0.6")
    assert (
        f"Compared with {tmp_path}/before.npz: nothing differs."
        in written(trace_of(h=other), tmp_path, *arguments).said
    )


def test_diff_of_a_model_needs_a_model(tmp_path: Path) -> None:
    trace = lstm_inspect.trace(ENCODER_DECODER, sample_input("encoder_decoder"))
    stacked = str(SAMPLES / "stacked.keras")
    error = refused(trace, tmp_path, "--diff", stacked)
    assert error.endswith("expected a dump, as there is no model to compare with it\n")
    page = written(trace, tmp_path, "--diff", stacked, "--model", ENCODER_DECODER)
    assert f"Compared with {stacked}: these differences." in page.said


def test_a_verification_in_a_dump_is_shown(tmp_path: Path) -> None:
    compared = lstm_inspect.Comparison("lstm", "h", 1e-7, 1e-7, (0, 2, 1), 1e-4)
    verification = lstm_inspect.Verification(comparisons=(compared,), skipped={})
    trace = trace_of(h=random(2, 3, 2)).with_verification(verification.as_json())
    page = written(trace, tmp_path)
    assert "The replay and Keras agree." in page.said
    assert "layer only" in page.said
    (tmp_path / "r.html").unlink()
    for strange in ({"agrees": True}, {**verification.as_json(), "agrees": "no"}):
        error = refused(trace.with_verification(strange), tmp_path)
        told = "error: states.npz: its document has a verification of another form"
        assert error.startswith(told)


@pytest.mark.parametrize("name", [5, ["a"]])
def test_a_model_of_another_form_is_refused(name: Any, tmp_path: Path) -> None:
    trace = Trace(layers=trace_of(h=random(1, 2, 2)).layers, model={"name": name})
    assert "its document does not describe its arrays" in refused(trace, tmp_path)


# --- of a model and an input


def test_a_model_and_an_input_are_replayed_with_all_signals(tmp_path: Path) -> None:
    x, out = SAMPLES / "stacked.npy", tmp_path / "r.html"
    result = run("report", str(SAMPLES / "stacked.keras"), "-i", str(x), "--out", str(out))
    assert (result.exit_code, result.stderr) == (0, "")
    page = Page(out.read_text(encoding="utf-8"))
    names = [signal["name"] for signal in page.described["layers"][0]["signals"]]
    assert names == ["h", "c", "i", "f", "g", "o", "x"]
    trace = lstm_inspect.trace(SAMPLES / "stacked.keras", np.load(x))
    assert np.array_equal(page.numbers(1, "c", 0), trace["lstm_1"].c[0].T.ravel())
    assert "Shapes" in page.said


def test_a_layer_that_cannot_be_traced_is_named_on_the_page_and_by_the_command(
    tmp_path: Path,
) -> None:
    trace = Trace(
        layers=trace_of(h=random(1, 2, 2)).layers, untraced={"top": "needs a Lambda"}, model=MODEL
    )
    assert "top was not traced: needs a Lambda" in written(trace, tmp_path).said


def test_a_model_without_an_input_is_refused_with_what_to_do(tmp_path: Path) -> None:
    result = run("report", ENCODER_DECODER, "--out", str(tmp_path / "r.html"))
    assert result.exit_code == 2
    error, hint = result.stderr.splitlines()
    assert error.endswith("expected a dump that `lstm-inspect trace` wrote, received another file")
    assert hint == "hint: a model needs an --input, and is replayed first"


def test_python_writes_the_page_of_a_trace(tmp_path: Path) -> None:
    trace, out = trace_of(h=random(3, 4, 2)), tmp_path / "r.html"
    tokens = ["a", "b", "c", "d"]
    lstm_inspect.write_report(
        trace, out, model=ENCODER_DECODER, signals=["h"], samples="1:", labels=[tokens]
    )
    page = Page(out.read_text(encoding="utf-8"))
    assert page.described["samples"] == [1, 2]
    assert page.described["labels"] == [tokens]
    assert "Shapes" in page.said
    with pytest.raises(lstm_inspect.InputError, match="one for each timestep, received 1"):
        lstm_inspect.write_report(trace, out, labels=[["a"]])


@pytest.mark.keras
def test_verify_compares_with_keras_and_shows_it(tmp_path: Path) -> None:
    x, out = SAMPLES / "stacked.npy", tmp_path / "r.html"
    model = str(SAMPLES / "stacked.keras")
    result = run("report", model, "-i", str(x), "--verify", "--out", str(out))
    assert (result.exit_code, result.stderr) == (0, "")
    page = Page(out.read_text(encoding="utf-8"))
    assert "The replay and Keras agree." in page.said
    assert page.said.count("whole model") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--verify", "--verify: expected an --input too."),
        ("--stateful --csv-batch a", "--stateful, --csv-batch: expected an --input too."),
        ("--atol 1", "--atol: expected a --diff too."),
        ("--assume lstm.units=3", "--assume: expected a --model or an --input too."),
        ("--input x.npy --model m.keras", "--model: SOURCE is the model if there is an --input."),
    ],
)
def test_options_that_say_nothing_are_refused(arguments: str, told: str, tmp_path: Path) -> None:
    error = refused(trace_of(h=random(1, 2, 2)), tmp_path, *arguments.split())
    assert error.startswith(f"error: {told}")


# --- files


def test_a_page_replaces_a_page_and_nothing_else_without_force(tmp_path: Path) -> None:
    trace, out = trace_of(h=random(1, 2, 2)), tmp_path / "r.html"
    written(trace, tmp_path)
    written(trace, tmp_path)
    out.write_text("mine", encoding="utf-8")
    result = run("report", str(tmp_path / "states.npz"), "--out", str(out))
    assert result.exit_code == 2
    assert "exists and would be overwritten" in result.stderr
    assert out.read_text(encoding="utf-8") == "mine"
    written(trace, tmp_path, "--force")


def test_a_page_never_replaces_what_it_is_made_from(tmp_path: Path) -> None:
    trace_of(h=random(1, 2, 2)).save(tmp_path / "s.npz")
    states = str(tmp_path / "s.npz")
    result = run("report", states, "--out", states, "--force")
    assert (result.exit_code, "would overwrite an input" in result.stderr) == (2, True)


def test_without_plotly_a_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    error = refused(trace_of(h=random(1, 2, 2)), tmp_path)
    assert re.fullmatch(
        r'error: report needs plotly \(.*\): pip install "lstm-inspect\[report\]"\n', error
    )


def test_names_from_a_dump_are_text_on_the_page(tmp_path: Path) -> None:
    name = "</script><img src=x onerror=alert(1)>\x1b"
    signals: dict[str, Any] = {"h": random(1, 3, 2), "c": np.zeros((1, 3, 2), "float32")}
    layer = LayerTrace(path=name, cell=name, units=2, direction=name, signals=signals)
    page = written(Trace(layers={name: layer}, model={"name": name}), tmp_path)
    assert "img" not in page.tags
    assert page.described["layers"][0]["path"] == name.replace("\x1b", "\\x1b")
    assert "\x1b" not in (tmp_path / "r.html").read_text(encoding="utf-8")
