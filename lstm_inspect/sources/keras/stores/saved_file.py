"""The content of a model file as plain data, in the one form that all stores return."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lstm_inspect.arrays import Array, NamedArray
from lstm_inspect.model import Source
from lstm_inspect.sources.keras.stores.object_graph import ObjectGraph


class VariableTree(NamedTuple):
    """Weights as Keras 3 stores them: by the path of attributes that leads to each variable.

    ``arrays["layers/lstm/cell/vars/0"]`` is the kernel of the model's first LSTM, whatever the name
    of that layer is. The path has the class name in snake_case. From the second layer of a class on
    it has a number too, in layer order: ``lstm``, ``lstm_1``, ``lstm_2``
    (keras 3.15.1, saving/saving_lib.py, ``_save_container_state``).

    ``names["layers/lstm"]`` is the name of that layer, if the file states it (Keras 3.6 and later).

    ``counts_twice`` is True for files of Keras 2.12 and 2.13, which skip numbers: ``lstm``,
    ``lstm_2``, ``lstm_4``. These versions visit a layer with weights twice, as
    ``layer_with_weights-N`` and as ``layer-N``, and each visit uses up a number
    (keras 2.13.1, saving/saving_lib.py, ``_save_container_state``).

    ``assets["layers/integer_lookup/vocabulary.txt"]`` is a file that belongs to that layer.
    """

    arrays: Mapping[str, Array]
    names: Mapping[str, str]
    counts_twice: bool = False
    assets: Mapping[str, bytes] = MappingProxyType({})


class LayerWeights(NamedTuple):
    """Weights as whole-model ``.h5`` files store them: by top-level layer name, in order.

    ``layers["lstm"]`` is a tuple of (weight name, array) in the order of the file's
    ``weight_names`` attribute, which is the order of ``layer.weights``.
    """

    layers: Mapping[str, tuple[NamedArray, ...]]
    held: Mapping[str, int] = MappingProxyType({})
    """How many arrays the file has of a layer of which it lacks some; it then lists none."""


class StatedLayer(NamedTuple):
    """A layer that a SavedModel states apart from the config of the whole model.

    Attributes:
        attributes: The attributes that lead to it from the model: ``("encoder", "lstm")``.
        number: Its number in the object graph.
        entry: Its config, ``{"class_name": ..., "config": ...}``.
    """

    attributes: tuple[str, ...]
    number: int
    entry: Mapping[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedFile:
    """A model file, read once.

    Attributes:
        path: Where it was read from.
        format: ``"keras"`` (zip of config.json and model.weights.h5), ``"h5"`` (whole model),
            ``"weights.h5"`` (weights alone), ``"weights.json"`` (weights in shards) or
            ``"saved_model"`` (folder).
        keras_version: The version that the file states, or None.
        backend: The backend that the file states (``"tensorflow"``, ``"theano"`` ...), or None.
        config: The model's config, ``{"class_name": ..., "config": ...}``, or None.
        weights: Read-only arrays that share the memory of ``data``, by the file's own keys.
        stated_layers: For a SavedModel whose config does not list the layers of the model, those
            layers that it states one by one.
        unread: For each array that has no numbers, by the file's own keys, the reason.
        data: The bytes of the file itself; for a SavedModel, those of saved_model.pb.
        files: The other files that belong to it, by their path beside it or in its folder.
    """

    path: Path
    format: str
    keras_version: str | None
    backend: str | None = None
    config: Mapping[str, Any] | None
    weights: VariableTree | LayerWeights | ObjectGraph
    stated_layers: tuple[StatedLayer, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    data: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        """The description of the file that a `Model` keeps."""
        return Source(
            path=self.path,
            format=self.format,
            framework="Keras",
            version=self.keras_version,
            data=self.data,
            files=self.files,
            config=self.config,
        )
