"""Brings the arrays of a recurrent layer into canonical form, whichever Keras saved them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array, NamedArray
from lstm_inspect.cells import CONV_LSTM, GRU, LSTM, CellKind
from lstm_inspect.errors import ModelFileError
from lstm_inspect.model import (
    ROWS,
    SUM,
    TRANSPOSED,
    TURNED,
    Block,
    Place,
    Stored,
    blocks_of,
    joined,
    turned,
    whole,
)

_KERNELS_AND_BIAS = ("kernel", "recurrent_kernel", "bias")

# Keras 1 stores W, U and b of each gate as separate arrays, gate after gate in this order
# (keras 2.15.0, saving/legacy/hdf5_format.py, `preprocess_weights_for_loading`).
_KERAS_1_GATES = {LSTM: ("i", "g", "f", "o"), GRU: ("z", "r", "n"), CONV_LSTM: ("i", "g", "f", "o")}

# CuDNN has one bias for each of the two kernels. An LSTM adds both to the same sum, so one array
# with their sum is enough. A GRU with reset_after needs both, because its reset gate scales only
# one of them.
_CUDNN_BIASES = {LSTM: SUM, GRU: ROWS}


class CellWeights(NamedTuple):
    """The arrays of a cell.

    Attributes:
        weights: The arrays in the layout that `Recurrence` describes.
        stored: How the file stores each block of them, in the order of the file.
    """

    weights: Mapping[str, Array]
    stored: Mapping[Block, Stored]


def canonical_weights(
    path: str, kind: CellKind, use_bias: bool, arrays: Sequence[NamedArray]
) -> CellWeights:
    """Names the arrays of a layer and brings them into the layout that `Recurrence` describes.

    Args:
        path: The name of the layer, for errors.
        kind: The kind of cell.
        use_bias: Whether its config says that it has a bias.
        arrays: The arrays in the order of Keras's ``layer.weights``, by their names in the file.

    Raises:
        ModelFileError: There are too few or too many arrays, or two of one name.
    """
    by_name = dict(arrays)
    if len(by_name) < len(arrays):
        raise ModelFileError(
            f"layer {path}: expected arrays of different names, received "
            f"{', '.join(name for name, _ in arrays)}"
        )
    if use_bias and _is_keras_1(kind, arrays):
        return _read(kind, _of_keras_1(kind, arrays), by_name)
    names = [name for name in kind.weights if name != "bias" or use_bias]
    vectors = arrays[-3:]
    has_vectors = "peepholes" in names and _are_alike([array for _, array in vectors])
    if len(arrays) != len(names) + 2 * has_vectors:
        raise ModelFileError(
            f"layer {path}: expected {len(names)} arrays ({', '.join(names)}), "
            f"received {len(arrays)}"
        )
    files = {name: file for name, (file, _) in zip(names, arrays, strict=False)}
    weights = {name: by_name[file] for name, file in files.items()}
    if has_vectors:
        weights["peepholes"] = np.stack([array for _, array in vectors])
    if _is_cudnn(kind, weights):
        return _read(kind, _of_cudnn(kind, weights, files), by_name)
    stored = {
        block: Stored((place._replace(array=files[block.weight]),))
        for block, place in blocks_of(kind, weights).items()
    }
    if has_vectors:
        gates = kind.gates_of("peepholes")
        for gate, (file, array) in zip(gates, vectors, strict=True):
            stored[Block("peepholes", gate)] = Stored((whole(file, array),))
    return CellWeights(weights, stored)


def turned_round(cell: CellWeights) -> CellWeights:
    """Turns the kernels of a ConvLSTM of a Theano model round; see `turn_kernels`."""
    return CellWeights(
        {name: turned(array) for name, array in cell.weights.items()},
        {
            block: each if block.weight == "bias" else each._replace(form=TURNED)
            for block, each in cell.stored.items()
        },
    )


def turn_kernels(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Turns the convolution kernels of a Theano model round, to the form of every other backend.

    Theano reverses a kernel along its spatial axes before it multiplies, the others do not. Its
    ``[1, 2, 3]`` is their ``[3, 2, 1]`` (keras 2.2.4, utils/conv_utils.py, ``convert_kernel``).
    """
    return tuple(map(turned, arrays))


def _read(
    kind: CellKind, stored: Mapping[Block, Stored], arrays: Mapping[str, Array]
) -> CellWeights:
    blocks = {block: each.read(arrays) for block, each in stored.items()}
    return CellWeights(joined(kind, blocks), stored)


def _are_alike(arrays: Sequence[Array]) -> bool:
    return len({array.shape for array in arrays}) == 1


def _is_keras_1(kind: CellKind, arrays: Sequence[NamedArray]) -> bool:
    """Whether there are W, U and b for each gate, and those of all gates fit together."""
    if kind not in _KERAS_1_GATES or len(arrays) != 3 * len(kind.gates):
        return False
    parts = [[array for _, array in arrays[number::3]] for number in range(3)]
    return all(_are_alike(part) and part[0].ndim for part in parts)


def _of_keras_1(kind: CellKind, arrays: Sequence[NamedArray]) -> dict[Block, Stored]:
    blocks = [Block(weight, gate) for gate in _KERAS_1_GATES[kind] for weight in _KERNELS_AND_BIAS]
    return {block: Stored((whole(*named),)) for block, named in zip(blocks, arrays, strict=True)}


def _is_cudnn(kind: CellKind, weights: Mapping[str, Array]) -> bool:
    """Whether arrays have CuDNN's layout: one flat bias, twice as long as a kernel is wide."""
    if kind not in _CUDNN_BIASES or "bias" not in weights:
        return False
    kernel, recurrent_kernel, bias = (weights[name].shape for name in _KERNELS_AND_BIAS)
    units = recurrent_kernel[0] if recurrent_kernel else 0
    width = len(kind.gates) * units
    is_square = units > 0 and recurrent_kernel == (units, width)
    return is_square and kernel[1:] == (width,) and bias == (2 * width,)


def _of_cudnn(
    kind: CellKind, weights: Mapping[str, Array], files: Mapping[str, str]
) -> dict[Block, Stored]:
    """CuDNN's layout, which transposes the kernel of each gate.

    Source: keras 2.15.0, saving/legacy/hdf5_format.py, ``_convert_rnn_weights``.
    """
    units, width = weights["recurrent_kernel"].shape
    kernels = {name: weights[name] for name in ("kernel", "recurrent_kernel")}
    stored = {
        block: Stored((place._replace(array=files[block.weight]),), TRANSPOSED)
        for block, place in blocks_of(kind, kernels).items()
    }
    for number, gate in enumerate(kind.gates):
        starts = (number * units, width + number * units)
        places = [Place(files["bias"], (slice(start, start + units),)) for start in starts]
        stored[Block("bias", gate)] = Stored(tuple(places), _CUDNN_BIASES[kind])
    return stored
