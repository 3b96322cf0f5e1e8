"""The shapes of the tensors of a model, as far as its file and its inputs tell them."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from lstm_inspect.errors import ModelFileError
from lstm_inspect.layers import operation_shape, output_shape
from lstm_inspect.model import (
    FED_INPUT,
    Call,
    Layer,
    Operation,
    Recurrence,
    Ref,
    Shape,
    refs,
)


class TensorShapes(NamedTuple):
    """The shapes of tensors, None for an unknown one.

    Attributes:
        given: That of what a replay starts from, by path.
        inputs: That of what a recurrent call reads, by the path of the call.
        outputs: That of what a call gives, by its path, and those of ``given``. A call may give
            several tensors; the first one counts.
    """

    given: Mapping[str, Shape | None]
    inputs: Mapping[str, Shape | None]
    outputs: Mapping[str, Shape | None]


def tensor_shapes(calls: Iterable[Call], given: Mapping[str, Shape | None]) -> TensorShapes:
    """Works out the shapes of the tensors between some calls.

    Args:
        calls: The calls, in an order in which they can be computed.
        given: The shape of each input of the model by the path of its tensor, and of what is fed by
            the path of its call, or for the x of a recurrence by that with ``:input`` behind it.

    Raises:
        ModelFileError: A config does not fit the shapes in front of it.
    """
    outputs = dict(given)
    inputs: dict[str, Shape | None] = {}

    def shape_of(ref: Ref) -> Shape | None:
        return outputs.get(ref.path) if ref.index == 0 else None

    for call in calls:
        if call.path in given:
            continue
        if isinstance(call.layer, Recurrence):
            found = given.get(call.path + FED_INPUT) or next(map(shape_of, refs(call.args)), None)
            shape = _merged(found, call.input_shape)
            if shape is not None and len(shape) < call.folds + 2:
                raise ModelFileError(
                    f"layer {call.path}: expected an input of shape (batch, timesteps, ...), "
                    f"received {shape}"
                )
            inputs[call.path] = shape
            outputs[call.path] = _recurrent_output(call, call.layer, shape)
        else:
            outputs[call.path] = _layer_output(call, call.layer, shape_of)
    return TensorShapes(given, inputs, outputs)


def _merged(found: Shape | None, stated: Shape | None) -> Shape | None:
    """The shape of an input, as its graph tells it and as its layer states it.

    Keras states the shape of a layer's first call, which a shared layer may have several of.
    """
    if found is None or stated is None or len(found) != len(stated):
        return stated or found
    return tuple(other if size is None else size for size, other in zip(found, stated, strict=True))


def _recurrent_output(call: Call, recurrence: Recurrence, shape: Shape | None) -> Shape | None:
    if shape is None:
        return None
    outer, timesteps, features = (
        shape[: 1 + call.folds],
        shape[1 + call.folds],
        shape[2 + call.folds :],
    )
    if recurrence.time_major:
        outer, timesteps = (timesteps,), outer[0]
    state = recurrence.state_shapes(features)[recurrence.states[0]]
    return output_of(recurrence, outer, timesteps, state)


_AnySize = TypeVar("_AnySize")


def output_of(
    recurrence: Recurrence,
    batch: tuple[_AnySize, ...],
    timesteps: _AnySize,
    state: tuple[_AnySize, ...],
) -> tuple[_AnySize, ...]:
    """The shape of the output of a recurrence, from that of its first state of one sequence."""
    if not recurrence.return_sequences:
        return (*batch, *state)
    return (timesteps, *batch, *state) if recurrence.time_major else (*batch, timesteps, *state)


def _layer_output(
    call: Call, layer: Layer, shape_of: Callable[[Ref], Shape | None]
) -> Shape | None:
    """The shape of a call's output. Inside a TimeDistributed, the layer sees the inner shapes."""
    given = [shape_of(ref) for ref in refs(call.args)]
    shapes = [shape for shape in given if shape is not None and len(shape) > call.folds]
    if len(shapes) != len(given) or not shapes:
        return None

    if isinstance(layer.options, Operation):
        found = operation_shape(
            layer, call.args, call.kwargs, lambda ref: call.inner_shape(shape_of(ref))
        )
    else:
        inner = [inner for shape in shapes if (inner := call.inner_shape(shape)) is not None]
        found = output_shape(layer, call.kwargs, inner)
    outer = shapes[0][: 1 + call.folds]
    return found if found is None or not call.folds else (*outer, *found[1:])
