"""What `plot` draws: heat maps and lines in a PNG, an SVG or a PDF."""

import sys
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from lstm_inspect import InputError, LayerTrace, Trace
from lstm_inspect.pictures.charts import heat_maps, image_of, line_plots
from lstm_inspect.pictures.units_over_time import UnitsOverTime
from tests.conftest import SAMPLES, Array, random
from tests.test_cli import run
from tests.test_heat_map import shown
from tests.test_import import imported_by
from tests.test_state_notes import MODEL, ordinary, trace_of

MAGENTA, GREY = to_rgb("#ff00ff"), to_rgb("#808080")


def drawn(figure: Figure) -> Array:
    """The pixels of a picture, (height, width, 3), from 0 to 1."""
    with Image.open(BytesIO(image_of(figure, ".png"))) as image:
        return np.asarray(image.convert("RGB")) / 255


def has_color(figure: Figure, axes: Axes, color: tuple[float, ...]) -> bool:
    """Whether a pixel in the frame of some axes has a color."""
    pixels, box = drawn(figure), axes.get_window_extent()
    top, left = len(pixels) - int(box.y1), int(box.x0)
    inside = pixels[top : top + int(box.height), left : left + int(box.width)]
    return bool(np.isclose(inside, color, atol=0.01).all(axis=-1).any())


def maps_of(figure: Figure) -> dict[str, Axes]:
    """The heat maps by their titles."""
    return {axes.get_title(): axes for axes in figure.axes if axes.images}


def numbers_on(figure: Figure, axes: Axes) -> tuple[list[str], list[str]]:
    """What stands at the ticks of the timesteps and of the units."""
    image_of(figure, ".png")
    across, down = (
        [label.get_text() for label in axis.get_ticklabels() if label.get_text()]
        for axis in (axes.xaxis, axes.yaxis)
    )
    return across, down


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def of_signals(*signals: str, layer: str = "lstm", **others: Any) -> list[UnitsOverTime]:
    return [replace(shown(ordinary(6, 4), name, **others), layer=layer) for name in signals]


# --- heat maps


def test_states_stand_side_by_side_and_gates_below_them() -> None:
    maps = maps_of(heat_maps(of_signals("h", "c", "i", "f", "g", "o", "x")))
    assert list(maps) == ["h", "c", "i", "f", "g", "o", "x"]
    boxes = {name: axes.get_position() for name, axes in maps.items()}
    rows = [["h", "c"], ["i", "f", "g", "o"], ["x"]]
    for row in rows:
        assert len({boxes[name].y0 for name in row}) == 1
        assert [boxes[name].x0 for name in row] == sorted(boxes[name].x0 for name in row)
    for (above, *_), (below, *_) in pairwise(rows):
        assert boxes[above].y0 > boxes[below].y1


def test_each_layer_has_its_name_above_its_signals() -> None:
    figure = heat_maps([*of_signals("h", layer="encoder"), *of_signals("h", "c", layer="decoder")])
    assert [text.get_text() for text in figure.texts] == ["encoder, sample 0", "decoder, sample 0"]
    first, second = (text.get_position()[1] for text in figure.texts)
    encoder_h, _, decoder_h, *_ = (axes.get_position() for axes in figure.axes)
    assert first > encoder_h.y1 > encoder_h.y0 > second > decoder_h.y1


def test_a_scale_is_even_around_0_and_that_of_a_gate_goes_from_0_to_1() -> None:
    numbers = np.array([[0.25, -0.5], [0.1, 0.2]])
    maps = maps_of(heat_maps([shown(numbers, "h"), shown(abs(numbers), "f")]))
    limits = {name: axes.images[0].get_clim() for name, axes in maps.items()}
    assert limits == {"h": (-0.5, 0.5), "f": (0.0, 1.0)}
    names = {name: axes.images[0].get_cmap().name for name, axes in maps.items()}
    assert names == {"h": "RdBu_r", "f": "viridis"}


def test_a_scale_says_what_it_is_of_and_where_it_ends() -> None:
    figure = heat_maps([shown(np.array([[0.25, -0.5]]), "h"), shown(np.array([[0.3]]), "f")])
    scales = [axes for axes in figure.axes if not axes.images]
    assert [axes.get_xlabel() for axes in scales] == ["value of h", "f: 0 closed, 1 open"]
    assert [numbers_on(figure, axes)[0] for axes in scales] == [
        ["-0.5", "0", "0.5"],
        ["0", "0.5", "1"],
    ]


