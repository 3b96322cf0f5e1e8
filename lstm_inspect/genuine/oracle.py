"""Runs a recurrent layer, or the whole model, in genuine Keras to compare with the replay."""

import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.bridge import as_numpy, can_build
from lstm_inspect.genuine.packages import import_keras
from lstm_inspect.layers import form_of, operation_of
from lstm_inspect.model import Call, Layer, Model, Recurrence

# The error names this if Keras is not installed.
_COMPARISON = "the comparison with Keras"


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


def run_whole_model(
    model: Model, inputs: Mapping[str, Array], names: Sequence[str]
) -> list[Array] | str:
    """Computes the outputs of some layers in the whole model, loaded by Keras in safe mode.

    Keras gets the file only if all of its layers are built in.

    Args:
        model: The model.
        inputs: An array for each of its inputs.
        names: Names of top-level layers that are called once.

    Returns:
        The first output of each layer, or one line that says why there are none.
    """
    strange = [
        call.layer.class_name
        for call in model.calls
        if isinstance(call.layer, Layer) and not is_built_in(call)
    ]
    if strange:
        return f"it has layers that are not built in ({', '.join(dict.fromkeys(strange))})"
    if len(inputs) != len(model.inputs):
        return "not all of its inputs are given"
    keras = import_keras(_COMPARISON)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = keras.saving.load_model(model.source.path, compile=False, safe_mode=True)
            heads = [keras.tree.flatten(loaded.get_layer(name).output)[0] for name in names]
            submodel = keras.Model(loaded.inputs, heads)
            outputs = submodel([inputs[each.name] for each in model.inputs], training=False)
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            return f"today's Keras cannot load it ({reason:.120})"
    return [as_numpy(keras, output) for output in keras.tree.flatten(outputs)]


def is_built_in(call: Call) -> bool:
    """Whether a call runs a layer or an operation that is part of Keras."""
    layer = call.layer
    if isinstance(layer, Recurrence):
        return True
    return bool(
        can_build(layer)
        or form_of(layer, call.kwargs)
        or operation_of(layer, call.args, call.kwargs)
    )


def _keras_activation(keras: ModuleType, name: str | None) -> Any:
    if name == "hard_sigmoid_0.2":
        return lambda x: keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
    return name or "linear"
