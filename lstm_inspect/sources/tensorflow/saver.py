"""Reads checkpoints of TensorFlow 1, which hold variables by name, into a `Model`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import GRU, TF_LSTM
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.content import Content
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.tensor_bundle import TensorBundle
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.model import (
    FED_INPUT,
    Call,
    Model,
    ModelInput,
    Recurrence,
    Ref,
    Source,
    standalone,
)
from lstm_inspect.sources.tensorflow.cell_variables import TfCell, find_cells
from lstm_inspect.sources.tensorflow.meta_graph import MetaGraph

_WHY_UNWIRED = "a checkpoint does not say what stands between its cells"
_STACKED = re.compile(r"(.*/)?cell_(\d+)(/.*)?")
_DIRECTIONS = {"fw": False, "bw": True}


def is_of_tensorflow(content: Content) -> bool:
    """Whether something is a checkpoint or a SavedModel; Keras reads those with objects first."""
    return content.bundle is not None


def read_tensorflow(
    content: Content, config: Path | None, replace_config: bool, limits: Limits
) -> Model:
    """Reads the recurrent cells in a checkpoint that a Saver of TensorFlow 1 wrote.

    Args:
        content: The checkpoint.
        config: Must be None: a config of Keras says nothing about these variables.
        replace_config: Does not count.
        limits: How much the checkpoint may ask for.

    Raises:
        ModelFileError: The checkpoint is damaged, or has no recurrent cell.
        LimitError: It asks for more than a limit allows.
    """
    path, bundle = content.path, content.bundle
    assert bundle is not None
    if config is not None:
        raise ModelFileError(f"{path}: has variables of TensorFlow 1, to which no config belongs")
    variables = _variables(bundle)
    beside = path.with_name(f"{path.name}.meta")
    meta = {beside.name: read_bytes(beside, limits, "file_bytes")} if beside.exists() else {}
    graph = MetaGraph(meta.get(beside.name, b""), str(beside), limits)
    recurrences = {
        cell.scope: _recurrence(cell, graph.facts_of(cell))
        for cell in find_cells(variables, str(path))
    }
    if not recurrences:
        raise ModelFileError(
            f"{path}: expected variables of a recurrent cell, received {len(variables)} others "
            f"({', '.join(variables):.120})"
        )
    inputs, calls = _wired(recurrences)
    return Model(
        name=path.name,
        source=Source(
            path=path,
            format="checkpoint",
            framework="TensorFlow",
            version=None,
            data=content.data,
            files={**bundle.files, **meta},
        ),
        inputs=tuple(inputs),
        calls=tuple(calls),
        why_unwired=_WHY_UNWIRED,
    )


def _variables(bundle: TensorBundle) -> dict[str, Array]:
    arrays = {key: bundle.array(key) for key in bundle.keys}
    return {key: array for key, array in arrays.items() if array is not None}


def _recurrence(cell: TfCell, facts: Mapping[str, Any]) -> Recurrence:
    """The recurrence of a cell; what the graph does not say has the default of the constructor."""
    activations: dict[str, str | None] = {"activation": "tanh"}
    options: dict[str, Any] = {}
    defaults = {"activation", "time_major"}
    if cell.kind is GRU:
        activations["recurrent_activation"] = "sigmoid"
        options = {"reset_after": False}
    elif cell.kind is TF_LSTM:
        options = {"forget_bias": 1.0, "cell_clip": None, "proj_clip": None}
        defaults |= options.keys()
    activations |= {name: facts[name] for name in activations if name in facts}
    options |= {name: facts[name] for name in options if name in facts}
    directions = [_DIRECTIONS[part] for part in cell.scope.split("/") if part in _DIRECTIONS]
    return Recurrence(
        path=cell.scope,
        kind=cell.kind,
        units=cell.units,
        weights=cell.weights,
        stored=cell.stored,
        activations=activations,
        options=options,
        go_backwards=directions[-1] if directions else False,
        return_sequences=True,
        dtype=str(np.result_type(*cell.weights.values())),
        defaults=frozenset(defaults - facts.keys()),
    )


def _wired(
    recurrences: Mapping[str, Recurrence],
) -> tuple[list[ModelInput], list[Call]]:
    """Inputs and calls: a cell of a MultiRNNCell reads the h of the cell below it.

    The two directions of a Bidirectional read the same x, which has the name of their scope.
    """
    inputs: dict[str, ModelInput] = {}
    calls = []
    for path, recurrence in recurrences.items():
        given, call = standalone(recurrence)
        below = _below(path, recurrences)
        if below is not None and below.sizes.get("output", below.units) == recurrence.features:
            calls.append(Call(path=path, layer=recurrence, args=(Ref(below.path),)))
            continue
        if (scope := _of_both_directions(path)) is not None:
            shared = given._replace(name=scope, path=f"{scope}{FED_INPUT}")
            if inputs.get(shared.tensor, shared) == shared:
                given, call = shared, replace(call, args=(Ref(shared.tensor),))
        inputs[given.tensor] = given
        calls.append(call)
    return [*inputs.values()], calls


def _below(path: str, recurrences: Mapping[str, Recurrence]) -> Recurrence | None:
    """The cell whose h a cell of a MultiRNNCell reads; None if it is the first, or is in none."""
    stacked = _STACKED.fullmatch(path)
    if stacked is None or not int(stacked[2]):
        return None
    start = f"{stacked[1] or ''}cell_{int(stacked[2]) - 1}/"
    found = [each for scope, each in recurrences.items() if scope.startswith(start)]
    return found[0] if len(found) == 1 else None


def _of_both_directions(path: str) -> str | None:
    parts = path.split("/")
    at = [number for number, part in enumerate(parts) if part in _DIRECTIONS]
    return "/".join(parts[: at[-1]]) or None if at else None
