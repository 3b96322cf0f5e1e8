"""The ``.keras`` zip of Keras 2.13 and later: config.json, metadata.json, model.weights.h5."""

import io
import zipfile
from pathlib import Path

from lstm_inspect.errors import ModelFileError
from lstm_inspect.formats.hdf5 import read_hdf5
from lstm_inspect.formats.json_text import optional_text, parse_object
from lstm_inspect.formats.saved_file import SavedFile
from lstm_inspect.formats.variable_tree import read_variable_tree

SIGNATURE = b"PK\x03\x04"


def read_keras_zip(path: Path, data: bytes) -> SavedFile:
    """Reads a ``.keras`` zip.

    Layout: keras 3.15.1, saving/saving_lib.py, ``_save_model_to_fileobj``.

    Raises:
        ModelFileError: Damaged, or a member that Keras always writes is missing.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise ModelFileError(f"{path}: damaged or truncated zip archive ({error})") from error
    config = parse_object(_member(archive, "config.json", path), f"{path}: config.json")
    metadata = parse_object(_member(archive, "metadata.json", path), f"{path}: metadata.json")
    weights = read_hdf5(
        memoryview(_member(archive, "model.weights.h5", path)), f"{path}: model.weights.h5"
    )
    return SavedFile(
        path=path,
        format="keras",
        keras_version=optional_text(metadata.get("keras_version"), f"{path}: keras_version"),
        config=config,
        weights=read_variable_tree(weights),
        data=data,
    )


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        return archive.read(name)
    except KeyError:
        if "model.weights.npz" in archive.namelist():
            # keras 2.12.0, 2.15.0 and 3.15.1 all fail to load what they write there.
            raise ModelFileError(
                f"{path}: its model.weights.npz holds pickled objects, which only code from the "
                "file could read; save the model again with its weights as HDF5"
            ) from None
        there = ", ".join(archive.namelist()[:8]) or "nothing"
        raise ModelFileError(
            f"{path}: a .keras file must hold {name}; this zip holds {there}"
        ) from None
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise ModelFileError(f"{path}: {name} is damaged ({error})") from error
