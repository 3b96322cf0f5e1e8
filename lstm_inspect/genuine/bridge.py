"""Runs genuine Keras layers and operations, for those without a NumPy form.

It runs only what this package lists, and only on the plain values of a config. No name, module,
path or function in a file ever chooses what runs.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import UnsupportedLayerError
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.process import PROCESS, KerasError
from lstm_inspect.genuine.pure_operations import OPERATIONS
from lstm_inspect.layers import Value, map_values
from lstm_inspect.model import Layer, Operation
from lstm_inspect.nested import leaves

BUILT_IN = frozenset(
    """
    AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D
    AdaptiveMaxPooling2D AdaptiveMaxPooling3D AdditiveAttention Attention AutoContrast
    AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization CategoryEncoding
    CenterCrop ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D
    Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D Cropping3D DepthwiseConv1D
    DepthwiseConv2D Discretization Dot ELU EinsumDense Equalization Flatten GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization GroupedQueryAttention HashedCrossing Hashing IntegerLookup
    LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D MaxPooling1D MaxPooling2D
    MaxPooling3D MelSpectrogram MultiHeadAttention Normalization PReLU RMSNormalization RandomCrop
    ReLU Rescaling Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D
    Softmax Solarization ThresholdedReLU UnitNormalization UpSampling1D UpSampling2D UpSampling3D
    ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()  # noqa: SIM905 - one name a line would fill two pages
)

_SET_HERE = ("mask", "training")  # a tensor carries its mask, and a replay never trains

LIBRARIES = {"Keras 3": "keras", "Keras 2": "tf_keras"}
"""The package that has the layers of each framework."""


def is_installed(layer: Layer) -> bool:
    """Whether the package that has a layer can be imported."""
    return importlib.util.find_spec(_library_of(layer)) is not None


def can_build(layer: Layer) -> bool:
    """Whether the bridge can run a layer."""
    if layer.framework not in LIBRARIES:
        return False
    if isinstance(layer.options, Operation):
        return layer.options.name in OPERATIONS
    return layer.class_name in BUILT_IN and layer.activation in ACTIVATIONS


def _library_of(layer: Layer) -> str:
    # A source translates its operations into the words of Keras 3.
    return "keras" if isinstance(layer.options, Operation) else LIBRARIES[layer.framework]


def call_layer(
    layer: Layer,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    limits: Limits,
    reserve: Callable[[int], None],
) -> tuple[Value, ...]:
    """Calls a layer or an operation as the model does.

    Args:
        layer: A layer that `can_build` accepts.
        args: The positional arguments, with a `Value` for every tensor.
        kwargs: The keyword arguments.
        limits: How much memory and time it may take.
        reserve: Called with the bytes of what it returns before these are read.

    Raises:
        UnsupportedLayerError: Keras rejects the layer's config, weights or input.
    """
    given: tuple[Any, Any] = (args, dict(kwargs))
    ask = partial(
        PROCESS.ask,
        library=_library_of(layer),
        needed_for=layer.label,
        limits=limits,
        reserve=reserve,
    )
    try:
        if isinstance(layer.options, Operation):
            arrays, named = map_values(given, lambda value: value.array)
            outputs = ask(
                "operation",
                module=OPERATIONS[layer.options.name],
                class_name=layer.options.name,
                parameters=dict(layer.options.parameters),
                args=arrays,
                kwargs=named,
            )
            return tuple(Value(array) for array in outputs)
        given = (args, {key: each for key, each in kwargs.items() if key not in _SET_HERE})
        arrays, named = map_values(given, lambda value: value.array)
        outputs = ask(
            "layer",
            class_name=layer.class_name,
            config=dict(layer.config),
            dtype=layer.dtype,
            weights=list(layer.weights),
            args=arrays,
            kwargs=named,
            masks=[
                value.mask if isinstance(value, Value) else None
                for value in leaves(given)
                if isinstance(value, (Value, np.ndarray))
            ],
        )
    except KerasError as error:
        raise UnsupportedLayerError(f"{layer.label}: Keras cannot run it ({error})") from error
    for array, _ in outputs:
        ACTIVATIONS[layer.activation](array)
    return tuple(Value(array, mask) for array, mask in outputs)
