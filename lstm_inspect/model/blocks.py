"""The blocks of a recurrent layer's weights: whose they are, and where they stand.

The kernel of an LSTM with 6 units has four blocks: ``kernel_i`` is its columns 0 to 5, ``kernel_f``
its columns 6 to 11, and so on. A file may store them in another order, or in arrays of their own.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import CellKind


class Block(NamedTuple):
    """The part of a weight that belongs to one gate, or a weight that belongs to no gate.

    Attributes:
        weight: The name of the weight in canonical form: ``"kernel"``.
        gate: The gate: ``"i"``; None if the weight has no parts for gates.
    """

    weight: str
    gate: str | None

    @property
    def name(self) -> str:
        """Its name: ``"kernel_i"``, or ``"kernel"`` of a SimpleRNN."""
        return self.weight if self.gate is None else f"{self.weight}_{self.gate}"


class Place(NamedTuple):
    """Some rows and columns of an array.

    Attributes:
        array: The name of the array.
        ranges: A range for each of the last axes, two at most: rows and columns, or columns alone.
            One number stands for one row. The axes in front of them are taken as a whole.
    """

    array: str
    ranges: tuple[int | slice, ...]

    def of(self, arrays: Mapping[str, Array]) -> Array:
        """A view of the numbers at this place."""
        return arrays[self.array][(..., *self.ranges)]

    def __str__(self) -> str:
        """The place as Python writes it: ``kernel[0:4, 6:12]``."""
        ranges = (
            f"{each.start}:{each.stop}" if isinstance(each, slice) else str(each)
            for each in self.ranges
        )
        return f"{self.array}[{', '.join(ranges)}]"


AS_IT_IS = "as it is"
TRANSPOSED = "transposed"
TURNED = "turned round"
SUM = "sum"
ROWS = "rows"


class Stored(NamedTuple):
    """How a file stores a block.

    Attributes:
        places: Where its numbers are, by the file's own names of arrays.
        form: How they become the block. `AS_IT_IS`: they are the block. `TRANSPOSED`: read row by
            row, they are the block read column by column. `TURNED`: the window of a convolution is
            reversed along each of its axes. `SUM`: the block is the sum of two places. `ROWS`: each
            place is a row of the block.
    """

    places: tuple[Place, ...]
    form: str = AS_IT_IS

    def read(self, arrays: Mapping[str, Array]) -> Array:
        """The block in canonical form, from the arrays of the file by name."""
        return _READ[self.form]([place.of(arrays) for place in self.places])

    def __str__(self) -> str:
        """The places and, if they need more than copying, the form."""
        joint = " + " if self.form == SUM else " and "
        places = joint.join(map(str, self.places))
        return places if self.form in (AS_IT_IS, SUM) else f"{places}, {_WORDS[self.form]}"


def turned(array: Array) -> Array:
    """Reverses a convolution kernel along each axis of its window; other arrays have none."""
    return np.flip(array, axis=tuple(range(array.ndim - 2)))


_READ: Mapping[str, Callable[[list[Array]], Array]] = {
    AS_IT_IS: lambda parts: parts[0],
    TRANSPOSED: lambda parts: parts[0].reshape(parts[0].shape[::-1]).T,
    TURNED: lambda parts: turned(parts[0]),
    SUM: lambda parts: parts[0] + parts[1],
    ROWS: np.stack,
}
_WORDS = {TRANSPOSED: "transposed", TURNED: "turned round", ROWS: "as rows"}


def whole(name: str, array: Array) -> Place:
    """The place of a whole array."""
    return Place(name, tuple(slice(0, size) for size in array.shape[-2:]))


def blocks_of(kind: CellKind, weights: Mapping[str, Array]) -> dict[Block, Place]:
    """The blocks of weights in canonical form, each with its place.

    Args:
        kind: The kind of cell.
        weights: Its arrays by the names of the kind. Their shapes need not fit the kind yet.
    """
    places: dict[Block, Place] = {}
    for name in (name for name in kind.weights if name in weights):
        gates, everything = kind.gates_of(name), whole(name, weights[name])
        if not gates:
            places[Block(name, None)] = everything
            continue
        size = math.prod(weights[name].shape[-1:]) // len(gates)
        for number, gate in enumerate(gates):
            if kind.weights[name].row_gates:
                ranges: tuple[int | slice, ...] = (number, *everything.ranges[1:])
            else:
                columns = slice(number * size, (number + 1) * size)
                ranges = (*everything.ranges[:-1], columns)
            places[Block(name, gate)] = Place(name, ranges)
    return places


def joined(kind: CellKind, blocks: Mapping[Block, Array]) -> dict[str, Array]:
    """Joins blocks into the weights of a kind in canonical form.

    Args:
        kind: The kind of cell.
        blocks: All blocks of each weight that the layer has.
    """
    weights = {}
    for name in (name for name in kind.weights if name in {block.weight for block in blocks}):
        if gates := kind.gates_of(name):
            parts = [blocks[Block(name, gate)] for gate in gates]
            is_of_rows = kind.weights[name].row_gates
            weights[name] = np.stack(parts) if is_of_rows else np.concatenate(parts, axis=-1)
        else:
            weights[name] = blocks[Block(name, None)]
    return weights
