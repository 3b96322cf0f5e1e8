"""Reads the HDF5 tree that Keras 3 stores variables in; it follows the model's attributes."""

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.hdf5 import Group
from lstm_inspect.sources.keras.stores.saved_file import VariableTree

# Keras 2.12 and 2.13 use this name for the group that later versions call "layers".
_CONTAINER = "_layer_checkpoint_dependencies"


def is_variable_tree(root: Group) -> bool:
    """Whether an HDF5 file is a tree of variables, and not weights listed by layer name."""
    return any(path.split("/")[-1] == "vars" for path, _ in root.walk())


def read_variable_tree(root: Group, what: str) -> VariableTree:
    """Reads a tree of variables; its paths are those of Keras 3, whichever version wrote it.

    If one array of a layer has no numbers, all arrays of that layer are left out. Arrays are found
    by their order, so the next one would take the place of the missing one.

    Args:
        root: The root of the tree.
        what: What to call the file in an error.

    Raises:
        ModelFileError: Two groups have one path, once it is written as Keras 3 writes it.
    """
    raw = {path for path, _ in root.walk()}
    if len({_normal(path) for path in raw}) != len(raw):
        raise ModelFileError(f"{what}: expected one group for each layer, received two of one path")
    return VariableTree(
        arrays={
            _normal(f"{path}/{name}".lstrip("/")): array
            for path, group in root.walk()
            if not group.unread
            for name, array in group.arrays.items()
        },
        names={
            _normal(path).removesuffix("vars").rstrip("/"): name
            for path, group in root.walk()
            if isinstance(name := group.attributes.get("name"), str)
        },
        counts_twice=any(_parts(path)[0] == _CONTAINER and path != _CONTAINER for path in raw),
    )


def _normal(path: str) -> str:
    return "/".join("layers" if part == _CONTAINER else part for part in _parts(path))


def _parts(path: str) -> list[str]:
    # A file saved on Windows has one group "layers\\lstm\\cell" in place of three nested groups.
    return path.replace("\\", "/").split("/")
