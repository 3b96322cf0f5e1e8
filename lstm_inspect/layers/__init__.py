"""Exact NumPy forms, a few lines each, of layers that may stand in front of a recurrence.

Source: keras 3.15.1, the module of each layer under layers/, unless a line says otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.layers import basic, merging, reshaping, spatial
from lstm_inspect.layers.form import Form, Value, blaming, map_values, mask_over
from lstm_inspect.layers.operations import bytes_needed, operation_of
from lstm_inspect.model import Layer, refs

__all__ = [
    "Form",
    "Value",
    "blaming",
    "bytes_needed",
    "form_of",
    "in_numpy",
    "map_values",
    "mask_over",
    "operation_of",
]

_FORMS: dict[type, Form] = {**basic.FORMS, **merging.FORMS, **reshaping.FORMS, **spatial.FORMS}


def form_of(layer: Layer, kwargs: Mapping[str, Any]) -> Form | None:
    """The NumPy form of a call of a layer, or None if it has none.

    Args:
        layer: The layer.
        kwargs: The keyword arguments of the call.
    """
    is_quantized = any(weights.dtype.kind != "f" for weights in layer.weights)
    other_tensors = any(key != "mask" for key, given in kwargs.items() for _ in refs(given))
    if is_quantized or other_tensors or layer.activation not in ACTIVATIONS:
        return None
    return _FORMS.get(type(layer.options))


def in_numpy(layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of a layer or an operation has a NumPy form."""
    return operation_of(layer, args, kwargs) is not None or form_of(layer, kwargs) is not None
