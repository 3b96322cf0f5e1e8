"""One call of a recurrent layer: what the cell does not know of direction, mask and output."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_inspect.cells import Cell, ConvLstmCell, GruCell, LstmCell, SimpleRnnCell, run
from lstm_inspect.errors import InputError
from lstm_inspect.formats import Array
from lstm_inspect.layers import Value, mask_over
from lstm_inspect.model import Recurrence
from lstm_inspect.precision import cast

CELL_SIGNALS = {
    "lstm": LstmCell.signals,
    "peephole_lstm": LstmCell.signals,
    "gru": GruCell.signals,
    "simple_rnn": SimpleRnnCell.signals,
    "conv_lstm": ConvLstmCell.signals,
}


def signals_of(cell: str) -> tuple[str, ...]:
    """Everything that can be recorded of a kind of cell."""
    initial = ("h0", "c0") if "c" in CELL_SIGNALS[cell] else ("h0",)
    return (*CELL_SIGNALS[cell], "x", "mask", *initial)


def replay_recurrence(
    path: str,
    recurrence: Recurrence,
    given: Value,
    *,
    mask: Array | None,
    initial_state: Sequence[Array],
    record: Collection[str],
    progress: Callable[[str, int, int], None] | None,
) -> tuple[tuple[Value, ...], dict[str, Array]]:
    """Replays a recurrent layer.

    Args:
        path: The call's name, for errors.
        recurrence: The layer.
        given: x, (batch, timesteps, features); of a ConvLSTM, (batch, timesteps, *spatial,
            features), or features first where the layer says so. Its mask travels on.
        mask: (batch, timesteps) bool, or None: the mask that the layer heeds.
        initial_state: An array for each state, or nothing for zeros.
        record: Which signals to return, of those that the cell has.
        progress: Called with (path, timesteps done, timesteps in all) after every step.

    Returns:
        The layer's outputs as Keras gives them to the next layer, and the recorded signals in the
        order of ``record``, indexed by the input's timestep.

    Raises:
        InputError: x or an initial state does not have the shape the weights need.
    """
    convolution = recurrence.convolution
    channels_first = convolution is not None and convolution.channels_first
    x = cast(given.array, recurrence.dtype)
    if recurrence.time_major:
        x = x.swapaxes(0, 1)
        mask = None if mask is None else mask.swapaxes(0, 1)
    _check_x(path, recurrence, x, 2 if channels_first else -1)
    # In half precision the sums are made in single precision and rounded once, when recorded.
    working = np.promote_types(x.dtype, np.float32)
    cell = _cell(recurrence, working)
    order = recurrence.reading_order
    read = x.astype(working, copy=False)[:, order]
    if channels_first:
        read = np.moveaxis(read, 2, -1)
        initial_state = [np.moveaxis(state, 1, -1) for state in initial_state]
    shape = (len(x), *cell.state_shape(read.shape[2:]))
    states = _initial_state(path, recurrence, initial_state, shape, working)
    recorded = run(
        cell,
        read,
        initial_state=states,
        mask=None if mask is None else mask[:, order],
        record=record,
        on_step=None if progress is None else partial(progress, path),
    )
    if channels_first:
        recorded = {name: np.moveaxis(array, -1, 2) for name, array in recorded.items()}
        states = {name: np.moveaxis(state, -1, 1) for name, state in states.items()}
    recorded = {name: cast(array, recurrence.dtype) for name, array in recorded.items()}
    signals = {name: array[:, order] for name, array in recorded.items()}
    signals["x"] = x
    signals |= {f"{name}0": cast(state, recurrence.dtype) for name, state in states.items()}
    signals["mask"] = np.ones(x.shape[:2], bool) if mask is None else mask
    return (
        _outputs(recurrence, recorded, mask, order, given.mask),
        {name: signals[name] for name in record if name in signals},
    )


def _check_x(path: str, recurrence: Recurrence, x: Array, feature_axis: int) -> None:
    rank = len(recurrence.weights["kernel"].shape) + 1
    if x.ndim != rank or x.shape[feature_axis] != recurrence.features:
        spatial = [] if recurrence.convolution is None else ["any"] * (rank - 3)
        spatial.insert(len(spatial) if feature_axis == -1 else 0, str(recurrence.features))
        raise InputError(
            f"layer {path}: expected (batch, timesteps, {', '.join(spatial)}), received {x.shape}"
        )


def _initial_state(
    path: str,
    recurrence: Recurrence,
    given: Sequence[Array],
    shape: tuple[int, ...],
    working: np.dtype[Any],
) -> dict[str, Array]:
    states = {name: np.zeros(shape, working) for name in recurrence.states}
    for name, state in zip(recurrence.states, given, strict=False):
        if state.shape != shape:
            raise InputError(
                f"layer {path}: expected an initial {name} of shape {shape}, received {state.shape}"
            )
        states[name] = state.astype(working)
    return states


def _cell(recurrence: Recurrence, working: np.dtype[Any]) -> Cell:
    weights = {
        name: cast(array, recurrence.dtype).astype(working)
        for name, array in recurrence.weights.items()
    }
    kernel, recurrent_kernel = weights["kernel"], weights["recurrent_kernel"]
    bias, peepholes = weights.get("bias"), weights.get("peepholes")
    activation = recurrence.activation or "linear"
    recurrent_activation = recurrence.recurrent_activation or "linear"
    match recurrence.cell:
        case "gru":
            return GruCell(
                kernel,
                recurrent_kernel,
                bias,
                activation,
                recurrent_activation,
                recurrence.reset_after,
            )
        case "simple_rnn":
            return SimpleRnnCell(kernel, recurrent_kernel, bias, activation)
        case "conv_lstm" if recurrence.convolution is not None:
            return ConvLstmCell(
                kernel,
                recurrent_kernel,
                bias,
                activation,
                recurrent_activation,
                recurrence.convolution.strides,
                recurrence.convolution.dilation,
                recurrence.convolution.padding,
                recurrence.convolution.state_padding,
            )
        case _:
            return LstmCell(
                kernel, recurrent_kernel, bias, activation, recurrent_activation, peepholes
            )


def _outputs(
    recurrence: Recurrence,
    recorded: dict[str, Array],
    mask: Array | None,
    order: slice,
    travelling_mask: Array | None,
) -> tuple[Value, ...]:
    """What the layer hands on.

    At a masked step it repeats its previous output, which is 0 before the first unmasked step
    even if the initial state is not (keras 3.15.1, backend/tensorflow/rnn.py, ``rnn``). An unrolled
    layer that is to hand on 0 there reads backwards, but has its mask forwards. Its
    sequence is in the order in which it read, its mask in that of its input
    (layers/rnn/rnn.py, ``compute_mask``).
    """
    output = recorded["h"]
    if mask is not None:
        counts = mask[:, order]
        since_first = np.logical_or.accumulate(counts, axis=1)
        if not recurrence.zero_output_for_mask:
            counts = since_first
        elif recurrence.unroll and recurrence.return_sequences:
            counts = since_first & mask
        output = np.where(mask_over(counts, output), output, output.dtype.type(0))
    last = tuple(Value(recorded[state][:, -1]) for state in recurrence.states)
    if not recurrence.return_sequences:
        return Value(output[:, -1]), *last
    if recurrence.restores_order:
        output = output[:, order]
    if recurrence.time_major:
        output = output.swapaxes(0, 1)
    return Value(output, travelling_mask), *last
