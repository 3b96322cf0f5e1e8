"""The shapes of a model's recurrent layers: weights, states of one step, states of a sequence.

The shapes of what the other layers give too, as far as the file tells.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from lstm_inspect.cells import Convolution
from lstm_inspect.errors import InputError, one_line
from lstm_inspect.model import Layer, Model, Place, Recurrence, Shape
from lstm_inspect.notation import sizes_text
from lstm_inspect.notebooks import as_html
from lstm_inspect.replay.known_shapes import output_of, tensor_shapes
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.plan import Stop, plan_replay

SCHEMA = 2
SCHEMA_WITH_CALLS = 3
"""What `ModelShapes.as_json` prints with the calls; who reads schema 2 sees no difference."""

_SHOWN = (
    *("path", "cell", "units", "features", "direction"),
    *("weights", "states", "sequences", "parameters"),
)

Size = int | str
"""A size, or a word for a size that the file leaves open: ``"batch"``, ``"timesteps"``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerShapes:
    """The shapes of one recurrent layer.

    Attributes:
        path: The path of the recurrence.
        recurrence: The layer.
        batch: How many sequences. Inside a TimeDistributed, its timesteps follow the batch.
        timesteps: How long the sequences are.
        state_shapes: The shape of each state of one sequence: (units,), or (*spatial, units) for a
            ConvLSTM.
        blocked_by: What stops a replay, one line each.
    """

    path: str
    recurrence: Recurrence
    batch: tuple[Size, ...]
    timesteps: Size
    state_shapes: Mapping[str, tuple[Size, ...]]
    blocked_by: tuple[str, ...]

    def __repr__(self) -> str:
        """The shapes of its states over all steps, in one line."""
        title = self.recurrence.kind.title
        return one_line(f"<LayerShapes {self.path}: {title}, {sizes_text(self.sequences)}>")

    @property
    def states(self) -> dict[str, tuple[Size, ...]]:
        """The shape of each state after one step: (batch, units)."""
        return {state: (*self.batch, *shape) for state, shape in self.state_shapes.items()}

    @property
    def sequences(self) -> dict[str, tuple[Size, ...]]:
        """The shape of each state over all steps: (batch, timesteps, units)."""
        return {
            state: (*self.batch, self.timesteps, *shape)
            for state, shape in self.state_shapes.items()
        }

    @property
    def output(self) -> tuple[Size, ...] | None:
        """The shape of its output, without the final states; None if the file does not say."""
        recurrence = self.recurrence
        if recurrence.return_sequences is None:
            return None
        state = tuple(self.state_shapes[recurrence.states[0]])
        return output_of(recurrence, self.batch, self.timesteps, state)

    def as_json(self) -> dict[str, Any]:
        """The row as plain JSON data."""
        recurrence = self.recurrence
        row = {
            "path": self.path,
            **recurrence.outline,
            "states": {name: list(shape) for name, shape in self.states.items()},
            "sequences": {name: list(shape) for name, shape in self.sequences.items()},
            "parameters": recurrence.parameters,
            "activation": recurrence.activation,
            "recurrent_activation": recurrence.recurrent_activation,
            "return_sequences": recurrence.return_sequences,
            "return_state": recurrence.return_state,
            "stateful": recurrence.stateful,
            "dtype": recurrence.dtype,
            "blocked_by": list(self.blocked_by),
            "notes": list(recurrence.remarks),
        }
        row |= recurrence.activations
        for name, option in recurrence.options.items():
            row[name] = asdict(option) if isinstance(option, Convolution) else option
        return row

    def gates_as_json(self) -> dict[str, Any]:
        """The blocks of the weights as plain JSON data, in the order of the file."""
        recurrence = self.recurrence
        return {
            "path": self.path,
            "blocks": [
                {
                    "name": block.name,
                    "weight": block.weight,
                    "gate": block.gate,
                    "shape": list(recurrence.block(block).shape),
                    "stored": [_place_as_json(place) for place in stored.places],
                    "form": stored.form,
                    "canonical": _place_as_json(recurrence.blocks[block]),
                }
                for block, stored in recurrence.stored_blocks.items()
            ],
        }


class CallShape(NamedTuple):
    """The shape of what a call gives, of any layer.

    Attributes:
        path: The path of the call.
        layer_class: The class of the layer; for a recurrent one, the title of its cell.
        output: The shape of its output, of several the first; None if the file does not tell. A
            size that is open is a word: ``"batch"``, ``"timesteps"``, or ``"any"``.
    """

    path: str
    layer_class: str
    output: tuple[Size, ...] | None

    def as_json(self) -> dict[str, Any]:
        """The row as plain JSON data."""
        output = None if self.output is None else list(self.output)
        return {"path": self.path, "class": self.layer_class, "output": output}