def test_units_stand_downwards_and_timesteps_to_the_right() -> None:
    numbers = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, -1.0]])
    (axes,) = maps_of(figure := heat_maps([shown(numbers)])).values()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("timestep", "unit")
    pixels = drawn(figure)
    box = axes.get_window_extent()
    height, wide, high = len(pixels), box.width / 3, box.height / 2

    def color(step: int, unit: int) -> Any:
        row, column = height - box.y1 + (unit + 0.5) * high, box.x0 + (step + 0.5) * wide
        return pixels[int(row), int(column)].round(1).tolist()

    darkest_red, darkest_blue, white = [0.4, 0.0, 0.1], [0.0, 0.2, 0.4], [1.0, 1.0, 1.0]
    assert (color(0, 0), color(2, 1), color(1, 0)) == (darkest_red, darkest_blue, white)


def test_x_has_features() -> None:
    assert maps_of(heat_maps(of_signals("x")))["x"].get_ylabel() == "feature"


def test_a_part_has_the_numbers_of_the_whole() -> None:
    part = replace(shown(random(3, 2)), steps=[4, 7, 100], units=[31, 32])
    (axes,) = maps_of(figure := heat_maps([part])).values()
    assert numbers_on(figure, axes) == (["4", "7", "100"], ["31", "32"])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("timestep (recorded ones)", "unit")


@pytest.mark.parametrize("signals", [("h",), ("h", "c"), ("i", "f", "g", "o")], ids=str)
def test_no_cell_is_smaller_than_a_pixel(signals: tuple[str, ...]) -> None:
    large = [shown(random(3000, 512), signal) for signal in signals]
    for axes in maps_of(heat_maps(large)).values():
        (rows, columns), box = axes.images[0].get_size(), axes.get_window_extent()
        assert rows <= box.height
        assert columns <= box.width


