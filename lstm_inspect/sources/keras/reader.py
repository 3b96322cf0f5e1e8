"""Reads Keras files into a `Model`."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lstm_inspect.errors import ModelFileError, UnreadWeightsWarning
from lstm_inspect.files.content import Content
from lstm_inspect.files.limits import Limits
from lstm_inspect.model import Model, Recurrence, standalone
from lstm_inspect.notation import advice
from lstm_inspect.sources.keras.bare import bare_recurrences
from lstm_inspect.sources.keras.layer_config import LayerConfig, dialect_of
from lstm_inspect.sources.keras.parts import read_parts
from lstm_inspect.sources.keras.stores.by_content import read_config_file, read_saved_file
from lstm_inspect.sources.keras.stores.saved_file import SavedFile
from lstm_inspect.sources.keras.subclassed import stated_recurrences
from lstm_inspect.sources.keras.wiring import wire


def read_keras(
    content: Content, config: Path | None, replace_config: bool, limits: Limits
) -> Model:
    """Reads a model that any version of Keras saved.

    Args:
        content: What the path names.
        config: A file with the config of the model, for weights alone.
        replace_config: Whether ``config`` may take the place of a config that the file has.
        limits: How much the files may ask for.

    Raises:
        ModelFileError: The file cannot be read, or contradicts itself.
        LimitError: The file asks for more than a limit allows.

    Warns:
        UnreadWeightsWarning: One of its arrays was never written, or is not made of numbers.
    """
    path = content.path
    file = read_saved_file(content, limits)
    if file.unread:
        (name, reason), *others = file.unread.items()
        more = f"; {len(others)} other arrays were not read either" if others else ""
        message = f"{path}: not read: {name} {reason}{more}"
        warnings.warn(UnreadWeightsWarning(message), stacklevel=3)
    if config is not None:
        if file.config is not None and not replace_config:
            how = advice(python="replace_config=True", command_line="--replace-config")
            raise ModelFileError(
                f"{path}: has a config of its own; leave out {config.name}, or replace the config "
                f"with {how}"
            )
        stated, version = read_config_file(config, limits)
        file = replace(file, config=stated, keras_version=version or file.keras_version)
    if file.config is None:
        how = advice(python="config=FILE", command_line="--config FILE")
        why = f"the file holds weights alone; pass the output of model.to_json() with {how}"
        return _unwired(file, bare_recurrences(file), why)
    top = LayerConfig(file.config, dialect_of(file))
    if "layers" not in top.config:
        why = f"{top.class_name} is a subclassed model; Keras does not save how it calls its layers"
        return _unwired(file, stated_recurrences(file) or bare_recurrences(file), why)
    wiring = wire(read_parts(file, top), str(path), limits)
    return Model(name=top.name, source=file.source, **wiring._asdict())


def _unwired(file: SavedFile, recurrences: Sequence[Recurrence], why: str) -> Model:
    """A model of recurrent layers without their wiring; ``why`` says why it has none."""
    alone = [standalone(recurrence) for recurrence in recurrences]
    return Model(
        name=file.path.stem,
        source=file.source,
        inputs=tuple(given for given, _ in alone),
        calls=tuple(call for _, call in alone),
        why_unwired=why,
    )
