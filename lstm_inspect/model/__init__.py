"""What a saved model is: a flat graph of layer calls, the recurrent ones in canonical form.

The only room that knows how Keras 1, 2 and 3 differ.
"""

import warnings
from dataclasses import replace
from pathlib import Path

from lstm_inspect.errors import UnreadWeightsWarning
from lstm_inspect.formats import read_config_file, read_model_file
from lstm_inspect.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.model.bare import bare_model
from lstm_inspect.model.graph import (
    BLOCKS,
    SPATIAL_DIMS,
    Argument,
    Call,
    Convolution,
    Layer,
    Model,
    ModelInput,
    Recurrence,
    Ref,
    Shape,
    fits,
    flat,
    refs,
)
from lstm_inspect.model.layer_config import LayerConfig, dialect_of
from lstm_inspect.model.parts import read_parts
from lstm_inspect.model.wiring import wire

__all__ = [
    "BLOCKS",
    "SPATIAL_DIMS",
    "Argument",
    "Call",
    "Convolution",
    "Layer",
    "Model",
    "ModelInput",
    "Recurrence",
    "Ref",
    "Shape",
    "fits",
    "flat",
    "open_model",
    "refs",
]


def open_model(
    path: str | Path, config: str | Path | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> Model:
    """Reads a saved Keras model, without Keras and whatever Keras saved it.

    Args:
        path: A ``.keras`` zip, a whole-model ``.h5`` or weights alone; told apart by content.
        config: For weights alone, what ``model.to_json()`` gave, or a ``.keras`` or ``.h5`` of the
            same architecture. Without it the shapes are known, and nothing can be replayed.
        limits: What the files may claim.

    Returns:
        The model. Its arrays are read-only.

    Raises:
        ModelFileError: The file cannot be read, or contradicts itself.
        LimitError: It claims more than is granted.

    Warns:
        UnreadWeightsWarning: An array of it was never written, or is not made of numbers; its
            layer counts as without weights.
    """
    file = read_model_file(path, limits)
    if file.unread:
        (name, reason), *others = file.unread.items()
        more = f"; so are {len(others)} others" if others else ""
        message = f"{path}: not read: {name} {reason}{more}"
        warnings.warn(UnreadWeightsWarning(message), stacklevel=2)
    if config is not None:
        content, version = read_config_file(config, limits)
        file = replace(file, config=content, keras_version=version or file.keras_version)
    if file.config is None:
        return bare_model(
            file,
            "the file holds weights alone; give the model's config, which model.to_json() gives",
        )
    top = LayerConfig(file.config, dialect_of(file))
    if "layers" not in top.config:
        return bare_model(
            file, f"{top.class_name} is a subclassed model, of which only the weights are saved"
        )
    return wire(read_parts(file, top), file, limits)
