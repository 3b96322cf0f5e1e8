"""Reads checkpoints of TensorFlow 1, which hold variables by name, into a `Model`."""

import os
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
    Layer,
    Model,
    ModelInput,
    Recurrence,
    Ref,
    Source,
    standalone,
)
from lstm_inspect.sources.tensorflow.cell_variables import TfCell, UnknownCell, find_cells
from lstm_inspect.sources.tensorflow.meta_graph import MetaGraph

_WHY_UNWIRED = "a checkpoint does not say what stands between its cells"
_BELOW = (
    "its x is taken to be the h of the cell below; a wrapper without variables, such as a "
    "ResidualWrapper, does not show"
)
_STACKED = re.compile(r"(.*multi_rnn_cell(?:_\d{1,6})?/cell_)(\d{1,6})/[^/]+")
_DIRECTION = re.compile(r"(.*bidirectional_rnn(?:_\d{1,6})?)/(?:fw|bw)/")
_BACKWARD = re.compile(r"bidirectional_rnn(_\d{1,6})?/bw/")


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
    meta = (
        {beside.name: read_bytes(beside, limits, "file_bytes")} if os.path.lexists(beside) else {}
    )
    graph = MetaGraph(meta[beside.name], str(beside), limits) if meta else None
    found = list(find_cells(variables))
    if not found:
        raise ModelFileError(
            f"{path}: expected variables of a recurrent cell, received {len(variables)} others "
            f"({', '.join(variables):.120})"
        )
    cells = {cell.scope: cell for cell in found if isinstance(cell, TfCell)}
    recurrences = {
        scope: _recurrence(cell, graph.facts_of(cell) if graph else None)
        for scope, cell in cells.items()
    }
    inputs, calls = _wired(recurrences, _stacks(cells, graph))
    calls += [_unknown(cell) for cell in found if isinstance(cell, UnknownCell)]
    return Model(
        name=path.name,
        source=Source(
            path=path,
            format="checkpoint",
            framework="TensorFlow",
            version=None,
            data=content.data,
            files={**content.files, **meta},
        ),
        inputs=tuple(inputs),
        calls=tuple(calls),
        why_unwired=_WHY_UNWIRED,
    )


def _variables(bundle: TensorBundle) -> dict[str, Array]:
    arrays = {key: bundle.array(key) for key in bundle.keys}
    return {key: array for key, array in arrays.items() if array is not None}


def _unknown(cell: UnknownCell) -> Call:
    layer = Layer(
        name=cell.scope,
        class_name="cell of TensorFlow",
        framework="TensorFlow 1",
        options=None,
        lacks=f"it is not read: {cell.why}",
        is_recurrent=True,
        config={},
    )
    return Call(path=cell.scope, layer=layer, args=())


def _recurrence(cell: TfCell, facts: Mapping[str, Any] | None) -> Recurrence:
    """The recurrence of a cell.

    Without a graph it has the defaults of the constructor. With one, it has what the graph says;
    the rest is open.
    """
    stated: dict[str, Any] = {"activation": "tanh"}
    if cell.kind is TF_LSTM:
        bias = 0.0 if "cudnn_compatible" in cell.scope.rpartition("/")[2] else 1.0
        stated |= {"forget_bias": bias, "cell_clip": None, "proj_clip": None}
    said = stated if facts is None else facts
    activations: dict[str, str | None] = {"activation": said.get("activation")}
    options = {name: said[name] for name in cell.kind.options if name in said}
    if cell.kind is GRU:
        activations["recurrent_activation"] = "sigmoid"
        options = {"reset_after": False}
    return Recurrence(
        path=cell.scope,
        kind=cell.kind,
        units=cell.units,
        weights=cell.weights,
        stored=cell.stored,
        activations=activations,
        options=options,
        go_backwards=_BACKWARD.search(cell.scope) is not None,
        return_sequences=True,
        restores_order=True,
        dtype=str(np.result_type(*cell.weights.values())),
        defaults=frozenset({"time_major", "go_backwards", *(stated if facts is None else ())}),
        notes=(_BELOW,) if facts is None and _below_scope(cell.scope) else (),
    )


def _stacks(cells: Mapping[str, TfCell], graph: MetaGraph | None) -> dict[str, str]:
    """The cell whose h each cell of a MultiRNNCell reads, by scopes.

    Without a graph that is the cell below. A graph tells whether a wrapper stands in between.
    """
    at: dict[str, list[TfCell]] = {}
    for scope, cell in cells.items():
        if stacked := _STACKED.fullmatch(scope):
            at.setdefault(stacked[1] + stacked[2], []).append(cell)
    stacks = {}
    for scope, cell in cells.items():
        below = at.get(_below_scope(scope) or "", [])
        if len(below) == 1 and (graph is None or graph.reads_h(cell, below[0])):
            stacks[scope] = below[0].scope
    return stacks


def _wired(
    recurrences: Mapping[str, Recurrence], stacks: Mapping[str, str]
) -> tuple[list[ModelInput], list[Call]]:
    """Inputs and calls. The two directions of a Bidirectional read the same x.

    Its name is that of their scope.
    """
    inputs: dict[str, ModelInput] = {}
    calls = []
    for path, recurrence in recurrences.items():
        given, call = standalone(recurrence)
        below = recurrences.get(stacks.get(path, ""))
        if below is not None and below.sizes.get("output", below.units) == recurrence.features:
            calls.append(Call(path=path, layer=recurrence, args=(Ref(below.path),)))
            continue
        is_first = _below_scope(path) is None
        if is_first and (both := _DIRECTION.match(path)):
            shared = given._replace(name=both[1], path=f"{both[1]}{FED_INPUT}")
            if inputs.get(shared.tensor, shared) == shared:
                given, call = shared, replace(call, args=(Ref(shared.tensor),))
        inputs[given.tensor] = given
        calls.append(call)
    return [*inputs.values()], calls


def _below_scope(path: str) -> str | None:
    """The scope of the cell whose h a cell of a MultiRNNCell reads; None for any other cell."""
    stacked = _STACKED.fullmatch(path)
    if stacked is None or not int(stacked[2]):
        return None
    return f"{stacked[1]}{int(stacked[2]) - 1}"
