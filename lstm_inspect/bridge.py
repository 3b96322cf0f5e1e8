"""Genuine Keras layers, built one at a time: for layers without a NumPy form, and as the oracle.

Only classes on a list of this module are built, from the plain values of a config alone: no name,
module, path or function of a file ever chooses what runs.
"""

import importlib.util
import inspect
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import UnsupportedLayerError
from lstm_inspect.extras import import_keras
from lstm_inspect.formats import Array
from lstm_inspect.layers import Value, form_of, map_values, operation_of
from lstm_inspect.model import Call, Layer, Model, Recurrence

BUILT_IN = frozenset(
    """
    AdditiveAttention Attention AveragePooling1D AveragePooling2D AveragePooling3D
    BatchNormalization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose
    Cropping1D Cropping2D Cropping3D DepthwiseConv1D DepthwiseConv2D Dot ELU EinsumDense Flatten
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization LayerNormalization LeakyReLU
    MaxPooling1D MaxPooling2D MaxPooling3D MultiHeadAttention Normalization PReLU ReLU Rescaling
    SeparableConv1D SeparableConv2D Softmax UnitNormalization UpSampling1D UpSampling2D
    UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()  # noqa: SIM905 - a list of one name a line would fill two pages
)

# What Keras 2 calls the arguments of a layer (keras 2.15.0, layers/activation/leaky_relu.py).
_RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}

# What needs Keras where nothing has to be run by it.
_COMPARISON = "the comparison with Keras"


def is_installed() -> bool:
    """Whether Keras can be imported."""
    return importlib.util.find_spec("keras") is not None


def covers(layer: Layer) -> bool:
    """Whether a layer is one that can be built."""
    activation = layer.config.get("activation") or "linear"
    return layer.class_name in BUILT_IN and not layer.is_operation and activation in ACTIVATIONS


class Bridge:
    """Builds genuine Keras layers when they are first called, and keeps them."""

    def __init__(self) -> None:
        self._built: dict[Layer, Any] = {}

    def call(
        self, layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Value, ...]:
        """Calls a layer as the model does.

        Args:
            layer: A layer that `covers` is true of.
            args: Its positional arguments, a `Value` for every tensor.
            kwargs: Its keyword arguments.

        Raises:
            UnsupportedLayerError: Keras does not take the layer's config, weights or input.
        """
        keras = import_keras(layer.label)
        arrays = map_values(list(args), lambda value: value.array)
        options = {
            name: map_values(given, lambda value: value.array)
            for name, given in kwargs.items()
            if name not in ("mask", "training")
        }
        masks = map_values(list(args)[:1], lambda value: value.mask)[0] if args else None
        try:
            genuine = self._built.get(layer)
            if genuine is None:
                genuine = self._built[layer] = _build(keras, layer, arrays, options)
            if "mask" in inspect.signature(genuine.call).parameters and _any_mask(masks):
                options["mask"] = masks
            outputs = genuine(*arrays, **options)
            mask = None
            if genuine.supports_masking and _any_mask(masks):
                mask = genuine.compute_mask(arrays[0], masks)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UnsupportedLayerError(
                f"{layer.label}: today's Keras does not take it ({reason:.160})"
            ) from error
        flat = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return tuple(
            Value(
                _activated(layer, _to_numpy(keras, output)),
                _mask_array(keras, mask),
            )
            for output in flat
        )


def genuine_recurrence(recurrence: Recurrence) -> Any:
    """The genuine Keras layer of a recurrence, without its weights; None if Keras has none.

    It returns its whole sequence and its final states.

    Raises:
        MissingExtraError: Keras is not installed.
    """
    keras = import_keras(_COMPARISON)
    options: dict[str, Any] = {
        "activation": _keras_activation(keras, recurrence.activation),
        "use_bias": "bias" in recurrence.weights,
        "go_backwards": bool(recurrence.go_backwards),
        "return_sequences": True,
        "return_state": True,
        "dtype": recurrence.dtype,
    }
    gates = {"recurrent_activation": _keras_activation(keras, recurrence.recurrent_activation)}
    match recurrence.cell:
        case "lstm":
            return keras.layers.LSTM(recurrence.units, **options, **gates)
        case "gru":
            options["reset_after"] = recurrence.reset_after
            return keras.layers.GRU(recurrence.units, **options, **gates)
        case "simple_rnn":
            return keras.layers.SimpleRNN(recurrence.units, **options)
        case "conv_lstm" if (move := recurrence.convolution) and move.state_padding == "same":
            size = recurrence.weights["kernel"].shape[:-2]
            return getattr(keras.layers, f"ConvLSTM{len(size)}D")(
                recurrence.units,
                size,
                strides=move.strides,
                dilation_rate=move.dilation,
                padding=move.padding,
                data_format="channels_first" if move.channels_first else "channels_last",
                **options,
                **gates,
            )
        case _:
            return None


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
    return [_to_numpy(keras, output) for output in outputs]


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
            loaded = keras.saving.load_model(model.file.path, compile=False, safe_mode=True)
            heads = [keras.tree.flatten(loaded.get_layer(name).output)[0] for name in names]
            submodel = keras.Model(loaded.inputs, heads)
            outputs = submodel([inputs[each.name] for each in model.inputs], training=False)
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            return f"today's Keras does not load it ({reason:.120})"
    return [_to_numpy(keras, output) for output in keras.tree.flatten(outputs)]


def is_built_in(call: Call) -> bool:
    """Whether a call is of a layer or an operation of Keras itself."""
    layer = call.layer
    if isinstance(layer, Recurrence):
        return True
    return bool(covers(layer) or form_of(layer, call.kwargs) or operation_of(layer))


def _to_numpy(keras: ModuleType, tensor: Any) -> Array:
    return np.array(keras.ops.convert_to_numpy(tensor))


def _build(
    keras: ModuleType, layer: Layer, arrays: Sequence[Any], options: Mapping[str, Any]
) -> Any:
    cls = getattr(keras.layers, layer.class_name)
    renamed = _RENAMED.get(layer.class_name, {})
    parameters = inspect.signature(cls.__init__).parameters
    config = {renamed.get(key, key): value for key, value in layer.config.items()}
    # Of the values, only plain ones: what a config writes as an object would be looked up by name.
    plain = {key: value for key, value in config.items() if key in parameters and _is_plain(value)}
    if "activation" in parameters:
        plain["activation"] = None  # applied to the output, as the saver meant it
    genuine = cls(**{**plain, "dtype": layer.dtype, "name": None})
    genuine(*arrays, **options)
    if len(genuine.weights) != len(layer.weights):
        raise ValueError(
            f"it has {len(genuine.weights)} arrays, the file {len(layer.weights)} for it"
        )
    genuine.set_weights(list(layer.weights))
    if hasattr(genuine, "finalize_state"):
        genuine.finalize_state()
    return genuine


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float))


def _any_mask(masks: Any) -> bool:
    if isinstance(masks, list):
        return any(_any_mask(mask) for mask in masks)
    return masks is not None


def _mask_array(keras: ModuleType, mask: Any) -> Array | None:
    if isinstance(mask, (list, tuple)):
        mask = mask[0] if mask else None
    return None if mask is None else np.asarray(keras.ops.convert_to_numpy(mask))


def _activated(layer: Layer, z: Array) -> Array:
    ACTIVATIONS[layer.config.get("activation") or "linear"](z)
    return z


def _keras_activation(keras: ModuleType, name: str | None) -> Any:
    if name == "hard_sigmoid_0.2":
        return lambda x: keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
    return name or "linear"
