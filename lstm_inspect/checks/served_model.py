"""Compares the results of a SavedModel with those of its own serving function."""

from collections.abc import Sequence

from lstm_inspect.checks.comparison import Comparison, difference
from lstm_inspect.checks.diff.two_arrays import Tolerance
from lstm_inspect.files.limits import Limits
from lstm_inspect.genuine.oracle import run_served
from lstm_inspect.model import Model
from lstm_inspect.replay.plan import needed_for
from lstm_inspect.replay.run import Replayed


def compare_served(
    model: Model, replayed: Replayed, limits: Limits, tolerance: Tolerance | None
) -> Sequence[Comparison] | str:
    """Compares each result for each layer that it depends on, or says in one line why it cannot.

    The function has no name for the x and the states of a layer. A result shows them as far as it
    depends on them.
    """
    results = {
        output.name: replayed.tensors[output.tensor].array
        for output in model.outputs
        if output.tensor in replayed.tensors
    }
    if not results:
        return "the replay cannot compute its results"
    batches = [arrays for _, arrays in replayed.ready.batches()]
    theirs = run_served(model, batches, limits)
    if isinstance(theirs, str):
        return theirs
    if len(theirs) == len(model.outputs) == 1:
        theirs = {model.outputs[0].name: next(iter(theirs.values()))}
    comparisons = []
    for output in model.outputs:
        name = output.name
        if name not in results or name not in theirs:
            continue
        ours = results[name]
        if ours.shape != theirs[name].shape:
            return f"its function gives {name} in the shape {theirs[name].shape}, not {ours.shape}"
        before = needed_for(model, [output.tensor.path])
        comparisons += [
            difference(call.path, f"output {name}", ours, theirs[name], recurrence, tolerance)
            for call, recurrence in model.recurrent_calls
            if call.path in before
        ]
    return comparisons or "its function gives none of the results that the replay computed"
