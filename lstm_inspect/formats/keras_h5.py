"""Whole-model ``.h5`` files of Keras 2, tf.keras and Keras 3."""

from collections.abc import Iterator
from pathlib import Path

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats.hdf5 import Group, read_hdf5
from lstm_inspect.formats.json_text import parse_object
from lstm_inspect.formats.saved_file import Array, LayerWeights, SavedFile


def read_keras_h5(path: Path, data: bytes) -> SavedFile:
    """Reads a whole-model HDF5 file (layout: keras 3.15.1, legacy/saving/legacy_h5_format.py).

    Raises:
        ModelFileError: Damaged, or without a model config (a weights-only file).
    """
    root = read_hdf5(memoryview(data), str(path))
    config = root.attributes.get("model_config")
    if not isinstance(config, str):
        raise ModelFileError(
            f"{path}: HDF5 file without a model_config; weights-only files are not read yet, "
            "save the whole model with model.save()"
        )
    weights = root.groups.get("model_weights", Group())
    version = root.attributes.get("keras_version", weights.attributes.get("keras_version"))
    return SavedFile(
        path=path,
        format="h5",
        keras_version=version,
        config=parse_object(config, f"{path}: model_config"),
        weights=LayerWeights(
            layers={
                name: tuple(_weights(group, f"{path}: layer {name}"))
                for name in _names(weights, "layer_names")
                if (group := weights.groups.get(name)) is not None
            }
        ),
        data=data,
    )


def _names(group: Group, attribute: str) -> list[str]:
    """The list of names in an attribute, which may be split into ``attribute0``, ``attribute1`` ...

    HDF5 limits an attribute to 64 kB (keras 3.15.1, legacy_h5_format.py,
    ``load_attributes_from_hdf5_group``).
    """
    if attribute in group.attributes:
        return list(group.attributes[attribute])
    names: list[str] = []
    chunks = 0
    while (chunk := group.attributes.get(f"{attribute}{chunks}")) is not None:
        names += chunk
        chunks += 1
    return names


def _weights(group: Group, what: str) -> Iterator[tuple[str, Array]]:
    arrays = dict(group.walk())
    for name in _names(group, "weight_names"):
        if name not in arrays:
            raise ModelFileError(f"{what}: its weight_names list {name}, which is not in the file")
        yield name, arrays[name]
