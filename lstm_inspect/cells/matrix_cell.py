"""The common base of the cells that use matrix products."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.cell import Scratch
from lstm_inspect.cells.kind import CellKind


class MatrixCell:
    """A cell with vectors as states, and one matrix product for x of all timesteps.

    Args:
        kernel: (features, width).
        bias: (width,) or None.
        units: Width of each state and gate.
    """

    kind: CellKind
    weights: Mapping[str, Array | None]
    activations: Mapping[str, str]
    options: Mapping[str, Any]

    def __init__(self, kernel: Array, bias: Array | None, units: int) -> None:
        self.units = units
        self.dtype = kernel.dtype
        self._kernel = kernel
        self._bias = bias

    def shapes(self, features: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        """The shape of each state and gate without batch and timesteps: (units,)."""
        return dict.fromkeys(self.kind.computed, (self.units,))

    def numbers(self, features: tuple[int, ...]) -> int:
        """How many numbers one timestep of one sequence takes: x and its projection."""
        width: int = self._kernel.shape[-1]
        return math.prod(features) + width

    def project(self, x: Array, scratch: Scratch) -> Array:
        """Computes the part of a step that does not depend on the state.

        Args:
            x: (timesteps, batch, features).
            scratch: Has room for the result.

        Returns:
            (timesteps, batch, width).
        """
        projected = scratch("projected", (*x.shape[:2], self._kernel.shape[-1]))
        rows = projected.reshape(-1, projected.shape[-1])
        np.matmul(x.reshape(-1, x.shape[-1]), self._kernel, out=rows)
        if self._bias is not None:
            projected += self._bias
        return projected

    def gates(self, projected: Array) -> Mapping[str, Array]:
        """Returns the gates of one or more timesteps, after their steps.

        Args:
            projected: (..., width), what `step` made of it.

        Returns:
            (..., units) for each gate. They share the memory of ``projected``.
        """
        return {
            gate: projected[..., number * self.units : (number + 1) * self.units]
            for number, gate in enumerate(self.gate_order)
        }

    @property
    def gate_order(self) -> tuple[str, ...]:
        """The order in which the gates are computed side by side."""
        return self.kind.gates
