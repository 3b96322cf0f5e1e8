"""The interface of a cell: one step of a recurrence."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.kind import CellKind


class Scratch:
    """Arrays for what is needed in between. Each is made once, and used again at every step.

    Args:
        dtype: Their dtype.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._arrays: dict[tuple[str, tuple[int, ...]], Array] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> Array:
        """Returns the array of a name and a shape, with any numbers in it."""
        key = name, shape
        if key not in self._arrays:
            self._arrays[key] = np.empty(shape, self._dtype)
        return self._arrays[key]


class Cell(Protocol):
    """One step of a recurrence; `lstm_inspect.cells.LstmCell` explains each method.

    Attributes:
        kind: What it is.
        dtype: The dtype of its weights and of all it computes.
        weights: What it was made of, in canonical form; None for a weight that it lacks.
        activations: The names of its activations.
        options: Its other options.
    """

    kind: CellKind
    dtype: np.dtype[Any]
    weights: Mapping[str, Array | None]
    activations: Mapping[str, str]
    options: Mapping[str, Any]

    def shapes(self, features: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        """The shape of each state and gate without batch and timesteps, for the shape of x_t."""

    def numbers(self, features: tuple[int, ...]) -> int:
        """How many numbers one timestep of one sequence takes, for the shape of x_t."""

    def project(self, x: Array, scratch: Scratch) -> Array:
        """Computes the part of a step that needs no state, for many timesteps at once."""

    def step(
        self,
        projected: Array,
        previous: Mapping[str, Array],
        out: Mapping[str, Array],
        scratch: Scratch,
    ) -> None:
        """Computes one timestep: its gates in place of ``projected``, its states into ``out``."""

    def gates(self, projected: Array) -> Mapping[str, Array]:
        """Returns the gates of one or more timesteps, after their steps."""
