"""Builds genuine Keras layers one at a time, for layers without a NumPy form.

It builds only the classes listed in this module, and only from the plain values of a config. No
name, module, path or function in a file ever chooses what runs.
"""

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import UnsupportedLayerError
from lstm_inspect.genuine.packages import import_keras
from lstm_inspect.layers import Value, map_values
from lstm_inspect.model import Layer, Operation
from lstm_inspect.nested import leaves

BUILT_IN = frozenset(
    """
    AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D
    AdaptiveMaxPooling2D AdaptiveMaxPooling3D AdditiveAttention Attention AveragePooling1D
    AveragePooling2D AveragePooling3D BatchNormalization CategoryEncoding CenterCrop Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D Cropping3D
    DepthwiseConv1D DepthwiseConv2D Discretization Dot ELU EinsumDense Equalization Flatten
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization LayerNormalization LeakyReLU
    MaxPooling1D MaxPooling2D MaxPooling3D MultiHeadAttention Normalization PReLU RMSNormalization
    ReLU Rescaling Resizing SeparableConv1D SeparableConv2D Softmax UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()  # noqa: SIM905 - one name a line would fill two pages
)

# Arguments that Keras 2 calls by another name (keras 2.15.0, layers/activation/leaky_relu.py).
_RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}

_CHANGE_NOTHING = frozenset(
    {
        *("activity_regularizer", "dtype", "name", "seed", "trainable"),
        *("batch_input_shape", "batch_shape", "input_shape"),
        *("key_shape", "query_shape", "value_shape"),
    }
)
_INITIAL = ("_constraint", "_initializer", "_regularizer")

# Settings that other versions write and today's Keras lacks, with the value that it computes
# (tf_keras 2.21.0: layers/attention/multi_head_attention.py and layers/convolutional/base_conv.py;
# tensorflow 2.10.1: causal of Attention; keras 3.9.2: layers/normalization/layer_normalization.py).
_GONE = {"causal": False, "groups": 1, "rms_scaling": False, "softmax_robust_masking": False}


def is_installed() -> bool:
    """Whether Keras can be imported."""
    return importlib.util.find_spec("keras") is not None


def can_build(layer: Layer) -> bool:
    """Whether the bridge can build a layer."""
    return (
        layer.framework == "Keras"
        and layer.class_name in BUILT_IN
        and not isinstance(layer.options, Operation)
        and layer.activation in ACTIVATIONS
    )


class Bridge:
    """Builds genuine Keras layers when they are first called, and keeps them."""

    def __init__(self) -> None:
        self._built: dict[Layer, Any] = {}

    def call(
        self, layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Value, ...]:
        """Calls a layer as the model does.

        Args:
            layer: A layer that `can_build` accepts.
            args: The positional arguments, with a `Value` for every tensor.
            kwargs: The keyword arguments.

        Raises:
            UnsupportedLayerError: Keras rejects the layer's config, weights or input.
        """
        keras = import_keras(layer.label)
        arrays = map_values(args, lambda value: value.array)
        options = {
            name: map_values(given, lambda value: value.array)
            for name, given in kwargs.items()
            if name not in ("mask", "training")
        }
        masks = map_values(args[0], lambda value: value.mask) if args else None
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
            raise UnsupportedLayerError(
                f"{layer.label}: today's Keras rejects it ({first_line(error):.160})"
            ) from error
        flat = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        arrays_out = [as_numpy(keras, output) for output in flat]
        for array in arrays_out:
            ACTIVATIONS[layer.activation](array)
        return tuple(Value(array, _mask_array(keras, mask)) for array in arrays_out)


def _build(
    keras: ModuleType, layer: Layer, arrays: Sequence[Any], options: Mapping[str, Any]
) -> Any:
    cls = getattr(keras.layers, layer.class_name)
    renamed = _RENAMED.get(layer.class_name, {})
    parameters = inspect.signature(cls.__init__).parameters
    plain: dict[str, Any] = {}
    for written, value in layer.config.items():
        key = renamed.get(written, written)
        # Only plain values: Keras would look up the names in an object of the config.
        if key in parameters and _is_plain(value):
            plain[key] = value
        elif not (
            key in _CHANGE_NOTHING
            or key.endswith(_INITIAL)
            or (key in _GONE and value == _GONE[key])
            or key == "activation"
        ):
            raise ValueError(f"it does not know {key}={value!r:.60}")
    if "activation" in parameters:
        plain["activation"] = None  # `call` applies it, as the Keras that saved it did
    genuine = cls(**{**plain, "dtype": layer.dtype, "name": None})
    genuine(*arrays, **options)
    if len(genuine.weights) != len(layer.weights):
        raise ValueError(
            f"it has {len(genuine.weights)} arrays of weights, the file has {len(layer.weights)}"
        )
    genuine.set_weights(list(layer.weights))
    if hasattr(genuine, "finalize_state"):
        genuine.finalize_state()
    return genuine


def _is_plain(value: Any) -> bool:
    return all(
        each is None or isinstance(each, (str, int, float)) for each in leaves(value)
    ) and not isinstance(value, dict)


def _any_mask(masks: Any) -> bool:
    return any(mask is not None for mask in leaves(masks))


def _mask_array(keras: ModuleType, mask: Any) -> Array | None:
    if isinstance(mask, (list, tuple)):
        mask = mask[0] if mask else None
    return None if mask is None else as_numpy(keras, mask)


def as_numpy(keras: ModuleType, tensor: Any) -> Array:
    """Copies a tensor of Keras 3 or tf_keras to an array that can be written to."""
    # tf_keras has no `ops`; its tensors are those of TensorFlow, which NumPy takes as they are.
    return np.array(keras.ops.convert_to_numpy(tensor) if hasattr(keras, "ops") else tensor)


def first_line(error: Exception) -> str:
    """The first line of an error of Keras, whose messages are long; its type if it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)
