"""Times the page of `report` in a headless Chromium.

    python -m tests.bench.first_paint [--rounds N]

The page has 8 samples with 1000 timesteps of 512 units of h and c. Prints its size and the median
of the milliseconds until a browser has painted the first text, has painted the first numbers, and
has drawn them with axes.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from playwright.sync_api import Browser, sync_playwright

import lstm_inspect

# Says when the first numbers are on the screen, without asking the page for a change.
_WATCH = """
new MutationObserver((_, watch) => {
  if (document.querySelector("#heat-map canvas")) {
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now(); }));
  }
}).observe(document, { subtree: true, childList: true });
"""


def open_page(browser: Browser, path: Path) -> tuple[float, float, float]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(_WATCH)
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_selector("html[data-drawn]")
    text: float = page.evaluate("performance.getEntriesByType('paint')[0].startTime")
    numbers: float = page.evaluate("window.painted")
    drawn = float(page.evaluate("document.documentElement.dataset.drawn"))
    page.close()
    return text, numbers, drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    noise = np.random.default_rng(0).uniform(-1, 1, (8, 1000, 512)).astype("float32")
    layer = lstm_inspect.LayerTrace(
        path="lstm",
        cell="lstm",
        units=512,
        direction="forward",
        signals={"h": noise, "c": noise[::-1]},
    )
    trace = lstm_inspect.Trace(layers={"lstm": layer}, model={"name": "noise"})
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        lstm_inspect.write_report(trace, path)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        times = [open_page(browser, path) for _ in range(rounds)]
        browser.close()
        print(f"size           {path.stat().st_size / 1e6:6.1f} MB")
    for number, name in enumerate(("first text", "first numbers", "drawn")):
        print(f"{name:<14} {median(each[number] for each in times):6.0f} ms")


if __name__ == "__main__":
    main()
