"""Reads the ``.keras`` zip of Keras 2.13 and later."""

from pathlib import Path
from unicodedata import normalize

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.hdf5 import read_hdf5
from lstm_inspect.files.json_text import optional_text, parse_object
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.zip_archive import ZipArchive
from lstm_inspect.sources.keras.stores.saved_file import SavedFile
from lstm_inspect.sources.keras.stores.variable_tree import read_variable_tree

_ASSETS = "assets/"


def read_keras_zip(path: Path, data: bytes, limits: Limits) -> SavedFile:
    """Reads a ``.keras`` zip: config.json, metadata.json and model.weights.h5.

    Layout: keras 3.15.1, saving/saving_lib.py, ``_save_model_to_fileobj``.

    Raises:
        ModelFileError: The zip is damaged, or lacks a member that Keras always writes.
        LimitError: The zip asks for more than a limit allows.
    """
    archive = ZipArchive(data, str(path), limits)
    _check_names(archive, path)
    text = _member(archive, "config.json", path, "config_bytes")
    config = parse_object(text, f"{path}: config.json", limits)
    metadata = _member(archive, "metadata.json", path, "metadata_bytes")
    stated = parse_object(metadata, f"{path}: metadata.json", limits)
    stored = _member(archive, "model.weights.h5", path, "file_bytes")
    weights = read_hdf5(stored, f"{path}: model.weights.h5", limits)
    return SavedFile(
        path=path,
        format="keras",
        keras_version=optional_text(stated.get("keras_version"), f"{path}: keras_version"),
        config=config,
        weights=read_variable_tree(weights, str(path))._replace(
            assets={
                name.removeprefix(_ASSETS): bytes(archive.read(name, "metadata_bytes"))
                for name in archive.names
                if name.startswith(_ASSETS) and name.endswith("/vocabulary.txt")
            }
        ),
        unread=weights.all_unread(),
        data=data,
    )


def _check_names(archive: ZipArchive, path: Path) -> None:
    """Refuses names of members that Keras never writes and that can mislead other readers.

    ``../config.json`` leads out of the folder that a reader unpacks into. ``config.json`` and
    ``CONFIG.json`` are the same file on some systems.
    """
    for name in archive.names:
        leads_out = name[:1] in ("", "/") or ".." in name.split("/")
        if leads_out or "\\" in name or not name.isprintable():
            raise ModelFileError(f"{path}: expected plain names of members, received {name!r:.60}")
    if len({normalize("NFC", name).casefold() for name in archive.names}) != len(archive.names):
        raise ModelFileError(
            f"{path}: expected distinct names of members, received two that differ only in case or "
            "accents"
        )


def _member(archive: ZipArchive, name: str, path: Path, limit: str) -> memoryview:
    try:
        return archive.read(name, limit)
    except KeyError:
        if "model.weights.npz" in archive.names:
            # Keras itself (2.12.0, 2.15.0 and 3.15.1) fails to load the .npz that it writes.
            raise ModelFileError(
                f"{path}: expected its weights as HDF5, received a model.weights.npz of pickled "
                "objects, which only code from the file can read; save the model again with HDF5 "
                "weights"
            ) from None
        there = ", ".join(archive.names[:8]) or "nothing"
        raise ModelFileError(
            f"{path}: expected a .keras file with {name}, received a zip with {there}"
        ) from None
