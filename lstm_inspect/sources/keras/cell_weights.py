"""Brings the arrays of a recurrent layer into canonical form, whichever Keras saved them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import CONV_LSTM, GRU, LSTM, CellKind
from lstm_inspect.errors import ModelFileError

# Keras 1 stores W, U and b of each gate as separate arrays, for an LSTM in the order i, g, f, o.
# These are the places of the canonical gates (i, f, g, o) in that order
# (keras 2.15.0, saving/legacy/hdf5_format.py, `preprocess_weights_for_loading`).
_KERAS_1_ORDER = {LSTM: (0, 2, 1, 3), GRU: (0, 1, 2), CONV_LSTM: (0, 2, 1, 3)}


def canonical_weights(
    path: str, kind: CellKind, use_bias: bool, arrays: Sequence[Array]
) -> dict[str, Array]:
    """Names the arrays of a layer and brings them into the layout that `Recurrence` describes.

    Args:
        path: The name of the layer, for errors.
        kind: The kind of cell.
        use_bias: Whether its config says that it has a bias.
        arrays: The arrays in the order of Keras's ``layer.weights``.

    Raises:
        ModelFileError: There are too few or too many arrays.
    """
    names = [name for name in kind.weights if name != "bias" or use_bias]
    if kind in _KERAS_1_ORDER and len(arrays) == 3 * len(kind.gates):
        arrays = _join_gates(arrays, _KERAS_1_ORDER[kind])
    elif "peepholes" in names and _are_alike(arrays[-3:]):
        arrays = [*arrays[:-3], np.stack(arrays[-3:])]
    if len(arrays) != len(names):
        raise ModelFileError(
            f"layer {path}: expected {len(names)} arrays ({', '.join(names)}), "
            f"received {len(arrays)}"
        )
    weights = dict(zip(names, arrays, strict=True))
    return _from_cudnn(kind, weights) if is_cudnn(weights) else weights


def turn_kernels(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Turns the convolution kernels of a Theano model round, to the form of every other backend.

    Theano reverses a kernel along its spatial axes before it multiplies, the others do not. Its
    ``[1, 2, 3]`` is their ``[3, 2, 1]`` (keras 2.2.4, utils/conv_utils.py, ``convert_kernel``).
    """
    return tuple(
        np.flip(array, axis=tuple(range(array.ndim - 2))) if array.ndim > 2 else array
        for array in arrays
    )


def is_cudnn(weights: Mapping[str, Array]) -> bool:
    """Whether arrays have CuDNN's layout: one flat bias, twice as long as a kernel is wide."""
    kernel, recurrent_kernel = weights["kernel"], weights["recurrent_kernel"]
    if "bias" not in weights or kernel.ndim != 2 or recurrent_kernel.ndim != 2:
        return False
    units, width = recurrent_kernel.shape
    is_even = recurrent_kernel.size > 0 and width % units == 0 and kernel.shape[1] == width
    return is_even and bool(weights["bias"].shape == (2 * width,))


def _are_alike(arrays: Sequence[Array]) -> bool:
    return len({array.shape for array in arrays}) == 1


def _join_gates(arrays: Sequence[Array], order: Sequence[int]) -> Sequence[Array]:
    """Joins the arrays of all gates into one kernel, one recurrent kernel and one bias.

    Returns the arrays as they are if they do not fit together.
    """
    gates = [arrays[3 * number : 3 * number + 3] for number in order]
    parts = [*zip(*gates, strict=True)]
    if not all(_are_alike(part) and part[0].ndim for part in parts):
        return arrays
    return [np.concatenate(part, axis=-1) for part in parts]


def _from_cudnn(kind: CellKind, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Turns CuDNN's layout into Keras's (keras 2.15.0, hdf5_format.py, ``_convert_rnn_weights``).

    CuDNN stores the kernel of each gate transposed, and one bias for each of the two kernels. An
    LSTM adds both biases to the same sum, so one array with their sum is enough. A GRU with
    reset_after needs both, because its reset gate scales only one of them.
    """
    units, width = weights["recurrent_kernel"].shape

    def each_gate(kernel: Array, transform: Callable[[Array], Array]) -> Array:
        return np.hstack([transform(block) for block in np.hsplit(kernel, width // units)])

    biases = weights["bias"].reshape(2, width)
    return {
        "kernel": each_gate(weights["kernel"], lambda k: k.T.reshape(k.shape, order="F")),
        "recurrent_kernel": each_gate(weights["recurrent_kernel"], lambda k: k.T),
        "bias": biases.sum(axis=0) if kind is LSTM else biases,
    }
