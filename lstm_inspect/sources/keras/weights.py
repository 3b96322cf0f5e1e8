"""Finds the arrays of each layer in a file, whether Keras stored them by path or in a list.

Both are `Weights`, so the code that reads a layer need not know how its arrays are stored.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from lstm_inspect.arrays import Array, NamedArray
from lstm_inspect.errors import ModelFileError
from lstm_inspect.notation import counted
from lstm_inspect.sources.keras.layer_config import LayerConfig
from lstm_inspect.sources.keras.stores.object_graph import ROOT, ObjectGraph
from lstm_inspect.sources.keras.stores.saved_file import (
    LayerWeights,
    SavedFile,
    VariableTree,
)
from lstm_inspect.sources.keras.weight_counts import cell_counts, weight_counts


class Weights(Protocol):
    """The arrays of one layer, or of one model used as a layer."""

    def arrays(self) -> tuple[Array, ...]:
        """The arrays of a plain layer, in the order of Keras's ``layer.weights``."""

    def with_sublayers(self) -> tuple[Array, ...]:
        """The arrays of a layer of somebody's own: first its own, then those of layers in it."""

    @property
    def held(self) -> int:
        """How many arrays the file has of the layer and of all in it."""

    def vocabulary(self) -> list[int] | None:
        """The vocabulary that a lookup learned from data, if the file has it outside the config.

        Raises:
            ModelFileError: It is not a list of whole numbers.
        """

    def of_cells(self, cells: Sequence[LayerConfig]) -> list[tuple[NamedArray, ...]]:
        """The arrays of each cell of a recurrent layer, with the names that the file gives them."""

    def directions(self, forward: LayerConfig, backward: LayerConfig) -> "tuple[Weights, Weights]":
        """The weights of a Bidirectional's forward and backward layer."""

    def wrapped(self, own: int = 0) -> "Weights":
        """The weights of the layer that a wrapper holds, which has some arrays of its own."""

    def of_layers(self, layers: Sequence[LayerConfig]) -> "list[Weights]":
        """The weights of each layer of a model."""


def weights_of_layers(file: SavedFile, layers: Sequence[LayerConfig]) -> list[Weights]:
    """The weights of each top-level layer of the model in a file."""
    match file.weights:
        case VariableTree() as tree:
            return _TreeWeights(tree, "").of_layers(layers)
        case LayerWeights(layers=named, held=held):
            names = _names_of(layers, named, file)
            return [
                _ListedWeights(
                    _listed(layer, name, named),
                    member_by_member=not layer.is_trained,
                    held=held.get(name, 0),
                )
                for layer, name in zip(layers, names, strict=True)
            ]
        case ObjectGraph() as graph:
            return _GraphWeights(graph, ROOT).of_layers(layers)


def weights_at(file: SavedFile, number: int) -> Weights:
    """The weights of an object of the graph of a SavedModel."""
    assert isinstance(file.weights, ObjectGraph)
    return _GraphWeights(file.weights, number)


def _listed(
    layer: LayerConfig, name: str, named: Mapping[str, Sequence[NamedArray]]
) -> list[NamedArray]:
    """The weights of a top-level layer.

    Keras 1 lists the layers of the models that it merges at the top level too. For a layer that
    merges models, the result has the weights of all these layers.
    """
    inner = [each for model in layer.merged_models for each in model.children("layers")]
    if not inner:
        return list(named.get(name, ()))
    return [weight for each in inner for weight in _listed(each, each.name, named)]


def _names_of(
    layers: Sequence[LayerConfig], named: Mapping[str, object], file: SavedFile
) -> list[str]:
    """The name under which a file stores the weights of each layer.

    The names of file and config may differ: an LSTM without a name becomes ``lstm`` or ``lstm_3``,
    depending on what the same process built before. Keras therefore loads these weights by order,
    not by name (keras 3.15.1, legacy_h5_format.py, ``load_weights_from_hdf5_group``).
    """
    names = [layer.name for layer in layers]
    weighted = [name for name, weights in named.items() if weights]
    if any(layer.merged_models for layer in layers):
        return names
    if set(weighted) <= set(names):
        of_config = [name for name in names if name in weighted]
        if of_config != weighted:
            raise ModelFileError(
                f"{file.path}: expected weights in the order of the layers, as Keras loads them "
                f"({', '.join(of_config):.60}), received {', '.join(weighted):.60}"
            )
        return names
    takers = [layer.name for layer in layers if weight_counts(layer) != (0, 0)]
    if len(takers) != len(weighted):
        raise ModelFileError(
            f"{file.path}: expected weights of {counted(len(takers), 'layer')}, as in the config "
            f"({', '.join(takers)}), received weights of {len(weighted)} ({', '.join(weighted)})"
        )
    by_order = dict(zip(takers, weighted, strict=True))
    return [by_order.get(name, name) for name in names]


_LAYER = re.compile(r"layer-([0-9]{1,6})")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")

