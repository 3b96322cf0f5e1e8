"""Reads each layer of a saved model into a part: its config together with its arrays.

Parts are not wired yet. Each is read once, however often the model calls it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from lstm_inspect.arrays import Array
from lstm_inspect.errors import ModelFileError
from lstm_inspect.model import Identity, Layer, MergeDirections, Recurrence, Shape
from lstm_inspect.sources.keras.cell_weights import turn_kernels
from lstm_inspect.sources.keras.lambda_code import code_of
from lstm_inspect.sources.keras.layer_config import LayerConfig
from lstm_inspect.sources.keras.layer_options import (
    acts_in_training,
    merge_directions,
    passes_mask,
    read_options,
)
from lstm_inspect.sources.keras.output_shapes import output_shape_of
from lstm_inspect.sources.keras.recurrences import cell_configs, read_recurrence, wrapped_cells
from lstm_inspect.sources.keras.settings import check_settings
from lstm_inspect.sources.keras.stores.saved_file import SavedFile
from lstm_inspect.sources.keras.tf_operations import operation_name
from lstm_inspect.sources.keras.weight_counts import weight_counts
from lstm_inspect.sources.keras.weights import Weights, weights_of_layers


class InputPart(NamedTuple):
    """An InputLayer."""

    shape: Shape | None
    dtype: str


class RecurrentPart(NamedTuple):
    """A recurrent layer: one recurrence, or one for each stacked cell, the lowest first."""

    recurrences: tuple[Recurrence, ...]


class BidirectionalPart(NamedTuple):
    """A Bidirectional: two recurrent layers, and a layer that merges their outputs.

    ``cast`` casts x, if the Bidirectional computes in another dtype than its layers: it casts what
    it is called on to its own dtype first (keras 3.15.1, layers/layer.py, ``Layer.__call__``).
    """

    forward: RecurrentPart
    backward: RecurrentPart
    options: MergeDirections
    merge: Layer
    cast: Layer | None


class TimeDistributedPart(NamedTuple):
    """A layer or a model that is applied to every timestep."""

    member: "Member"


class ModelPart(NamedTuple):
    """A Sequential or Functional model: its layers by name, and the config that wires them."""

    config: LayerConfig
    members: "dict[str, Member]"


class MergedModelsPart(NamedTuple):
    """The first layer of a Keras 1 Sequential that merges the outputs of other models."""

    models: "tuple[Part, ...]"
    merge: Layer


class Member(NamedTuple):
    """A layer of a model: its config, and the part that was read from it."""

    config: LayerConfig
    part: "Part"


Part = (
    InputPart
    | Layer
    | RecurrentPart
    | BidirectionalPart
    | TimeDistributedPart
    | ModelPart
    | MergedModelsPart
)


def read_parts(file: SavedFile, config: LayerConfig) -> ModelPart:
    """Reads every layer of a saved model.

    Raises:
        ModelFileError: The config contradicts itself or the arrays.
    """
    layers = _layers_of(config)
    return _model_part(config, layers, weights_of_layers(file, layers), prefix="")


def _layers_of(model: LayerConfig) -> list[LayerConfig]:
    layers = model.children("layers")
    names = Counter(layer.name for layer in layers)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ModelFileError(
            f"model {model.name}: expected a name of its own for each layer, received two layers "
            f"called {twice[0]}"
        )
    return layers


def _model_part(
    config: LayerConfig, layers: Sequence[LayerConfig], weights: Sequence[Weights], prefix: str
) -> ModelPart:
    return ModelPart(
        config,
        {
            layer.name: Member(layer, read_part(layer, own, f"{prefix}{layer.name}"))
            for layer, own in zip(layers, weights, strict=True)
        },
    )


def read_part(layer: LayerConfig, weights: Weights, path: str) -> Part:
    """Reads a layer, or a model that is used as one.

    Args:
        layer: Its config.
        weights: Its weights.
        path: Its name in the whole model.

    Raises:
        ModelFileError: The config contradicts itself or the arrays.
    """
    if layer.class_name == "InputLayer":
        return InputPart(layer.batch_shape, layer.dtype)
    if layer.is_model:
        layers = _layers_of(layer)
        return _model_part(layer, layers, weights.of_layers(layers), prefix=f"{path}/")
    if layer.class_name in ("TimeDistributed", "Bidirectional", "SpectralNormalization"):
        check_settings(layer)
    if layer.class_name == "SpectralNormalization":
        # Its own array, vector_u, serves training alone (keras 3.15.1,
        # layers/normalization/spectral_normalization.py).
        return read_part(layer.child("layer"), weights.wrapped(own=1), path)
    if layer.class_name == "TimeDistributed":
        child = layer.child("layer")
        return TimeDistributedPart(Member(child, read_part(child, weights.wrapped(), path)))
    if layer.class_name == "Bidirectional" and cell_configs(layer.child("layer")):
        forward, backward = layer.child("layer"), layer.backward_layer
        ours, theirs = weights.directions(forward, backward)
        one = _recurrent_part(forward, ours, f"{path}/forward", True)
        other = _recurrent_part(backward, theirs, f"{path}/backward", True)
        merge = read_layer(layer, (), path)
        if one is None or other is None:
            return _without_weights(layer, forward, weights, path)
        options = merge_directions(layer)
        cast = Layer(
            name=f"{path}/cast",
            class_name="Cast",
            framework=layer.dialect.framework,
            options=Identity(),
            dtype=layer.dtype,
            config={},
        )
        is_cast = any(each.dtype != layer.dtype for each in (*one.recurrences, *other.recurrences))
        return BidirectionalPart(
            one, other, options, replace(merge, options=options), cast if is_cast else None
        )
    if cell_configs(layer):
        part = _recurrent_part(layer, weights, path)
        if part is None:
            return _without_weights(layer, layer, weights, path)
        return part
    if models := layer.merged_models:
        own = zip(models, weights.of_layers(models), strict=True)
        parts = (read_part(model, part, path) for model, part in own)
        return MergedModelsPart(tuple(parts), read_layer(layer, (), path))
    if layer.class_name == "RNN":
        names = dict.fromkeys(cell.class_name for cell in wrapped_cells(layer))
        named = f"RNN of {' and '.join(names)}"
        return replace(read_layer(layer, weights.arrays(), path), class_name=named)
    if layer.class_name == "IntegerLookup" and layer.config.get("vocabulary") is None:
        layer.config["vocabulary"] = weights.vocabulary()
    arrays = weights.with_sublayers() if layer.is_foreign else weights.arrays()
    expected = sum(weight_counts(layer) or (0, 0))
    lacks = None if arrays or not expected else _lacks(weights.held, expected)
    if layer.dialect.is_theano and layer.class_name.startswith("Conv"):
        arrays = turn_kernels(arrays)
    return replace(read_layer(layer, arrays, path), lacks=lacks)


def _lacks(held: int, expected: int) -> str:
    return f"the file holds {held} of its {expected} arrays"


def _without_weights(layer: LayerConfig, inner: LayerConfig, weights: Weights, path: str) -> Layer:
    """A recurrent layer of which the file lacks some arrays; ``inner`` states its units."""
    cells = cell_configs(inner)
    sizes = [cell.config.get("units", cell.config.get("filters")) for cell in cells]
    units = f"{' and '.join(map(str, sizes))} unit{'' if sizes == [1] else 's'}"
    lacks = f"{units}; {_lacks(weights.held, sum(weight_counts(layer) or (0, 0)))}"
    return replace(read_layer(layer, (), path), lacks=lacks, is_recurrent=True)


def _recurrent_part(
    layer: LayerConfig, weights: Weights, path: str, in_bidirectional: bool = False
) -> RecurrentPart | None:
    """Reads a recurrent layer; None if the file has none of its arrays.

    Inside a Bidirectional, some Keras versions make a layer emit 0 at masked steps, whatever its
    own config says (see `Dialect.bidirectional_zeroes`).
    """
    cells = cell_configs(layer)
    wrapped = [layer.child("cell"), *cells] if layer.class_name == "RNN" else []
    for config in (layer, *wrapped):
        check_settings(config)
    arrays = weights.of_cells(cells)
    if not any(arrays):
        return None
    overrides: dict[str, Any] = {}
    if in_bidirectional and layer.dialect.bidirectional_zeroes:
        overrides["zero_output_for_mask"] = layer.flag("return_sequences")
    if len(cells) == 1:
        return RecurrentPart((read_recurrence(layer, cells[0], arrays[0], path, **overrides),))
    below = {"return_sequences": True, "unroll": False, "restores_order": True}
    stack = []
    for number, (cell, own) in enumerate(zip(cells, arrays, strict=True)):
        fields = dict(overrides)
        if number > 0:
            fields["input_dtype"] = None
        if number < len(cells) - 1:
            fields |= {**below, "output_dtype": None}
        stack.append(read_recurrence(layer, cell, own, f"{path}/{number}", **fields))
    return RecurrentPart(tuple(stack))


def read_layer(layer: LayerConfig, arrays: Sequence[Array], path: str) -> Layer:
    """Reads a layer that is not recurrent.

    Args:
        layer: Its config.
        arrays: Its arrays.
        path: Its name.

    Raises:
        ModelFileError: A setting is of a kind that Keras never writes.
    """
    has_activation = "activation" in layer.config
    return Layer(
        name=path,
        class_name=operation_name(layer) if layer.is_operation else layer.class_name,
        framework=layer.dialect.framework,
        options=read_options(layer),
        weights=tuple(arrays),
        activation=layer.activation("activation", default="linear") if has_activation else "linear",
        dtype=layer.dtype,
        acts_in_training=acts_in_training(layer),
        passes_mask=passes_mask(layer),
        output_shape=output_shape_of(layer),
        code=code_of(layer),
        config=layer.config,
    )
