"""The arrays of a recurrent layer, however its Keras laid them out, to canonical form."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats import Array
from lstm_inspect.model.graph import BLOCKS
from lstm_inspect.notation import shape_text

GATES = {cell: len(blocks) for cell, blocks in BLOCKS.items()}

# Keras 1 keeps W, U and b of each gate apart, in this order of the canonical blocks
# (keras 2.15.0, saving/legacy/hdf5_format.py, `preprocess_weights_for_loading`).
_KERAS_1_ORDER = {"lstm": (0, 2, 1, 3), "gru": (0, 1, 2), "conv_lstm": (0, 2, 1, 3)}


def canonical_weights(
    path: str, cell: str, units: int, use_bias: bool, arrays: Sequence[Array]
) -> dict[str, Array]:
    """Names a layer's arrays and brings them into the layout that `Recurrence` describes.

    Args:
        path: The layer's name, for errors.
        cell: The kind of cell.
        units: The layer's units.
        use_bias: Whether its config says that it has a bias.
        arrays: The arrays in the order of Keras's ``layer.weights``.

    Raises:
        ModelFileError: There are too few or too many, or their shapes are not those of the config.
    """
    if cell in _KERAS_1_ORDER and len(arrays) == 3 * GATES[cell] and GATES[cell] > 1:
        arrays = _join_gates(arrays, _KERAS_1_ORDER[cell])
    names = ["kernel", "recurrent_kernel"] + ["bias"] * use_bias
    if cell == "peephole_lstm" and len(arrays) == len(names) + 3:
        arrays = [*arrays[:-3], np.stack(arrays[-3:])]
    if cell == "peephole_lstm":
        names.append("peepholes")
    if len(arrays) != len(names):
        raise ModelFileError(
            f"layer {path}: expected {len(names)} arrays ({', '.join(names)}), "
            f"the file holds {len(arrays)}"
        )
    weights = dict(zip(names, arrays, strict=True))
    if use_bias and is_cudnn(weights["kernel"], weights["recurrent_kernel"], weights["bias"]):
        weights = _from_cudnn(weights)
    _check(path, cell, units, weights)
    return weights


def turn_kernels(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Kernels that Theano convolved with, as any other backend would have them.

    Source: keras 2.2.4, utils/conv_utils.py, ``convert_kernel``.
    """
    return tuple(
        np.flip(array, axis=tuple(range(array.ndim - 2))) if array.ndim > 2 else array
        for array in arrays
    )


def is_cudnn(kernel: Array, recurrent_kernel: Array, bias: Array) -> bool:
    """Whether a layer's arrays lie as CuDNN has them: with one flat bias for both kernels."""
    if kernel.ndim != 2 or recurrent_kernel.ndim != 2 or not recurrent_kernel.size:
        return False
    units, width = recurrent_kernel.shape
    fits = width % units == 0 and kernel.shape[1] == width
    return fits and bool(bias.shape == (2 * width,))


def _join_gates(arrays: Sequence[Array], order: Sequence[int]) -> list[Array]:
    gates = [arrays[3 * number : 3 * number + 3] for number in order]
    return [np.concatenate(parts, axis=-1) for parts in zip(*gates, strict=True)]


def _from_cudnn(weights: Mapping[str, Array]) -> dict[str, Array]:
    """CuDNN's layout to Keras's (keras 2.15.0, hdf5_format.py, ``_convert_rnn_weights``).

    CuDNN keeps each gate's kernel transposed, and a bias for either kernel: an LSTM only ever adds
    the two, a GRU with reset_after does not.
    """
    units, width = weights["recurrent_kernel"].shape
    gates = width // units

    def each_gate(kernel: Array, transform: Callable[[Array], Array]) -> Array:
        return np.hstack([transform(block) for block in np.hsplit(kernel, gates)])

    biases = weights["bias"].reshape(2, width)
    return {
        "kernel": each_gate(weights["kernel"], lambda k: k.T.reshape(k.shape, order="F")),
        "recurrent_kernel": each_gate(weights["recurrent_kernel"], lambda k: k.T),
        "bias": biases.sum(axis=0) if gates == GATES["lstm"] else biases,
    }


def _check(path: str, cell: str, units: int, weights: Mapping[str, Array]) -> None:
    width = GATES[cell] * units
    kernel = weights["kernel"].shape
    is_matrix = len(kernel) > 1 and 0 not in kernel
    size, features = (kernel[:-2], kernel[-2]) if is_matrix else ((), "features")
    expected: dict[str, list[tuple[int | str, ...]]] = {
        "kernel": [(*size, features, width)],
        "recurrent_kernel": [(*size, units, width)],
        "bias": [(width,), (2, width)] if cell == "gru" else [(width,)],
        "peepholes": [(3, units)],
    }
    for name, array in weights.items():
        if array.shape not in expected[name]:
            raise ModelFileError(
                f"layer {path}: expected {name} of shape {shape_text(expected[name][0])} for "
                f"{units} units, the file holds {array.shape}"
            )
        if array.dtype.kind != "f":
            raise ModelFileError(
                f"layer {path}: expected {name} of floating-point numbers, the file holds "
                f"{array.dtype}"
            )