# The layers inside an attention layer, in the order of its weights (keras 3.15.1,
# layers/attention/multi_head_attention.py and grouped_query_attention.py).
_ATTENTION_PARTS = tuple(
    f"{prefix}{part}_dense"
    for part in ("query", "key", "gate", "value", "output")
    for prefix in ("", "_")
)


class _TreeWeights:
    """Weights that Keras 3 stores by a path of attributes: ``layers/lstm/cell/vars/0``."""

    def __init__(self, tree: VariableTree, prefix: str) -> None:
        self._tree = tree
        self._prefix = prefix

    def arrays(self) -> tuple[Array, ...]:
        named = self._own() or [own for part in _ATTENTION_PARTS for own in self._at(part)._own()]
        return tuple(array for _, array in named)

    def with_sublayers(self) -> tuple[Array, ...]:
        inner = {
            path.removeprefix(self._prefix): array
            for path, array in self._tree.arrays.items()
            if path.startswith(self._prefix)
        }
        # The state of a seed is a variable, and none of the weights.
        sublayers = [
            array
            for path, array in inner.items()
            if not path.startswith("vars/") and "seed_generator" not in path.split("/")
        ]
        return (*(array for _, array in self._own()), *sublayers)

    @property
    def held(self) -> int:
        return sum(path.startswith(self._prefix) for path in self._tree.arrays)

    def vocabulary(self) -> list[int] | None:
        text = self._tree.assets.get(f"{self._prefix}vocabulary.txt")
        if text is None:
            return None
        try:
            return [int(line) for line in text.decode().split()]
        except ValueError:
            raise ModelFileError(
                f"{self._prefix}vocabulary.txt: expected whole numbers, received {text[:40]!r}"
            ) from None

    def _own(self) -> tuple[NamedArray, ...]:
        prefix, arrays = f"{self._prefix}vars/", self._tree.arrays
        numbers = (path.removeprefix(prefix) for path in arrays if path.startswith(prefix))
        ordered = sorted(int(number) for number in numbers if _NUMBER.fullmatch(number))
        if ordered != [*range(len(ordered))]:
            raise ModelFileError(
                f"{prefix[:-1]}: expected arrays 0, 1 ... without a gap, received "
                f"{', '.join(map(str, ordered[:8]))}"
            )
        paths = [f"{prefix}{number}" for number in ordered]
        return tuple((path, arrays[path]) for path in paths)

    def of_cells(self, cells: Sequence[LayerConfig]) -> list[tuple[NamedArray, ...]]:
        if len(cells) == 1:
            # The CuDNN layers of Keras 2 have no cell.
            return [self._at("cell")._own() or self._own()]
        return [each._own() for each in self._at("cell")._members("cells", cells)]

    def directions(
        self, forward: LayerConfig, backward: LayerConfig
    ) -> "tuple[_TreeWeights, _TreeWeights]":
        return self._at("forward_layer"), self._at("backward_layer")

    def wrapped(self, own: int = 0) -> "_TreeWeights":
        return self._at("layer")

    def of_layers(self, layers: Sequence[LayerConfig]) -> list[Weights]:
        return list(self._members("layers", layers))

    def _at(self, path: str) -> "_TreeWeights":
        return _TreeWeights(self._tree, f"{self._prefix}{path}/")

    def _members(self, container: str, members: Sequence[LayerConfig]) -> "Iterator[_TreeWeights]":
        """The weights of each member of a list: ``lstm``, ``lstm_1`` ... (see `VariableTree`)."""
        used: Counter[str] = Counter()
        for member in members:
            key = _snake_case(member.class_name.rpartition(">")[2])
            yield self._at(f"{container}/{key}_{used[key]}" if used[key] else f"{container}/{key}")
            twice = self._tree.counts_twice and container == "layers"
            used[key] += 2 if twice and weight_counts(member) != (0, 0) else 1


