"""The canonical form of a model: a flat list of layer calls, whichever Keras saved it.

Nested models and wrappers are written out as the calls they stand for, so a reader of this form
meets only inputs, recurrences and plain layers, in an order in which they can be computed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lstm_inspect.formats import Array, SavedFile

Shape = tuple[int | None, ...]
"""A shape whose unknown sizes are None; the first is the batch."""

Argument = Any
"""What a call is given: a `Ref`, plain JSON data, or tuples, lists and dicts of these."""


@dataclass(frozen=True, slots=True)
class Ref:
    """One tensor of the graph: output number ``index`` of the input or call named ``path``."""

    path: str
    index: int = 0


def flat(argument: Argument) -> Iterator[Any]:
    """Yields the leaves of an argument in order: `Ref`s and plain values."""
    if isinstance(argument, (tuple, list)):
        for item in argument:
            yield from flat(item)
    elif isinstance(argument, dict):
        yield from flat(tuple(argument.values()))
    else:
        yield argument


def refs(argument: Argument) -> Iterator[Ref]:
    """Yields every `Ref` in an argument, in order."""
    return (leaf for leaf in flat(argument) if isinstance(leaf, Ref))


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A place where data enters the model.

    Attributes:
        name: The input's name, as Keras gives it.
        shape: Batch first; None as a whole where the file does not say.
        dtype: As the file states it, for example ``"float32"``.
    """

    name: str
    shape: Shape | None
    dtype: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """A layer that is not recurrent.

    Attributes:
        name: Unique in the model; nested models add their own name in front (``encoder/dense``).
        class_name: The Keras class, for example ``"Dense"``.
        config: The layer's own config, as the file has it.
        weights: The layer's arrays in Keras's order.
        dtype: Compute dtype; float inputs are cast to it.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    weights: tuple[Array, ...]
    dtype: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """A recurrent layer, or one direction of a Bidirectional, with its weights in canonical form.

    Attributes:
        path: Its name in tables and dumps: ``lstm``, ``encoder/lstm``, ``bi/backward``.
        cell: ``"lstm"``.
        units: Width of h_t and c_t.
        features: Width of x_t.
        weights: Read-only arrays: ``kernel`` (features, 4·units), ``recurrent_kernel``
            (units, 4·units) and, unless ``use_bias`` was false, ``bias`` (4·units,). The blocks
            along the last axis are i, f, g, o (keras 3.15.1, layers/rnn/lstm.py, ``LSTMCell``).
        activation: Of g and of c on its way to h.
        recurrent_activation: Of i, f and o.
        go_backwards: Reads the last timestep first.
        return_sequences: Hands h of every timestep to the next layer, not only the last one.
        return_state: Hands the final h and c to the next layer too.
        stateful: Keras carries the state from batch to batch.
        zero_output_for_mask: Hands on 0 at a masked step, where the state is carried over.
        dtype: Compute dtype.
    """

    path: str
    cell: str
    units: int
    features: int
    weights: Mapping[str, Array]
    activation: str
    recurrent_activation: str
    go_backwards: bool
    return_sequences: bool
    return_state: bool
    stateful: bool
    zero_output_for_mask: bool
    dtype: str

    @property
    def states(self) -> tuple[str, ...]:
        """The signals that are carried from step to step."""
        return ("h", "c")

    @property
    def direction(self) -> str:
        """``"forward"`` or ``"backward"``."""
        return "backward" if self.go_backwards else "forward"

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold."""
        return sum(array.size for array in self.weights.values())


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """One application of a layer.

    Attributes:
        path: The layer's name; its second call is ``name#2``.
        layer: What is applied.
        args: For a recurrence, its x alone; else as in the file.
        kwargs: For a recurrence: ``initial_state`` (a tuple of Refs) and ``mask`` (a Ref) where
            the model wires them; else as in the file.
        input_shape: The shape of the layer's input, where the file states one.
    """

    path: str
    layer: Layer | Recurrence
    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    input_shape: Shape | None = None

    @property
    def needs(self) -> tuple[Ref, ...]:
        """Every tensor the call reads."""
        return tuple(refs((self.args, tuple(self.kwargs.values()))))


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A saved model, read and put into canonical form.

    Attributes:
        name: As Keras gave it.
        file: What it was read from.
        inputs: Where data enters.
        calls: Layer calls; each reads only inputs and earlier calls.
    """

    name: str
    file: SavedFile
    inputs: tuple[ModelInput, ...]
    calls: tuple[Call, ...]

    @cached_property
    def recurrent_calls(self) -> tuple[tuple[Call, Recurrence], ...]:
        """The calls of recurrent layers, each with its recurrence, in the order of computation."""
        return tuple(
            (call, call.layer) for call in self.calls if isinstance(call.layer, Recurrence)
        )

    @property
    def recurrent(self) -> tuple[Recurrence, ...]:
        """The recurrent layers, in the order of computation."""
        return tuple(dict.fromkeys(recurrence for _, recurrence in self.recurrent_calls))
