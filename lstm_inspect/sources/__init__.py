"""Readers of saved models: each source reads the files of one framework into a `Model`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.content import Content, read_content
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.model import Model, assumed
from lstm_inspect.sources.keras import is_of_keras, read_keras
from lstm_inspect.sources.strangers import what_it_is
from lstm_inspect.sources.tensorflow import is_of_tensorflow, read_tensorflow


class SourceReader(NamedTuple):
    """The reader for the files of one framework.

    Attributes:
        recognises: Takes what a path names. Returns whether this framework can have saved it.
        read: Takes the same, the path of a config (or None), whether that may take the place of a
            config in the file, and the limits. Returns the model.
    """

    recognises: Callable[[Content], bool]
    read: Callable[[Content, Path | None, bool, Limits], Model]


SOURCES = [
    SourceReader(is_of_keras, read_keras),
    SourceReader(is_of_tensorflow, read_tensorflow),
]
"""Every source. The first one that recognises a file reads it."""


def open_model(
    path: str | Path,
    config: str | Path | None = None,
    *,
    replace_config: bool = False,
    assume: Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Model:
    """Reads a saved model, without the framework that saved it.

    Args:
        path: A ``.keras`` zip, an ``.h5`` file, a file of weights alone, a SavedModel folder, or a
            checkpoint of TensorFlow: its prefix, its index or its folder. The content of a file
            decides what it is, not its name.
        config: For weights alone, the output of ``model.to_json()``, or a ``.keras`` or ``.h5`` of
            the same architecture. Without it each recurrent layer has an input of its own.
        replace_config: Whether ``config`` may take the place of a config that the file has.
        assume: What the file leaves open about its recurrent layers, by ``GLOB.FIELD``:
            ``{"*.recurrent_activation": "sigmoid"}``. `lstm_inspect.model.assume` lists the fields.
        limits: How much the files may ask for.

    Returns:
        The model. Its arrays are read-only.

    Raises:
        InputError: An assumption is unknown, or the file says something else.
        ModelFileError: The file cannot be read, or contradicts itself.
        LimitError: The file asks for more than a limit allows.
        SelectionError: An assumption is about no layer.

    Warns:
        UnreadWeightsWarning: One of its arrays was never written, or is not made of numbers. Its
            layer then counts as a layer without weights.
    """
    content = read_content(Path(path), limits)
    return read_model(content, config, replace_config=replace_config, assume=assume, limits=limits)


def read_model(
    content: Content,
    config: str | Path | None,
    *,
    replace_config: bool,
    assume: Mapping[str, Any] | None,
    limits: Limits,
) -> Model:
    """Reads a model from what was read of its path; `open_model` explains the arguments."""
    path = content.path
    if what := what_it_is(content.data):
        raise ModelFileError(f"{path}: expected a saved model or a checkpoint; {what}")
    for source in SOURCES:
        if source.recognises(content):
            config = None if config is None else Path(config)
            model = source.read(content, config, replace_config, limits)
            return assumed(model, assume) if assume else model
    raise ModelFileError(
        f"{path}: expected a .keras zip, an HDF5 file or a checkpoint, received another file "
        f"(its first bytes are {content.data[:8]!r})"
    )
