"""Makes the pictures of README.md from a sample model: ``python docs/pictures/make.py [FOLDER]``.

One function makes one picture, and `PICTURES` names its file. With the same versions of Matplotlib
and Rich it has the same bytes.
"""

import re
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console

import lstm_inspect
from lstm_inspect.cli import cli
from lstm_inspect.pictures.heat_map import HeatMap

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "sample_models" / "encoder_decoder.keras"
INPUTS = ("encoder_input", "decoder_input")


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


PICTURES: dict[str, Callable[[Path, Path], None]] = {"plot.svg": plot, "show.svg": show}


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
