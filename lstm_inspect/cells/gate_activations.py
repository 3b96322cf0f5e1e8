"""The activations of gates that lie side by side, in as few passes over memory as possible."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells.activations import ACTIVATIONS


class _Form(NamedTuple):
    """An activation as ``scale·core(slope·z) + offset``.

    The slope is a power of two. So weights that are multiplied by it are exact, and so is all that
    is summed up of them.
    """

    core: str
    slope: float = 1.0
    scale: float = 1.0
    offset: float = 0.0


_FORMS = {"sigmoid": _Form("tanh", slope=0.5, scale=0.5, offset=0.5)}


class GateActivations:
    """The activations of some gates.

    A sigmoid is ``tanh(z/2)/2 + 1/2``. So one pass of tanh serves the gates of an LSTM and its
    candidate, if the halves in front are in the weights.

    Args:
        names: The activation of each gate, in the order of the blocks.
    """

    def __init__(self, *names: str) -> None:
        forms = [_FORMS.get(name, _Form(name)) for name in names]
        self._slopes = [form.slope for form in forms]
        self._cores = [
            (ACTIVATIONS[core], part) for core, part in _side_by_side(form.core for form in forms)
        ]
        self._outer = [
            (scale, offset, part)
            for (scale, offset), part in _side_by_side((form.scale, form.offset) for form in forms)
            if (scale, offset) != (1.0, 0.0)
        ]

    def folded(self, weights: Array) -> Array:
        """Weights from which the gates are computed, with the slopes in them.

        Args:
            weights: (..., gates·units).
        """
        gates = len(self._slopes)
        blocks = weights.reshape(*weights.shape[:-1], gates, weights.shape[-1] // gates)
        folded: Array = blocks * np.array(self._slopes, weights.dtype)[:, np.newaxis]
        return folded.reshape(weights.shape)

    def __call__(self, blocks: Array) -> None:
        """Replaces what was computed from folded weights by the gates.

        Args:
            blocks: (batch, gates, units).
        """
        for core, part in self._cores:
            core(blocks[:, part])
        for scale, offset, part in self._outer:
            gates = blocks[:, part]
            gates *= scale
            gates += offset


def _side_by_side(values: Iterable[Any]) -> Iterator[tuple[Any, slice]]:
    """Yields each value with the places at which it stands in a row."""
    start = 0
    for value, same in groupby(values):
        stop = start + len([*same])
        yield value, slice(start, stop)
        start = stop
