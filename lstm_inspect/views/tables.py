"""Builds tables of shapes, of recorded arrays and of comparisons, as Rich renderables.

`lstm_inspect.views.printing` prints them; a program may also put them into its own output.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.text import Text

from lstm_inspect.notation import advice, by_line, counted, place_text, printable, shape_text
from lstm_inspect.views.fitted_table import FittedTable

if TYPE_CHECKING:  # a view only reads these, and need not wait for their imports
    from lstm_inspect.checks.state_notes import StateNote
    from lstm_inspect.checks.verification import Verification
    from lstm_inspect.model import ModelInput
    from lstm_inspect.shapes import LayerShapes, ModelShapes, Size
    from lstm_inspect.traces.figures import LayerFigures
    from lstm_inspect.traces.statistics import ArrayStats


def shapes_view(shapes: "ModelShapes", also: Iterable[str] = ()) -> Group:
    """A row for each recurrent layer, further tables, then totals, the inputs and the notes.

    Args:
        shapes: The shapes.
        also: The further tables, as `lstm_inspect.shapes.ModelShapes.as_json` names them.
    """
    further = (_FURTHER[name](shapes) for name in also)
    return _page([shapes_table(shapes), *further], _shapes_lines(shapes))


def shapes_table(shapes: "ModelShapes") -> FittedTable:
    """A row for each recurrent layer."""
    table = FittedTable(
        *("layer", "weights", "states, one step", "states, all steps", "options", "parameters"),
        right=["parameters"],
        prose=["layer"],
    )
    for layer in shapes.layers:
        table.add_row(
            _layer_cell(layer),
            _lines(f"{name} {shape_text(a.shape)}" for name, a in layer.recurrence.weights.items()),
            _states(layer, layer.states),
            _states(layer, layer.sequences),
            _options(layer),
            f"{layer.recurrence.parameters:,}",
        )
        table.add_gap()
    return table


def calls_view(shapes: "ModelShapes") -> Group:
    """A row for each call of any layer, then how many layers stop a trace, and what to do."""
    return _page([calls_table(shapes)], _stopping_lines(shapes))


def calls_table(shapes: "ModelShapes") -> FittedTable:
    """A row for each call of any layer: the shape of its output."""
    table = FittedTable("layer", "class", "output")
    for call in shapes.calls:
        output = "?" if call.output is None else shape_text(call.output)
        table.add_row(_text(call.path, "bold"), _text(call.layer_class), _text(output))
    return table


def gates_table(shapes: "ModelShapes") -> FittedTable:
    """A row for each block of the weights, in the order of the file: whose it is, and where."""
    table = FittedTable("layer", "block", "shape", "in the file", "in canonical form")
    for layer in shapes.layers:
        recurrence = layer.recurrence
        for number, (block, stored) in enumerate(recurrence.stored_blocks.items()):
            table.add_row(
                _text("" if number else layer.path, "bold"),
                block.name,
                shape_text(recurrence.block(block).shape),
                _text(str(stored)),
                str(recurrence.blocks[block]),
            )
        table.add_gap()
    return table


_FURTHER: dict[str, "Callable[[ModelShapes], RenderableType]"] = {
    "calls": calls_view,
    "gates": gates_table,
}


def _stopping_lines(shapes: "ModelShapes") -> Iterator[str]:
    feed = advice(python="feed={layer: array}", command_line="--feed LAYER=FILE.npy")
    remedies = {
        "feed": f"give the output of each with {feed}",
        "tensorflow": 'pip install "lstm-inspect[tensorflow]"',
    }
    for remedy, what_to_do in remedies.items():
        classes = [each for each in shapes.stopping if each.remedy == remedy]
        count = sum(len(each.layers) for each in classes)
        if count:
            verb = "stops" if count == 1 else "stop"
            listed = ", ".join(f"{each.layer_class} ({len(each.layers)})" for each in classes)
            yield f"{counted(count, 'layer')} {verb} a trace: {listed}; {what_to_do}"


def _shapes_lines(shapes: "ModelShapes") -> Iterator[str]:
    source = shapes.model.source
    yield (
        f"{counted(len(shapes.layers), 'recurrent layer')}, {shapes.parameters:,} parameters; "
        f"{source.path.name}, saved by {source.saver}"
    )
    if shapes.model.inputs:
        inputs = ", ".join(f"{each.name} {_input(each)}" for each in shapes.model.inputs)
        yield f"inputs: {inputs}"
    if shapes.model.why_unwired is not None:
        yield f"each input is the x of a layer: {shapes.model.why_unwired}"
    for lacking in shapes.incomplete_layers:
        yield f"{lacking.label}: {lacking.lacks}"
    yield from by_line(
        (layer.path, f": {note}") for layer in shapes.layers for note in layer.recurrence.remarks
    )
    yield from by_line(
        (layer.path, f" cannot be traced: {'; '.join(layer.blocked_by)}")
        for layer in shapes.layers
        if layer.blocked_by
    )


def _input(each: "ModelInput") -> str:
    if each.shape is None:
        return "of any shape"
    return shape_text(["any" if size is None else size for size in each.shape])


def _layer_cell(layer: "LayerShapes") -> Text:
    recurrence = layer.recurrence
    text = _text(layer.path, "bold")
    activations = [name for name in recurrence.activations.values() if name]
    facts = [
        f"{recurrence.kind.title}, {recurrence.direction}",
        f"{counted(recurrence.features, 'feature')}, {counted(recurrence.units, 'unit')}",
        ", ".join(activations) or "activations unknown",
    ]
    return text.append("\n" + "\n".join(map(printable, facts)), style="not bold")


def _options(layer: "LayerShapes") -> Text:
    recurrence, words = layer.recurrence, {True: "yes", False: "no", None: "unknown"}
    lines = [
        f"{name}: {words[getattr(recurrence, name)]}"
        for name in ("return_sequences", "return_state", "stateful")
    ]
    for name, type_ in recurrence.kind.options.items():
        if type_ is bool:
            lines.append(f"{name}: {words[recurrence.options.get(name)]}")
        elif type_ is float:
            value = recurrence.options.get(name)
            lines.append(f"{name}: {'none' if value is None else f'{value:g}'}")
    return _lines(lines)


def dump_view(stats: "Iterable[ArrayStats]", dump: Path, seconds: float) -> Group:
    """A row for each array of a dump, then a line about the dump and the seconds it took."""
    files = dump.rglob("*") if dump.is_dir() else [dump]
    size = decimal(sum(each.stat().st_size for each in files if each.is_file()))
    return _page([stats_table(stats)], [f"{dump}: {size} in {seconds:.2f} s"])


def stats_table(stats: "Iterable[ArrayStats]") -> FittedTable:
    """A row for each array of a dump."""
    figures = ("min", "mean", "max", "non-finite")
    table = FittedTable("key", "shape", "dtype", *figures, right=figures)
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
    return table


def figures_view(layers: "Iterable[LayerFigures]", notes: "Iterable[StateNote]") -> Group:
    """A row for each recorded signal, then a line for each note."""
    lines = [note.text for note in notes]
    return _page([figures_table(layers)], lines or ["nothing is notable"])


def figures_table(layers: "Iterable[LayerFigures]") -> FittedTable:
    """A row for each recorded signal."""
    figures = ("min", "mean", "max", "std", "< 0.05", "> 0.95", "half-life", "growth", "masked")
    table = FittedTable("layer", "signal", "shape", *figures, right=figures)
    for layer in layers:
        for number, each in enumerate(layer.signals):
            table.add_row(
                _text("" if number else layer.path, "bold"),
                _text(each.signal),
                shape_text(each.shape),
                *(f"{figure:.4g}" for figure in (each.low, each.mean, each.high, each.std)),
                *("" if share is None else f"{share:.0%}" for share in (each.closed, each.opened)),
                *("" if n is None else f"{n:.3g}" for n in (each.middle_half_life, each.growth)),
                "" if number or layer.masked is None else f"{layer.masked:.0%}",
            )
        table.add_gap()
    return table


def verification_view(verification: "Verification") -> Group:
    """A row for each compared array, one for what is proven of each layer, and the verdict."""
    tables = [comparisons_table(verification)] if verification.comparisons else []
    tables += [proofs_table(verification)] if verification.layers else []
    return _page(tables, _verdict(verification))


def comparisons_table(verification: "Verification") -> FittedTable:
    """A row for each compared array."""
    figures = ("largest difference", "relative", "tolerance")
    table = FittedTable("layer", "compared", *figures, "at", "verdict", right=figures, prose=["at"])
    for each in verification.comparisons:
        table.add_row(
            _text(each.path, "bold"),
            each.what,
            f"{each.absolute:.2g}",
            f"{each.relative:.2g}",
            f"{each.tolerance:g}",
            _place(each.place, "features" if each.what == "x" else "units"),
            "agrees" if each.agrees else Text("differs", style="bold red"),
        )
    return table


def proofs_table(verification: "Verification") -> FittedTable:
    """A row for each recurrent layer: how it was compared, and why no more was."""
    table = FittedTable("layer", "compared in", "why no more", prose=["why no more"])
    for layer in verification.layers:
        table.add_row(_text(layer.path, "bold"), layer.proof, _text(layer.reason or ""))
    return table


def _verdict(verification: "Verification") -> Iterator[str]:
    differing = [each for each in verification.comparisons if not each.agrees]
    if differing:
        yield f"{len(differing)} of {len(verification.comparisons)} arrays differ"
    elif verification.comparisons:
        yield "The replay and Keras agree."


def _place(place: Sequence[int], last: str) -> str:
    dims = {2: ("batch", last), 3: ("batch", "timesteps", last)}.get(len(place))
    return shape_text(place) if dims is None else place_text(place, dims)


def _page(tables: Sequence[RenderableType], lines: Iterable[str]) -> Group:
    """Tables and the lines below them, with a blank line between."""
    blocks: list[RenderableType] = [*tables]
    if below := [*map(_text, lines)]:
        blocks.append(Group(*below))
    apart = [each for block in blocks for each in ("", block)]
    return Group(*apart[1:])


def _text(text: str, style: str = "") -> Text:
    """Makes a text in which names from a file are neither markup nor escape sequences."""
    return Text(printable(text), style=style)


def _lines(lines: Iterable[str]) -> Text:
    return Text("\n".join(map(printable, lines)))


def _states(layer: "LayerShapes", states: "Mapping[str, Sequence[Size]]") -> Text:
    names = layer.recurrence.kind.state_names
    return _lines(
        f"{f'{name} = {names[name]}' if name in names else name} {shape_text(shape)}"
        for name, shape in states.items()
    )