def _snake_case(class_name: str) -> str:
    """The key of a class: ``simple_rnn`` (keras 3.15.1, utils/naming.py, ``to_snake_case``)."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class _GraphWeights:
    """Weights in an object graph, as SavedModels store them: by the attributes of each layer."""

    def __init__(self, graph: ObjectGraph, number: int | None) -> None:
        self._graph = graph
        self._number = number

    def arrays(self) -> tuple[Array, ...]:
        return tuple(array for _, array in self._own())

    def _own(self) -> tuple[NamedArray, ...]:
        return () if self._number is None else self._graph.arrays_of(self._number)

    def with_sublayers(self) -> tuple[Array, ...]:
        return self.arrays()

    @property
    def held(self) -> int:
        return len(self._own()) or len(self._at("cell")._own())

    def vocabulary(self) -> None:
        return

    def of_cells(self, cells: Sequence[LayerConfig]) -> list[tuple[NamedArray, ...]]:
        if len(cells) == 1:
            # The CuDNN layers of Keras 2 have no cell.
            return [self._at("cell")._own() or self._own()]
        return [self._at("cell", "cells", str(number))._own() for number in range(len(cells))]

    def directions(
        self, forward: LayerConfig, backward: LayerConfig
    ) -> "tuple[_GraphWeights, _GraphWeights]":
        return self._at("forward_layer"), self._at("backward_layer")

    def wrapped(self, own: int = 0) -> "_GraphWeights":
        return self._at("layer")

    def of_layers(self, layers: Sequence[LayerConfig]) -> list[Weights]:
        """The weights of each layer: ``layer-0``, ``layer-1`` ...

        The config of a Sequential lists its InputLayer, its attributes do not (keras 2.15.0,
        engine/sequential.py, ``Sequential.layers``).
        """
        if self._number is None:
            return [self for _ in layers]
        names = self._graph.objects[self._number].children
        numbers = sorted(int(found[1]) for name in names if (found := _LAYER.fullmatch(name)))
        hidden = len(layers) - len(numbers)
        is_hidden = hidden == 1 and layers[0].class_name == "InputLayer"
        if numbers != [*range(len(numbers))] or (hidden and not is_hidden):
            raise ModelFileError(
                f"model config: expected variables of {len(layers)} layers, received those of "
                f"layers {', '.join(map(str, numbers)) or 'without a number'}"
            )
        return [self._at(f"layer-{number - hidden}") for number in range(len(layers))]

    def _at(self, *attributes: str) -> "_GraphWeights":
        found = None if self._number is None else self._graph.at(self._number, *attributes)
        return _GraphWeights(self._graph, found)


class _ListedWeights:
    """Weights in a list, each with a name, as ``.h5`` files store them.

    A layer with members, such as a nested model, has one list for all of them, in one of two
    orders. For example, with a BatchNormalization and a Dense as members:

    * An ``.h5`` lists the trainable weights of all members first, then the others: gamma, beta,
      kernel, bias, mean, variance (keras 3.15.1, legacy_h5_format.py, ``_legacy_weights``).
    * For a layer that is not trained itself, it lists them member by member: gamma, beta, mean,
      variance, kernel, bias.
    """

    def __init__(self, named: Sequence[NamedArray], member_by_member: bool, held: int = 0) -> None:
        self._named = named
        self._member_by_member = member_by_member
        self._held = held

    def arrays(self) -> tuple[Array, ...]:
        return tuple(array for _, array in self._named)

    def with_sublayers(self) -> tuple[Array, ...]:
        return self.arrays()

    @property
    def held(self) -> int:
        return len(self._named) or self._held

    def vocabulary(self) -> None:
        return

    def of_cells(self, cells: Sequence[LayerConfig]) -> list[tuple[NamedArray, ...]]:
        if len(cells) == 1:
            return [tuple(self._named)]
        parts = self._split(cells, [cell_counts(cell) for cell in cells])
        return [tuple(part._named) for part in parts or []]

    def directions(
        self, forward: LayerConfig, backward: LayerConfig
    ) -> "tuple[_ListedWeights, _ListedWeights]":
        ways = (forward, backward)
        half = len(self._named) // 2
        parts = self._split(ways, [weight_counts(way) for way in ways])
        one, other = parts or (self._part(self._named[:half]), self._part(self._named[half:]))
        return one, other

    def wrapped(self, own: int = 0) -> "_ListedWeights":
        named = self._named
        return self._part(named[own:] if self._member_by_member else named[: len(named) - own])

    def of_layers(self, layers: Sequence[LayerConfig]) -> list[Weights]:
        """The weights of each layer, split by the number that each layer has.

        If that is not known, the name of a weight decides: ``mine/dense/kernel`` goes to ``dense``.
        """
        parts = self._split(layers, [weight_counts(layer) for layer in layers])
        if parts is not None:
            return [*parts]
        return [
            self._part([each for each in self._named if layer.name in each[0].split("/")])
            for layer in layers
        ]

    def _split(
        self, members: Sequence[LayerConfig], counts: Sequence[tuple[int, int] | None]
    ) -> "list[_ListedWeights] | None":
        """The weights of each member; None if it is not known how many each has."""
        known = [count for count in counts if count is not None]
        trainable, others = (sum(both) for both in zip((0, 0), *known, strict=True))
        if len(known) < len(members) or trainable + others != len(self._named):
            return None
        if self._member_by_member:
            every = iter(self._named)
            named = [[*itertools.islice(every, sum(count))] for count in known]
        else:
            first, then = iter(self._named[:trainable]), iter(self._named[trainable:])
            named = [
                [*itertools.islice(first, some), *itertools.islice(then, rest)]
                for some, rest in known
            ]
        return [
            _ListedWeights(own, self._member_by_member or not member.is_trained)
            for own, member in zip(named, members, strict=True)
        ]

    def _part(self, named: Sequence[NamedArray]) -> "_ListedWeights":
        return _ListedWeights(named, self._member_by_member)
