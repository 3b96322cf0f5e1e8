"""The graph of a model: a flat list of layer calls, whichever framework saved it.

The calls inside a nested model or a wrapper take its place. So the list has only calls of
recurrences and plain layers, in an order in which they can be computed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lstm_inspect.errors import ModelFileError, one_line
from lstm_inspect.model.layer import Layer
from lstm_inspect.model.recurrence import Recurrence
from lstm_inspect.model.sizes import Shape
from lstm_inspect.nested import leaves
from lstm_inspect.notebooks import as_html

Argument = Any
"""An argument of a call: a `Ref`, plain data, or tuples, lists and dicts of these."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """The file or folder that a model was read from.

    Attributes:
        path: The file or folder.
        format: The file format: ``"keras"``, ``"h5"``, ``"saved_model"`` ...
        framework: The framework that saved it: ``"Keras"``.
        version: The version of the framework, or None if the file does not say.
        data: The bytes of the file itself; for a folder, those of the file that describes it.
        files: The files that belong to it, by their path beside it or in the folder.
        config: The config of the model in the words of its framework; None if the file has none.
    """

    path: Path
    format: str
    framework: str
    version: str | None
    data: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        """Which file it is, in one line."""
        return one_line(f"<Source {self.path.name}: {self.format} of {self.saver}>")

    @property
    def saver(self) -> str:
        """The framework and its version: ``"Keras 3.15.1"``."""
        return f"{self.framework} {self.version or 'of unknown version'}"

    @property
    def paths(self) -> list[Path]:
        """Every file or folder that was read."""
        folder = self.path if self.path.is_dir() else self.path.parent
        return [self.path, *(folder / name for name in self.files)]

    @property
    def identity(self) -> dict[str, str | None]:
        """Which file it is, as results say it: ``name``, ``sha256`` and ``keras_version``."""
        return {"name": self.path.name, "sha256": self.sha256, "keras_version": self.version}

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


FED_INPUT = ":input"
"""A path with this suffix is the x of a recurrence, not its output."""


class ModelInput(NamedTuple):
    """An input of the model.

    Attributes:
        name: Its name.
        shape: Its shape, batch first; None if the file does not say.
        dtype: Its dtype, for example ``"float32"``.
        path: The path of its tensor, if that is not its name.
    """

    name: str
    shape: Shape | None
    dtype: str
    path: str = ""

    @property
    def tensor(self) -> str:
        """The path of its tensor."""
        return self.path or self.name


class ModelOutput(NamedTuple):
    """A result of the model.

    Attributes:
        name: Its name: that of the layer that gives it.
        tensor: The tensor.
    """

    name: str
    tensor: Ref


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """One call of a layer.

    Attributes:
        path: The name of the layer; its second call is ``name#2``.
        layer: The layer.
        args: The positional arguments; a recurrence has only x.
        kwargs: The keyword arguments. A recurrence may have ``initial_state``, a tuple of Refs, and
            ``mask``: a Ref, or None if the layer ignores the mask of its input.
        in_training: Whether the model calls it as in training, even at inference.
        folds: How many axes behind the batch count as batch too: one for each TimeDistributed
            around the layer, its timesteps.
        input_shape: The shape of the input, if the file states one.
        part_of: The path of the Bidirectional or the stack of cells that the call is a part of;
            None for a layer of its own.
    """

    path: str
    layer: Layer | Recurrence
    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    in_training: bool = False
    folds: int = 0
    input_shape: Shape | None = None
    part_of: str | None = None

    @property
    def needs(self) -> tuple[Ref, ...]:
        """Every tensor that the call reads."""
        return tuple(refs((self.args, self.kwargs)))

    def inner_shape(self, shape: Shape | None) -> Shape | None:
        """The shape that the layer sees of a tensor: one without the axes that are folded."""
        return None if shape is None else (*shape[:1], *shape[1 + self.folds :])


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A saved model in canonical form.

    Attributes:
        name: The name that its framework gave it.
        source: What it was read from.
        inputs: Its inputs.
        calls: The calls of its layers. Each reads only inputs and earlier calls.
        outputs: Its results, each with the name that the framework gives it.
        why_unwired: One line that says why the calls are not connected, if the file holds weights
            but no wiring. Each recurrent layer then has an input of its own, of the layer's name.

    Raises:
        ModelFileError: Two tensors have one path, or a path has NUL, ``.``, ``..`` or nothing as a
            part.
    """

    name: str
    source: Source
    inputs: tuple[ModelInput, ...]
    calls: tuple[Call, ...]
    outputs: tuple[ModelOutput, ...] = ()
    why_unwired: str | None = None

    def __post_init__(self) -> None:
        """Checks that every path can be the name of a tensor, of a row and of a file in a dump."""
        taken = set()
        for path in (*(each.tensor for each in self.inputs), *(call.path for call in self.calls)):
            if "\0" in path or not {"", ".", ".."}.isdisjoint(re.split(r"[/\\]", path)):
                raise ModelFileError(
                    f"{self.source.path}: expected names of layers that can be parts of a path, "
                    f"received {path!r}"
                )
            if path in taken:  # for example m/l, and l in a model m
                raise ModelFileError(
                    f"{self.source.path}: expected a path of its own for each layer, received two "
                    f"of {path}"
                )
            taken.add(path)

    def __repr__(self) -> str:
        """What it is, in one line."""
        paths = [call.path for call, _ in self.recurrent_calls]
        layers = f"{len(paths)} recurrent layer{'' if len(paths) == 1 else 's'}"
        named = f" ({', '.join(paths)})" if paths else ""
        lacking = ", ".join(layer.label for layer in self.lacking)
        return one_line(
            f"<Model {self.name!r} of {self.source.saver}: {layers}{named}, "
            f"{self.parameters:,} parameters{f'; incomplete: {lacking}' if lacking else ''}>"
        )

    def _repr_html_(self) -> str:
        """The sizes of its recurrent layers, for notebooks."""
        rows = (
            {"path": call.path, **layer.outline, "parameters": layer.parameters}
            for call, layer in self.recurrent_calls
        )
        return as_html(repr(self), rows)

    @property
    def lacking(self) -> tuple[Layer, ...]:
        """The recurrent layers of which the file lacks some arrays, as plain layers."""
        return tuple(each for each in self.plain_layers if each.is_recurrent)

    @property
    def plain_layers(self) -> tuple[Layer, ...]:
        """Every `Layer`, in the order of computation."""
        layers = (call.layer for call in self.calls if isinstance(call.layer, Layer))
        return tuple(dict.fromkeys(layers))

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

    @property
    def parameters(self) -> int:
        """How many numbers the weights of all recurrent layers hold; shared layers count once."""
        return sum(recurrence.parameters for recurrence in self.recurrent)


def standalone(recurrence: Recurrence) -> tuple[ModelInput, Call]:
    """A recurrence whose x is an input of the model, which has the name of the recurrence."""
    spatial: Shape = (None,) * len(recurrence.window)
    features = recurrence.features
    x = (features, *spatial) if recurrence.channels_first else (*spatial, features)
    path = recurrence.path
    given = ModelInput(path, (None, None, *x), recurrence.dtype, path + FED_INPUT)
    return given, Call(path=path, layer=recurrence, args=(Ref(given.tensor),))
