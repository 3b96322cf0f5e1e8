"""Genuine Keras as the oracle: a recurrent layer alone, and the whole model."""

import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.bridge import as_numpy, can_build
from lstm_inspect.genuine.packages import import_keras
from lstm_inspect.layers import form_of, operation_of
from lstm_inspect.model import Call, Layer, Model, Recurrence

# What needs Keras if nothing has to be run by it.
_COMPARISON = "the comparison with Keras"


def genuine_recurrence(recurrence: Recurrence) -> Any:
    """The genuine Keras layer of a recurrence, without its weights; None if Keras has none.

    It returns its whole sequence and its final states.

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
        Its sequence in the order in which it reads, and its final states.
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
    """The outputs of some layers of the whole model, as today's Keras loads it in safe mode.

    Only a file all of whose layers are built in is handed to Keras.

    Args:
        model: The model.
        inputs: An array for each of its inputs.
        names: Names of top-level layers that are called once.

    Returns:
        The first output of each, or in one line why there are none.
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
            return f"today's Keras does not load it ({reason:.120})"
    return [as_numpy(keras, output) for output in keras.tree.flatten(outputs)]


def is_built_in(call: Call) -> bool:
    """Whether a call is of a layer or an operation of Keras itself."""
    layer = call.layer
    if isinstance(layer, Recurrence):
        return True
    return bool(can_build(layer) or form_of(layer, call.kwargs) or operation_of(layer))


def _keras_activation(keras: ModuleType, name: str | None) -> Any:
    if name == "hard_sigmoid_0.2":
        return lambda x: keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
    return name or "linear"
