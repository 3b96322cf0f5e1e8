"""Loads a whole model, and records what some of its layers get and give."""

import functools
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.genuine.worker.keras_library import as_array, keras_may_reject, operation_class
from lstm_inspect.nested import leaves


def run_model(
    library: ModuleType,
    path: str,
    operations: Mapping[str, str],
    inputs: Sequence[str],
    batches: Sequence[Mapping[str, Array]],
    layers: Sequence[str],
) -> list[list[tuple[Array, list[Array]]]]:
    """Runs a model.

    Args:
        library: Keras.
        path: The file, which safe mode loads.
        operations: The operations that the model calls, each with its module in ``keras.src.ops``.
        inputs: The names of the inputs of the model, in order.
        batches: Batches to run one after the other: an array for each input.
        layers: Names of layers. A layer of a nested model, or of a model in a TimeDistributed, has
            the name of that in front: ``encoder/lstm``.

    Returns:
        For each of the layers its calls in the last batch: its first input and its outputs.
        A layer that Keras does not have under this name has none.
    """
    # An .h5 does not say where an operation is from (keras 3.15.1, legacy/saving/serialization.py).
    classes = {
        name: operation_class(module, name)
        for name, module in operations.items()
        if library.__name__ == "keras" and not hasattr(library.layers, name)
    }
    with keras_may_reject("cannot load it: "):
        loaded = library.models.load_model(
            path, custom_objects=classes, compile=False, safe_mode=True
        )
        calls = [_recorded(_layer_of(loaded, name)) for name in layers]
    with keras_may_reject("cannot run it: "):
        for batch in batches:
            for each in calls:
                each.clear()
            given = [batch[name] for name in inputs]
            loaded(given[0] if len(given) == 1 else given, training=False)
        return [
            [(as_array(library, x), [as_array(library, y) for y in outputs]) for x, outputs in each]
            for each in calls
        ]


def _layer_of(model: Any, name: str) -> Any:
    """The layer of a name, in the model or in the models nested in it; None if there is none."""
    for layer in model.layers:
        if layer.name == name:
            return layer
    for layer in model.layers:
        inner = layer if hasattr(layer, "layers") else getattr(layer, "layer", None)
        if hasattr(inner, "layers") and name.startswith(f"{layer.name}/"):
            return _layer_of(inner, name.removeprefix(f"{layer.name}/"))
    return None


def _recorded(layer: Any) -> list[tuple[Any, list[Any]]]:
    """The list to which a layer adds its first input and its outputs at each of its calls."""
    calls: list[tuple[Any, list[Any]]] = []
    if layer is None:
        return calls
    call = layer.call

    @functools.wraps(call)
    def recording(*args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        calls.append((next(leaves((args, kwargs))), [*leaves(outputs)]))
        return outputs

    layer.call = recording
    return calls
