"""One call of a recurrent layer: what the cell does not know of direction, mask and output."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np

from lstm_inspect.cells import LstmCell, run
from lstm_inspect.errors import InputError
from lstm_inspect.formats import Array
from lstm_inspect.layers import Value
from lstm_inspect.model import Recurrence


def replay_recurrence(
    path: str,
    recurrence: Recurrence,
    x: Array,
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
        x: (batch, timesteps, features).
        mask: (batch, timesteps) bool, or None.
        initial_state: (batch, units) for each state, or nothing for zeros.
        record: Which signals to return.
        progress: Called with (path, timesteps done, timesteps in all) after every step.

    Returns:
        The layer's outputs as Keras gives them to the next layer, and the recorded signals in the
        order of ``record``, indexed by the input's timestep.

    Raises:
        InputError: x or an initial state does not have the shape the weights need.
    """
    x = x.astype(recurrence.dtype, copy=False)
    if x.ndim != 3 or x.shape[2] != recurrence.features:
        raise InputError(
            f"layer {path}: expected (batch, timesteps, {recurrence.features}), received {x.shape}"
        )
    batch = len(x)
    states = dict(zip(recurrence.states, initial_state, strict=False))
    for name in recurrence.states:
        given = states.setdefault(name, np.zeros((batch, recurrence.units), x.dtype))
        if given.shape != (batch, recurrence.units):
            raise InputError(
                f"layer {path}: expected an initial {name} of shape {(batch, recurrence.units)}, "
                f"received {given.shape}"
            )
    # In half precision the sums are made in single precision and rounded once, when recorded.
    working = np.promote_types(x.dtype, np.float32)
    order = slice(None, None, -1) if recurrence.go_backwards else slice(None)
    recorded = run(
        _cell(recurrence, working),
        x.astype(working, copy=False)[:, order],
        initial_state={name: state.astype(working) for name, state in states.items()},
        mask=None if mask is None else mask[:, order],
        record=record,
        on_step=None if progress is None else partial(progress, path),
    )
    recorded = {name: array.astype(x.dtype, copy=False) for name, array in recorded.items()}
    outputs = _outputs(recurrence, recorded, None if mask is None else mask[:, order])
    signals = {name: array[:, order] for name, array in recorded.items()}
    signals["x"] = x
    signals["mask"] = np.ones(x.shape[:2], bool) if mask is None else mask
    return outputs, {name: signals[name] for name in record}


def _cell(recurrence: Recurrence, working: np.dtype[np.floating]) -> LstmCell:
    weights = {
        name: array.astype(recurrence.dtype).astype(working)
        for name, array in recurrence.weights.items()
    }
    return LstmCell(
        weights["kernel"],
        weights["recurrent_kernel"],
        weights.get("bias"),
        recurrence.activation,
        recurrence.recurrent_activation,
    )


def _outputs(
    recurrence: Recurrence, recorded: dict[str, Array], mask: Array | None
) -> tuple[Value, ...]:
    """What the layer hands on, in the order in which it reads the timesteps.

    At a masked step it repeats its previous output, which is 0 before the first unmasked step
    even if the initial state is not (keras 3.15.1, backend/tensorflow/rnn.py, ``rnn``).
    """
    h = recorded["h"]
    if mask is None:
        output = h
    else:
        counts = mask if recurrence.zero_output_for_mask else np.logical_or.accumulate(mask, axis=1)
        output = np.where(counts[:, :, np.newaxis], h, h.dtype.type(0))
    last = tuple(Value(recorded[state][:, -1]) for state in recurrence.states)
    if recurrence.return_sequences:
        return Value(output, mask), *last
    return Value(output[:, -1]), *last
