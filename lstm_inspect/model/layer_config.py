"""One layer's entry in a model config, read with checks and with the words of one Keras."""

import re
from collections.abc import Mapping
from typing import Any

from lstm_inspect.errors import ModelFileError
from lstm_inspect.model.graph import Shape
from lstm_inspect.model.keras1 import is_keras1, modernise

MODEL_CLASSES = frozenset({"Sequential", "Functional", "Model"})

_WEIGHTLESS = re.compile(
    r"""Activation|ActivityRegularization|Cropping[123]D|\w*Dropout[123]?D?|ELU|Flatten|Gaussian\w+
    |(Global)?(Average|Max)Pooling[123]D|Identity|InputLayer|LeakyReLU|Masking|Merge|Permute|ReLU
    |Add|Average|Concatenate|Dot|Maximum|Minimum|Multiply|Subtract|RepeatVector|Rescaling|Reshape
    |Softmax|UpSampling[123]D|ZeroPadding[123]D""",
    re.VERBOSE,
)


def generation(config: Mapping[str, Any], keras_version: str | None) -> int:
    """The generation of Keras whose words a model config uses: 1, 2 (tf.keras included) or 3."""
    major = (keras_version or "").partition(".")[0]
    if major.isdecimal():
        return max(1, min(3, int(major)))
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    configs = [layer.get("config") for layer in layers or [] if isinstance(layer, dict)]
    if any(isinstance(each, dict) and is_keras1(each) for each in configs):
        return 1
    return 3 if "module" in config else 2


class LayerConfig:
    """The config of a layer, wherever it stands in the file.

    Args:
        entry: ``{"class_name": ..., "config": ..., ...}``.
        keras: The generation of Keras that wrote it: 1, 2 (tf.keras included) or 3.

    Raises:
        ModelFileError: The entry is not of that form.
    """

    def __init__(self, entry: object, keras: int) -> None:
        if keras == 1 and isinstance(entry, dict):
            entry = modernise(entry)
        class_name = entry.get("class_name") if isinstance(entry, dict) else None
        config = entry.get("config") if isinstance(entry, dict) else None
        if class_name == "Sequential" and isinstance(config, list):
            # keras 2.1.3, models.py, `Sequential.get_config`
            config = {"layers": config}
        if not (
            isinstance(entry, dict) and isinstance(class_name, str) and isinstance(config, dict)
        ):
            raise ModelFileError(
                f"model config: expected a layer with class_name and config, received {entry!r:.80}"
            )
        self.entry: Mapping[str, Any] = entry
        self.keras = keras
        self.class_name: str = class_name
        self.config: dict[str, Any] = config
        self.name = str(self.config.get("name", entry.get("name", self.class_name)))

    @property
    def is_model(self) -> bool:
        """True for a model used as a layer."""
        return self.class_name in MODEL_CLASSES

    @property
    def has_weights(self) -> bool:
        """False for the built-in layers that never have any."""
        return _WEIGHTLESS.fullmatch(self.class_name) is None

    def child(self, key: str) -> "LayerConfig":
        """The layer that a wrapper holds under ``key``."""
        return LayerConfig(self.config.get(key), self.keras)

    def children(self, key: str) -> "list[LayerConfig]":
        """The layers that a model, or a stack of cells, lists under ``key``."""
        entries = self.config.get(key)
        if not isinstance(entries, list):
            raise self._unexpected(key, "a list of layers", entries)
        return [LayerConfig(entry, self.keras) for entry in entries]

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean of the config."""
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            raise self._unexpected(key, "true or false", value)
        return value

    def size(self, key: str) -> int:
        """A positive whole number of the config, such as ``units``."""
        value = self.config.get(key)
        if type(value) is not int or value < 1:
            raise self._unexpected(key, "a positive whole number", value)
        return value

    def sizes(self, key: str, rank: int) -> tuple[int, ...]:
        """Positive whole numbers, one for each spatial axis; one number stands for all."""
        value = self.config.get(key, 1)
        sizes = [value] * rank if type(value) is int else value
        if not (
            isinstance(sizes, list)
            and len(sizes) == rank
            and all(type(size) is int and size > 0 for size in sizes)
        ):
            raise self._unexpected(key, f"{rank} positive whole numbers", value)
        return tuple(sizes)

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of a few words; the first where the config leaves it out."""
        value = self.config.get(key) or choices[0]
        if value not in choices:
            raise self._unexpected(key, " or ".join(choices), value)
        return str(value)

    def activation(self, key: str, *, default: str) -> str:
        """The name of an activation, as `lstm_inspect.cells.activations` knows it.

        A function of somebody's own keeps the name the file gives it, marked ``custom:``.
        """
        value = self.config.get(key, default)
        if value is None:
            return "linear"
        if isinstance(value, dict):
            return f"custom:{value.get('registered_name') or value.get('config')}"
        if not isinstance(value, str):
            raise self._unexpected(key, "the name of an activation", value)
        # keras 2.15 backend.py `hard_sigmoid` is clip(0.2x + 0.5), keras 3.0.5 clip(x/6 + 0.5).
        if value == "hard_sigmoid" and self.keras < 3:
            return "hard_sigmoid_0.2"
        return value

    @property
    def dtype(self) -> str:
        """The dtype the layer computes in, from its dtype or its dtype policy."""
        value = self.config.get("dtype", "float32")
        if isinstance(value, dict):
            value = (value.get("config") or {}).get("name")
        if value is None:
            return "float32"
        if not isinstance(value, str):
            raise self._unexpected("dtype", "a dtype or a dtype policy", value)
        return value.removeprefix("mixed_")

    @property
    def batch_shape(self) -> Shape | None:
        """The input shape that an InputLayer, or the first layer of a Sequential, states."""
        for key in ("batch_shape", "batch_input_shape"):
            if key in self.config:
                return self._shape(key, self.config[key])
        return None

    @property
    def build_shape(self) -> Shape | None:
        """The input shape the layer was built for, where the file states it (Keras 2.13 on)."""
        build_config = self.entry.get("build_config")
        if not isinstance(build_config, dict):
            return None
        shape = build_config.get("input_shape", build_config.get("sequences_shape"))
        is_one_shape = isinstance(shape, list) and not any(isinstance(size, list) for size in shape)
        return self._shape("build_config", shape) if is_one_shape else None

    def _shape(self, key: str, value: object) -> Shape | None:
        if isinstance(
            value, dict
        ):  # Keras 3 writes some tuples as {"__tuple__": true, "items": []}.
            value = value.get("items", value.get("value"))
        if value is None:
            return None
        if not isinstance(value, list) or not all(
            size is None or (type(size) is int and size >= 0) for size in value
        ):
            raise self._unexpected(key, "a shape", value)
        return tuple(value)

    def _unexpected(self, key: str, expected: str, value: object) -> ModelFileError:
        return ModelFileError(
            f"layer {self.name} ({self.class_name}): expected {key} to be {expected}, "
            f"received {value!r:.60}"
        )
