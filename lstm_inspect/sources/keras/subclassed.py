"""Models whose class is not one of Keras, but whose layers state their configs one by one."""

from collections.abc import Iterator

from lstm_inspect.model import Call, Model, Recurrence
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


def subclassed_model(file: SavedFile, why_unwired: str) -> Model | None:
    """Makes a model of the recurrent layers that a SavedModel states, without their wiring.

    Args:
        file: The file.
        why_unwired: One line that says why nothing can be replayed.

    Returns:
        The model, or None if the file states no recurrent layer.

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
    if not recurrences:
        return None
    return Model(
        name=file.path.stem,
        source=file.source,
        inputs=(),
        calls=tuple(Call(path=each.path, layer=each, args=()) for each in recurrences),
        why_unwired=why_unwired,
    )


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
