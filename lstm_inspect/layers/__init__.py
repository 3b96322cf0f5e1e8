"""Exact NumPy forms, a few lines each, of layers that may stand in front of a recurrence.

Source: keras 3.15.1, the module of each layer under layers/, unless a line says otherwise.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.errors import ModelFileError
from lstm_inspect.layers import basic, merging, reshaping, spatial
from lstm_inspect.layers.form import Form, Value, blaming, check_shape, map_values, mask_over
from lstm_inspect.layers.mixing import mixes_samples, mixes_timesteps
from lstm_inspect.layers.operation_shapes import operation_shape
from lstm_inspect.layers.operations import bytes_needed, operation_of
from lstm_inspect.model import Layer, Shape, refs
from lstm_inspect.notation import shape_text

__all__ = [
    "Form",
    "Value",
    "blaming",
    "bytes_needed",
    "check_shape",
    "form_of",
    "in_numpy",
    "map_values",
    "mask_over",
    "mixes_samples",
    "mixes_timesteps",
    "operation_of",
    "operation_shape",
    "output_shape",
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


_KEEP_THE_SHAPE = frozenset(
    {"attention_mask", "mask", "return_attention_scores", "training", "use_causal_mask"}
)


def output_shape(layer: Layer, kwargs: Collection[str], shapes: Sequence[Shape]) -> Shape | None:
    """The shape of a layer's output, whoever computes it; of several outputs, of the first.

    Args:
        layer: A layer that is no operation.
        kwargs: The names of the keyword arguments of its call. With one that may change the shape,
            such as the ``reverse`` of a ReversibleEmbedding, the shape is unknown.
        shapes: The shapes of its inputs.

    Returns:
        The shape, None if nothing is known of it.

    Raises:
        ModelFileError: Its config and these shapes do not fit together.
    """
    if not _KEEP_THE_SHAPE.issuperset(kwargs):
        return None
    if form := _FORMS.get(type(layer.options)):
        shape = form.output_shape(layer, shapes)
    else:
        try:
            shape = layer.output_shape(shapes) if layer.output_shape else None
        except (ModelFileError, LookupError, TypeError, ValueError):
            return None  # only the framework reads the config of such a layer
    if shape is not None and any(size is not None and size < 0 for size in shape):
        given = " and ".join(shape_text([size or "any" for size in each]) for each in shapes)
        raise ModelFileError(f"layer {layer.label}: its config asks for more than {given} has")
    return shape


def in_numpy(layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of a layer or an operation has a NumPy form."""
    return operation_of(layer, args, kwargs) is not None or form_of(layer, kwargs) is not None
