"""The settings that each built-in layer may have in a config; any other is refused, not ignored.

Source: the signatures and ``get_config`` of keras 1.2.2, 2.2.4, 3.0.5 and 3.15.1 and of tf_keras
2.21.0, with the words of Keras 1 as `keras1` translates them.
"""

from lstm_inspect.errors import ModelFileError
from lstm_inspect.sources.keras.layer_config import LayerConfig

DROPOUTS = (
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
)
"""Layers that act at random in training, and do nothing at inference."""

AUGMENTATIONS = (
    "AugMix",
    "CutMix",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHeight",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomWidth",
    "RandomZoom",
)
"""Layers that change images at random in training, and do nothing at inference."""

_EVERY = (
    "name trainable dtype dynamic autocast batch_input_shape batch_shape input_shape input_dtype"
)
# How arrays start and what training adds to the loss; the arrays of the file are what came of it.
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint", "_init")
_KERAS_1 = "init input_dim input_length nb_row nb_col dim_ordering"
_MERGE_OF_KERAS_1 = (
    "mode mode_type concat_axis dot_axes output_shape output_shape_type output_mask "
    "output_mask_type arguments axis"
)

_OVER_TIME = (
    "go_backwards return_sequences return_state stateful time_major unroll zero_output_for_mask"
)
_CELL = (
    "units activation recurrent_activation use_bias unit_forget_bias reset_after dropout "
    "recurrent_dropout implementation seed"
)
_RECURRENT = f"{_OVER_TIME} {_CELL} {_KERAS_1} consume_less dropout_W dropout_U use_cudnn"
_CONVOLUTION = (
    "filters kernel_size strides padding data_format dilation_rate groups activation use_bias "
    f"{_KERAS_1}"
)
_POOLING = "pool_size strides padding data_format dim_ordering"
_DROPOUT = "rate noise_shape seed data_format dim_ordering stddev"
_AUGMENTATION = (
    "all_ops alpha brightness_factor chain_depth contrast_factor data_format factor fill_mode "
    "fill_value height_factor hue_factor interpolation kernel_size mode num_chains num_ops "
    "rng_type saturation_factor scale seed sigma value_range width_factor x_factor y_factor"
)
_NORMALIZATION = "axis epsilon scale center"

SETTINGS: dict[str, str] = {
    **dict.fromkeys(
        ("LSTM", "GRU", "SimpleRNN", "UnifiedLSTM", "UnifiedGRU", "CuDNNLSTM", "CuDNNGRU"),
        _RECURRENT,
    ),
    **dict.fromkeys(("LSTMCell", "GRUCell", "SimpleRNNCell", "PeepholeLSTMCell"), _CELL),
    **{f"ConvLSTM{rank}D": f"{_RECURRENT} {_CONVOLUTION}" for rank in (1, 2, 3)},
    "RNN": f"cell {_OVER_TIME}",
    "StackedRNNCells": "cells",
    "Bidirectional": "layer backward_layer merge_mode",
    "TimeDistributed": "layer",
    "SpectralNormalization": "layer power_iterations",
    **dict.fromkeys(DROPOUTS, _DROPOUT),
    **dict.fromkeys(AUGMENTATIONS, _AUGMENTATION),
    "ActivityRegularization": "l1 l2",
    "Identity": "",
    "Masking": "mask_value",
    "Embedding": f"output_dim mask_zero sparse dropout {_KERAS_1}",
    "Dense": f"units activation use_bias {_KERAS_1}",
    "Activation": "activation",
    "BatchNormalization": (
        f"{_NORMALIZATION} mode momentum fused renorm renorm_clipping renorm_momentum "
        "synchronized virtual_batch_size"
    ),
    "LayerNormalization": f"{_NORMALIZATION} rms_scaling",
    "LeakyReLU": "alpha negative_slope",
    **{f"GlobalAveragePooling{rank}D": "data_format keepdims" for rank in (1, 2, 3)},
    **dict.fromkeys(
        ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
        _MERGE_OF_KERAS_1,
    ),
    "RepeatVector": "n",
    "Reshape": "target_shape",
    "Flatten": "data_format",
    "Permute": "dims",
    **{f"Conv{rank}D": _CONVOLUTION for rank in (1, 2, 3)},
    **{f"MaxPooling{rank}D": _POOLING for rank in (1, 2, 3)},
    **{f"AveragePooling{rank}D": _POOLING for rank in (1, 2, 3)},
}


def unknown_settings(layer: LayerConfig) -> list[str]:
    """The settings that no Keras has for a layer of this class; those that are null do not count.

    For a class that is not in the table there are none: only Keras reads its config.
    """
    settings = SETTINGS.get(layer.class_name)
    if settings is None:
        return []
    known = {*_EVERY.split(), *settings.split()}
    return [
        f"{key}={value!r:.60}"
        for key, value in layer.config.items()
        if value is not None and key not in known and not key.endswith(_OF_TRAINING)
    ]


def check_settings(layer: LayerConfig) -> None:
    """Checks that every setting of a layer is known.

    Raises:
        ModelFileError: One is not.
    """
    if unknown := unknown_settings(layer):
        raise ModelFileError(
            f"layer {layer.name}: expected only settings that {layer.class_name} has in Keras, "
            f"received {', '.join(unknown)}"
        )
