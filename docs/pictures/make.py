"""Makes the pictures of README.md from a sample model: ``python docs/pictures/make.py [FOLDER]``.

One function makes one picture, and `PICTURES` names its file. With the same versions of Matplotlib,
Rich and Chromium it has the same bytes.
"""

import re
import shutil
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import sync_playwright
from rich.console import Console

import lstm_inspect
from lstm_inspect.cli import cli
from lstm_inspect.pictures.heat_map import HeatMap

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "sample_models" / "encoder_decoder.keras"
INPUTS = ("encoder_input", "decoder_input")
TOKENS = ("let", "us", "inspect", "all", "the", "states", "now")


def plot(states: Path, out: Path) -> None:
    """What ``lstm-inspect plot states.npz --layer encoder --out plot.svg`` writes."""
    cli(["plot", str(states), "--layer", "encoder", "--out", str(out)], standalone_mode=False)


def show(states: Path, out: Path) -> None:
    """What ``lstm-inspect show states.npz --layer encoder`` draws in a terminal with colors."""
    console = Console(
        file=StringIO(), record=True, width=44, force_terminal=True, color_system="truecolor"
    )
    for signal in lstm_inspect.load_trace(states)["encoder"].show("h,c").shown:
        console.print(HeatMap(signal), "")
    drawn = console.export_svg(title="lstm-inspect show states.npz", unique_id="show")
    # Rich names fonts in the network.
    alone = re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    lines = [line.rstrip() for line in alone.splitlines()]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def report(states: Path, out: Path) -> None:
    """The upper part of what ``lstm-inspect report states.npz --labels tokens.txt`` writes."""
    page, tokens = states.with_name("report.html"), states.with_name("tokens.txt")
    tokens.write_text("\n".join(TOKENS), encoding="utf-8")
    cli(["report", str(states), "--labels", str(tokens), "--out", str(page)], standalone_mode=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1000, "height": 830})
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-drawn]")
        tab.focus("#heat-map")
        for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"):
            tab.keyboard.press(key)
        tab.locator("#cell", has_text="step 2 (inspect), unit 4").wait_for()
        tab.screenshot(path=out)
        browser.close()


PICTURES: dict[str, Callable[[Path, Path], None]] = {
    "plot.svg": plot,
    "report.png": report,
    "show.svg": show,
}


def main(folder: Path = HERE) -> None:
    """Makes all pictures in a folder."""
    x = {name: np.load(MODEL.with_suffix(f".{name}.npy")) for name in INPUTS}
    trace = lstm_inspect.trace(MODEL, x, record="all")
    with TemporaryDirectory() as scratch:
        states = Path(scratch) / "states.npz"
        trace.save(states)
        for name, make in PICTURES.items():
            make(states, folder / name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
