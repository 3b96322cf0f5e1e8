"""Reads the layers of a subclassed model, which state their configs one by one."""

from collections.abc import Iterator

from lstm_inspect.model import Recurrence
from lstm_inspect.sources.keras.layer_config import LayerConfig, dialect_of
from lstm_inspect.sources.keras.parts import (
    BidirectionalPart,
    ModelPart,
    Part,
    RecurrentPart,
    TimeDistributedPart,
    read_part,
)
from lstm_inspect.sources.keras.recurrences import is_recurrent
from lstm_inspect.sources.keras.stores.saved_file import SavedFile
from lstm_inspect.sources.keras.weights import weights_at


def stated_recurrences(file: SavedFile) -> list[Recurrence]:
    """The recurrent layers that a SavedModel states one by one; none for other files.

    Raises:
        ModelFileError: The config of a layer contradicts its arrays.
    """
    dialect = dialect_of(file)
    recurrences: list[Recurrence] = []
    taken: list[tuple[str, ...]] = []
    for stated in file.stated_layers:
        if any(stated.attributes[: len(outer)] == outer for outer in taken):
            continue  # a part of a layer that is read already
        layer = LayerConfig(stated.entry, dialect)
        if is_recurrent(layer) or layer.is_model:
            path = "/".join(stated.attributes)
            part = read_part(layer, weights_at(file, stated.number), path)
            recurrences += _recurrences_of(part)
            taken.append(stated.attributes)
    return recurrences


def _recurrences_of(part: Part) -> Iterator[Recurrence]:
    match part:
        case RecurrentPart(recurrences=recurrences):
            yield from recurrences
        case BidirectionalPart(forward=forward, backward=backward):
            yield from (*forward.recurrences, *backward.recurrences)
        case TimeDistributedPart(member=member):
            yield from _recurrences_of(member.part)
        case ModelPart(members=members):
            for member in members.values():
                yield from _recurrences_of(member.part)