def test_a_label_says_of_how_many_a_cell_is_the_mean() -> None:
    numbers = np.repeat(random(10, 4), 300, axis=0)
    (axes,) = maps_of(heat_maps([shown(numbers)])).values()
    means = np.asarray(axes.images[0].get_array())
    size = -(-3000 // means.shape[1])
    assert axes.get_xlabel() == f"timestep (means of up to {size})"
    assert axes.get_ylabel() == "unit"
    assert means.mean() == pytest.approx(numbers.mean(), abs=1e-3)


@pytest.mark.parametrize("draw", [heat_maps, line_plots])
@pytest.mark.parametrize("size", [1e-8, 1e-4, 1, 1e9, 1e30])
def test_nothing_that_is_written_is_cut(size: float, draw: Any) -> None:
    signals = [shown(random(1200, 4) * size, name, masked=[True] * 1200) for name in "hcifgox"]
    figure = draw([replace(each, units=[7, 70, 700, 7000]) for each in signals])
    image_of(figure, ".png")
    (width, height), used = figure.get_size_inches(), figure.get_tightbbox()
    assert used.x0 > 0
    assert used.y0 > 0
    assert used.x1 < width
    assert used.y1 < height


def test_masked_timesteps_have_a_bar_above_them() -> None:
    masked = [False, True, True, False, True]
    (axes,) = maps_of(figure := heat_maps([shown(random(5, 2), masked=masked)])).values()
    (bars,) = axes.collections
    ends = [path.get_extents().intervalx.tolist() for path in bars.get_paths()]
    assert ends == [[0.5, 2.5], [3.5, 4.5]]
    assert legend_of(figure) == ["masked timestep"]
    np.testing.assert_allclose(np.ravel(bars.get_facecolor())[:3], GREY)


@pytest.mark.parametrize("masked", [None, [False] * 5])
def test_without_masked_timesteps_there_is_no_bar(masked: list[bool] | None) -> None:
    figure = heat_maps([shown(random(5, 2), masked=masked)])
    assert legend_of(figure) == []
    assert [*maps_of(figure)["h"].collections] == []


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("signal", ["h", "f"])
@pytest.mark.parametrize("draw", [heat_maps, line_plots])
def test_numbers_that_are_not_finite_have_a_color_of_their_own(
    draw: Any, signal: str, number: float
) -> None:
    numbers = ordinary(5, 3)
    figure = draw([shown(numbers, signal)])
    assert not has_color(figure, figure.axes[0], MAGENTA)
    numbers[2, 1] = number
    figure = draw([shown(numbers, signal)])
    assert has_color(figure, figure.axes[0], MAGENTA)
    assert legend_of(figure)[-1] == "NaN or infinite"


def test_what_is_not_finite_does_not_change_the_scale() -> None:
    numbers = np.array([[np.nan, 0.5], [-np.inf, 0.25]])
    (axes,) = maps_of(heat_maps([shown(numbers)])).values()
    assert axes.images[0].get_clim() == (-0.5, 0.5)


@pytest.mark.parametrize("numbers", [np.zeros((3, 2)), np.full((3, 2), np.nan)], ids=["0", "nan"])
def test_what_has_no_sizes_is_drawn_too(numbers: Array) -> None:
    (axes,) = maps_of(figure := heat_maps([shown(numbers)])).values()
    assert axes.images[0].get_clim() == (-1.0, 1.0)
    assert len(image_of(figure, ".png")) > 1000


# --- lines


def lines_of(axes: Axes) -> list[Any]:
    """The lines of units."""
    return [line for line in axes.lines if np.size(line.get_xdata()) > 2]


def test_each_unit_has_a_line_and_each_signal_axes() -> None:
    signals = [replace(shown(random(6, 2), name), units=[3, 8]) for name in ("h", "c", "f")]
    figure = line_plots(signals)
    assert [axes.get_ylabel() for axes in figure.axes] == ["h", "c", "f"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "timestep"]
    assert legend_of(figure) == ["unit 3", "unit 8"]
    for axes, signal in zip(figure.axes, signals, strict=True):
        first, second = lines_of(axes)
        np.testing.assert_array_equal(first.get_ydata(), signal.numbers[:, 0])
        np.testing.assert_array_equal(second.get_ydata(), signal.numbers[:, 1])


def test_a_unit_has_the_same_line_in_all_signals_and_in_the_legend() -> None:
    one = replace(shown(random(6, 1), "h"), units=[8])
    both = replace(shown(random(6, 2), "c"), units=[3, 8])
    figure = line_plots([one, both])
    (of_h,), (_, of_c) = map(lines_of, figure.axes)
    in_legend = figure.legends[0].get_lines()[1]
    assert of_h.get_color() == of_c.get_color() == in_legend.get_color()


def test_every_line_can_be_told_from_the_others() -> None:
    lines = lines_of(line_plots([shown(random(6, 28))]).axes[0])
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 28
    with pytest.raises(InputError, match=r"expected at most 28 units, .* received 29"):
        line_plots([shown(random(6, 29))])


def test_lines_stand_at_the_timesteps_of_the_whole() -> None:
    part = replace(shown(random(3, 1)), steps=[4, 7, 100], masked=[False, True, False])
    axes = line_plots([part]).axes[0]
    assert lines_of(axes)[0].get_xdata().tolist() == [4, 7, 100]
    (bar,) = axes.collections[0].get_paths()
    assert bar.get_extents().intervalx.tolist() == [6.5, 7.5]


def test_a_line_has_a_gap_where_a_number_is_not_finite() -> None:
    numbers = random(5, 1)
    numbers[2, 0] = np.inf
    (line,) = lines_of(line_plots([shown(numbers)]).axes[0])
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True, False, False]


# --- names and numbers of strangers

NAMES = [
    "$x^",
    r"$\frac{",
    "_hidden",
    "a\x1b[2J\nb",
    "\u202eabc",
    "层\U0001f9ea",
    "a" * 400,
    "%s{0}<b>&amp;",
    "",
]


@pytest.mark.parametrize("draw", [heat_maps, line_plots])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_drawn_as_they_are_written(name: str, draw: Any) -> None:
    """A warning would fail the test: no character is missing in the font."""
    figure = draw([replace(shown(random(3, 2)), layer=name, signal=name)])
    for suffix in (".png", ".svg", ".pdf"):
        assert image_of(figure, suffix)
    (title,) = figure.texts
    assert not title.get_parse_math()
    assert title.get_text().isprintable()
    assert len(title.get_text()) <= 80
    width = figure.bbox.width
    assert 0 <= title.get_window_extent().x0 < title.get_window_extent().x1 <= width


def test_a_character_that_the_font_lacks_is_an_escape() -> None:
    figure = heat_maps(of_signals("h", layer="层/$x$"))
    assert figure.texts[0].get_text() == r"\u5c42/$x$, sample 0"


