"""Folds the outer timesteps of a TimeDistributed into the batch, and unfolds them again."""

import math
from collections.abc import Sequence

from lstm_inspect.arrays import Array
from lstm_inspect.layers import Value


class Folding:
    """Folds several axes into one batch for a call, and unfolds its outputs.

    A TimeDistributed gets (2, 5, 7, 3): 2 samples of 5 outer timesteps. Its inner layer reads
    (10, 7, 3). The output of the inner layer, (10, 4), becomes (2, 5, 4).

    Args:
        folds: How many axes behind the batch count as batch too; 0 changes nothing.
        values: The values that the call reads. The first that has more axes than the batch and the
            folds gives the sizes of these axes.
    """

    def __init__(self, folds: int, values: Sequence[Value]) -> None:
        self._axes = 1 + folds
        self._sizes: tuple[int, ...] = ()
        self._outer_mask: Array | None = None
        if folds:
            deep = [value.array.shape for value in values if value.array.ndim > self._axes]
            self._sizes = deep[0][: self._axes] if deep else ()
            masks = [value.mask for value in values if value.mask is not None]
            outer = [mask for mask in masks if mask.ndim <= self._axes]
            # The inner layer does not get a mask over the outer timesteps; its outputs do.
            self._outer_mask = outer[0] if outer else None

    def fold(self, value: Value) -> Value:
        """Folds a value for the inner layer; drops a mask that is not over its timesteps."""
        if self._axes == 1:
            return value
        is_inner = value.mask is not None and value.mask.ndim > self._axes
        mask = self._one_batch(value.mask) if value.mask is not None and is_inner else None
        return Value(self._one_batch(value.array), mask)

    def unfold(self, array: Array) -> Array:
        """Unfolds an array of the inner layer."""
        return array if self._axes == 1 else array.reshape(*self._sizes, *array.shape[1:])

    def unfold_all(self, values: Sequence[Value]) -> tuple[Value, ...]:
        """Unfolds the outputs of the inner layer; those without a mask get the outer mask."""
        return tuple(
            Value(
                self.unfold(value.array),
                self._outer_mask if value.mask is None else self.unfold(value.mask),
            )
            for value in values
        )

    def _one_batch(self, array: Array) -> Array:
        if array.ndim < self._axes:
            return array
        return array.reshape(math.prod(array.shape[: self._axes]), *array.shape[self._axes :])
