"""Translates the words of a Keras 1 config into those of Keras 2: ``output_dim`` to ``units``.

Source: keras 1.2.2 (layers/core.py, layers/recurrent.py, engine/topology.py) for the old words,
keras 2.0.8 (legacy/interfaces.py) for the new ones.
"""

from collections.abc import Mapping
from typing import Any

from lstm_inspect.errors import ModelFileError

_RECURRENT = {"output_dim": "units", "inner_activation": "recurrent_activation"}
_POOLING = {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"}
_RENAMED: dict[str, dict[str, str]] = {
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "SimpleRNN": _RECURRENT,
    "ConvLSTM2D": {
        "nb_filter": "filters",
        "inner_activation": "recurrent_activation",
        "border_mode": "padding",
        "subsample": "strides",
    },
    "Convolution1D": {
        "nb_filter": "filters",
        "filter_length": "kernel_size",
        "border_mode": "padding",
        "subsample_length": "strides",
        "bias": "use_bias",
    },
    "Convolution2D": {
        "nb_filter": "filters",
        "border_mode": "padding",
        "subsample": "strides",
        "bias": "use_bias",
    },
    "MaxPooling1D": _POOLING,
    "AveragePooling1D": _POOLING,
    "MaxPooling2D": {"border_mode": "padding"},
    "AveragePooling2D": {"border_mode": "padding"},
    "Dense": {"output_dim": "units", "bias": "use_bias"},
    "TimeDistributedDense": {"output_dim": "units", "bias": "use_bias"},
    "Dropout": {"p": "rate"},
    "SpatialDropout1D": {"p": "rate"},
    "GaussianDropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
}
_CLASSES = {
    "TimeDistributedDense": "Dense",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
}
_MERGES = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
}
_DATA_FORMATS = {"tf": "channels_last", "th": "channels_first"}


def is_keras1(config: Mapping[str, Any]) -> bool:
    """Whether a layer's config uses words of Keras 1; for files that do not state a version."""
    return "inner_activation" in config or ("output_dim" in config and "init" in config)


def modernise(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Rewrites a layer's entry of a Keras 1 config as Keras 2 would write it."""
    class_name, config = entry.get("class_name"), entry.get("config")
    if not isinstance(class_name, str) or not isinstance(config, dict):
        return dict(entry)
    renamed = _RENAMED.get(class_name, {})
    class_name = _CLASSES.get(class_name, class_name)
    config = {renamed.get(key, key): value for key, value in config.items()}
    if "nb_row" in config and "nb_col" in config:
        config["kernel_size"] = [config["nb_row"], config["nb_col"]]
    if class_name == "BatchNormalization" and config.get("mode") != 0:
        class_name = "BatchNormalization of another mode"
    mode = config.get("mode")
    if class_name == "Merge" and isinstance(mode, str) and config.get("output_mask") is None:
        class_name = _MERGES.get(mode, class_name)
        config["axis"] = config.get("concat_axis", -1)
    if "dim_ordering" in config:
        ordering = config["dim_ordering"]
        if ordering not in [*_DATA_FORMATS]:
            raise ModelFileError(
                f"layer {config.get('name')}: expected a dim_ordering of "
                f"{', '.join(_DATA_FORMATS)}, received {ordering!r}"
            )
        config["data_format"] = _DATA_FORMATS[ordering]
    if class_name == "GRU":
        config["reset_after"] = False
    return {**entry, "class_name": class_name, "config": config}
