"""Builds one genuine Keras layer from the plain values of a config, and calls it."""

import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.worker.keras_library import (
    RejectedError,
    as_array,
    as_tensor,
    keras_may_reject,
)
from lstm_inspect.nested import LOOK_INSIDE, leaves, rewritten

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
_FILES = ("vocabulary", "idf_weights")
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
    masks: Sequence[Array | None],
) -> list[tuple[Array, Array | None]]:
    """Calls a layer as a model does.

    Args:
        library: Keras.
        class_name: A class in ``library.layers``.
        config: Its settings.
        dtype: The dtype that it computes in.
        weights: Its arrays.
        args: The positional arguments of the call.
        kwargs: The keyword arguments, except for masks.
        masks: The mask of each array in the arguments, in their order.

    Returns:
        Each output, with its mask.
    """
    with keras_may_reject():
        layer = _made(library, class_name, config, dtype)
        if "training" in inspect.signature(layer.call).parameters:
            # A layer that changes images acts as in training unless it is told otherwise
            # (keras 3.15.1, layers/preprocessing/image_preprocessing/equalization.py).
            kwargs = {**kwargs, "training": False}
        layer(*args, **kwargs)  # makes its weights
        if len(layer.weights) != len(weights):
            raise RejectedError(
                f"it has {len(layer.weights)} arrays of weights, the file has {len(weights)}"
            )
        layer.set_weights(list(weights))
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
        tensors, named = _masked(library, (args, kwargs), masks)
        outputs = layer(*tensors, **named)
        return [
            (as_array(library, output), None if mask is None else as_array(library, mask))
            for output in leaves(outputs)
            for mask in [getattr(output, "_keras_mask", None)]
        ]


def _masked(library: ModuleType, arguments: Any, masks: Sequence[Array | None]) -> Any:
    """Arguments with a tensor for each array; Keras takes the mask of a tensor from the tensor.

    Source: keras 3.15.1, layers/layer.py, and tf_keras 2.21.0, engine/base_layer.py, ``__call__``.
    """
    left = iter(masks)

    def tensor(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return LOOK_INSIDE
        made, mask = as_tensor(library, value), next(left)
        if mask is not None:
            made._keras_mask = as_tensor(library, mask)
        return made

    return rewritten(arguments, tensor)


def _made(library: ModuleType, class_name: str, config: Mapping[str, Any], dtype: str) -> Any:
    """Makes a layer from the plain values of its config."""
    cls = getattr(library.layers, _EXPORTED.get(class_name, class_name))
    # A class hands on to the classes above it what it does not name itself.
    parameters = {
        key
        for each in cls.__mro__
        if "__init__" in vars(each)
        for key in inspect.signature(each.__init__).parameters
    }
    plain: dict[str, Any] = {}
    for key, value in config.items():
        # Keras would look up the names in an object, and read the file that a vocabulary names.
        may_read = key in _FILES and any(isinstance(each, str) for each in leaves(value))
        if key in parameters and _is_plain(value) and not may_read:
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
    return cls(**{**plain, "dtype": _policy(config.get("dtype"), dtype), "name": None})


def _policy(stated: Any, dtype: str) -> str:
    """The dtype to make a layer with: with a mixed policy its weights stay in single precision."""
    name = stated["config"].get("name") if isinstance(stated, dict) else stated
    mixed = f"mixed_{dtype}"
    return mixed if name == mixed else dtype


def _is_plain(value: Any) -> bool:
    return all(
        each is None or isinstance(each, (str, int, float)) for each in leaves(value)
    ) and not isinstance(value, dict)
