"""Recurrent layers recognised by their arrays alone, for files that hold no usable config."""

import re
from collections.abc import Iterator, Mapping, Sequence

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats import Array, LayerWeights, SavedFile, VariableList, VariableTree
from lstm_inspect.model.cell_weights import GATES, canonical_weights, is_cudnn
from lstm_inspect.model.graph import Call, Model, Recurrence

_CELL_BY_GATES = {4: "lstm", 3: "gru", 1: "simple_rnn"}


def bare_model(file: SavedFile, why_unwired: str) -> Model:
    """A model of which only the recurrent layers' weights are known.

    The recurrent kernel's axes give the units and the number of gates, which tells LSTM, GRU and
    SimpleRNN apart; the bias tells CuDNN's layout and a GRU's reset_after. What they leave open is
    said in the layer's notes.

    Args:
        file: The file.
        why_unwired: Why nothing can be replayed: one line.

    Raises:
        ModelFileError: No array in the file belongs to a recurrent layer.
    """
    recurrences = list(_recurrences(file))
    if not recurrences:
        raise ModelFileError(
            f"{file.path}: none of its {_count(file)} arrays is the kernel of a recurrent layer"
        )
    return Model(
        name=file.path.stem,
        file=file,
        inputs=(),
        calls=tuple(Call(path=each.path, layer=each, args=()) for each in recurrences),
        why_unwired=why_unwired,
    )


def _recurrences(file: SavedFile) -> Iterator[Recurrence]:
    match file.weights:
        case VariableTree() as tree:
            groups = _tree_groups(tree)
        case LayerWeights(layers=layers):
            groups = _listed_groups(layers)
        case VariableList(variables=variables):
            groups = _listed_groups({file.path.stem: variables})
    for path, is_named_recurrent, arrays in groups:
        halves = [arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]]
        if (found := _recognise(path, is_named_recurrent, arrays)) is not None:
            yield found
        elif len(arrays) % 2 == 0:
            # A Bidirectional whose weights have neutral names: its two halves.
            ends = ("forward", "backward")
            both = [
                _recognise(f"{path}/{end}", is_named_recurrent, half)
                for end, half in zip(ends, halves, strict=True)
            ]
            if None not in both:
                yield from (each for each in both if each is not None)


def _tree_groups(tree: VariableTree) -> Iterator[tuple[str, bool, list[Array]]]:
    groups: dict[str, dict[int, Array]] = {}
    for path, array in tree.arrays.items():
        group, _, number = path.rpartition("/vars/")
        if number.isdecimal() and not group.startswith(("optimizer", "metrics")):
            groups.setdefault(group, {})[int(number)] = array
    for group, arrays in groups.items():
        in_order = [arrays[number] for number in sorted(arrays)]
        yield _tree_path(group, tree.names), "cell" in group.split("/"), in_order


def _tree_path(group: str, names: Mapping[str, str]) -> str:
    """``layers/bidirectional/forward_layer/cell`` to ``bidirectional/forward``."""
    parts = group.split("/")
    said = []
    for number, part in enumerate(parts):
        if part in ("forward_layer", "backward_layer"):
            said.append(part.removesuffix("_layer"))
        elif part not in ("layers", "layer", "cell", "cells"):
            said.append(names.get("/".join(parts[: number + 1]), part))
    return "/".join(said)


def _listed_groups(
    layers: Mapping[str, Sequence[tuple[str, Array]]],
) -> Iterator[tuple[str, bool, list[Array]]]:
    for layer, named in layers.items():
        groups: dict[str, list[tuple[str, Array]]] = {}
        for name, array in named:
            groups.setdefault(_owner(name), []).append((name, array))
        for number, (prefix, members) in enumerate(groups.items()):
            direction = re.search("forward|backward", prefix)
            part = direction.group() if direction else str(number)
            path = layer if len(groups) == 1 else f"{layer}/{part}"
            is_recurrent = any("recurrent_kernel" in name for name, _ in members)
            yield path, is_recurrent, [array for _, array in members]


def _owner(name: str) -> str:
    """What a weight's name says it belongs to: ``lstm/lstm_cell``, in Keras 1 ``lstm_1``."""
    keras1 = re.fullmatch(r"(.+)_[WUb](_[a-z])?(:0)?", name)
    return keras1[1] if keras1 else name.rpartition("/")[0]


def _recognise(path: str, is_named_recurrent: bool, arrays: Sequence[Array]) -> Recurrence | None:
    """The recurrence that a layer's arrays can belong to, or None."""
    cell, units = _cell_of(arrays)
    has_bias = len(arrays) > 2
    if cell is None or not (is_named_recurrent or has_bias):
        return None
    weights = canonical_weights(path, cell, units, has_bias, arrays)
    notes = ["the file does not say its activations, its direction or its options"]
    if not has_bias and cell in ("lstm", "gru"):
        notes.append("without a bias CuDNN's layout cannot be told from Keras's, which is assumed")
    if not has_bias and cell == "gru":
        notes.append("without a bias reset_after cannot be told, False is assumed")
    if cell == "simple_rnn" and not is_named_recurrent:
        notes.append("its arrays could be those of another layer, their names do not tell")
    if len(arrays) == 3 and is_cudnn(*arrays):
        notes.append("by its bias a CuDNN layer; its weights are shown in Keras's layout")
    return Recurrence(
        path=path,
        cell=cell,
        units=units,
        features=int(weights["kernel"].shape[-2]),
        weights=weights,
        reset_after=cell == "gru" and has_bias and weights["bias"].ndim == 2,
        go_backwards=True if path.endswith("/backward") else None,
        notes=tuple(notes),
    )


def _cell_of(arrays: Sequence[Array]) -> tuple[str | None, int]:
    """The kind of cell that arrays of these shapes can belong to, and its units."""
    if len(arrays) < 2 or arrays[0].ndim < 2 or arrays[1].ndim != arrays[0].ndim:
        return None, 0
    kernel, recurrent, *rest = arrays
    units, width = recurrent.shape[-2:]
    if kernel.shape[-1] != width or units == 0:
        return None, 0
    if len(arrays) in (9, 12) and width == units:  # Keras 1: W, U, b for each gate
        triples = [[array.shape for array in arrays[n : n + 3]] for n in range(0, len(arrays), 3)]
        fits = triples[0][2] == (units,) and all(triple == triples[0] for triple in triples)
        return (_CELL_BY_GATES[len(arrays) // 3] if fits else None), units
    cell = _CELL_BY_GATES.get(width // units) if width % units == 0 else None
    sizes = [array.size for array in rest]
    if cell == "lstm" and len(sizes) == 4 and sizes[1:] == [units] * 3:
        return "peephole_lstm", units
    if cell is None or len(sizes) > 1 or (sizes and sizes[0] not in (width, 2 * width)):
        return None, 0
    if cell == "simple_rnn" and sizes and sizes[0] != GATES[cell] * units:
        return None, 0
    return ("conv_lstm" if kernel.ndim > 2 and cell == "lstm" else cell), units


def _count(file: SavedFile) -> int:
    match file.weights:
        case VariableTree(arrays=arrays):
            return len(arrays)
        case LayerWeights(layers=layers):
            return sum(len(named) for named in layers.values())
        case VariableList(variables=variables):
            return len(variables)
