"""Reads what a layer of Keras computes into the typed options of `lstm_inspect.model`.

A layer has no options if its class is not in the table, or if they cannot express one of its
settings. Only Keras itself can compute that layer.

Source: keras 3.15.1, the module of each layer under layers/, unless a line says otherwise.
"""

from collections.abc import Callable
from functools import partial

from lstm_inspect.model import (
    Activation,
    Augmentation,
    BatchNormalization,
    Concatenate,
    Convolve,
    Dense,
    Embedding,
    Flatten,
    GlobalAverage,
    Identity,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Merge,
    MergeDirections,
    Operation,
    Options,
    Permute,
    Pool,
    RepeatVector,
    Reshape,
)
from lstm_inspect.sources.keras.layer_config import TF_OPERATION_CLASSES, LayerConfig
from lstm_inspect.sources.keras.settings import AUGMENTATIONS, DROPOUTS, unknown_settings
from lstm_inspect.sources.keras.tf_operations import operation_name

_ACT_IN_TRAINING = (
    *("AdditiveAttention", "Attention", "GroupedQueryAttention"),
    *("BatchNormalization", "MultiHeadAttention", "RandomCrop", "SpectralNormalization"),
)


def read_options(layer: LayerConfig) -> Options | None:
    """The options of a layer that is not recurrent; None if only Keras knows what it computes.

    Raises:
        ModelFileError: A setting is of a kind that Keras never writes.
    """
    if layer.is_operation:
        # An operation of TensorFlow has its parameters in each call alone.
        is_tensorflow = layer.class_name in TF_OPERATION_CLASSES
        config = {} if is_tensorflow else layer.config
        parameters = {key: value for key, value in config.items() if key != "name"}
        return Operation(name=operation_name(layer), parameters=parameters)
    read = READERS.get(layer.class_name)
    return None if read is None or unknown_settings(layer) else read(layer)


def passes_mask(layer: LayerConfig) -> bool | None:
    """Whether a layer that is not built in hands on the mask of its input; None if code decides.

    In the Keras that was installed on its own, a layer that is called on a masked input and does
    not support masks is an error (keras 2.2.4, engine/base_layer.py, ``compute_mask``). In tf.keras
    and Keras 3 it drops the mask, and the file does not say whether it supports masks (tf_keras
    2.21.0, engine/base_layer.py, ``_set_mask_metadata``; keras 3.15.1, layers/layer.py,
    ``Layer.__call__``).
    A Lambda has no mask unless it was given one (layers/core/lambda_layer.py, ``compute_mask``).
    """
    if layer.class_name == "Lambda":
        return False if layer.config.get("mask") is None else None
    return None if layer.dialect.is_tf_keras else True


def merge_directions(layer: LayerConfig) -> MergeDirections:
    """How a Bidirectional merges the outputs of its two layers."""
    forward = layer.child("layer")
    time_axis = 0 if forward.flag("time_major") else 1
    merges = layer.config.get("merge_mode", "concat") is not None
    return MergeDirections(
        merge_mode=layer.choice("merge_mode", ("concat", "sum", "ave", "mul")) if merges else None,
        time_axis=time_axis if forward.flag("return_sequences") else None,
    )


def acts_in_training(layer: LayerConfig) -> bool:
    """Whether a layer computes something different in training."""
    return layer.class_name in (*DROPOUTS, *AUGMENTATIONS, *_ACT_IN_TRAINING)


def _identity(layer: LayerConfig) -> Options:
    # tf_keras 2.21.0, layers/core/identity.py: the class does not support masks.
    drops_mask = layer.class_name == "Identity" and layer.dialect.keras < 3
    return Identity(keeps_mask=not drops_mask)


def _augmentation(layer: LayerConfig) -> Options:
    return Augmentation()


def _masking(layer: LayerConfig) -> Options:
    return Masking(mask_value=layer.number_or_numbers("mask_value"))


def _embedding(layer: LayerConfig) -> Options:
    return Embedding(output_dim=layer.size("output_dim"), mask_zero=layer.flag("mask_zero"))


def _dense(layer: LayerConfig) -> Options:
    return Dense(units=layer.size("units"))


def _activation(layer: LayerConfig) -> Options:
    return Activation()


def _batch_normalization(layer: LayerConfig) -> Options:
    return BatchNormalization(
        axis=_axes(layer),  # keras 2.15.0 writes a list, which may have several
        epsilon=layer.number("epsilon", default=1e-3),
        scale=layer.flag("scale", default=True),
        center=layer.flag("center", default=True),
    )


