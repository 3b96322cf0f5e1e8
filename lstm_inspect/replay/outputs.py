"""Computes what a recurrent layer gives to the next layer, which is not always its states."""

from collections.abc import Mapping

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.layers import Value, mask_over
from lstm_inspect.model import Recurrence


def outputs_of(
    recurrence: Recurrence,
    states: Mapping[str, Array],
    mask: Array | None,
    mask_of_input: Array | None,
) -> tuple[Value, ...]:
    """Computes the outputs of a recurrent layer as Keras gives them to the next layer.

    Args:
        recurrence: The layer.
        states: (batch, timesteps, ...) each, with the timesteps in the order in which the layer
            reads them.
        mask: The mask that the layer uses, (batch, timesteps) bool in the order of the input; None
            if it uses none.
        mask_of_input: The mask that comes with x. It goes on with the sequence, in the order of the
            input (keras 3.15.1, layers/rnn/rnn.py, ``compute_mask``).

    Returns:
        The sequence or the last output, then the final states.
    """
    final_states = tuple(Value(states[state][:, -1]) for state in recurrence.states)
    sequence = states[recurrence.states[0]]
    if mask is not None:
        emits = _emits(recurrence, mask)
        sequence = np.where(mask_over(emits, sequence), sequence, sequence.dtype.type(0))
    if not recurrence.return_sequences:
        return Value(sequence[:, -1]), *final_states
    if recurrence.restores_order:
        sequence = sequence[:, recurrence.reading_order]
    if recurrence.time_major:
        sequence = sequence.swapaxes(0, 1)
    return Value(sequence, mask_of_input), *final_states


def _emits(recurrence: Recurrence, mask: Array) -> Array:
    """The steps, in reading order, at which a masked layer emits its state; elsewhere it emits 0.

    A masked step repeats the output of the step before. It also keeps the state of that step, so
    the output is the state again. Before the first step that counts the output is 0, even if the
    initial state is not (keras 3.15.1, backend/tensorflow/rnn.py, ``rnn``).

    With ``zero_output_for_mask`` every masked step emits 0. An unrolled layer that reads backwards
    looks the step up in the mask of the input, which it does not reverse.
    """
    counts: Array = mask[:, recurrence.reading_order]
    has_begun: Array = np.logical_or.accumulate(counts, axis=1)
    if not recurrence.zero_output_for_mask:
        return has_begun
    if recurrence.unroll and recurrence.return_sequences:
        emits: Array = has_begun & mask
        return emits
    return counts
