"""What each layer of a saved model is, before anything is wired: its config with its arrays.

A part is read once, however often the model calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats import Array, SavedFile
from lstm_inspect.model.graph import Layer, Recurrence, Shape
from lstm_inspect.model.layer_config import MODEL_CLASSES, LayerConfig
from lstm_inspect.model.recurrences import RECURRENT_CLASSES, read_recurrence
from lstm_inspect.model.weights import Weights, weights_of_layers


@dataclass(frozen=True, eq=False)
class InputPart:
    """An InputLayer."""

    shape: Shape | None
    dtype: str


@dataclass(frozen=True, eq=False)
class BidirectionalPart:
    """A Bidirectional: two recurrences, and a layer of that class that merges their outputs."""

    forward: Recurrence
    backward: Recurrence
    merge: Layer


@dataclass(frozen=True, eq=False)
class ModelPart:
    """A Sequential or Functional model: its layers by name, and the config that wires them."""

    config: LayerConfig
    members: "dict[str, Member]"


@dataclass(frozen=True, eq=False)
class Member:
    """A layer in its place in a model."""

    config: LayerConfig
    part: "Part"


Part = InputPart | Layer | Recurrence | BidirectionalPart | ModelPart


def read_parts(file: SavedFile) -> ModelPart:
    """Reads every layer of a saved model.

    Raises:
        ModelFileError: The config contradicts itself or the arrays, or is of a kind not read yet.
    """
    config = LayerConfig(file.config, _generation(file))
    if config.class_name not in MODEL_CLASSES:
        raise ModelFileError(
            f"{file.path}: expected a Sequential or Functional model, received the class "
            f"{config.class_name}; subclassed models are not read yet"
        )
    layers = _layers_of(config)
    return _model_part(config, layers, weights_of_layers(file, layers), prefix="")


def _generation(file: SavedFile) -> int:
    """The generation of Keras whose words the config uses: 2 (tf.keras included) or 3."""
    major = (file.keras_version or "").partition(".")[0]
    if major in ("0", "1"):
        raise ModelFileError(
            f"{file.path}: saved by Keras {file.keras_version}; files of Keras 1 are not read yet"
        )
    return 2 if major == "2" else 3


def _layers_of(model: LayerConfig) -> list[LayerConfig]:
    layers = model.config.get("layers")
    if not isinstance(layers, list):
        raise ModelFileError(f"model {model.name}: expected its config to list its layers")
    return [LayerConfig(entry, model.keras) for entry in layers]


def _model_part(
    config: LayerConfig, layers: Sequence[LayerConfig], weights: Sequence[Weights], prefix: str
) -> ModelPart:
    return ModelPart(
        config,
        {
            layer.name: Member(layer, _part(layer, own, f"{prefix}{layer.name}"))
            for layer, own in zip(layers, weights, strict=True)
        },
    )


def _part(layer: LayerConfig, weights: Weights, path: str) -> Part:
    if layer.class_name == "InputLayer":
        return InputPart(layer.batch_shape, layer.dtype)
    if layer.class_name in MODEL_CLASSES:
        layers = _layers_of(layer)
        return _model_part(layer, layers, weights.of_layers(layers), prefix=f"{path}/")
    arrays = weights.arrays(layer)
    if layer.class_name in RECURRENT_CLASSES:
        return read_recurrence(layer, arrays, path)
    if layer.class_name == "Bidirectional" and layer.child("layer").class_name in RECURRENT_CLASSES:
        half = len(arrays) // 2
        return BidirectionalPart(
            forward=read_recurrence(
                layer.child("layer"), arrays[:half], f"{path}/forward", in_bidirectional=True
            ),
            backward=read_recurrence(
                _backward(layer), arrays[half:], f"{path}/backward", in_bidirectional=True
            ),
            merge=_layer(layer, (), path),
        )
    return _layer(layer, arrays, path)


def _layer(layer: LayerConfig, arrays: Sequence[Array], path: str) -> Layer:
    return Layer(
        name=path,
        class_name=layer.class_name,
        config=layer.config,
        weights=tuple(arrays),
        dtype=layer.dtype,
    )


def _backward(bidirectional: LayerConfig) -> LayerConfig:
    """The backward layer: with a config of its own, or the forward one turned round."""
    if bidirectional.config.get("backward_layer") is not None:
        return bidirectional.child("backward_layer")
    forward = bidirectional.child("layer")
    turned = {**forward.config, "go_backwards": not forward.flag("go_backwards")}
    return LayerConfig({**forward.entry, "config": turned}, forward.keras)