@pytest.mark.parametrize("draw", [heat_maps, line_plots])
@pytest.mark.parametrize("number", [1e300, 5e-324, 3e38, 1e-45])
def test_numbers_of_any_size_are_drawn(number: float, draw: Any) -> None:
    for signal in ("h", "f"):
        figure = draw([shown(np.array([[1.0, -1.0], [0.5, 0.0]]) * number, signal)])
        assert image_of(figure, ".png")


@pytest.mark.parametrize("draw", [heat_maps, line_plots])
def test_a_number_that_no_scale_can_hold_is_refused(draw: Any) -> None:
    with pytest.raises(InputError, match=r"lstm/h: expected numbers up to 1e\+300 to draw"):
        draw([shown(np.array([[1e308, -1e308]]))])


@pytest.mark.parametrize("draw", [heat_maps, line_plots])
def test_more_signals_than_one_picture_has_room_for_are_refused(draw: Any) -> None:
    with pytest.raises(InputError, match=r"at most 64 signals in one picture, received 65"):
        draw([replace(shown(random(2, 1)), layer=str(number)) for number in range(65)])


# --- files


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("draw", [heat_maps, line_plots])
def test_equal_states_are_equal_bytes(draw: Any, suffix: str) -> None:
    numbers = [shown(ordinary(5, 3), "h", masked=[True] * 5), shown(ordinary(5, 3), "f")]
    first, second = (image_of(draw(numbers), suffix) for _ in range(2))
    assert first == second
    assert b"CreationDate" not in first
    assert b"dc:date" not in first


def test_the_settings_of_a_user_neither_count_nor_change() -> None:
    usual = image_of(heat_maps(of_signals("h")), ".png")
    theirs: Any = {"figure.facecolor": "black", "font.size": 30, "text.usetex": True}
    with matplotlib.rc_context(theirs):
        before = dict(matplotlib.rcParams)
        assert image_of(heat_maps(of_signals("h")), ".png") == usual
        assert dict(matplotlib.rcParams) == before


def test_a_picture_needs_no_pyplot_and_the_start_no_matplotlib(states: Path) -> None:
    command = f"cli(['plot', {str(states)!r}, '--out', {str(states.with_name('p.svg'))!r}], 'l', "
    start = "from lstm_inspect.cli import cli\n"
    assert "matplotlib" not in imported_by(start)
    modules = imported_by(f"{start}{command}standalone_mode=False)")
    assert "matplotlib.figure" in modules
    assert "matplotlib.pyplot" not in modules


# --- the command


def recorded() -> Trace:
    h, c, f, x = (ordinary(3, 8, 4) for _ in range(4))
    return trace_of(h=h, c=c, f=f, x=x, mask=np.ones((3, 8), bool))


@pytest.fixture
def states(tmp_path: Path) -> Path:
    recorded().save(tmp_path / "s.npz")
    return tmp_path / "s.npz"


@pytest.mark.parametrize(
    ("name", "start"),
    [("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF"), ("p.PNG", b"\x89PNG")],
)
@pytest.mark.parametrize("options", [[], ["--units", "0,2:"]], ids=str)
def test_the_suffix_says_the_format(
    states: Path, name: str, start: bytes, options: list[str]
) -> None:
    out = states.with_name(name)
    result = run("plot", str(states), "--out", str(out), *options)
    assert (result.exit_code, result.output) == (0, "")
    assert out.read_bytes().startswith(start)


def size_of(states: Path, *options: str) -> tuple[int, int]:
    out = states.with_name("p.png")
    assert run("plot", str(states), "--out", str(out), *options).exit_code == 0
    with Image.open(out) as image:
        return image.size


def test_the_command_draws_states_and_gates_and_x_if_asked_for(states: Path) -> None:
    (width, of_one), (_, usual) = size_of(states, "--signal", "h"), size_of(states)
    assert width == 1500
    assert of_one < usual == size_of(states, "--signal", "h,c,f")[1]
    assert usual < size_of(states, "--signal", "all")[1]


