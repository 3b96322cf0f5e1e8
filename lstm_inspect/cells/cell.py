"""The interface of a cell: one step of a recurrence."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.kind import CellKind


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

    def project(self, x: Array) -> Array:
        """Computes the part of a step that needs no state, for many timesteps at once."""

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Computes one timestep: writes its states into ``out`` and returns its gates."""
