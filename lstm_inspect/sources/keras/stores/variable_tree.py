"""The store that Keras 3 keeps variables in: an HDF5 tree that follows the model's attributes."""

from lstm_inspect.files.hdf5 import Group
from lstm_inspect.sources.keras.stores.saved_file import VariableTree

# What Keras 2.12 and 2.13 call the container that later ones call "layers".
_CONTAINER = "_layer_checkpoint_dependencies"


def is_variable_tree(root: Group) -> bool:
    """Whether an HDF5 file is such a store, and not weights by layer name."""
    return any(path.split("/")[-1] == "vars" for path, _ in root.walk())


def read_variable_tree(root: Group) -> VariableTree:
    """Reads a store; the paths are those of Keras 3, whichever Keras wrote it.

    Of a layer of which one array has no numbers there are none: the others would take its place.
    """
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
        counts_twice=_CONTAINER in root.groups,
    )


def _normal(path: str) -> str:
    # Saved on Windows, a group is named "layers\\lstm\\cell" as a whole.
    parts = path.replace("\\", "/").split("/")
    return "/".join("layers" if part == _CONTAINER else part for part in parts)
