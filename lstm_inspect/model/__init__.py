"""What a saved model is: a flat graph of layer calls, the recurrent ones in canonical form.

The only room that knows how Keras 1, 2 and 3 differ.
"""

from pathlib import Path

from lstm_inspect.formats import read_model_file
from lstm_inspect.model.graph import (
    Argument,
    Call,
    Layer,
    Model,
    ModelInput,
    Recurrence,
    Ref,
    Shape,
    flat,
    refs,
)
from lstm_inspect.model.parts import read_parts
from lstm_inspect.model.wiring import wire

__all__ = [
    "Argument",
    "Call",
    "Layer",
    "Model",
    "ModelInput",
    "Recurrence",
    "Ref",
    "Shape",
    "flat",
    "open_model",
    "refs",
]


def open_model(path: str | Path) -> Model:
    """Reads a saved Keras model, without Keras and whatever Keras saved it.

    Args:
        path: A ``.keras`` zip or a whole-model ``.h5``; told apart by content.

    Returns:
        The model. Its arrays are read-only.

    Raises:
        ModelFileError: The file cannot be read, or contradicts itself.
    """
    file = read_model_file(path)
    return wire(read_parts(file), file)