def test_the_command_draws_the_sample_and_the_units_that_are_asked_for(tmp_path: Path) -> None:
    def picture(name: str, h: Array, *options: str) -> bytes:
        trace_of(h=h).save(tmp_path / f"{name}.npz")
        out = tmp_path / f"{name}.png"
        result = run("plot", str(tmp_path / f"{name}.npz"), "--out", str(out), *options)
        assert result.exit_code == 0
        return out.read_bytes()

    h = random(3, 8, 4)
    whole = picture("whole", h, "--sample", "2", "--units", "1,3")
    h[:2], h[:, :, ::2] = 0, 0
    assert picture("part", h, "--sample", "2", "--units", "1,3") == whole
    h[2, 5, 3] = 1
    assert picture("other", h, "--sample", "2", "--units", "1,3") != whole


@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
def test_dumps_of_every_format_are_the_same_picture(states: Path, suffix: str) -> None:
    other = states.with_suffix(suffix)
    recorded().save(other)
    images = []
    for path in (states, other):
        assert run("plot", str(path), "--out", str(states.with_name("p.png"))).exit_code == 0
        images.append(states.with_name("p.png").read_bytes())
    assert images[0] == images[1]


def test_a_part_of_a_replay_keeps_its_numbers(tmp_path: Path) -> None:
    x = SAMPLES / "thirty_units_sequences_state.npy"
    given = ("trace", str(x.with_suffix(".keras")), "--input", str(x), "--out")
    dump, out = str(tmp_path / "s.npz"), str(tmp_path / "p.png")
    assert run(*given, dump, "--steps", "3:9", "--units", "7,9").exit_code == 0
    assert run("plot", dump, "--out", out, "--units", "9").exit_code == 0
    result = run("plot", dump, "--out", out, "--units", "8")
    assert result.exit_code == 2
    assert "lstm/h: unit 8 was not recorded" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--signal", "q"], "signal q: was not recorded; there are h, c, f, x"),
        (["--sample", "3"], "sample 3: expected one of 0 to 2"),
        (["--units", "9"], "--units: expected numbers below 4, received 9"),
        (["--layer", "gru"], "layer gru: matches no recorded layer; there are lstm"),
        (["--out", "p.gif"], "p.gif: expected a name ending in .png, .svg or .pdf for the picture"),
        (["--out", "p"], "p: expected a name ending in .png, .svg or .pdf"),
        (["--out", "-"], "-: expected a name ending in .png, .svg or .pdf"),
        (["--out", "no/p.png"], "p.png: the folder no does not exist; create it first"),
    ],
)
def test_what_cannot_be_drawn_leaves_no_file(
    states: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(states.parent)
    result = run("plot", states.name, "--out", "p.png", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(states.parent.iterdir()) == [states]


def test_a_dump_without_timesteps_is_refused(tmp_path: Path) -> None:
    signals = {"h0": random(2, 3), "x": random(2, 4, 3)}
    layer = LayerTrace(path="a", cell="lstm", units=3, direction="forward", signals=signals)
    Trace(layers={"a": layer}, model=MODEL).save(tmp_path / "s.npz")
    result = run("plot", str(tmp_path / "s.npz"), "--out", str(tmp_path / "p.png"))
    assert result.exit_code == 2
    assert "expected signals to draw, received none" in result.stderr


def test_a_picture_is_replaced_and_another_file_only_with_force(states: Path) -> None:
    out = states.with_name("p.png")
    arguments = ("plot", str(states), "--out", str(out))
    out.write_bytes(b"a,b\n")
    result = run(*arguments)
    assert result.exit_code == 2
    assert "exists and would be overwritten" in result.stderr
    assert out.read_bytes() == b"a,b\n"
    assert run(*arguments, "--force").exit_code == 0
    first = out.read_bytes()
    assert first.startswith(b"\x89PNG")
    assert run(*arguments, "--signal", "c").exit_code == 0
    assert out.read_bytes() != first


def test_the_dump_itself_is_never_replaced(states: Path) -> None:
    before = states.read_bytes()
    link = states.with_name("p.png")
    link.symlink_to(states)
    result = run("plot", str(states), "--out", str(link), "--force")
    assert result.exit_code == 2
    assert "the result would overwrite an input" in result.stderr
    assert states.read_bytes() == before


def test_without_matplotlib_one_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before the dump is read: here there is none."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("plot", str(tmp_path / "none.npz"), "--out", str(tmp_path / "p.png"))
    assert result.exit_code == 2
    assert result.stderr == (
        'error: a picture needs Matplotlib; install it with: pip install "lstm-inspect[plot]"\n'
    )
    assert list(tmp_path.iterdir()) == []
