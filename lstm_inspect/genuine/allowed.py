"""What genuine Keras may build from the config of a whole model."""

from collections.abc import Iterator, Mapping
from typing import Any

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.genuine.bridge import can_build
from lstm_inspect.layers import in_numpy
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
    """The layers, classes and functions of a model that genuine Keras must not build.

    Layers that the model calls must be built in. Keras also looks up everything else that the
    config names, and its safe mode refuses less than the list of this module.
    """
    strange = []
    known = set()
    functions = set()
    for call in model.calls:
        if isinstance(layer := call.layer, Layer):
            if not (
                layer.class_name in _OBJECTS  # a cell in it that is not built in is found below
                or can_build(layer)
                or in_numpy(layer, call.args, call.kwargs)
            ):
                strange.append(layer.class_name)
            known.add(layer.class_name)
            if isinstance(layer.options, Operation):
                functions.add(layer.config.get("function"))
    if strange:
        return strange
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
