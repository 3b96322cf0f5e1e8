"""Which arrays of a file belong to which layer: the two ways in which Keras has stored them.

Both classes answer the same two questions, so the reading of a layer does not know which it has.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from lstm_inspect.formats import Array, LayerWeights, SavedFile, VariableTree
from lstm_inspect.model.layer_config import LayerConfig


class Weights(Protocol):
    """The arrays of one layer, or of one model used as a layer."""

    def arrays(self, layer: LayerConfig) -> tuple[Array, ...]:
        """All arrays of the layer, in the order of Keras's ``layer.weights``."""

    def of_layers(self, layers: Sequence[LayerConfig]) -> "list[Weights]":
        """The weights of each of a model's layers."""


def weights_of_layers(file: SavedFile, layers: Sequence[LayerConfig]) -> list[Weights]:
    """The weights of each top-level layer of the model in a file."""
    match file.weights:
        case VariableTree(arrays=arrays):
            return _TreeWeights(arrays, "").of_layers(layers)
        case LayerWeights(layers=named):
            return [_ListedWeights(named.get(layer.name, ())) for layer in layers]


class _TreeWeights:
    """Weights found by the path of attributes that leads to them, as Keras 3 stores them."""

    def __init__(self, tree: Mapping[str, Array], prefix: str) -> None:
        self._tree = tree
        self._prefix = prefix

    def arrays(self, layer: LayerConfig) -> tuple[Array, ...]:
        match layer.class_name:
            case "Bidirectional":
                forward = layer.child("layer")
                directions = ("forward_layer", "backward_layer")
                return sum((self._at(name).arrays(forward) for name in directions), start=())
            case "TimeDistributed":
                return self._at("layer").arrays(layer.child("layer"))
            case "LSTM":
                return self._at("cell").variables()
            case _:
                return self.variables()

    def of_layers(self, layers: Sequence[LayerConfig]) -> list[Weights]:
        used: Counter[str] = Counter()
        weights: list[Weights] = []
        for layer in layers:
            key = _snake_case(layer.class_name)
            weights.append(self._at(f"layers/{key}_{used[key]}" if used[key] else f"layers/{key}"))
            used[key] += 1
        return weights

    def variables(self) -> tuple[Array, ...]:
        """The arrays ``vars/0``, ``vars/1`` ... right here."""
        prefix = f"{self._prefix}vars/"
        numbers = (path.removeprefix(prefix) for path in self._tree if path.startswith(prefix))
        ordered = sorted(int(number) for number in numbers if number.isdecimal())
        return tuple(self._tree[f"{prefix}{number}"] for number in ordered)

    def _at(self, path: str) -> "_TreeWeights":
        return _TreeWeights(self._tree, f"{self._prefix}{path}/")


def _snake_case(class_name: str) -> str:
    """The key of a layer in the store (keras 3.15.1, utils/naming.py, ``to_snake_case``)."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class _ListedWeights:
    """Weights in one list per top-level layer, each with a name, as ``.h5`` files store them."""

    def __init__(self, named: Sequence[tuple[str, Array]]) -> None:
        self._named = named

    def arrays(self, layer: LayerConfig) -> tuple[Array, ...]:
        return tuple(array for _, array in self._named)

    def of_layers(self, layers: Sequence[LayerConfig]) -> list[Weights]:
        """Hands out a nested model's weights by the layer name in each weight's own name."""
        return [
            _ListedWeights(
                [(name, array) for name, array in self._named if layer.name in name.split("/")]
            )
            for layer in layers
        ]
