"""Builds one genuine Keras layer from the plain values of a config, and calls it."""

import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.worker.keras_library import RejectedError, as_array, keras_may_reject
from lstm_inspect.nested import leaves

# Arguments that Keras 2 calls by another name (keras 2.15.0, layers/activation/leaky_relu.py).
_RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}

# Classes that Keras exports under another name (keras 3.15.1,
# layers/attention/grouped_query_attention.py).
_EXPORTED = {"GroupedQueryAttention": "GroupQueryAttention"}

_CHANGE_NOTHING = frozenset(
    {
        *("activity_regularizer", "dtype", "name", "seed", "trainable"),
        *("batch_input_shape", "batch_shape", "input_shape"),
        *("key_shape", "query_shape", "value_shape"),
        "vocabulary_size",  # that of the vocabulary, without which Keras refuses
    }
)
_INITIAL = ("_constraint", "_initializer", "_regularizer")

# Settings that other versions write and today's Keras lacks, with the value that it computes
# (tf_keras 2.21.0: layers/attention/multi_head_attention.py and layers/convolutional/base_conv.py;
# tensorflow 2.10.1: causal of Attention; keras 3.9.2: layers/normalization/layer_normalization.py).
_GONE = {"causal": False, "groups": 1, "rms_scaling": False, "softmax_robust_masking": False}


def run_layer(
    library: ModuleType,
    class_name: str,
    config: Mapping[str, Any],
    dtype: str,
    weights: Sequence[Array],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    masks: Any,
) -> list[tuple[Array, Array | None]]:
    """Calls a layer as a model does.

    Args:
        library: Keras.
        class_name: A class in ``library.layers``.
        config: Its settings.
        dtype: The dtype that it computes in.
        weights: Its arrays.
        args: The positional arguments of the call.
        kwargs: The keyword arguments, except for the mask.
        masks: The mask of the first argument, in lists or dicts as the argument is.

    Returns:
        Each output, with its mask.
    """
    with keras_may_reject():
        layer = _made(library, class_name, config, dtype)
        layer(*args, **kwargs)  # makes its weights
        if len(layer.weights) != len(weights):
            raise RejectedError(
                f"it has {len(layer.weights)} arrays of weights, the file has {len(weights)}"
            )
        layer.set_weights(list(weights))
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
        is_masked = any(mask is not None for mask in leaves(masks))
        takes = inspect.signature(layer.call).parameters
        if "training" in takes:
            kwargs = {**kwargs, "training": False}
        if "mask" in takes and is_masked:
            kwargs = {**kwargs, "mask": masks}
        outputs = layer(*args, **kwargs)
        mask = None
        if layer.supports_masking and is_masked:
            mask = layer.compute_mask(args[0], masks)
        if isinstance(mask, (list, tuple)):
            mask = mask[0] if mask else None
        of_outputs = None if mask is None else as_array(library, mask)
        return [(as_array(library, output), of_outputs) for output in leaves(outputs)]


def _made(library: ModuleType, class_name: str, config: Mapping[str, Any], dtype: str) -> Any:
    """Makes a layer from the plain values of its config."""
    cls = getattr(library.layers, _EXPORTED.get(class_name, class_name))
    renamed = _RENAMED.get(class_name, {})
    parameters = {
        name
        for each in cls.__mro__
        if each not in library.layers.Layer.__mro__ and "__init__" in vars(each)
        for name in inspect.signature(each.__init__).parameters
    }
    plain: dict[str, Any] = {}
    for written, value in config.items():
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
            raise RejectedError(f"it does not know {key}={value!r:.60}")
    if "activation" in parameters:
        plain["activation"] = None  # the caller applies it, as the Keras that saved it did
    return cls(**{**plain, "dtype": dtype, "name": None})


def _is_plain(value: Any) -> bool:
    return all(
        each is None or isinstance(each, (str, int, float)) for each in leaves(value)
    ) and not isinstance(value, dict)