def _layer_normalization(layer: LayerConfig) -> Options | None:
    if layer.config.get("rms_scaling"):  # keras 3.5.0 to 3.9.2: another formula
        return None
    return LayerNormalization(
        axis=_axes(layer),
        epsilon=layer.number("epsilon", default=1e-3),
        scale=layer.flag("scale", default=True),
        center=layer.flag("center", default=True),
        # keras 3.10.0 and 3.11.3, layers/normalization/layer_normalization.py, `call`.
        keeps_dtype=layer.dialect.keras == 3 and layer.dialect.minor >= 11,
    )


def _axes(layer: LayerConfig) -> tuple[int, ...]:
    axis = layer.config.get("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    return tuple(layer.whole("axis", each) for each in axes)


def _leaky_relu(layer: LayerConfig) -> Options:
    """Up to Keras 2 the slope is called alpha (keras 2.15.0, layers/activation/leaky_relu.py)."""
    name = "negative_slope" if layer.dialect.keras == 3 else "alpha"
    return LeakyReLU(negative_slope=layer.number(name, default=0.3))


def _global_average(layer: LayerConfig) -> Options | None:
    if not _is_channels_last(layer):
        return None
    # Keras 2 averages whole numbers as TensorFlow does (keras 2.15.0, backend.py, `mean`).
    return GlobalAverage(keepdims=layer.flag("keepdims"), keeps_whole=layer.dialect.keras < 3)


def _merge(how: str, layer: LayerConfig) -> Options:
    return Merge(how=how, masks=layer.dialect.merges_masks)


def _concatenate(layer: LayerConfig) -> Options:
    axis = layer.whole("axis", layer.config.get("axis", -1))
    return Concatenate(axis=axis, masks=layer.dialect.merges_masks)


def _repeat_vector(layer: LayerConfig) -> Options:
    return RepeatVector(n=layer.size("n"))


def _reshape(layer: LayerConfig) -> Options:
    return Reshape(target_shape=layer.wholes("target_shape"))


def _permute(layer: LayerConfig) -> Options:
    return Permute(dims=layer.wholes("dims"))


def _flatten(layer: LayerConfig) -> Options | None:
    return Flatten() if _is_channels_last(layer) else None


def _convolve(rank: int, layer: LayerConfig) -> Options | None:
    if not (_is_channels_last(layer) and _pads_plainly(layer)):
        return None
    if layer.config.get("groups", 1) != 1:
        return None
    return Convolve(
        filters=layer.size("filters"),
        kernel_size=layer.sizes("kernel_size", rank),
        strides=layer.sizes("strides", rank),
        dilation=layer.sizes("dilation_rate", rank),
        padding=layer.choice("padding", ("valid", "same", "half")),
    )


def _pool(how: str, rank: int, layer: LayerConfig) -> Options | None:
    if not (_is_channels_last(layer) and _pads_plainly(layer)):
        return None
    size, strides = layer.pooling(rank)
    return Pool(
        how=how,
        pool_size=size,
        strides=strides,
        padding=layer.choice("padding", ("valid", "same")),
    )


def _is_channels_last(layer: LayerConfig) -> bool:
    return layer.config.get("data_format") != "channels_first"


def _pads_plainly(layer: LayerConfig) -> bool:
    return layer.config.get("padding", "valid") in ("valid", "same", "half")


READERS: dict[str, Callable[[LayerConfig], Options | None]] = {
    **dict.fromkeys((*DROPOUTS, "ActivityRegularization", "Identity"), _identity),
    **dict.fromkeys(AUGMENTATIONS, _augmentation),
    "Masking": _masking,
    "Embedding": _embedding,
    "Dense": _dense,
    "Activation": _activation,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "LeakyReLU": _leaky_relu,
    **{f"GlobalAveragePooling{rank}D": _global_average for rank in (1, 2, 3)},
    "Concatenate": _concatenate,
    **{
        name: partial(_merge, name.lower())
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    },
    "RepeatVector": _repeat_vector,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Permute": _permute,
    **{f"Conv{rank}D": partial(_convolve, rank) for rank in (1, 2, 3)},
    **{f"MaxPooling{rank}D": partial(_pool, "max", rank) for rank in (1, 2, 3)},
    **{f"AveragePooling{rank}D": partial(_pool, "average", rank) for rank in (1, 2, 3)},
}
"""For each class, what reads its options; these layers run in NumPy."""
