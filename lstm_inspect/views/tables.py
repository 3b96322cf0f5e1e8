"""Tables of shapes and of what was recorded."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from lstm_inspect.notation import place_text, printable, shape_text

if TYPE_CHECKING:  # a view is handed these: it need not wait for what makes them
    from lstm_inspect.model import ModelInput
    from lstm_inspect.shapes import LayerShapes, ModelShapes, Size
    from lstm_inspect.stats import ArrayStats
    from lstm_inspect.verification import Verification

# Wider than any table: what is piped into a file or a CI log is never cut or folded.
_PIPED_WIDTH = 100_000

_CELL_NAMES = {
    "lstm": "LSTM",
    "gru": "GRU",
    "simple_rnn": "SimpleRNN",
    "peephole_lstm": "peephole LSTM",
    "conv_lstm": "ConvLSTM",
}


def print_shapes(shapes: "ModelShapes") -> None:
    """Prints one row a recurrent layer, and a line of totals."""
    table = _table("layer", "weights", "states, one step", "states, all steps")
    table.leading = 1
    table.add_column("parameters", justify="right")
    for layer in shapes.layers:
        table.add_row(
            _layer_cell(layer),
            _lines(f"{name} {shape_text(a.shape)}" for name, a in layer.recurrence.weights.items()),
            _states(layer.states),
            _states(layer.sequences),
            f"{layer.recurrence.parameters:,}",
        )
    console = _console()
    console.print(table)
    file = shapes.model.file
    count = len(shapes.layers)
    console.print(
        _text(
            f"{count} recurrent layer{'s' if count > 1 else ''}, {shapes.parameters:,} parameters; "
            f"{file.path.name}, saved by Keras {file.keras_version or 'of unknown version'}"
        )
    )
    if shapes.model.inputs:
        inputs = ", ".join(f"{each.name} {_input(each)}" for each in shapes.model.inputs)
        console.print(_text(f"inputs: {inputs}"))
    for name in shapes.incomplete:
        console.print(_text(f"{name} is not whole in the file, which lacks weights of it"))
    for layer in shapes.layers:
        for note in layer.recurrence.notes:
            console.print(_text(f"{layer.path}: {note}"))
        if layer.blocked_by:
            console.print(_text(f"{layer.path} cannot be traced: {'; '.join(layer.blocked_by)}"))


def _input(each: "ModelInput") -> str:
    if each.shape is None:
        return "of any shape"
    return shape_text(["any" if size is None else size for size in each.shape])


def _layer_cell(layer: "LayerShapes") -> Text:
    recurrence = layer.recurrence
    text = _text(layer.path, "bold")
    activations = (recurrence.activation, recurrence.recurrent_activation)
    facts = [
        f"{_CELL_NAMES[recurrence.cell]}, {recurrence.direction}",
        f"{recurrence.features} features, {recurrence.units} units",
        ", ".join(name for name in activations if name) or "activations unknown",
    ]
    if recurrence.stateful:
        facts.append("stateful")
    return text.append("\n" + "\n".join(map(printable, facts)), style="not bold")


def print_trace(stats: "Iterable[ArrayStats]", dump: Path, seconds: float) -> None:
    """Prints one row a recorded array, and a line about the dump and the seconds it took."""
    table = _table("key", "shape", "dtype")
    for name in ("min", "mean", "max", "non-finite"):
        table.add_column(name, justify="right")
    for row in stats:
        table.add_row(
            _text(row.key, "bold"),
            shape_text(row.shape),
            row.dtype,
            f"{row.low:.4g}",
            f"{row.mean:.4g}",
            f"{row.high:.4g}",
            Text(str(row.nonfinite), style="bold red" if row.nonfinite else ""),
        )
    console = _console()
    console.print(table)
    console.print(_text(f"{dump}: {decimal(dump.stat().st_size)} in {seconds:.2f} s"))


def print_verification(verification: "Verification") -> None:
    """Prints one row a compared array, and the verdict."""
    table = _table("layer", "compared")
    for name in ("largest difference", "relative", "tolerance"):
        table.add_column(name, justify="right")
    table.add_column("at")
    table.add_column("verdict")
    for each in verification.comparisons:
        table.add_row(
            _text(each.path, "bold"),
            each.what,
            f"{each.absolute:.2g}",
            f"{each.relative:.2g}",
            f"{each.tolerance:g}",
            _place(each.place),
            "agrees" if each.agrees else Text("differs", style="bold red"),
        )
    console = _console()
    if verification.comparisons:
        console.print(table)
    for path, reason in verification.skipped.items():
        console.print(_text(f"{path} not compared: {reason}"))
    differing = [each for each in verification.comparisons if not each.agrees]
    if differing:
        console.print(_text(f"{len(differing)} of {len(verification.comparisons)} arrays differ"))
    elif verification.comparisons:
        console.print(_text("The replay and Keras agree."))


def _place(place: Sequence[int]) -> str:
    dims = {2: ("batch", "units"), 3: ("batch", "timesteps", "units")}.get(len(place))
    return shape_text(place) if dims is None else place_text(place, dims)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves it to the command line; Rich would exit with 1, which is for a difference."""
        raise BrokenPipeError


def _console() -> Console:
    return _Console(
        width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, emoji=False
    )


def _text(text: str, style: str = "") -> Text:
    """Text with names from a file in it: neither markup nor escape sequences."""
    return Text(printable(text), style=style)


def _lines(lines: Iterable[str]) -> Text:
    return Text("\n".join(map(printable, lines)))


def _states(states: "Mapping[str, Sequence[Size]]") -> Text:
    return _lines(f"{name} {shape_text(shape)}" for name, shape in states.items())
