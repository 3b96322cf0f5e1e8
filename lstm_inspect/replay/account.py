"""The memory and the steps of a replay, asked for before they are taken."""

import weakref

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.files.limits import Limits


class Account:
    """Counts the arrays that a replay holds at one time, and its timesteps.

    Views of one array count once. An array is given back when nothing refers to it any more.

    Args:
        limits: ``replay_bytes`` is the most that the arrays may take, ``replay_steps`` the most
            steps.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[int, int] = {}
        self._total = 0
        self._steps = 0

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

    def begin_block(self) -> None:
        """Begins to count the timesteps of a block; how many blocks there are is up to the user."""
        self._steps = 0

    def count_steps(self, steps: int, what: str) -> None:
        """Counts the timesteps of a recurrent layer.

        Raises:
            LimitError: The layers of this block would take more steps than the limit.
        """
        self._steps += steps
        self._limits.check("replay_steps", self._steps, what, so_far=True)

    def keep(self, size: int) -> None:
        """Counts memory that is held as long as the replay, in bytes."""
        self._total += size

    def hold(self, array: Array) -> None:
        """Counts an array for as long as anything refers to it."""
        self._count(array, None)

    def exempt(self, array: Array) -> None:
        """Leaves out an array that is not the replay's own."""
        self._count(array, 0)

    def _count(self, array: Array, size: int | None) -> None:
        while isinstance(array.base, np.ndarray):
            array = array.base
        key = id(array)
        if key not in self._held:
            self._held[key] = array.nbytes if size is None else size
            self._total += self._held[key]
            weakref.finalize(array, self._give_back, key).atexit = False

    def _give_back(self, key: int) -> None:
        self._total -= self._held.pop(key)
