"""The parameters of the layers of Keras, and values of them that matter.

The parameters are those of the installed Keras. One that this module does not know is an error, so
a parameter that a new Keras brings is noticed.
"""

import inspect
import itertools
import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.sources.keras.settings import AUGMENTATIONS

CHANGES_NOTHING = {
    *("name", "trainable", "dtype", "dynamic", "seed", "weights", "input_length"),
    *("momentum", "renorm_momentum", "renorm_clipping", "synchronized", "flash_attention"),
}
CHANGES_NOTHING_ENDINGS = ("_initializer", "_regularizer", "_constraint")
"""Parameters of a layer that do not change what it computes from its arrays at inference.

``dtype`` does; `DTYPES` are its values. ``weights`` are arrays, and those of the file count.
"""


def rank_of(class_name: str) -> int:
    """How many spatial axes a layer has by its name: 2 for a ``Conv2D``, 0 if it has none."""
    found = re.search("([123])D", class_name)
    return int(found[1]) if found else 0


def _sizes(rank: int, *sizes: int) -> list[Any]:
    """Values of a parameter with one number for each spatial axis."""
    return [*sizes, *([] if rank == 1 else [(1, 2, 3)[:rank]])]


def _pads(rank: int) -> list[Any]:
    """Values for how many steps each side of each spatial axis gains or loses."""
    return [1, (1, 2)] if rank == 1 else [1, (2, 1, 1)[-rank:], ((1, 2), (0, 1), (1, 0))[:rank]]


