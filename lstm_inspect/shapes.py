"""The shapes of a model's recurrent layers: weights, states of one step, states of a sequence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lstm_inspect.layers import form_of
from lstm_inspect.model import Call, Model, Recurrence, Shape, refs
from lstm_inspect.replay import plan_replay

SCHEMA = 1

Size = int | str
"""A size, or the name of one that the file leaves open: ``"batch"``, ``"timesteps"``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerShapes:
    """The shapes of one recurrent layer.

    Attributes:
        path: Which recurrence.
        recurrence: The layer.
        batch: How many sequences.
        timesteps: How long they are.
        blocked_by: The layers in front of it that stop a replay.
    """

    path: str
    recurrence: Recurrence
    batch: Size
    timesteps: Size
    blocked_by: tuple[str, ...]

    @property
    def states(self) -> dict[str, tuple[Size, ...]]:
        """The shape of each state after one step: (batch, units)."""
        shape = (self.batch, self.recurrence.units)
        return dict.fromkeys(self.recurrence.states, shape)

    @property
    def sequences(self) -> dict[str, tuple[Size, ...]]:
        """The shape of each state over all steps: (batch, timesteps, units)."""
        shape = (self.batch, self.timesteps, self.recurrence.units)
        return dict.fromkeys(self.recurrence.states, shape)

    def as_json(self) -> dict[str, Any]:
        """The row as plain JSON data."""
        recurrence = self.recurrence
        return {
            "path": self.path,
            "cell": recurrence.cell,
            "units": recurrence.units,
            "features": recurrence.features,
            "direction": recurrence.direction,
            "weights": {name: list(array.shape) for name, array in recurrence.weights.items()},
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
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelShapes:
    """The shapes of every recurrent layer of a model.

    Attributes:
        model: The model.
        layers: One row a recurrent call, in the order of computation.
    """

    model: Model
    layers: tuple[LayerShapes, ...]

    @property
    def parameters(self) -> int:
        """How many numbers the weights of all recurrent layers hold; shared layers count once."""
        return sum(recurrence.parameters for recurrence in self.model.recurrent)

    def as_json(self) -> dict[str, Any]:
        """The shapes as plain JSON data."""
        file = self.model.file
        return {
            "schema": SCHEMA,
            "file": {
                "name": file.path.name,
                "format": file.format,
                "keras_version": file.keras_version,
                "model": self.model.name,
            },
            "layers": [layer.as_json() for layer in self.layers],
            "parameters": self.parameters,
        }


def model_shapes(
    model: Model, *, batch: int | None = None, timesteps: int | None = None
) -> ModelShapes:
    """Works out the shapes of a model's recurrent layers from the file alone.

    Args:
        model: The model.
        batch: The batch size, where the model leaves it open.
        timesteps: The length of the sequences, where the model leaves it open.

    Raises:
        SelectionError: The model has no recurrent layer.
    """
    plan = plan_replay(model)
    inputs = _input_shapes(model)
    return ModelShapes(
        model=model,
        layers=tuple(
            LayerShapes(
                path=call.path,
                recurrence=recurrence,
                batch=_size(inputs[call.path], 0, batch, "batch"),
                timesteps=_size(inputs[call.path], 1, timesteps, "timesteps"),
                blocked_by=plan.blocked.get(call.path, ()),
            )
            for call, recurrence in model.recurrent_calls
        ),
    )


def _size(shape: Shape | None, axis: int, given: int | None, name: str) -> Size:
    known = shape[axis] if shape is not None and len(shape) > axis else None
    return known or given or name


def _input_shapes(model: Model) -> dict[str, Shape | None]:
    """The shape of what each recurrent call reads, as far as the file lets it be known."""
    outputs: dict[str, Shape | None] = {each.name: each.shape for each in model.inputs}
    inputs: dict[str, Shape | None] = {}
    for call in model.calls:
        if isinstance(call.layer, Recurrence):
            shape = call.input_shape or outputs.get(call.args[0].path)
            inputs[call.path] = shape
            outputs[call.path] = _recurrent_output(call.layer, shape)
        else:
            outputs[call.path] = _layer_output(call, outputs)
    return inputs


def _recurrent_output(recurrence: Recurrence, shape: Shape | None) -> Shape:
    batch, timesteps = (shape or (None, None))[:2]
    kept = (batch, timesteps) if recurrence.return_sequences else (batch,)
    return (*kept, recurrence.units)


def _layer_output(call: Call, outputs: Mapping[str, Shape | None]) -> Shape | None:
    form = None if isinstance(call.layer, Recurrence) else form_of(call.layer, call.kwargs)
    shapes = [outputs.get(ref.path) for ref in refs(call.args)]
    known = [shape for shape in shapes if shape is not None]
    if form is None or isinstance(call.layer, Recurrence) or len(known) != len(shapes):
        return None
    return form.shape(call.layer, known)
