"""Which arrays of a file belong to which layer, whether Keras stored them by path or in a list.

Both kinds are `Weights`, so the reading of a layer does not know which it has.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from lstm_inspect.arrays import Array
from lstm_inspect.errors import ModelFileError
from lstm_inspect.sources.keras.layer_config import LayerConfig
from lstm_inspect.sources.keras.stores.saved_file import (
    LayerWeights,
    SavedFile,
    VariableList,
    VariableTree,
)
from lstm_inspect.sources.keras.weight_counts import cell_counts, weight_counts


class Weights(Protocol):
    """The arrays of one layer, or of one model used as a layer."""

    def arrays(self) -> tuple[Array, ...]:
        """The arrays of a plain layer, in the order of Keras's ``layer.weights``."""

    def of_cells(self, cells: Sequence[LayerConfig]) -> list[tuple[Array, ...]]:
        """The arrays of each cell of a recurrent layer."""

    def directions(self, forward: LayerConfig, backward: LayerConfig) -> "tuple[Weights, Weights]":
        """The weights of a Bidirectional's forward and backward layer."""

    def wrapped(self) -> "Weights":
        """The weights of the layer that a TimeDistributed holds."""

    def of_layers(self, layers: Sequence[LayerConfig]) -> "list[Weights]":
        """The weights of each layer of a model."""


def weights_of_layers(file: SavedFile, layers: Sequence[LayerConfig]) -> list[Weights]:
    """The weights of each top-level layer of the model in a file."""
    match file.weights:
        case VariableTree() as tree:
            return _TreeWeights(tree, "").of_layers(layers)
        case LayerWeights(layers=named):
            names = _names_of(layers, named, file)
            return [
                _ListedWeights(_listed(layer, name, named), member_by_member=not layer.is_trained)
                for layer, name in zip(layers, names, strict=True)
            ]
        case VariableList(variables=variables):
            return _ListedWeights(variables, member_by_member=True).of_layers(layers)


def _listed(
    layer: LayerConfig, name: str, named: Mapping[str, Sequence[tuple[str, Array]]]
) -> list[tuple[str, Array]]:
    """The weights of a top-level layer; those of models that Keras 1 merges count as top-level."""
    inner = [each for model in layer.merged_models for each in model.children("layers")]
    if not inner:
        return list(named.get(name, ()))
    return [weight for each in inner for weight in _listed(each, each.name, named)]


def _names_of(
    layers: Sequence[LayerConfig], named: Mapping[str, object], file: SavedFile
) -> list[str]:
    """The name under which a file has each layer.

    Keras loads such weights by order, not by name, and names depend on what else was built before
    (keras 3.15.1, legacy_h5_format.py, ``load_weights_from_hdf5_group``).
    """
    names = [layer.name for layer in layers]
    weighted = [name for name, weights in named.items() if weights]
    if set(weighted) <= set(names) or any(layer.merged_models for layer in layers):
        return names
    takers = [layer.name for layer in layers if weight_counts(layer) != (0, 0)]
    if len(takers) != len(weighted):
        raise ModelFileError(
            f"{file.path}: has weights of {len(weighted)} layers ({', '.join(weighted)}), "
            f"the config {len(takers)} layers that can have weights ({', '.join(takers)})"
        )
    by_order = dict(zip(takers, weighted, strict=True))
    return [by_order.get(name, name) for name in names]


_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")

# The layers that a MultiHeadAttention consists of, in the order of its weights.
_ATTENTION_PARTS = ("query_dense", "key_dense", "value_dense", "output_dense")


class _TreeWeights:
    """Weights found by the path of attributes that leads to them, as Keras 3 stores them."""

    def __init__(self, tree: VariableTree, prefix: str) -> None:
        self._tree = tree
        self._prefix = prefix

    def arrays(self) -> tuple[Array, ...]:
        return self._own() or tuple(
            array for part in _ATTENTION_PARTS for array in self._at(part)._own()
        )

    def _own(self) -> tuple[Array, ...]:
        prefix, arrays = f"{self._prefix}vars/", self._tree.arrays
        numbers = (path.removeprefix(prefix) for path in arrays if path.startswith(prefix))
        ordered = sorted(int(number) for number in numbers if _NUMBER.fullmatch(number))
        return tuple(arrays[f"{prefix}{number}"] for number in ordered)

    def of_cells(self, cells: Sequence[LayerConfig]) -> list[tuple[Array, ...]]:
        if len(cells) == 1:
            # The CuDNN layers of Keras 2 have no cell.
            return [self._at("cell").arrays() or self.arrays()]
        return [own.arrays() for own in self._at("cell")._members("cells", cells)]

    def directions(
        self, forward: LayerConfig, backward: LayerConfig
    ) -> "tuple[_TreeWeights, _TreeWeights]":
        return self._at("forward_layer"), self._at("backward_layer")

    def wrapped(self) -> "_TreeWeights":
        return self._at("layer")

    def of_layers(self, layers: Sequence[LayerConfig]) -> list[Weights]:
        return list(self._members("layers", layers))

    def _at(self, path: str) -> "_TreeWeights":
        return _TreeWeights(self._tree, f"{self._prefix}{path}/")

    def _members(self, container: str, members: Sequence[LayerConfig]) -> "Iterator[_TreeWeights]":
        """The members of a list: keyed by class, and numbered where a class comes again."""
        used: Counter[str] = Counter()
        for member in members:
            key = _snake_case(member.class_name)
            yield self._at(f"{container}/{key}_{used[key]}" if used[key] else f"{container}/{key}")
            twice = self._tree.counts_twice and container == "layers"
            used[key] += 2 if twice and weight_counts(member) != (0, 0) else 1


def _snake_case(class_name: str) -> str:
    """The key of a layer in the store (keras 3.15.1, utils/naming.py, ``to_snake_case``)."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class _ListedWeights:
    """Weights in a list, each with a name, as ``.h5`` files and SavedModels store them.

    An ``.h5`` lists the trainable ones of all members of a layer first, then the others (keras
    3.15.1, legacy_h5_format.py, ``_legacy_weights``); of a layer that is not trained itself, and in
    a SavedModel, member by member.
    """

    def __init__(self, named: Sequence[tuple[str, Array]], member_by_member: bool) -> None:
        self._named = named
        self._member_by_member = member_by_member

    def arrays(self) -> tuple[Array, ...]:
        return tuple(array for _, array in self._named)

    def of_cells(self, cells: Sequence[LayerConfig]) -> list[tuple[Array, ...]]:
        if len(cells) == 1:
            return [self.arrays()]
        parts = self._split(cells, [cell_counts(cell) for cell in cells])
        return [part.arrays() for part in parts or []]

    def directions(
        self, forward: LayerConfig, backward: LayerConfig
    ) -> "tuple[_ListedWeights, _ListedWeights]":
        ways = (forward, backward)
        half = len(self._named) // 2
        parts = self._split(ways, [weight_counts(way) for way in ways])
        one, other = parts or (self._part(self._named[:half]), self._part(self._named[half:]))
        return one, other

    def wrapped(self) -> "_ListedWeights":
        return self

    def of_layers(self, layers: Sequence[LayerConfig]) -> list[Weights]:
        """The weights of each layer: by how many each has, else by the layers' names in theirs."""
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
        """The weights of each member, or None if it is not known how many each has."""
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

    def _part(self, named: Sequence[tuple[str, Array]]) -> "_ListedWeights":
        return _ListedWeights(named, self._member_by_member)
