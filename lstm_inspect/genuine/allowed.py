"""What genuine Keras may build from the config of a whole model."""

from collections.abc import Iterator, Mapping
from typing import Any

from lstm_inspect.cells import ACTIVATIONS
from lstm_inspect.model import Layer, Model

_OBJECTS = frozenset(
    """
    Functional InputLayer Model Sequential
    Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D CuDNNGRU CuDNNLSTM GRU GRUCell LSTM LSTMCell RNN
    SimpleRNN SimpleRNNCell StackedRNNCells TimeDistributed
    SlicingOpLambda TFOpLambda TensorFlowOpLayer
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


def strange_objects(model: Model) -> list[str]:
    """The classes and functions in a config that are not on the list of this module.

    Keras looks up what a config names, and its safe mode refuses less than this. The layers that
    the model calls are not counted here.
    """
    known = {call.layer.class_name for call in model.calls if isinstance(call.layer, Layer)}
    return [
        str(entry.get("registered_name") or name)
        for entry in _objects(model.source.config)
        if not _is_known(entry, name := entry["class_name"], known)
    ]


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yields every entry of a config from which Keras builds something."""
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
    elif isinstance(value, Mapping):
        if "class_name" in value:
            yield value
        for key, item in value.items():
            if key != "compile_config":  # Keras is told not to compile the model
                yield from _objects(item)


def _is_known(entry: Mapping[str, Any], name: object, known: set[str]) -> bool:
    module, registered = entry.get("module"), entry.get("registered_name")
    if isinstance(module, str) and module.partition(".")[0] not in _PACKAGES:
        return False
    if isinstance(registered, str) and ">" in registered:
        return False
    if name == "function":
        return entry.get("config") in ACTIVATIONS
    return name in _OBJECTS or name in known
