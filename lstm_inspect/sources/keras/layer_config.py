"""Reads one layer's entry in a model config, in the dialect of the Keras that wrote it."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lstm_inspect.errors import ModelFileError
from lstm_inspect.model import Shape
from lstm_inspect.sources.keras.keras1 import is_keras1, modernise
from lstm_inspect.sources.keras.stores.saved_file import LayerWeights, SavedFile

_CHAINS = ("Pipeline", "Sequential")
MODEL_CLASSES = frozenset({*_CHAINS, "Functional", "Model"})

# The .keras has the name under which Keras exports a class, the .h5 and the tree of variables have
# the name of the class itself (keras 3.15.1, layers/attention/grouped_query_attention.py).
_CLASS_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}

_NUMBER = re.compile(r"[0-9]{1,6}")
_DTYPES = frozenset(
    {
        *("float16", "bfloat16", "float32", "float64", "bool", "string"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *("complex64", "complex128"),
    }
)
_OPERATIONS_WITH_DTYPE = frozenset({"Cast", "OnesLike", "ZerosLike"})
TF_OPERATION_CLASSES = frozenset({"TFOpLambda", "SlicingOpLambda"})


class Dialect(NamedTuple):
    """The words and conventions of the Keras version that saved a file.

    Attributes:
        keras: Its generation: 1, 2 (tf.keras included) or 3.
        minor: Its minor version.
        is_tf_keras: Whether it is tf.keras or Keras 3, which continues tf.keras.
        is_theano: Whether it ran on Theano, which turns the kernels of a convolution round and pads
            in another way.
    """

    keras: int
    minor: int
    is_tf_keras: bool
    is_theano: bool

    @property
    def framework(self) -> str:
        """The framework of its layers: ``"Keras 3"``, or ``"Keras 2"`` for Keras 1 too."""
        return "Keras 3" if self.keras == 3 else "Keras 2"

    @property
    def bidirectional_zeroes(self) -> bool:
        """Whether a Bidirectional that returns sequences makes its layers emit 0 at masked steps.

        tf.keras and Keras 3 do (keras 3.15.1, 2.15.0 and tensorflow 1.15.5:
        ``force_zero_output_for_mask`` in the module of Bidirectional). The Keras that was installed
        on its own does not (keras 2.2.4 and 2.3.1).
        """
        return self.is_tf_keras

    @property
    def merges_masks(self) -> str:
        """How the masks of merged inputs combine, in the words of `lstm_inspect.model.Merge`.

        Keras 1 and 2: ``"all"``. Keras 3.0 to 3.3: ``"none"``, because layers/layer.py passes no
        masks to ``compute_mask``. Keras 3.4 and later: ``"any"`` (keras 2.15.0, 3.0.5, 3.3.3, 3.4.1
        and 3.15.1: layers/merging/base_merge.py, ``compute_mask``, and layers/layer.py).
        """
        if self.keras < 3:
            return "all"
        return "none" if self.minor < 4 else "any"


def dialect_of(file: SavedFile) -> Dialect:
    """The dialect of a file that holds a config."""
    backend = file.backend
    generation, minor = _generation(file.config or {}, file.keras_version)
    if generation == 1 and backend is None and isinstance(file.weights, LayerWeights):
        # Keras 1 does not state its backend. TensorFlow puts ":0" behind the name of a variable.
        names = [name for named in file.weights.layers.values() for name, _ in named]
        backend = "tensorflow" if any(name.endswith(":0") for name in names) else "theano"
    is_tf_keras = generation == 3 or minor >= 4 or "-tf" in (file.keras_version or "")
    return Dialect(generation, minor, is_tf_keras, backend == "theano")


def _generation(config: Mapping[str, Any], keras_version: str | None) -> tuple[int, int]:
    """The generation and the minor version of the Keras that saved a config.

    If the file does not state a version, the words of the config tell the generation.

    Raises:
        ModelFileError: The version is none.
    """
    if keras_version is not None:
        major, _, rest = keras_version.partition(".")
        minor = rest.partition(".")[0]
        if not _NUMBER.fullmatch(major):
            raise ModelFileError(
                f"keras_version: expected a version such as 2.15.0, received {keras_version!r}"
            )
        return max(1, min(3, int(major))), int(minor) if _NUMBER.fullmatch(minor) else 0
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    listed = layers if isinstance(layers, list) else []
    configs = [layer.get("config") for layer in listed if isinstance(layer, dict)]
    if any(isinstance(each, dict) and is_keras1(each) for each in configs):
        return 1, 0
    return (3, 99) if "module" in config else (2, 0)


def read_shape(value: object) -> Shape | None:
    """Reads a shape of a config, batch first; None if the value is not a shape."""
    if not isinstance(value, list) or not value:
        return None
    if not all(size is None or (type(size) is int and size >= 0) for size in value):
        return None
    return tuple(value)


def _foreign_name(entry: Mapping[str, Any]) -> str | None:
    """The full name of a class that is not Keras's own; None for a class of Keras.

    A user's class may be called ``LSTM`` too. Its entry then has a module outside Keras, or a
    registered name with the package in front, ``mine>LSTM``
    (keras 3.15.1, saving/serialization_lib.py, ``serialize_keras_object``).
    """
    module, registered = entry.get("module"), entry.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        return registered
    if isinstance(module, str) and module.split(".")[0] not in ("keras", "builtins"):
        return f"{module}>{entry.get('class_name')}"
    return None


class LayerConfig:
    """The config of a layer, anywhere in the file.

    Args:
        entry: ``{"class_name": ..., "config": ..., ...}``.
        dialect: The dialect of the file.

    Raises:
        ModelFileError: The entry does not have that form.
    """

    def __init__(self, entry: object, dialect: Dialect) -> None:
        # Keras 2 kept the Merge of Keras 1 (keras 2.1.6, legacy/layers.py, `Merge`).
        is_merge = isinstance(entry, dict) and entry.get("class_name") == "Merge"
        if isinstance(entry, dict) and (dialect.keras == 1 or is_merge):
            entry = modernise(entry)
        class_name = entry.get("class_name") if isinstance(entry, dict) else None
        config = entry.get("config") if isinstance(entry, dict) else None
        if class_name == "Sequential" and isinstance(config, list):
            # The config is the list of layers itself (keras 2.1.3, models.py,
            # `Sequential.get_config`).
            config = {"layers": config}
        if not (
            isinstance(entry, dict) and isinstance(class_name, str) and isinstance(config, dict)
        ):
            raise ModelFileError(
                f"model config: expected a layer with class_name and config, received {entry!r:.80}"
            )
        is_theano_convolution = dialect.is_theano and class_name.startswith("Conv")
        if is_theano_convolution and config.get("padding") == "same":
            config = {**config, "padding": "half"}  # Theano pads otherwise, see `Moves`
        self.entry: Mapping[str, Any] = entry
        self.dialect = dialect
        foreign = _foreign_name(entry)
        self.is_foreign = foreign is not None
        """Whether its class is not one of Keras's own, as far as the entry says."""
        self.class_name: str = foreign or _CLASS_NAMES.get(class_name, class_name)
        self.config: dict[str, Any] = config
        self.name = str(self.config.get("name", entry.get("name", self.class_name)))

    @property
    def is_model(self) -> bool:
        """True for a model of any class: a Sequential, or layers with their wiring."""
        return self.class_name in MODEL_CLASSES or (
            "layers" in self.config and "input_layers" in self.config
        )

    @property
    def is_chain(self) -> bool:
        """True for a model whose layers are called one after the other."""
        return self.class_name in _CHAINS

    @property
    def is_operation(self) -> bool:
        """True for a pure operation such as ``x * 2``, which a config lists among the layers.

        A ``.keras`` states its module, ``keras.src.ops``. An ``.h5`` does not, but the config of a
        layer always has a dtype, and that of an operation only if the operation takes one, such as
        Cast (keras 3.15.1, ops/operation.py, layers/layer.py, ``get_config``).
        """
        if self.class_name in TF_OPERATION_CLASSES:
            return True
        module = self.entry.get("module")
        if isinstance(module, str):
            return module.startswith("keras.src.ops")
        has_dtype = "dtype" in self.config and self.class_name not in _OPERATIONS_WITH_DTYPE
        return self.dialect.keras == 3 and not has_dtype and not self.is_model

    @property
    def merged_models(self) -> "list[LayerConfig]":
        """The models that a Keras 1 ``Merge`` takes its inputs from; none for other layers.

        Source: keras 1.2.2, models.py, ``Sequential.get_config``.
        """
        is_merge = self.dialect.keras == 1 and "mode" in self.config
        return self.children("layers") if is_merge and self.config.get("layers") else []

    @property
    def inbound_nodes(self) -> list[Any]:
        """The calls of the layer in a Functional model, one node for each call."""
        nodes = self.entry.get("inbound_nodes", [])
        if not isinstance(nodes, list):
            raise self._unexpected("inbound_nodes", "a list", nodes)
        return nodes

    @property
    def is_trained(self) -> bool:
        """Whether its weights count as trainable."""
        return self.flag("trainable", default=True)

    @property
    def backward_layer(self) -> "LayerConfig":
        """The backward layer of a Bidirectional: its own, or the forward layer turned round."""
        if self.config.get("backward_layer") is not None:
            return self.child("backward_layer")
        forward = self.child("layer")
        turned = {**forward.config, "go_backwards": not forward.flag("go_backwards")}
        return LayerConfig({**forward.entry, "config": turned}, forward.dialect)

    def child(self, key: str) -> "LayerConfig":
        """The layer that a wrapper holds under ``key``."""
        return LayerConfig(self.config.get(key), self.dialect)

    def children(self, key: str) -> "list[LayerConfig]":
        """The layers that a model, or a stack of cells, lists under ``key``."""
        entries = self.config.get(key)
        if not isinstance(entries, list):
            raise self._unexpected(key, "a list of layers", entries)
        return [LayerConfig(entry, self.dialect) for entry in entries]

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean of the config; some configs have 0 or 1, as it was given to the layer."""
        value = self.config.get(key, default)
        if isinstance(value, bool) or (type(value) is int and value in (0, 1)):
            return bool(value)
        raise self._unexpected(key, "true or false", value)

    def size(self, key: str) -> int:
        """A positive whole number of the config, such as ``units``."""
        value = self.config.get(key)
        if type(value) is not int or value < 1:
            raise self._unexpected(key, "a positive whole number", value)
        return value

    def whole(self, key: str, value: object) -> int:
        """Checks that a value found under a key is a whole number, and returns it."""
        if type(value) is not int:
            raise self._unexpected(key, "a whole number", value)
        return value

    def wholes(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers of the config, such as ``target_shape``."""
        value = self.config.get(key)
        if not isinstance(value, list):
            raise self._unexpected(key, "a list of whole numbers", value)
        return tuple(self.whole(key, item) for item in value)

    def number(self, key: str, *, default: float = 0.0) -> float:
        """A number of the config."""
        value = self.config.get(key, default)
        if isinstance(value, dict) and value.get("type") == "ndarray":
            # keras 2.2.4, engine/saving.py, `get_json_type`: a number of NumPy.
            value = value.get("value")
        return self._number(key, value)

    def number_or_numbers(self, key: str) -> float | tuple[float, ...]:
        """A number of the config, or a list of numbers; 0 if the config leaves it out.

        Keras 3 writes an array as an object of the class ``__tensor__`` or ``__numpy__``
        (keras 3.15.1, saving/serialization_lib.py, ``serialize_keras_object``).
        """
        value = self.config.get(key, 0.0)
        if isinstance(value, dict) and value.get("class_name") in ("__tensor__", "__numpy__"):
            stored = value.get("config")
            value = stored.get("value") if isinstance(stored, dict) else stored
        if isinstance(value, list):
            return tuple(self._number(key, item) for item in value)
        return self._number(key, value)

    def _number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._unexpected(key, "a number", value)
        return float(value)

    def sizes(self, key: str, rank: int, *, default: int = 1) -> tuple[int, ...]:
        """Positive whole numbers, one for each spatial axis; a single number applies to all."""
        value = self.config.get(key, default)
        sizes = [value] * rank if type(value) is int else value
        if not (
            isinstance(sizes, list)
            and len(sizes) == rank
            and all(type(size) is int and size > 0 for size in sizes)
        ):
            raise self._unexpected(key, f"{rank} positive whole numbers", value)
        return tuple(sizes)

    def pooling(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The window and the strides of a pooling; without strides it moves by its window."""
        size = self.sizes("pool_size", rank, default=2)
        is_given = self.config.get("strides") is not None
        return size, self.sizes("strides", rank) if is_given else size

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """A word of the config, one of ``choices``; the first one if the config leaves it out."""
        value = self.config.get(key) or choices[0]
        if value not in choices:
            raise self._unexpected(key, " or ".join(choices), value)
        return str(value)

    def activation(self, key: str, *, default: str) -> str:
        """The name of an activation, as `lstm_inspect.cells.activations` knows it.

        A user's own function keeps the name that the file gives it, after ``custom:``.
        """
        value = self.config.get(key, default)
        if value is None:
            return "linear"
        if isinstance(value, dict):
            registered, function = value.get("registered_name"), value.get("config")
            named = [registered if registered != "function" else None, function]
            names = [name for name in named if isinstance(name, str)]
            return f"custom:{names[0] if names else value.get('class_name')}"
        if not isinstance(value, str):
            raise self._unexpected(key, "the name of an activation", value)
        # The function changed: clip(0.2x + 0.5) in keras 2.15 (backend.py, `hard_sigmoid`),
        # clip(x/6 + 0.5) in keras 3.0.5.
        if value == "hard_sigmoid" and self.dialect.keras < 3:
            return "hard_sigmoid_0.2"
        return value

    @property
    def dtype(self) -> str:
        """The dtype the layer computes in, from its dtype or its dtype policy."""
        value = self.config.get("dtype", "float32")
        if isinstance(value, dict):
            policy = value.get("config") or {}
            if not isinstance(policy, dict):
                raise self._unexpected("dtype", "a dtype or a dtype policy", value)
            value = policy.get("name")
        if value is None:
            return "float32"
        # The name of a policy ends with the compute dtype: "mixed_bfloat16", "int8_from_float32".
        dtype = value.rpartition("_")[2] if isinstance(value, str) else None
        if dtype not in _DTYPES:
            raise self._unexpected("dtype", "a dtype or a dtype policy", value)
        return dtype

    @property
    def batch_shape(self) -> Shape | None:
        """The input shape that an InputLayer, or the first layer of a Sequential, states."""
        for key in ("batch_shape", "batch_input_shape"):
            if key in self.config:
                shape = read_shape(self.config[key])
                if shape is None and self.config[key] is not None:
                    raise self._unexpected(key, "a shape", self.config[key])
                return shape
        return None

    @property
    def build_shape(self) -> Shape | None:
        """The input shape the layer was built for, if the file states it (Keras 2.13 and later)."""
        build_config = self.entry.get("build_config")
        if not isinstance(build_config, dict):
            return None
        return read_shape(build_config.get("input_shape", build_config.get("sequences_shape")))

    def _unexpected(self, key: str, expected: str, value: object) -> ModelFileError:
        return ModelFileError(
            f"layer {self.name} ({self.class_name}): expected {key} to be {expected}, "
            f"received {value!r:.60}"
        )
