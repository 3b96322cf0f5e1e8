"""The facts of a kind of recurrent cell, apart from its equations.

The module of a cell describes its kind: ``lstm.py`` defines ``LSTM``. All code that reads, shows,
checks or replays a recurrent layer takes its facts from there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

Axis = str | int
"""An axis of a weight: the name of its size, or a fixed size.

``"features"`` and ``"units"`` are the sizes of these names. ``"gates"`` is one block of units for
each gate. ``"window"`` stands for all axes of a convolution's window. A kind may have other names.
"""


class Weight(NamedTuple):
    """An array of a cell, in canonical form.

    Attributes:
        axes: Its axes.
        other_axes: The axes of a second form that it may have, or None.
        is_optional: Whether a layer may lack it.
        row_gates: The gate of each of its rows; () if its rows are not those of gates.
    """

    axes: tuple[Axis, ...]
    other_axes: tuple[Axis, ...] | None = None
    is_optional: bool = False
    row_gates: tuple[str, ...] = ()

    @property
    def forms(self) -> tuple[tuple[Axis, ...], ...]:
        """The forms that it may have."""
        return (self.axes,) if self.other_axes is None else (self.axes, self.other_axes)

    @property
    def has_gates(self) -> bool:
        """Whether its last axis is made of blocks, one for each gate."""
        return self.axes[-1] == "gates"


@dataclass(frozen=True, eq=False, kw_only=True)
class CellKind:
    """A kind of recurrent cell.

    Attributes:
        name: Its name in JSON and dumps: ``"lstm"``.
        title: Its name in tables: ``"LSTM"``.
        states: The states that are carried from step to step, each with the name of the size that
            is its width. The layer outputs the first one.
        gates: The gates and the candidate, in the order of their blocks in the weights.
        weights: Its arrays by name, in the order of Keras's ``layer.weights``.
        activations: Its activations, by the names of Keras's arguments.
        options: Its other options by name, with the type of each.
        state_names: What its framework calls a state, if it has another name for it.
        keras_layer: The Keras layer that computes the same, with ``{rank}`` for the number of
            spatial axes; None if Keras has none.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("x", "mask")

    name: str
    title: str
    states: Mapping[str, str]
    gates: tuple[str, ...]
    weights: Mapping[str, Weight]
    activations: tuple[str, ...] = ("activation", "recurrent_activation")
    options: Mapping[str, type] = field(default_factory=dict)
    state_names: Mapping[str, str] = field(default_factory=dict)
    keras_layer: str | None = None

    def __reduce__(self) -> tuple[Callable[[str], "CellKind"], tuple[str]]:
        """Makes it the same object in another process, which finds it by its name."""
        return _kind_named, (self.name,)

    def gates_of(self, name: str) -> tuple[str, ...]:
        """The gates that a weight has parts for, in the order of the parts; () if it has none."""
        weight = self.weights[name]
        return weight.row_gates or (self.gates if weight.has_gates else ())

    @property
    def output(self) -> str:
        """The state that the layer gives to the next one."""
        return next(iter(self.states))

    @property
    def computed(self) -> tuple[str, ...]:
        """The signals that have a value at every timestep: states, then gates."""
        return (*self.states, *self.gates)

    @property
    def initial(self) -> tuple[str, ...]:
        """The signals of the initial states: ``h0``, ``c0``."""
        return tuple(f"{state}0" for state in self.states)

    @property
    def signals(self) -> tuple[str, ...]:
        """All signals that can be recorded."""
        return (*self.computed, *self.INPUTS, *self.initial)


def _kind_named(name: str) -> CellKind:
    from lstm_inspect.cells import CELLS

    return next(kind for kind in CELLS if kind.name == name)
