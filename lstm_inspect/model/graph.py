"""The graph of a model: a flat list of layer calls, whichever framework saved it.

Nested models and wrappers are written out as the calls they stand for. A reader of this form meets
only inputs, recurrences and plain layers, in an order in which they can be computed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lstm_inspect.model.layer import Layer
from lstm_inspect.model.recurrence import Recurrence
from lstm_inspect.model.sizes import Shape
from lstm_inspect.nested import leaves

Argument = Any
"""What a call is given: a `Ref`, plain data, or tuples, lists and dicts of these."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """What a model was read from.

    Attributes:
        path: The file or folder.
        format: The file format: ``"keras"``, ``"h5"``, ``"saved_model"`` ...
        framework: What saved it: ``"Keras"``.
        version: The version of the framework, or None if the file does not say.
        data: The bytes of the file; of a folder, or of an index of other files, its own.
    """

    path: Path
    format: str
    framework: str
    version: str | None
    data: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal."""
        import hashlib

        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Ref:
    """One tensor of the graph: output number ``index`` of the input or call named ``path``."""

    path: str
    index: int = 0


def refs(argument: Argument) -> Iterator[Ref]:
    """Yields every `Ref` in an argument, in order."""
    return (leaf for leaf in leaves(argument) if isinstance(leaf, Ref))


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A place where data enters the model.

    Attributes:
        name: The name of the input.
        shape: Its shape, batch first; None if the file does not say.
        dtype: Its dtype, for example ``"float32"``.
    """

    name: str
    shape: Shape | None
    dtype: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """One application of a layer.

    Attributes:
        path: The name of the layer; its second call is ``name#2``.
        layer: The layer.
        args: Positional arguments; of a recurrence, x alone.
        kwargs: Keyword arguments. A recurrence has ``initial_state``, a tuple of Refs, if the model
            gives one, and ``mask``: a Ref, or None if the layer ignores the mask of its input.
        in_training: Whether the model calls it as in training even at inference.
        folds: How many of the axes behind the batch count as batch too. In a TimeDistributed these
            are its timesteps.
        input_shape: The shape of the input, if the file states one.
    """

    path: str
    layer: Layer | Recurrence
    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    in_training: bool = False
    folds: int = 0
    input_shape: Shape | None = None

    @property
    def needs(self) -> tuple[Ref, ...]:
        """Every tensor that the call reads."""
        return tuple(refs((self.args, self.kwargs)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A saved model in canonical form.

    Attributes:
        name: The name that its framework gave it.
        source: What it was read from.
        inputs: Where data enters.
        calls: Layer calls; each reads only inputs and earlier calls.
        why_unwired: If the file holds the weights of layers but not how they are connected, one
            line that says so. The calls then read nothing, and nothing can be replayed.
    """

    name: str
    source: Source
    inputs: tuple[ModelInput, ...]
    calls: tuple[Call, ...]
    why_unwired: str | None = None

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
