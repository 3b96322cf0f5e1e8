"""Computes what a recurrent layer gives to the next layer, which is not always its states."""

from collections.abc import Mapping

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.layers import Value, mask_over
from lstm_inspect.model import Recurrence


def outputs_of(
    recurrence: Recurrence,
    sequence: Array | None,
    final_states: Mapping[str, Array],
    mask: Array | None,
    has_begun: Array | None,
    mask_of_input: Array | None,
) -> tuple[Value, ...]:
    """Computes the outputs of a recurrent layer as Keras gives them to the next layer.

    Args:
        recurrence: The layer.
        sequence: The first state at each timestep, (batch, timesteps, ...), in the order in which
            the layer reads them; None if the layer does not return it, or nobody reads it.
        final_states: Each state after the last step that the layer reads.
        mask: The mask that the layer uses, (batch, timesteps) bool in the order of the input; None
            if it uses none.
        has_begun: What `begun` gives for the mask.
        mask_of_input: The mask that comes with x. It goes on with the sequence, in the order of the
            input (keras 3.15.1, layers/rnn/rnn.py, ``compute_mask``).

    Returns:
        The sequence or the last output, then the final states. In place of a sequence that is not
        there stands the last output, which nobody reads.
    """
    states = tuple(Value(final_states[state]) for state in recurrence.states)
    last = states[0].array
    emits = None
    if mask is not None and has_begun is not None:
        emits = _emits(recurrence, mask, has_begun)
    if sequence is None:
        if emits is not None:
            last = np.where(mask_over(emits[:, -1], last), last, last.dtype.type(0))
        return Value(last), *states
    if emits is not None:
        sequence = np.where(mask_over(emits, sequence), sequence, sequence.dtype.type(0))
    if recurrence.restores_order:
        sequence = sequence[:, recurrence.reading_order]
    if recurrence.time_major:
        sequence = sequence.swapaxes(0, 1)
    return Value(sequence, mask_of_input), *states


def begun(recurrence: Recurrence, mask: Array, before: Array | None) -> Array:
    """Whether a step that counts has been read, (batch, timesteps) bool in reading order.

    Args:
        recurrence: The layer.
        mask: The mask that the layer uses, (batch, timesteps) bool in the order of the input.
        before: Whether one was read before the first of these timesteps, (batch,) bool; None if
            there are none before.
    """
    counts = np.array(mask[:, recurrence.reading_order])
    if before is not None:
        counts[:, 0] |= before
    has_begun: Array = np.logical_or.accumulate(counts, axis=1)
    return has_begun


def _emits(recurrence: Recurrence, mask: Array, has_begun: Array) -> Array:
    """The steps, in reading order, at which a masked layer emits its state; elsewhere it emits 0.

    A masked step repeats the output of the step before. It also keeps the state of that step, so
    the output is the state again. Before the first step that counts the output is 0, even if the
    initial state is not (keras 3.15.1, backend/tensorflow/rnn.py, ``rnn``).

    With ``zero_output_for_mask`` every masked step emits 0. An unrolled layer that reads backwards
    looks the step up in the mask of the input, which it does not reverse.
    """
    if not recurrence.zero_output_for_mask:
        return has_begun
    if recurrence.unroll and recurrence.return_sequences:
        emits: Array = has_begun & mask
        return emits
    counts: Array = mask[:, recurrence.reading_order]
    return counts