class StoppingClass(NamedTuple):
    """A class of layers that stop a trace.

    Attributes:
        layer_class: The class.
        layers: The names of its layers.
        remedy: What lets a trace go on: ``"tensorflow"``, to install that extra, or ``"feed"``, to
            give the output of each layer.
    """

    layer_class: str
    layers: tuple[str, ...]
    remedy: str

    def as_json(self) -> dict[str, Any]:
        """The row as plain JSON data."""
        return {"class": self.layer_class, "layers": list(self.layers), "remedy": self.remedy}


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelShapes:
    """The shapes of every recurrent layer of a model.

    Attributes:
        model: The model.
        layers: One row for each recurrent call, in the order of computation.
        calls: One row for each call of any layer, in the order of computation.
        stopping: The classes of the layers that stop a trace.
    """

    model: Model
    layers: tuple[LayerShapes, ...]
    calls: tuple[CallShape, ...]
    stopping: tuple[StoppingClass, ...]

    def __repr__(self) -> str:
        """The shapes of all states over all steps, in one line."""
        layers = (f"{layer.path} ({sizes_text(layer.sequences)})" for layer in self.layers)
        return one_line(f"<ModelShapes of {self.model.source.path.name}: {', '.join(layers)}>")

    def _repr_html_(self) -> str:
        """The shapes of all recurrent layers, for notebooks."""
        return as_html(repr(self), self.rows)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What a short table has of each recurrent layer, as JSON data."""
        return [{name: row[name] for name in _SHOWN} for row in self.as_json()["layers"]]

    @property
    def incomplete(self) -> tuple[str, ...]:
        """The layers that lack some of their weights in the file, as ``name (class)``."""
        return tuple(layer.label for layer in self.incomplete_layers)

    @property
    def incomplete_layers(self) -> tuple[Layer, ...]:
        """The layers that lack some of their weights in the file."""
        return tuple(layer for layer in self.model.plain_layers if layer.lacks is not None)

    @property
    def parameters(self) -> int:
        """How many numbers the weights of all recurrent layers hold; shared layers count once."""
        return self.model.parameters

    def as_json(self, also: Collection[str] = ()) -> dict[str, Any]:
        """The shapes as plain JSON data.

        Args:
            also: Further tables: ``"gates"``, ``"calls"``.
        """
        source = self.model.source
        further: dict[str, list[Any]] = {}
        if "calls" in also:
            further["calls"] = [call.as_json() for call in self.calls]
            further["stopping"] = [each.as_json() for each in self.stopping]
        if "gates" in also:
            further["gates"] = [layer.gates_as_json() for layer in self.layers]
        return {
            "schema": SCHEMA_WITH_CALLS if "calls" in also else SCHEMA,
            "file": {
                "name": source.path.name,
                "format": source.format,
                "keras_version": source.version,
                "model": self.model.name,
            },
            "inputs": [
                {
                    "name": each.name,
                    "shape": None if each.shape is None else list(each.shape),
                    "dtype": each.dtype,
                }
                for each in self.model.inputs
            ],
            "layers": [layer.as_json() for layer in self.layers],
            "incomplete": list(self.incomplete),
            "parameters": self.parameters,
            **further,
        }


def model_shapes(
    model: Model, *, batch: int | None = None, timesteps: int | None = None
) -> ModelShapes:
    """Works out the shapes of a model; `lstm_inspect.model_shapes` says more."""
    plan = plan_replay(model, ReplayOptions())
    _, inputs, outputs = tensor_shapes(
        model.calls, {each.tensor: each.shape for each in model.inputs}
    )
    rows: dict[str, LayerShapes] = {}
    for call, recurrence in model.recurrent_calls:
        known = inputs[call.path] or (None,) * (2 + call.folds)
        if recurrence.time_major:
            known = (known[1], known[0], *known[2:])
        outer = known[1 : 1 + call.folds]
        rows[call.path] = LayerShapes(
            path=call.path,
            recurrence=recurrence,
            batch=(
                known[0] or batch or "batch",
                *(size or "outer timesteps" for size in outer),
            ),
            timesteps=known[1 + call.folds] or timesteps or "timesteps",
            state_shapes=_state_shapes(recurrence, known[2 + call.folds :]),
            blocked_by=plan.blocked.get(call.path, ()),
        )
    for name, given, stated in (
        ("batch", batch, [row.batch[0] for row in rows.values()]),
        ("timesteps", timesteps, [row.timesteps for row in rows.values()]),
    ):
        if given is not None and stated and given not in stated:
            raise InputError(f"{name} {given}: the file says {', '.join(map(str, set(stated)))}")
    calls = []
    for call in model.calls:
        if isinstance(call.layer, Recurrence):
            shape, layer_class = rows[call.path].output, call.layer.kind.title
        else:
            shape, layer_class = _in_words(outputs[call.path], batch), call.layer.class_name
        calls.append(CallShape(call.path, layer_class, shape))
    return ModelShapes(
        model=model,
        layers=tuple(rows.values()),
        calls=tuple(calls),
        stopping=_stopping(plan.stops),
    )


def _stopping(stops: Iterable[Stop]) -> tuple[StoppingClass, ...]:
    """The layers that stop a trace by class and by what is to be done."""
    names: dict[tuple[str, str], list[str]] = {}
    for layer, needs_keras in stops:
        remedy = "tensorflow" if needs_keras else "feed"
        names.setdefault((layer.class_name, remedy), []).append(layer.name)
    return tuple(StoppingClass(name, tuple(each), way) for (name, way), each in names.items())


def _in_words(shape: Shape | None, batch: int | None) -> tuple[Size, ...] | None:
    """A shape, batch first, with words for unknown sizes."""
    if not shape:
        return None
    return (shape[0] or batch or "batch", *("any" if size is None else size for size in shape[1:]))


def _place_as_json(place: Place) -> dict[str, Any]:
    ranges = [[each.start, each.stop] if isinstance(each, slice) else each for each in place.ranges]
    return {"array": place.array, "ranges": ranges}


def _state_shapes(recurrence: Recurrence, features: Shape) -> dict[str, tuple[Size, ...]]:
    """The shape of each state of one sequence, with words for unknown sizes."""
    return {
        state: tuple(
            name if size is None else size
            for size, name in zip(shape, recurrence.state_dims, strict=True)
        )
        for state, shape in recurrence.state_shapes(features).items()
    }
