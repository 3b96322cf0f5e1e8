"""Runs the function that a SavedModel keeps for serving: the saver's own graph of the model."""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.worker.keras_library import keras_may_reject


def run_signature(
    library: ModuleType, folder: str, signature: str, batches: Sequence[Mapping[str, Array]]
) -> dict[str, Array]:
    """Runs a signature of a SavedModel.

    Args:
        library: TensorFlow.
        folder: The SavedModel.
        signature: The name of the signature.
        batches: Batches to run one after the other: an array for each input. If there is one
            input, its name may be another than that in the signature.

    Returns:
        The outputs for the last batch, by name.
    """
    with keras_may_reject("cannot load it: "):
        function = library.saved_model.load(folder).signatures[signature]
        specs = function.structured_input_signature[1]
    with keras_may_reject("cannot run it: "):
        for batch in batches:
            given = batch if len(specs) != 1 else dict(zip(specs, batch.values(), strict=True))
            parts = [
                function(**{name: library.constant(array) for name, array in part.items()})
                for part in _in_parts(given, specs)
            ]
        return {name: np.concatenate([np.array(part[name]) for part in parts]) for name in parts[0]}


def _in_parts(
    batch: Mapping[str, Array], specs: Mapping[str, Any]
) -> Iterator[Mapping[str, Array]]:
    """A batch as the function takes it, which may be traced for one size, such as 1."""
    total = len(next(iter(batch.values())))
    sizes = [spec.shape[0] for spec in specs.values() if spec.shape.rank and spec.shape[0]]
    size = sizes[0] if sizes and total % sizes[0] == 0 else total
    for start in range(0, total, size):
        yield {name: array[start : start + size] for name, array in batch.items()}
