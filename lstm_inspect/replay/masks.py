"""Where masks come from and where they go, as far as the graph of a model says it."""

import warnings
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.errors import InputError, InspectWarning
from lstm_inspect.layers import Value, form_of
from lstm_inspect.model import Call, Embedding, Layer, Masking, Model, Operation, Recurrence, refs
from lstm_inspect.notation import advice


def masked_inputs(model: Model) -> frozenset[str]:
    """The paths of the calls that may read a masked sequence.

    For example, all calls between a Masking and a Flatten.
    """
    masked: set[str] = set()
    reading: set[str] = set()
    for call in model.calls:
        reads_mask = any(ref.path in masked for ref in refs(call.args))
        if reads_mask:
            reading.add(call.path)
        if _makes_mask(call) or (reads_mask and hands_on_mask(call)):
            masked.add(call.path)
    return frozenset(reading)


def hands_on_mask(call: Call) -> bool:
    """Whether the output of a call may have the mask of its input."""
    match call.layer:
        case Recurrence(return_sequences=return_sequences):
            return return_sequences is not False
        case Layer(options=Operation()):
            return False
        case Layer() as layer:
            form = form_of(layer, call.kwargs)
            return layer.passes_mask is not False and (form is None or not form.drops_mask)


def _makes_mask(call: Call) -> bool:
    match call.layer:
        case Layer(options=Masking() | Embedding(mask_zero=True)):
            return True
    return False


def fitted_mask(path: str, mask: Any, array: Array) -> Array:
    """A mask for a sequence, as booleans.

    Args:
        path: The layer, for errors.
        mask: (batch, timesteps); True where a step counts.
        array: (batch, timesteps, ...), the sequence.

    Raises:
        InputError: The shape is another.
    """
    given = np.asarray(mask)
    if given.shape != array.shape[:2]:
        raise InputError(
            f"layer {path}: expected a mask of shape {array.shape[:2]}, received {given.shape}"
        )
    return given.astype(bool)


def custom_output(layer: Layer, result: Any, mask_of_input: Array | None) -> Value:
    """What a function of the caller returned in the place of a layer: an array, or (array, mask).

    Warns:
        InspectWarning: The layer reads a mask, the function returned none, and the file does not
            say whether the layer hands it on.
    """
    if isinstance(result, tuple):
        array, mask = result
        output = np.asarray(array)
        return Value(output, None if mask is None else fitted_mask(layer.name, mask, output))
    output = np.asarray(result)
    if mask_of_input is None or layer.passes_mask is False:
        return Value(output)
    if layer.passes_mask and output.shape[:2] == mask_of_input.shape:
        return Value(output, mask_of_input)
    message = (
        f"layer {layer.label}: reads a mask, and the file does not say whether it hands it on; its "
        "output is taken as not masked; return (output, mask) or (output, None)"
    )
    warnings.warn(InspectWarning(message), stacklevel=2)
    return Value(output)


def mask_missing(path: str) -> InputError:
    """The error about a layer whose output is given without the mask that it may have."""
    how = advice(
        python=f"feed={{'{path}:mask': array}}", command_line=f"--feed {path}:mask=FILE.npy"
    )
    return InputError(
        f"feed {path}: the model may mask timesteps in front of this layer; give the mask of what "
        f"is fed with {how}, (batch, timesteps), True where a step counts"
    )