def values_of(class_name: str, parameter: str) -> list[Any]:
    """Values of a parameter that matter; the first one is given where it has no default."""
    rank = rank_of(class_name)
    is_pooling = "Pooling" in class_name
    own: dict[tuple[str, str], list[Any]] = {
        ("Activation", "activation"): ["relu", *ACTIVATIONS],
        ("AdditiveAttention", "use_scale"): [True, False],
        ("BatchNormalization", "axis"): [-1, 1, 2, [1], [-2], [1, 2]],
        ("Concatenate", "axis"): [-1, 1, 2, 3, -2, 0],
        ("Dot", "axes"): [1, 2, -1, (1, 2), (2, 1), [-1, -2]],
        ("EinsumDense", "output_shape"): [3, (None, 3), (None, None, 3)],
        ("ELU", "alpha"): [1.0, 0.5, 0, 2],
        ("Hashing", "mask_value"): [None, 2],
        ("HashedCrossing", "output_mode"): ["int", "one_hot"],
        ("MelSpectrogram", "fft_length"): [16, 32],
        ("MelSpectrogram", "sampling_rate"): [1000],
        ("MelSpectrogram", "num_mel_bins"): [8, 5],
        ("MelSpectrogram", "sequence_stride"): [8, 16],
        ("Solarization", "value_range"): [(0, 255), (0, 1)],
        ("STFTSpectrogram", "fft_length"): [16, 32],
        ("IntegerLookup", "salt"): [None],
        ("STFTSpectrogram", "padding"): ["valid", "same"],
        ("GroupNormalization", "axis"): [-1, 1],
        ("GroupNormalization", "groups"): [1, 2, -1],
        ("MultiHeadAttention", "output_shape"): [None, 5, (2, 3)],
        ("MultiHeadAttention", "value_dim"): [None, 5],
        ("Normalization", "axis"): [-1, None, 1, (1, 2), ()],
        ("LeakyReLU", "alpha"): [0.3, 1, -0.5],
        ("RandomPerspective", "scale"): [1.0, 0.5],
        ("RandomPosterization", "factor"): [3, 8],
        ("Softmax", "axis"): [-1, 1, -2, (1, 2), [-1]],
    }
    if (class_name, parameter) in own:
        return own[class_name, parameter]
    if class_name.startswith(("ZeroPadding", "Cropping")) and parameter != "data_format":
        return _pads(rank)
    if class_name in AUGMENTATIONS and parameter in _OF_AUGMENTATIONS:
        return _OF_AUGMENTATIONS[parameter]
    known: dict[str, list[Any]] = {
        "activation": [None, "relu", "tanh", "softmax", "hard_sigmoid", "gelu", "elu", "swish"],
        "addition_factor": [0.0, 0.5],
        "alpha": [0.3, 0.0, 1, -0.5],
        "antialias": [False, True],
        "attention_axes": [None, 1, (1,), (1, 2)],
        "axis": [-1, 1, 2, [-1], [1, 2], [-2, -1]],
        "bias_axes": [None, "d"],
        "bin_boundaries": [[-0.5, 0.0, 0.5]],
        "bins": [256, 8],
        "center": [True, False],
        "clip_limit": [4.0, 1.5],
        "crop_to_aspect_ratio": [False, True],
        "data_format": [None, "channels_last", "channels_first"],
        "depth_multiplier": [1, 2],
        "dilation_rate": [1, 2, (2, 1, 2)[:rank]],
        "dims": [(2, 1), (1, 2), (3, 1, 2), (1, 3, 2), (1,)],
        "dropout": [0.0, 0.5],
        "epsilon": [1e-3, 0.5, 1e-4],
        "expand_dims": [False, True],
        "equation": ["ab,bd->ad", "abc,cd->abd", "abc,bcd->ad", "...c,cd->...d", "abce,ed->abcd"],
        "fill_mode": ["constant"],
        "fill_value": [0.0, 2.5],
        "filters": [4, 2],
        "frame_length": [16, 12],
        "frame_step": [None, 5],
        "gptq_unpacked_column_size": [None],
        "groups": [1, 2],
        "height": [3, 8],
        "idf_weights": [None],
        "implementation": [1, 2, 3],
        "input_dim": [6],
        "interpolation": ["bilinear", "nearest", "bicubic"],
        "invert": [False, True],
        "keepdims": [False, True],
        "kernel_size": _sizes(rank, 2, 1, 3),
        "key_dim": [3, 1],
        "l1": [0.0, 0.5],
        "l2": [0.0, 0.5],
        "logit_soft_cap": [None, 2.0],
        "lora_alpha": [None, 3],
        "lora_rank": [None, 2],
        "mag_exp": [2.0, 1.0],
        "mask_token": [None, 0],
        "mask_value": [0.0, 1, -0.5, np.array([0.0, 1.0, 0.0, -0.5])],
        "mask_zero": [False, True],
        "max_freq": [None, 300.0],
        "max_tokens": [None, 6],
        "max_value": [None, 0.75, 0, 2],
        "mean": [None, 0.5, [0.5, 0.25, -1.0, 2.0]],
        "min_freq": [20.0, 50.0],
        "min_power": [1e-10, 1e-3],
        "mode": ["log", "magnitude", "psd", "real", "imag", "angle", "stft"],
        "n": [3, 1],
        "negative_slope": [0.0, 0.3, 1, -0.5],
        "noise_shape": [None, (3, 1, 4)],
        "normalize": [False, True],
        "num_bins": [None] if class_name == "Discretization" else [7, 2],
        "num_heads": [2, 1],
        "num_oov_indices": [1, 0, 2],
        "num_tokens": [6],
        "oov_method": ["floormod", "farmhash"],
        "oov_token": [-1, -7],
        "offset": [0.0, -1, 0.5],
        "output_dim": [2, 5],
        "output_mode": ["int", "multi_hot", "one_hot", "count"],
        "output_padding": [None, *_sizes(rank, 0, 1)],
        # TensorFlow 2.21.0 divides by 0, and ends, in an adaptive maximum of float32 to size 1.
        "output_size": [2, 3, (3, 2, 4)[:rank]],
        "pad_to_max_tokens": [False, True],
        "pad_to_aspect_ratio": [False, True],
        "padding": ["valid", "same", *(["causal"] if rank == 1 and not is_pooling else [])],
        "pool_size": _sizes(rank, 2, 1, 3),
        "periodic": [False, True],
        "power_to_db": [True, False],
        "quantization_config": [None],
        "rate": [0.5, 0.0],
        "ref_power": [1.0, 0.5],
        "renorm": [False, True],
        "reverse_dtype": [None],
        "robust_masking": [False, True],
        "salt": [None, 3, [3, 4]],
        "scaling": ["density", "spectrum", None],
        "scale": [True, False] if "Normalization" in class_name else [2, -0.5, [1.0, 2.0, 0.5, -1]],
        "score_mode": ["dot", "concat"],
        "sequence_length": [None, 12],
        "shared_axes": [None, [1], [1, 2], [2]],
        "size": _sizes(rank, 2, 1),
        "sliding_window": [None, 1, 2],
        "softmax_robust_masking": [False, True],
        "sparse": [False, True],
        "stddev": [0.5, 0.0],
        "strides": [*([None] if is_pooling else []), *_sizes(rank, 1, 2, 3)],
        "target_shape": [(-1,), (2, -1), (-1, 4), (2, -1, 2), (4,), (4, 5), (20,)],
        "theta": [1.0, 0.5, 0],
        "threshold_factor": [0.0, 0.5],
        "tie_weights": [True, False],
        "tile_grid_size": [(8, 8), (2, 4)],
        "top_db": [80.0, 10.0],
        "threshold": [0.0, 0.5, -0.5],
        "units": [2, 5],
        "use_bias": [True, False],
        "use_gate": [False, True],
        "use_scale": [False, True],
        "value_range": [(0, 255), (-1, 1)],
        "variance": [None, 0.5, [0.5, 0.25, 1.0, 2.0]],
        "vocabulary": [[3, 5, 7]],
        "vocabulary_dtype": ["int64"],
        "width": [4, 7],
        "window": ["hann", "hamming", None],
    }
    if parameter not in known:
        raise LookupError(f"{class_name} has a parameter without values in the tests: {parameter}")
    return known[parameter]


