"""Runs a recurrent layer, or the whole model, in genuine Keras to compare with the replay."""

import tempfile
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.bridge import as_numpy, can_build, first_line
from lstm_inspect.genuine.packages import import_keras, import_tf_keras
from lstm_inspect.layers import in_numpy
from lstm_inspect.model import Layer, Model, Recurrence
from lstm_inspect.nested import leaves

# The error names this if Keras is not installed.
_COMPARISON = "the comparison with Keras"

# Keras tells the format of a file by its name.
_SUFFIXES = {"keras": ".keras", "h5": ".h5"}
_LONGEST_REASON = 120


def genuine_recurrence(recurrence: Recurrence) -> Any:
    """Builds the genuine Keras layer of a recurrence, without its weights.

    Returns:
        The layer, which returns its whole sequence and its final states. None if Keras has no such
        layer.

    Raises:
        MissingExtraError: Keras is not installed.
    """
    keras = import_keras(_COMPARISON)
    kind, move = recurrence.kind, recurrence.convolution
    if kind.keras_layer is None or (move and move.state_padding != "same"):
        return None
    activations = {
        name: _keras_activation(keras, activation)
        for name, activation in recurrence.activations.items()
    }
    options: Mapping[str, Any] = recurrence.options
    if move:
        options = {
            "kernel_size": recurrence.window,
            "strides": move.strides,
            "dilation_rate": move.dilation,
            "padding": move.padding,
            "data_format": "channels_first" if move.channels_first else "channels_last",
        }
    cls = getattr(keras.layers, kind.keras_layer.format(rank=len(recurrence.window)))
    return cls(
        recurrence.units,
        **activations,
        **options,
        use_bias="bias" in recurrence.weights,
        # The default, orthogonal, has no form in bfloat16, and the weights are set anyway.
        recurrent_initializer="zeros",
        go_backwards=bool(recurrence.go_backwards),
        return_sequences=True,
        return_state=True,
        dtype=recurrence.dtype,
    )


def run_recurrence(
    genuine: Any,
    recurrence: Recurrence,
    x: Array,
    mask: Array,
    initial_state: Sequence[Array],
) -> list[Array]:
    """Runs a layer of `genuine_recurrence` with the recurrence's weights.

    Returns:
        The sequence, in the order in which the layer reads, and the final states.
    """
    keras = import_keras(_COMPARISON)
    genuine.build(x.shape)
    genuine.set_weights([recurrence.weights[weight.name] for weight in genuine.weights])
    outputs = genuine(
        x, initial_state=list(initial_state), mask=None if mask.all() else mask, training=False
    )
    return [as_numpy(keras, output) for output in outputs]


class LayerValues(NamedTuple):
    """What a layer of the whole model got and gave.

    Attributes:
        x: Its first input.
        output: Its first output.
    """

    x: Array
    output: Array


def run_whole_model(
    model: Model, batches: Sequence[Mapping[str, Array]], names: Sequence[str]
) -> dict[str, LayerValues] | str:
    """Runs the whole model in the Keras of its generation, loaded in safe mode.

    Keras 3 runs files of Keras 3; tf_keras, which is Keras 2, runs older ones. Either gets the file
    only if all of its layers are built in, and it gets the bytes that were read, not the path.

    Args:
        model: The model.
        batches: Batches to run one after the other: an array for each of the model's inputs.
        names: Names of top-level layers that are called once.

    Returns:
        The values of each layer for the last batch, or one line that says why there are none.
    """
    strange = [
        layer.class_name
        for call in model.calls
        if isinstance(layer := call.layer, Layer)
        and not (can_build(layer) or in_numpy(layer, call.args, call.kwargs))
    ]
    if strange:
        return f"it has layers that are not built in ({', '.join(dict.fromkeys(strange))})"
    if len(batches[0]) != len(model.inputs):
        return "not all of its inputs are given"
    suffix = _SUFFIXES.get(model.source.format)
    if suffix is None:
        return f"Keras does not load the format {model.source.format} as a model"
    is_keras_3 = (model.source.version or "").startswith("3.")
    library, name = (
        (import_keras(_COMPARISON), "Keras 3")
        if is_keras_3
        else (import_tf_keras(_COMPARISON), "tf_keras")
    )
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / f"model{suffix}"
        path.write_bytes(model.source.data)
        try:
            loaded = library.models.load_model(path, compile=False, safe_mode=True)
            layers = [loaded.get_layer(each) for each in names]
            heads = [_first(each) for layer in layers for each in (layer.input, layer.output)]
            submodel = library.Model(loaded.inputs, heads)
        except Exception as error:
            return f"{name} cannot load it ({_reason(error)})"
        try:
            for batch in batches:
                given = [batch[each.name] for each in model.inputs]
                values = submodel(given[0] if len(given) == 1 else given, training=False)
        except Exception as error:
            return f"{name} cannot run it ({_reason(error)})"
    arrays = [as_numpy(library, tensor) for tensor in leaves(values)]
    pairs = zip(arrays[::2], arrays[1::2], strict=True)
    return {each: LayerValues(*pair) for each, pair in zip(names, pairs, strict=True)}


def _first(tensors: Any) -> Any:
    """The first of several tensors: a layer that reads a mask has a list of inputs."""
    return next(leaves(tensors))


def _reason(error: Exception) -> str:
    return textwrap.shorten(first_line(error), _LONGEST_REASON, placeholder=" ...")


def _keras_activation(keras: ModuleType, name: str | None) -> Any:
    if name == "hard_sigmoid_0.2":
        return lambda x: keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
    return name or "linear"
