"""What genuine Keras may build from the config of a whole model."""

from collections.abc import Iterator, Mapping
from typing import Any

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.model import Layer, Model, Operation

_OBJECTS = frozenset(
    """
    Functional InputLayer Model Sequential
    Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D CuDNNGRU CuDNNLSTM GRU GRUCell LSTM LSTMCell RNN
    SimpleRNN SimpleRNNCell StackedRNNCells TimeDistributed
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal
    LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal
    VarianceScaling Zeros
    L1 L1L2 L2 OrthogonalRegularizer
    MaxNorm MinMaxNorm NonNeg UnitNorm
    DTypePolicy FloatDTypePolicy Policy
    TensorShape __ellipsis__ __keras_tensor__ __numpy__ __tensor__ __tuple__ slice
    """.split()  # noqa: SIM905 - one name a line would fill two pages
)
_PACKAGES = ("builtins", "keras", "tf_keras")


_FUNCTIONS = ("SlicingOpLambda", "TFOpLambda")


def strange_objects(model: Model) -> list[str]:
    """The classes and functions in a config that are not on the list of this module.

    Keras looks up what a config names, and its safe mode refuses less than this. The layers and
    operations that the model calls are allowed here: the caller has looked at them.
    """
    layers = [call.layer for call in model.calls if isinstance(call.layer, Layer)]
    known = {layer.class_name for layer in layers}
    functions = {layer.config.get("function") for layer in layers if _is_operation(layer)}
    config = {
        key: value
        for key, value in (model.source.config or {}).items()
        if key != "compile_config"  # Keras is told not to compile the model; it does so inside it
    }
    return [
        f"{entry.get('registered_name') or entry['class_name']}"
        for entry in _objects(config)
        if not _is_known(entry, known, functions)
    ]


def _is_operation(layer: Layer) -> bool:
    return isinstance(layer.options, Operation)


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yields every entry of a config from which Keras builds something."""
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
    elif isinstance(value, Mapping):
        if "class_name" in value:
            yield value
        for item in value.values():
            yield from _objects(item)


def _is_known(entry: Mapping[str, Any], known: set[str], functions: set[Any]) -> bool:
    name, config = entry["class_name"], entry.get("config")
    module, registered = entry.get("module"), entry.get("registered_name")
    if not isinstance(name, str):
        return False
    if isinstance(module, str) and module.partition(".")[0] not in _PACKAGES:
        return False
    if isinstance(registered, str) and ">" in registered:
        return False
    if name == "function":
        return isinstance(config, str) and config in ACTIVATIONS
    if name in _FUNCTIONS:
        function = config.get("function") if isinstance(config, Mapping) else None
        return isinstance(function, str) and function in functions
    return name in _OBJECTS or name in known
