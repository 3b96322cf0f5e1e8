"""Layers inside a TimeDistributed: the outer timesteps become part of the batch, and come back."""

import math
from collections.abc import Sequence

from lstm_inspect.formats import Array
from lstm_inspect.layers import Value


class Folding:
    """Folds the axes that one call counts as batch into one, and unfolds them again.

    Args:
        folds: How many axes behind the batch count as batch too; with 0 nothing changes.
        values: What the call reads; the first with enough axes has the sizes.
    """

    def __init__(self, folds: int, values: Sequence[Value]) -> None:
        self._axes = folds + 1
        shapes = (value.array.shape for value in values if value.array.ndim > self._axes)
        self._outer = next(shapes, ())[: self._axes]
        # A mask over the outer timesteps is not the inner layer's: it goes round it.
        masks = (value.mask for value in values if folds and value.mask is not None)
        self._outer_mask = next((mask for mask in masks if mask.ndim <= self._axes), None)

    def fold(self, value: Value) -> Value:
        """A value as the inner layer sees it."""
        if self._axes == 1:
            return value
        mask = value.mask if value.mask is not None and value.mask.ndim > self._axes else None
        return Value(self._fold(value.array), None if mask is None else self._fold(mask))

    def _fold(self, array: Array) -> Array:
        if array.ndim < self._axes:
            return array
        return array.reshape(math.prod(array.shape[: self._axes]), *array.shape[self._axes :])

    def unfold(self, array: Array) -> Array:
        """An array of the inner layer as the outside sees it."""
        return array if self._axes == 1 else array.reshape(*self._outer, *array.shape[1:])

    def unfold_all(self, values: Sequence[Value]) -> tuple[Value, ...]:
        """The inner layer's outputs as the outside sees them."""
        return tuple(
            Value(
                self.unfold(value.array),
                self._outer_mask if value.mask is None else self.unfold(value.mask),
            )
            for value in values
        )
