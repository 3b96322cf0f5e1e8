"""Reads the HDF5 files of every Keras version: whole models, and weights alone."""

from pathlib import Path

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.hdf5 import Group, read_hdf5
from lstm_inspect.files.json_text import parse_object
from lstm_inspect.files.limits import Limits
from lstm_inspect.sources.keras.stores.saved_file import LayerWeights, SavedFile, VariableTree
from lstm_inspect.sources.keras.stores.variable_tree import is_variable_tree, read_variable_tree


def read_keras_h5(path: Path, data: bytes, limits: Limits) -> SavedFile:
    """Reads an HDF5 file of any Keras version: a whole model, or weights alone.

    Layout: keras 3.15.1, legacy/saving/legacy_h5_format.py and saving/saving_lib.py.

    Raises:
        ModelFileError: The file is damaged, or Keras did not save it.
        LimitError: The file asks for more than a limit allows.
    """
    root = read_hdf5(data, str(path), limits)
    config = _text(root, "model_config", path)
    named = root.groups.get("model_weights", root)
    weights: LayerWeights | VariableTree
    if _names(named, "layer_names"):
        _check_numbers(named, path)
        weights = _layer_weights(named)
    elif is_variable_tree(root):
        weights = read_variable_tree(root, str(path))
    elif config is not None:
        weights = LayerWeights(layers={})
    else:
        raise ModelFileError(
            f"{path}: expected a model or weights that Keras saved, received another HDF5 file "
            f"({', '.join(list(root.groups)[:5]) or 'no groups'})"
        )

    return SavedFile(
        path=path,
        format="weights.h5" if config is None else "h5",
        keras_version=_text(root, "keras_version", path) or _text(named, "keras_version", path),
        backend=_text(root, "backend", path) or _text(named, "backend", path),
        config=None if config is None else parse_object(config, f"{path}: model_config", limits),
        weights=weights,
        unread=root.all_unread(),
        data=data,
    )


def _text(group: Group, name: str, path: Path) -> str | None:
    """The text in an attribute; None if the group has no attribute of that name."""
    value = group.attributes.get(name)
    if name in group.attributes and not isinstance(value, str):
        raise ModelFileError(f"{path}: expected its {name} to be text, received another type")
    return value if isinstance(value, str) else None


def _check_numbers(group: Group, path: Path) -> None:
    """Refuses numbers of which an attribute says that their bits are those of a bfloat16.

    In such a file Keras reads no attribute of an array (keras 3.15.1, legacy_h5_format.py).
    """
    for where, each in group.walk():
        for name in each.said_bfloat16:
            raise ModelFileError(
                f"{path}: expected floating-point numbers in {where}/{name}, received whole ones"
            )


def _layer_weights(group: Group) -> LayerWeights:
    layers, held = {}, {}
    for name in dict.fromkeys(_names(group, "layer_names")):
        if (layer := group.at(name)) is None:
            continue
        arrays = layer.all_arrays()
        listed = _names(layer, "weight_names")
        # Keras 3.0 gives two arrays of a Bidirectional the same name, and so loses one of them.
        if len(set(listed)) == len(listed) and all(each in arrays for each in listed):
            layers[name] = tuple((each, arrays[each]) for each in listed)
        else:
            layers[name] = ()
            held[name] = len({*listed} & arrays.keys())
    return LayerWeights(layers, held)


def _names(group: Group, attribute: str) -> list[str]:
    """The names in an attribute, which Keras may have split into ``attribute0``, ``attribute1`` ...

    It splits a long list because HDF5 limits an attribute to 64 kB
    (keras 3.15.1, legacy_h5_format.py, ``load_attributes_from_hdf5_group``).
    """
    whole = group.attributes.get(attribute)
    if isinstance(whole, list):
        return whole
    names: list[str] = []
    chunks = 0
    while isinstance(chunk := group.attributes.get(f"{attribute}{chunks}"), list):
        names += chunk
        chunks += 1
    return names
