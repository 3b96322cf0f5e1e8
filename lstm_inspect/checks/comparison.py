"""One array of a replay, compared with the array that Keras computes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.checks.diff.two_arrays import Tolerance, distances
from lstm_inspect.model import Recurrence
from lstm_inspect.notation import with_nulls

# Keras sums in another order, and the difference grows over a sequence. Relative to the largest
# number, 256 float32 steps of an LSTM on large inputs differ from float64 by 2.6e-5 here and by
# 4e-6 in Keras.
TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 5e-3, "bfloat16": 4e-2}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One array of a replay, compared with the array that Keras computes.

    Attributes:
        path: The path of the recurrence.
        what: ``"h"``, ``"last c"`` ... of the layer alone, or ``"x"`` and ``"output"`` of the layer
            in the whole model; or ``"output dense"``, a result of the model that depends on it.
        absolute: The largest absolute difference.
        relative: The same, relative to the largest number, or to 1 if that is larger.
        place: The place of the largest difference: (sample, step, unit), or (sample, unit) for a
            last state.
        tolerance: The largest ``relative`` that is allowed.
    """

    path: str
    what: str
    absolute: float
    relative: float
    place: tuple[int, ...]
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.relative <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain JSON data; a difference that is NaN or infinite becomes null."""
        return {**with_nulls(asdict(self)), "agrees": self.agrees}


def folded(array: Array, folds: int) -> Array:
    """Folds the axes of TimeDistributed layers into the batch: Keras calls the layer inside so."""
    return array.reshape(-1, *array.shape[1 + folds :])


def difference(
    path: str,
    what: str,
    ours: Array,
    theirs: Array,
    recurrence: Recurrence,
    tolerance: Tolerance | None,
) -> Comparison:
    """Compares two arrays of a recurrence; equal infinities and two NaN do not differ.

    A tolerance is a share of the largest number, or of 1 if that is larger. Without one, it is that
    of the dtype.
    """
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    apart = distances(a, b)
    largest = float(np.abs(b[np.isfinite(b)]).max(initial=1.0))
    if tolerance is None:
        tolerance = Tolerance(relative=TOLERANCES[recurrence.dtype])
    place = np.unravel_index(int(np.argmax(apart)), apart.shape)
    absolute = float(apart[place])
    return Comparison(
        path=path,
        what=what,
        absolute=absolute,
        relative=absolute / largest,
        place=tuple(int(axis) for axis in place),
        tolerance=tolerance.relative + tolerance.absolute / largest,
    )