_OF_AUGMENTATIONS: dict[str, list[Any]] = {
    "all_ops": [True, False],
    "alpha": [0.2, 1.0],
    "brightness_factor": [0.3],
    "chain_depth": [3],
    "contrast_factor": [0.3],
    "factor": [0.3, 1.0],
    "fill_mode": ["reflect", "constant", "wrap", "nearest"],
    "fill_value": [0.0, 2.5],
    "height_factor": [0.3, (-0.2, 0.2)],
    "hue_factor": [0.3],
    "interpolation": ["bilinear", "nearest"],
    "kernel_size": [3],
    "mode": ["horizontal_and_vertical", "horizontal"],
    "num_chains": [3],
    "num_ops": [2],
    "saturation_factor": [0.3],
    "scale": [(0.02, 0.33), 1.0],
    "sigma": [1.0],
    "width_factor": [0.3, (-0.2, 0.2)],
    "x_factor": [0.0, 0.3],
    "y_factor": [0.0, 0.3],
}


def parameters_of(cls: type) -> dict[str, list[Any]]:
    """The values of each parameter of a class of Keras that can change what it computes."""
    return {
        name: values_of(cls.__name__, name)
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in CHANGES_NOTHING
        and not name.endswith(CHANGES_NOTHING_ENDINGS)
    }


def changeable(cls: type) -> set[str]:
    """The parameters of a class of Keras that have values besides their default."""
    signature = inspect.signature(cls).parameters
    return {
        name
        for name, values in parameters_of(cls).items()
        if not all(np.array_equal(value, signature[name].default) for value in values)
    }


def _together(generation: int, class_name: str) -> list[dict[str, Any]]:
    """Parameters that a class takes together alone; each other value is tried with the last."""
    rank = rank_of(class_name)
    steps = {"strides": (2, 3, 4)[:rank], "output_padding": (1, 2, 3)[:rank]}
    by_feature = {"mean": [0.5, 0.25, -1.0, 2.0], "variance": [0.5, 0.25, 1.0, 2.0]}
    lookups: list[dict[str, Any]] = [
        {"output_mode": "count", "sparse": True},
        {"output_mode": "multi_hot", "max_tokens": 6, "pad_to_max_tokens": True},
        *({"oov_method": "farmhash", "salt": salt} for salt in (3, 4) if generation == 3),
        {},
    ]
    both: dict[str, list[dict[str, Any]]] = {
        "CategoryEncoding": [{"num_tokens": 6}],
        "Discretization": [{"num_bins": 3}, {"bin_boundaries": [-0.5, 0.0, 0.5]}],
        "EinsumDense": [
            {"equation": "abc,cd->abd", "output_shape": (None, 3), "bias_axes": "d"},
            {"equation": "abce,ed->abcd", "output_shape": (None, None, 3)},
            {},
        ],
        "GroupNormalization": [{"groups": 2}],
        "Hashing": [
            {"salt": 3},
            {"salt": [3, 4]},
            {"output_mode": "count", "sparse": True},
            {},
        ],
        "HashedCrossing": [{"output_mode": "one_hot", "sparse": True}, {}],
        "IntegerLookup": [{"vocabulary": [3, 5, 7], **more} for more in lookups],
        "LocallyConnected1D": [{"padding": "same", "implementation": 3}, {}],
        "LocallyConnected2D": [{"padding": "same", "implementation": 3}, {}],
        "MelSpectrogram": [
            {"fft_length": 16, "sampling_rate": 1000, "num_mel_bins": 8, "sequence_stride": 8}
        ],
        "STFTSpectrogram": [{"frame_length": 16, "fft_length": 16}],
        "Normalization": [by_feature, {"axis": None, "mean": 0.5, "variance": 0.25}, {}],
    }
    if class_name.endswith("Transpose"):
        return [{"strides": 2, "output_padding": 1}, steps, {}]
    return both.get(class_name, [{}])


def settings_of(cls: type, pairs: int) -> Iterator[dict[str, Any]]:
    """Parameters to build a class with: each value of each alone, and some pairs of values.

    Args:
        cls: A class of layers of Keras.
        pairs: How many pairs; they are always the same.
    """
    values = parameters_of(cls)
    signature = inspect.signature(cls).parameters
    plain = {
        key: values[key][0] for key in values if signature[key].default is inspect.Parameter.empty
    }
    *others, last = _together(2 if "tf_keras" in cls.__module__ else 3, cls.__name__)
    required = {**plain, **last}
    usual = {key: required.get(key, signature[key].default) for key in values}
    singles = [
        (key, value)
        for key in values
        for value in values[key]
        if not np.array_equal(value, usual[key])
    ]
    couples = [
        {**required, one: value, other: another}
        for (one, value), (other, another) in itertools.combinations(singles, 2)
        if one != other
    ]
    yield required
    yield from ({**plain, **other} for other in others)
    yield from ({**required, key: value} for key, value in singles)
    yield from random.Random(cls.__name__).sample(couples, min(pairs, len(couples)))
