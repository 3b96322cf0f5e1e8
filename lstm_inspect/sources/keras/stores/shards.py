"""Reads weights in shards: a ``*.weights.json`` index and the ``.weights.h5`` files beside it."""

from pathlib import Path
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.hdf5 import read_hdf5
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.whole_file import read_bytes
from lstm_inspect.notation import advice
from lstm_inspect.sources.keras.stores.saved_file import SavedFile, VariableTree
from lstm_inspect.sources.keras.stores.variable_tree import read_variable_tree


def read_shards(path: Path, data: bytes, index: dict[str, Any], limits: Limits) -> SavedFile:
    """Reads every shard that an index names.

    Layout: keras 3.15.1, saving/saving_lib.py, ``ShardedH5IOStore``.

    Args:
        path: The path of the index.
        data: The bytes of the index.
        index: The parsed JSON of the index.
        limits: How much each shard may ask for.

    Raises:
        ModelFileError: A shard is missing or damaged, or the index names a file in another folder.
        LimitError: A shard asks for more than a limit allows.
    """
    arrays: dict[str, Array] = {}
    names: dict[str, str] = {}
    unread: dict[str, str] = {}
    files: dict[str, bytes] = {}
    listed = _listed(path, index)
    for name in sorted({name for names in listed.values() for name in names}):
        shard = path.with_name(name)
        try:
            content = read_bytes(shard, limits, "file_bytes")
        except ModelFileError as error:
            raise ModelFileError(
                f"{path}: expected its shard {name} in the same folder ({error})"
            ) from error
        files[name] = content
        root = read_hdf5(content, str(shard), limits)
        tree = read_variable_tree(root, str(shard))
        strange = [
            each
            for each in tree.arrays
            if each in arrays or name not in listed.get(each.rpartition("/")[0], ())
        ]
        if strange:
            raise ModelFileError(
                f"{path}: expected each array in the shard that the index names, received "
                f"{strange[0]} in {name}"
            )
        unread.update(root.all_unread())
        arrays.update(tree.arrays)
        names.update(tree.names)
        total = sum(array.nbytes for array in arrays.values())
        limits.check("weight_bytes", total, str(path), so_far=True)
    return SavedFile(
        path=path,
        format="weights.json",
        keras_version=None,
        config=None,
        weights=VariableTree(arrays=arrays, names=names),
        unread=unread,
        data=data,
        files=files,
    )


def _is_name(name: str) -> bool:
    return name not in ("", "..") and name.isprintable()


def _listed(path: Path, index: dict[str, Any]) -> dict[str, list[str]]:
    """The shards of the arrays of each layer: ``layers/lstm/cell/vars`` is in these."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict):
        how = advice(
            python="open_model(WEIGHTS, config=CONFIG)", command_line="WEIGHTS --config CONFIG"
        )
        raise ModelFileError(
            f"{path}: expected an index of weights in shards, received other JSON; "
            f"if it is the config of a model, pass it with the weights: {how}"
        )
    listed = {
        variables.lstrip("/"): names if isinstance(names, list) else [names]
        for variables, names in weight_map.items()
    }
    for name in (name for names in listed.values() for name in names):
        if not isinstance(name, str) or Path(name).name != name or not _is_name(name):
            raise ModelFileError(f"{path}: expected shards beside the index, received {name!r}")
    return listed
