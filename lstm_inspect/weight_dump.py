"""The weights of recurrent layers in canonical form, as the arrays of a dump."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.model import Layer, Model, Recurrence
from lstm_inspect.replay.plan import select_calls
from lstm_inspect.traces.dumps import NamedAxes, save_dump
from lstm_inspect.traces.statistics import ArrayStats
from lstm_inspect.version import __version__

SCHEMA = 1


def select_recurrences(model: Model, patterns: Sequence[str]) -> list[Recurrence]:
    """The recurrent layers that match one of some patterns; a shared layer counts once.

    Raises:
        SelectionError: The model has no recurrent layer, or a pattern matches none.
    """
    paths = set(select_calls(model, patterns))
    chosen = (recurrence for call, recurrence in model.recurrent_calls if call.path in paths)
    return [*dict.fromkeys(chosen)]


def select_lacking(model: Model, patterns: Sequence[str]) -> list[Layer]:
    """The recurrent layers that match, and of which the file lacks arrays."""
    paths = set(select_calls(model, patterns))
    return [layer for layer in model.lacking if layer.name in paths]


def whole_weights(recurrence: Recurrence) -> dict[str, Array]:
    """The weights of a layer by their keys in a dump: ``lstm/kernel``."""
    return {f"{recurrence.path}/{name}": array for name, array in recurrence.weights.items()}


def gate_weights(recurrence: Recurrence) -> dict[str, Array]:
    """The weights of each gate of a layer by their keys in a dump: ``lstm/kernel_i``."""
    return {
        f"{recurrence.path}/{block.name}": recurrence.block(block)
        for block in recurrence.blocks
        if block.gate
    }


def save_weights(
    path: Path,
    arrays: Mapping[str, Array],
    model: Model,
    recurrences: Iterable[Recurrence],
    may_replace: Callable[[Path], bool],
) -> None:
    """Writes arrays to a dump, which gets its name once it is complete.

    Args:
        path: The file.
        arrays: The arrays by their keys.
        model: The model that they belong to.
        recurrences: The layers that they belong to.
        may_replace: Tells whether an existing file may be replaced.

    Raises:
        OutputError: The dump cannot be written there.
    """
    document = {
        "schema": SCHEMA,
        "tool": f"lstm-inspect {__version__}",
        "model": model.source.identity,
        "weights": {
            each.path: {"cell": each.cell, "units": each.units, "gates": list(each.kind.gates)}
            for each in recurrences
        },
    }
    save_dump(path, {key: _named(key, each) for key, each in arrays.items()}, document, may_replace)


def _named(key: str, array: Array) -> NamedAxes:
    """Gives each axis a name of its own: ``kernel_0``."""
    name = key.rpartition("/")[2]
    return NamedAxes(array, tuple(f"{name}_{axis}" for axis in range(array.ndim)))


def weights_as_json(stats: Iterable[ArrayStats], model: Model, dump: Path) -> dict[str, Any]:
    """Returns what ``weights --format json`` prints.

    Args:
        stats: The statistics of the arrays.
        model: The model that they belong to.
        dump: The path of the dump.
    """
    return {
        "schema": SCHEMA,
        "dump": str(dump),
        "model": model.source.identity,
        "arrays": [each.as_json() for each in stats],
    }
