"""Loads a whole model, and takes what some of its layers get and give."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.worker.keras_library import as_array, keras_may_reject
from lstm_inspect.nested import leaves


def run_model(
    library: ModuleType,
    path: str,
    inputs: Sequence[str],
    batches: Sequence[Mapping[str, Array]],
    layers: Sequence[str],
) -> list[Array]:
    """Runs a model.

    Args:
        library: Keras.
        path: The file, which safe mode loads.
        inputs: The names of the inputs of the model, in order.
        batches: Batches to run one after the other: an array for each input.
        layers: Names of layers of the model that are called once.

    Returns:
        The first input and the first output of each layer, for the last batch.
    """
    with keras_may_reject("cannot load it: "):
        loaded = library.models.load_model(path, compile=False, safe_mode=True)
        called = [loaded.get_layer(name) for name in layers]
        # The first of several: a layer that reads a mask has a list of inputs.
        tensors = [next(leaves(each)) for it in called for each in (it.input, it.output)]
        submodel = library.Model(loaded.inputs, tensors)
    with keras_may_reject("cannot run it: "):
        for batch in batches:
            given = [batch[name] for name in inputs]
            values: Any = submodel(given[0] if len(given) == 1 else given, training=False)
        return [as_array(library, tensor) for tensor in leaves(values)]
