"""What a model file holds, as plain data: the one thing that leaves this package."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.model import Source

FRAMEWORK = "Keras"


@dataclass(frozen=True, eq=False, kw_only=True)
class VariableTree:
    """Weights as Keras 3 stores them: by the path of attributes that leads to the variable.

    ``arrays["layers/lstm/cell/vars/0"]`` is the kernel of the model's first LSTM. The keys are
    snake_case class names counted in layer order, not layer names
    (keras 3.15.1, saving/saving_lib.py, ``_save_container_state``).

    ``names["layers/lstm"]`` is the name of that layer, where the file states it (Keras 3.6 on).

    With ``counts_twice`` a layer with weights counts twice when the keys are numbered, so that the
    second LSTM is ``lstm_2``: Keras 2.12 and 2.13 came by such a layer as ``layer_with_weights-N``
    and as ``layer-N`` (keras 2.13.1, saving/saving_lib.py, ``_save_container_state``).
    """

    arrays: Mapping[str, Array]
    names: Mapping[str, str]
    counts_twice: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerWeights:
    """Weights as whole-model ``.h5`` files store them: by top-level layer name, in order.

    ``layers["lstm"]`` is a tuple of (weight name, array) in the order of the file's
    ``weight_names`` attribute, which is the order of ``layer.weights``.
    """

    layers: Mapping[str, tuple[tuple[str, Array], ...]]


@dataclass(frozen=True, eq=False, kw_only=True)
class VariableList:
    """Weights as a SavedModel stores them: (name, array) of all layers, in the order of layers."""

    variables: tuple[tuple[str, Array], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedFile:
    """A model file, read once.

    Attributes:
        path: Where it was read from.
        format: ``"keras"`` (zip of config.json and model.weights.h5), ``"h5"`` (whole model),
            ``"weights.h5"`` (weights alone), ``"weights.json"`` (weights in shards) or
            ``"saved_model"`` (folder).
        keras_version: As the file states it, or None.
        backend: As the file states it (``"tensorflow"``, ``"theano"`` ...), or None.
        config: The model's config, ``{"class_name": ..., "config": ...}``; None if it holds none.
        weights: Read-only arrays that share the memory of ``data``, under the file's own keys.
        unread: Why other arrays of the file have no numbers, by the file's own keys.
        data: The bytes of the file; of a file that names others, its own.
    """

    path: Path
    format: str
    keras_version: str | None
    backend: str | None = None
    config: Mapping[str, Any] | None
    weights: VariableTree | LayerWeights | VariableList
    unread: Mapping[str, str] = field(default_factory=dict)
    data: bytes

    @property
    def source(self) -> Source:
        """What a model says of the file that it was read from."""
        return Source(
            path=self.path,
            format=self.format,
            framework=FRAMEWORK,
            version=self.keras_version,
            data=self.data,
        )
