"""What the page of `report` does in a browser: a headless Chromium."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lstm_inspect import LayerTrace, Trace
from tests.conftest import Array, chromium, random
from tests.test_cli import run
from tests.test_state_notes import MODEL, ordinary

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAME = "<b>bold</b> & <img src=x onerror=alert(1)> $x^2$ " + "long_" * 60
STEPS, UNITS = 12, 5


class Opened:
    """A page in a browser, and all that it printed or asked for."""

    def __init__(self, page: "Page", path: Path) -> None:
        self.page = page
        self.printed: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.printed.append(message.text))
        page.on("pageerror", lambda error: self.printed.append(str(error)))
        page.on("dialog", lambda dialog: self.printed.append(dialog.message))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]")

    def shown(self, unit: int, step: int) -> float:
        """The number that the heat map has in a cell."""
        number: float = self.page.evaluate(
            "([unit, step]) => document.getElementById('heat-map').data[0].z[unit][step]",
            [unit, step],
        )
        return number

    def cell(self) -> str:
        """What is said of the cell under the cursor."""
        return self.page.inner_text("#cell")

    def point(self, unit: int, step: int, units: int = UNITS) -> tuple[float, float]:
        """The middle of a cell on the screen."""
        cells = self.page.locator("#heat-map .nsewdrag[data-subplot=xy]")
        cells.scroll_into_view_if_needed()
        box = cells.bounding_box()
        assert box
        x = box["x"] + box["width"] * (step + 0.5) / STEPS
        return x, box["y"] + box["height"] * (unit + 0.5) / units

    def wait_for_cell(self, text: str) -> None:
        self.page.locator("#cell", has_text=text).wait_for()

    def wait_for(self, expression: str, expected: Any) -> None:
        """Waits until an expression has a value; the policy of the page lets no text run there."""
        for _ in range(50):
            found = self.page.evaluate(expression)
            if found == expected:
                return
            self.page.wait_for_timeout(100)
        assert found == expected


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        started = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-quic", *quiet]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def traced() -> Trace:
    """Two layers: one with masked steps, and one with a strange name and a number that is none."""
    mask = np.ones((3, STEPS), bool)
    mask[1, 8:] = False
    one = {name: random(3, STEPS, UNITS) * scale for name, scale in (("h", 1), ("c", 3))}
    gates = {name: ordinary(3, STEPS, UNITS) for name in ("i", "f")}
    other = random(3, STEPS, UNITS + 1)
    other[0, 4, 2] = np.nan
    layers = {
        "lstm": {**one, **gates, "mask": mask},
        NAME: {"h": other},
    }
    return Trace(
        layers={
            path: LayerTrace(path=path, cell="lstm", units=5, direction="forward", signals=signals)
            for path, signals in layers.items()
        },
        model={**MODEL, "name": NAME},
    )


@pytest.fixture(scope="module")
def written(traced: Trace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    traced.save(folder / "states.npz")
    tokens = [f"<i>{step}" for step in range(STEPS)]
    (folder / "tokens.txt").write_text("\n".join(tokens), encoding="utf-8")
    result = run(
        *("report", str(folder / "states.npz"), "--out", str(folder / "r.html")),
        *("--labels", str(folder / "tokens.txt")),
    )
    assert result.exit_code == 0
    return folder / "r.html"


@pytest.fixture(scope="module")
def once(browser: "Browser", written: Path) -> Opened:
    """The page, opened once, as Plotly takes long to start."""
    return Opened(browser.new_page(viewport={"width": 1280, "height": 900}), written)


@pytest.fixture
def opened(once: Opened, written: Path) -> Iterator[Opened]:
    """The page as it is at first; a test must not make it print or ask for anything."""
    page = once.page
    page.set_viewport_size({"width": 1280, "height": 900})
    page.select_option("#layer", "lstm")
    page.select_option("#signal", "h")
    page.select_option("#sample", "0")
    page.mouse.move(0, 0)
    page.focus("#heat-map")
    for key in ("0", "Home", *["PageUp"] * 2):
        page.keyboard.press(key)
    once.wait_for_cell("lstm: sample 0, step 0 (<i>0), unit 0: h ")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    yield once
    assert once.printed == []
    assert once.asked == [written.as_uri()]


def number(array: Array, *place: int) -> str:
    """A number as the page writes it."""
    return np.format_float_positional(
        array[place], precision=6, unique=False, fractional=False, trim="-"
    )


def test_the_first_picture_is_that_of_the_first_signal(opened: Opened, traced: Trace) -> None:
    assert opened.shown(2, 7) == traced["lstm"].h[0, 7, 2]
    assert opened.cell().startswith("lstm: sample 0, step 0 (<i>0), unit 0: h ")


def test_the_pickers_change_the_picture(opened: Opened, traced: Trace) -> None:
    opened.page.select_option("#signal", "c")
    opened.page.select_option("#sample", "2")
    opened.wait_for_cell("sample 2")
    assert opened.shown(2, 7) == traced["lstm"].c[2, 7, 2]
    opened.page.select_option("#layer", NAME)
    opened.wait_for_cell("bold")
    assert opened.shown(5, 3) == traced[NAME].h[2, 3, 5]
    assert opened.page.locator("#signal option").all_inner_texts() == ["h"]


def test_a_layer_keeps_the_signal_that_was_picked(opened: Opened) -> None:
    opened.page.select_option("#layer", NAME)
    opened.wait_for_cell("bold")
    opened.page.select_option("#layer", "lstm")
    opened.wait_for_cell("lstm")
    assert opened.page.locator("#signal").input_value() == "0"


def test_hover_shows_the_number_of_a_cell(opened: Opened, traced: Trace) -> None:
    opened.page.mouse.move(*opened.point(1, 3))
    opened.page.mouse.move(*opened.point(3, 6))
    told = f"sample 0, step 6 (<i>6), unit 3\nh {number(traced['lstm'].h, 0, 6, 3)}"
    opened.page.locator("#tip", has_text="step 6").wait_for()
    assert opened.page.inner_text("#tip") == told


def test_hover_says_what_is_no_number(opened: Opened) -> None:
    opened.page.select_option("#layer", NAME)
    opened.wait_for_cell("bold")
    for unit in (1, 2):
        opened.page.mouse.move(*opened.point(unit, 4, UNITS + 1))
    opened.page.locator("#tip", has_text="unit 2").wait_for()
    assert opened.page.inner_text("#tip") == "sample 0, step 4 (<i>4), unit 2\nh NaN"


def test_the_course_answers_wherever_the_pointer_is(opened: Opened, traced: Trace) -> None:
    opened.page.locator("#course").scroll_into_view_if_needed()
    box = opened.page.locator("#course .nsewdrag").first.bounding_box()
    assert box
    x = box["x"] + box["width"] * (7 + 0.5 + 0.4) / STEPS  # far from any point of the line
    opened.page.mouse.move(x - 40, box["y"] + 20)
    opened.page.mouse.move(x, box["y"] + 20)
    opened.page.locator("#tip", has_text="step 7").wait_for()
    assert f"h {number(traced['lstm'].h, 0, 7, 0)}, c " in opened.page.inner_text("#tip")


def test_another_size_of_the_window_keeps_all_in_its_place(opened: Opened) -> None:
    page = opened.page
    height = page.locator("#heat-map").bounding_box()
    for width in (1000, 500, 1200):
        page.set_viewport_size({"width": width, "height": 900})
        right = "document.querySelector('#heat-map .main-svg').getBoundingClientRect().right"
        opened.wait_for(f"{right} <= {width} && {right} > {width} - 60", True)
        now = page.locator("#heat-map").bounding_box()
        assert height
        assert now
        assert now["height"] == height["height"]
        for svg in page.locator("#heat-map .main-svg").all():
            assert (svg.bounding_box() or now)["height"] == height["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200


def test_a_zoom_stays_while_signals_are_compared(opened: Opened) -> None:
    seen = "document.getElementById('heat-map').layout.xaxis.range"
    opened.page.focus("#heat-map")
    opened.page.keyboard.press("+")
    opened.wait_for(seen, [-0.5, STEPS / 2 - 0.5])
    opened.page.select_option("#signal", "c")
    opened.wait_for("document.getElementById('heat-map').data[0].colorbar.title.text", "c")
    assert opened.page.evaluate(seen) == [-0.5, STEPS / 2 - 0.5]
    opened.page.select_option("#layer", NAME)
    opened.wait_for_cell("bold")
    assert opened.page.evaluate(seen) == [-0.5, STEPS - 0.5]


# Picks the second layer as soon as there are pixels: Plotly is started after them.
PICK = """
new MutationObserver((_, watch) => {
  if (document.querySelector("#heat-map canvas")) {
    watch.disconnect();
    window.plotlyWas = typeof Plotly;
    const picker = document.getElementById("layer");
    picker.value = "1";
    picker.dispatchEvent(new Event("change"));
  }
}).observe(document, { subtree: true, childList: true });
"""


def test_what_is_picked_before_plotly_is_there_is_shown(browser: "Browser", written: Path) -> None:
    page = browser.new_page()
    page.add_init_script(PICK)
    page.goto(written.as_uri())
    page.wait_for_selector("html[data-drawn]")
    assert page.evaluate("window.plotlyWas") == "undefined"
    assert page.inner_text("#cell").startswith(NAME)
    page.close()


def test_a_click_shows_the_course_of_a_unit_with_its_gates(opened: Opened, traced: Trace) -> None:
    opened.page.mouse.move(*opened.point(4, 9))
    opened.page.mouse.click(*opened.point(4, 9))
    opened.wait_for_cell("unit 4")
    layer = traced["lstm"]
    values = ", ".join(f"{name} {number(layer.signals[name], 0, 9, 4)}" for name in "hcif")
    assert opened.cell() == f"lstm: sample 0, step 9 (<i>9), unit 4: {values}"
    assert opened.page.inner_text("#course-of") == "lstm, unit 4, sample 0"
    lines: list[dict[str, Any]] = opened.page.evaluate(
        "document.getElementById('course').data.map(({ name, y, yaxis }) => ({ name, y, yaxis }))"
    )
    assert [(line["name"], line["yaxis"]) for line in lines] == [
        ("h", "y"),
        ("c", "y"),
        ("i", "y2"),
        ("f", "y2"),
    ]
    for line in lines:
        assert line["y"] == layer.signals[line["name"]][0, :, 4].tolist()


def test_the_keyboard_reaches_the_pickers_and_every_cell(opened: Opened) -> None:
    keyboard = opened.page.keyboard
    reached = []
    for _ in range(12):
        keyboard.press("Tab")
        reached.append(opened.page.evaluate("document.activeElement.id"))
        if reached[-1] == "heat-map":
            break
    assert reached[-5:] == ["layer", "signal", "sample", "whole", "heat-map"]
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        keyboard.press(key)
    opened.wait_for_cell("step 1 (<i>1), unit 1")
    keyboard.press("End")
    keyboard.press("PageDown")
    opened.wait_for_cell(f"step {STEPS - 1} (<i>{STEPS - 1}), unit {UNITS - 1}")
    keyboard.press("ArrowRight")
    keyboard.press("Home")
    opened.wait_for_cell(f"step 0 (<i>0), unit {UNITS - 1}")


def test_plus_zooms_to_the_cursor_which_stays_in_sight(opened: Opened) -> None:
    seen = "document.getElementById('heat-map').layout.xaxis.range"
    opened.page.focus("#heat-map")
    opened.page.keyboard.press("+")
    opened.wait_for(seen, [-0.5, STEPS / 2 - 0.5])
    opened.page.keyboard.press("End")
    opened.wait_for(seen, [STEPS / 2 - 0.5, STEPS - 0.5])
    opened.page.click("#whole")
    opened.wait_for(seen, [-0.5, STEPS - 0.5])


def test_masked_steps_and_numbers_that_are_none_are_explained(opened: Opened) -> None:
    page = opened.page
    assert not page.is_visible("#masked")
    page.select_option("#sample", "1")
    opened.wait_for_cell("sample 1")
    assert page.is_visible("#masked")
    mask = page.evaluate("Array.from(document.getElementById('heat-map').data[1].z[0])")
    assert mask == [0] * 8 + [1] * 4
    assert not page.is_visible("#not-finite")
    page.select_option("#layer", NAME)
    opened.wait_for_cell("bold")
    page.select_option("#sample", "0")
    opened.wait_for_cell("sample 0")
    assert page.is_visible("#not-finite")


def test_a_note_shows_what_it_is_about(opened: Opened) -> None:
    note = opened.page.locator(".notes li", has_text="NaN")
    assert note.inner_text().startswith("nonfinite")
    note.get_by_role("button").click()
    opened.wait_for_cell("bold")
    assert opened.page.locator("#layer").input_value() == "1"
    assert opened.page.evaluate("document.activeElement.id") == "heat-map"


def test_names_from_a_dump_are_no_markup(opened: Opened) -> None:
    opened.page.select_option("#layer", NAME)
    opened.wait_for_cell(NAME)
    assert opened.page.locator("img, i, main b").count() == 0
    assert opened.page.locator("#heat-map .xtick text").first.text_content() == "<i>0"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(browser: "Browser", written: Path, scheme: Any) -> None:
    page = browser.new_page(color_scheme=scheme)
    Opened(page, written)
    colors: list[list[int]] = page.evaluate(
        """() => ["body", ".quiet", ".hint", ".kind", "th", "button"].map((name) => {
          const style = getComputedStyle(document.querySelector(name));
          return style.color.match(/\\d+/g).slice(0, 3).map(Number);
        })"""
    )
    behind: list[int] = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    page.close()
    assert (luminance(behind) < 0.5) == (scheme == "dark")
    assert min(contrast(color, behind) for color in colors) >= 4.5  # WCAG 2.2, AA


def luminance(color: list[int]) -> float:
    """The relative luminance of a color (WCAG 2.2)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (each / 255 for each in color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[int], other: list[int]) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_the_colors_follow_the_system_while_the_page_is_open(
    browser: "Browser", written: Path
) -> None:
    page = browser.new_page(color_scheme="light")
    opened = Opened(page, written)
    color = "document.getElementById('heat-map').layout.font.color"
    opened.wait_for(color, "#1b1f24")
    page.emulate_media(color_scheme="dark")
    opened.wait_for(color, "#e6e9ed")
    page.close()


def test_the_tables_are_there_without_a_script(browser: "Browser", written: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(written.as_uri())
    assert page.locator("h2").all_inner_texts() == [
        "Notes",
        "States",
        "Figures",
        "Where it comes from",
    ]
    assert "The numbers need JavaScript." in page.inner_text("noscript")
    page.close()
