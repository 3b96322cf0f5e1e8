"""The memory of a replay: asked for before arrays are made, given back when they are gone."""

import weakref

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.files.limits import Limits


class Account:
    """Counts the arrays that a replay holds at one time; views of one array count once.

    Args:
        limits: ``replay_bytes`` is the most that they may take.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[int, int] = {}
        self._total = 0

    def reserve(self, size: int, what: str) -> None:
        """Asks for memory for what comes next.

        Args:
            size: Its bytes.
            what: What needs it, as an error says it.

        Raises:
            LimitError: The replay would hold more than the limit.
        """
        asked = self._total + size
        self._limits.check("replay_bytes", asked, f"{what}, with all that is held", so_far=True)

    def hold(self, array: Array) -> None:
        """Counts an array for as long as anything refers to it."""
        while isinstance(array.base, np.ndarray):
            array = array.base
        key = id(array)
        if key not in self._held:
            self._held[key] = array.nbytes
            self._total += array.nbytes
            weakref.finalize(array, self._give_back, key).atexit = False

    def _give_back(self, key: int) -> None:
        self._total -= self._held.pop(key)
