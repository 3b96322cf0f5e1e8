"""Recognizes recurrent layers by their arrays alone, for files without a usable config."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from lstm_inspect.arrays import NamedArray
from lstm_inspect.cells import CELLS, GRU, SIMPLE_RNN, CellKind
from lstm_inspect.errors import ModelFileError
from lstm_inspect.model import TRANSPOSED, Recurrence, mismatch
from lstm_inspect.sources.keras.cell_weights import canonical_weights
from lstm_inspect.sources.keras.stores.object_graph import ROOT, ObjectGraph, SavedObject
from lstm_inspect.sources.keras.stores.saved_file import (
    LayerWeights,
    SavedFile,
    VariableTree,
)


def bare_recurrences(file: SavedFile) -> list[Recurrence]:
    """The recurrent layers in weights alone.

    A group of arrays that belong together is a recurrent layer if its shapes are those of some kind
    of cell. The notes of the layer say what the arrays leave open.

    Raises:
        ModelFileError: No array in the file belongs to a recurrent layer.
    """
    recurrences = _recognised(_groups(file))
    if not recurrences and isinstance(file.weights, ObjectGraph):
        recurrences = _recognised(_named_groups(file.weights))
    if not recurrences:
        raise ModelFileError(
            f"{file.path}: expected weights of a recurrent layer, received {_count(file)} others"
        )
    return recurrences


_Group = tuple[str, bool, Sequence[NamedArray]]
"""A path, whether the names in the file mark it as recurrent, and its arrays in order."""


def _recognised(groups: "Iterable[_Group]") -> list[Recurrence]:
    halves = [each for group in groups for each in _halves(*group)]
    found = [each for group in halves if (each := _recognise(*group)) is not None]
    backward = {each.path for each in found if each.go_backwards}
    return [
        # A Bidirectional has one direction of each kind.
        replace(each, go_backwards=False)
        if re.sub("/forward$", "/backward", each.path) in backward - {each.path}
        else each
        for each in found
    ]


def _groups(file: SavedFile) -> Iterator[_Group]:
    match file.weights:
        case VariableTree() as tree:
            return _tree_groups(tree)
        case LayerWeights(layers=layers):
            return _listed_groups(layers)
        case ObjectGraph() as graph:
            return _graph_groups(graph)


def _halves(path: str, is_named: bool, arrays: Sequence[NamedArray]) -> Iterator[_Group]:
    """Splits the arrays of a Bidirectional if their names do not tell its directions apart.

    Any other group stays whole.
    """
    middle, rest = divmod(len(arrays), 2)
    directions = [
        (f"{path}/forward", is_named, arrays[:middle]),
        (f"{path}/backward", is_named, arrays[middle:]),
    ]
    is_one = _kind_of(is_named, arrays) is not None
    if not is_one and not rest and all(_kind_of(is_named, half) for _, _, half in directions):
        yield from directions
    else:
        yield path, is_named, arrays


def _tree_groups(tree: VariableTree) -> Iterator[_Group]:
    groups: dict[str, dict[int, NamedArray]] = {}
    for path, array in tree.arrays.items():
        group, _, number = path.rpartition("/vars/")
        if number.isdecimal() and not group.startswith(("optimizer", "metrics")):
            groups.setdefault(group, {})[int(number)] = path, array
    for group, arrays in groups.items():
        in_order = [arrays[number] for number in sorted(arrays)]
        yield _tree_path(group, tree.names), "cell" in group.split("/"), in_order


def _tree_path(group: str, names: Mapping[str, str]) -> str:
    """Shortens ``layers/bidirectional/forward_layer/cell`` to ``bidirectional/forward``."""
    parts = group.split("/")
    said = []
    for number, part in enumerate(parts):
        if part in ("forward_layer", "backward_layer"):
            said.append(part.removesuffix("_layer"))
        elif part not in ("layers", "layer", "cell", "cells"):
            said.append(names.get("/".join(parts[: number + 1]), part))
    return "/".join(said)


# What a SavedModel keeps beside the attributes of an object.
_BOOKKEEPING = frozenset(
    {
        *("keras_api", "optimizer", "regularization_losses", "signatures"),
        *("variables", "trainable_variables", "non_trainable_variables", "_all_variables"),
    }
)


def _graph_groups(graph: ObjectGraph) -> Iterator[_Group]:
    seen = {ROOT}
    waiting: deque[tuple[int, tuple[str, ...]]] = deque([(ROOT, ())])
    while waiting:
        number, path = waiting.popleft()
        children = graph.objects[number].children
        arrays = [
            variable
            for child in children.values()
            if (variable := graph.objects[child].variable) is not None
        ]
        if arrays:
            yield _attribute_path(path), "recurrent_kernel" in children, arrays
        # A layer with weights is an attribute twice: layer-2 and layer_with_weights-0.
        for name in sorted(children, key=lambda name: name.startswith("layer_with_weights")):
            if name not in _BOOKKEEPING and children[name] not in seen:
                seen.add(children[name])
                waiting.append((children[name], (*path, name)))


def _attribute_path(attributes: Sequence[str]) -> str:
    """Shortens ``bi, forward_layer, cell`` to ``bi/forward``."""
    kept = [name for name in attributes if name not in ("layer", "cell", "cells")]
    return "/".join(
        name.removesuffix("_layer") if name in ("forward_layer", "backward_layer") else name
        for name in kept or attributes
    )


def _named_groups(graph: ObjectGraph) -> Iterator[_Group]:
    """The arrays of a model that lists its variables and not its layers, by their names.

    ``export`` of Keras 3 does so (keras 3.15.1, export/saved_model.py).
    """
    listed = graph.at(ROOT, "variables")
    children = {} if listed is None else graph.objects[listed].children
    groups: dict[str, list[SavedObject]] = {}
    for number in children.values():
        variable = graph.objects[number]
        groups.setdefault(variable.name.rpartition("/")[0], []).append(variable)
    for owner, variables in groups.items():
        arrays = [each.variable for each in variables if each.variable is not None]
        layer, _, last = owner.rpartition("/")
        is_recurrent = any(each.name.endswith("/recurrent_kernel") for each in variables)
        if arrays:
            yield (layer if layer and last.endswith("_cell") else owner), is_recurrent, arrays


def _listed_groups(layers: Mapping[str, Sequence[NamedArray]]) -> Iterator[_Group]:
    for layer, named in layers.items():
        groups: dict[str, list[NamedArray]] = {}
        for name, array in named:
            groups.setdefault(_owner(name), []).append((name, array))
        for number, (prefix, members) in enumerate(groups.items()):
            direction = re.search("forward|backward", prefix)
            part = direction.group() if direction else str(number)
            path = layer if len(groups) == 1 else f"{layer}/{part}"
            is_recurrent = any("recurrent_kernel" in name for name, _ in members)
            yield path, is_recurrent, members


def _owner(name: str) -> str:
    """The owner that a weight has in its name.

    ``lstm/lstm_cell/kernel:0`` belongs to ``lstm/lstm_cell``, and in Keras 1 ``lstm_1_W_i`` to
    ``lstm_1``.
    """
    keras1 = re.fullmatch(r"(.+)_[WUb](_[a-z])?(:0)?", name)
    return keras1[1] if keras1 else name.rpartition("/")[0]


def _kind_of(is_named: bool, arrays: Sequence[NamedArray]) -> CellKind | None:
    """The kind of cell that has arrays of these shapes, or None."""
    has_bias = len(arrays) > 2
    if len(arrays) < 2 or min(array.ndim for _, array in arrays[:2]) < 2:
        return None
    if not (is_named or has_bias):  # any layer can have two matrices
        return None
    for kind in CELLS:
        try:
            weights = canonical_weights("", kind, has_bias, arrays).weights
        except ModelFileError:
            continue
        if mismatch(kind, _units_of(arrays), weights) is None:
            return kind
    return None


def _units_of(arrays: Sequence[NamedArray]) -> int:
    """The units of a cell: the rows of its recurrent kernel, the second array in every Keras."""
    _, recurrent_kernel = arrays[1]
    return int(recurrent_kernel.shape[-2])


def _recognise(path: str, is_named: bool, arrays: Sequence[NamedArray]) -> Recurrence | None:
    """The recurrence that a group of arrays can belong to, or None."""
    kind = _kind_of(is_named, arrays)
    if kind is None:
        return None
    has_bias = len(arrays) > 2
    weights, stored = canonical_weights(path, kind, has_bias, arrays)
    notes = []
    if not has_bias and "gates" in kind.weights["kernel"].axes and kind.keras_layer:
        notes.append("it has no bias to tell CuDNN's layout from Keras's; Keras's is assumed")
    if kind is SIMPLE_RNN and not is_named:
        notes.append("its arrays may belong to a layer of another kind; their names do not say")
    if any(block.form == TRANSPOSED for block in stored.values()):
        notes.append("its bias is that of a CuDNN layer; its weights are shown in Keras's layout")
    return Recurrence(
        path=path,
        kind=kind,
        units=_units_of(arrays),
        weights=weights,
        options={"reset_after": weights["bias"].ndim == 2} if kind is GRU and has_bias else {},
        defaults=frozenset({"time_major"}),
        go_backwards=True if path.endswith("/backward") else None,
        notes=tuple(notes),
        stored=stored,
    )


def _count(file: SavedFile) -> int:
    match file.weights:
        case VariableTree(arrays=arrays):
            return len(arrays)
        case LayerWeights(layers=layers):
            return sum(len(named) for named in layers.values())
        case ObjectGraph(objects=objects):
            return sum(each.variable is not None for each in objects)
