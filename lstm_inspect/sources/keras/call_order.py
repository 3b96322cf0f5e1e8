"""The calls of the layers of a Functional: their numbers, their paths and their order."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from lstm_inspect.errors import ModelFileError
from lstm_inspect.sources.keras.nodes import Node, Place, places, read_node
from lstm_inspect.sources.keras.parts import ModelPart

Calls = dict[tuple[str, int], Node]
"""Every call of the layers of a Functional, by (layer, call number)."""


def calls_of(model: ModelPart, results: Sequence[Place]) -> tuple[Calls, list[Place]]:
    """The calls of a Functional in the order of the file, and its results in their numbers.

    A node does not state its number, but the places that read its outputs do. The last node of a
    layer gets the highest number in use: if a place names ``["encoder", 1, 0]`` and ``encoder`` has
    one node, that node is call 1. The file leaves out the calls before it.

    Up to Keras 2, the calls of a model used as a layer are numbered 1, 2 ... Its call 0 was made
    when the model itself was built (keras 2.15.0, engine/functional.py, ``get_network_config``).
    Keras 3 numbers them so only where it names the results, and 0, 1 ... where a call names its
    arguments (keras 3.0.5 and 3.15.1, models/functional.py, ``get_config``, ``serialize_node``).
    """
    nodes = {
        name: [read_node(node) for node in member.config.inbound_nodes]
        for name, member in model.members.items()
    }
    is_keras_3 = model.config.dialect.keras == 3
    arguments = [[node.args, node.kwargs] for own in nodes.values() for node in own]
    highest: dict[str, int] = {}
    for place in places([arguments, [] if is_keras_3 else [*results]]):
        highest[place.layer] = max(place.call, highest.get(place.layer, 0))
    left_out = {name: max(0, highest.get(name, 0) + 1 - len(own)) for name, own in nodes.items()}
    calls = {
        (name, left_out[name] + number): node
        for name, own in nodes.items()
        for number, node in enumerate(own)
    }
    if is_keras_3:
        results = [_renumbered(place, model, left_out) for place in results]
    return calls, [*results]


def _renumbered(result: Place, model: ModelPart, left_out: Mapping[str, int]) -> Place:
    """A result of a model of Keras 3 with the number that arguments of calls have for it."""
    member = model.members.get(result.layer)
    if member is None:
        return result
    first = isinstance(member.part, ModelPart) and not member.config.is_chain
    return replace(result, call=left_out[result.layer] + result.call - first)


def paths_of(calls: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """The path of each call: the name of the layer, with ``#2`` behind it for its second call."""
    numbers: Counter[str] = Counter()
    paths = {}
    for name, number in calls:
        numbers[name] += 1
        paths[name, number] = name if numbers[name] == 1 else f"{name}#{numbers[name]}"
    return paths


def in_order(
    calls: Mapping[tuple[str, int], Node], done: Collection[tuple[str, int]], name: str
) -> Iterator[tuple[str, int]]:
    """Yields the calls in an order in which each reads only what is done.

    First come all calls that read only inputs, then those that read these too, and so on; calls of
    the same rank stay in the order of the file.
    """
    missing = {
        key: {(place.layer, place.call) for place in places([node.args, node.kwargs])}.difference(
            done
        )
        for key, node in calls.items()
    }
    readers: defaultdict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for key, others in missing.items():
        for other in others:
            readers[other].append(key)
    rank = {key: number for number, key in enumerate(calls)}
    ready = [key for key, others in missing.items() if not others]
    count = 0
    while ready:
        yield from ready
        count += len(ready)
        following = []
        for key in ready:
            for reader in readers[key]:
                missing[reader].discard(key)
                if not missing[reader]:
                    following.append(reader)
        ready = sorted(following, key=rank.__getitem__)
    if count < len(calls):
        stuck = ", ".join(sorted({layer for (layer, _), others in missing.items() if others}))
        raise ModelFileError(
            f"model {name}: expected wiring without cycles or missing layers, received one at "
            f"{stuck:.120}"
        )
