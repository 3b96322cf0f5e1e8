"""Checks whether the final states of one model fit as the initial states of another."""

from typing import Any

from lstm_inspect.checks.findings import Finding
from lstm_inspect.shapes import LayerShapes, ModelShapes


def check_states(giving: ModelShapes, taking: ModelShapes) -> list[Finding]:
    """Checks that the final states of an encoder fit as the initial states of a decoder.

    The layers of the encoder that return their states (``return_state``) are paired with the layers
    of the decoder that are called with an initial state, in the order of computation. If a model
    has no such layer, all of its recurrent layers count. The batch size may differ.
    """
    given, taken = _giving(giving), _taking(taking)
    file, other = giving.model.source.path, taking.model.source.path
    if len(given) != len(taken):
        return [
            Finding(
                rule="states",
                file=file,
                layer=None,
                field=f"layers that give states to {other}",
                expected=[layer.path for layer in taken],
                found=[layer.path for layer in given],
            )
        ]
    return [
        Finding(
            rule="states",
            file=file,
            layer=mine.path,
            field=f"final {field} for {its.path} of {other}",
            expected=_state(its).get(field),
            found=_state(mine).get(field),
        )
        for mine, its in zip(given, taken, strict=True)
        for field in dict.fromkeys([*_state(its), *_state(mine)])
        if _state(mine).get(field) != _state(its).get(field)
    ]


def _giving(shapes: ModelShapes) -> list[LayerShapes]:
    return [each for each in shapes.layers if each.recurrence.return_state] or [*shapes.layers]


def _taking(shapes: ModelShapes) -> list[LayerShapes]:
    fed = {call.path for call, _ in shapes.model.recurrent_calls if "initial_state" in call.kwargs}
    return [each for each in shapes.layers if each.path in fed] or [*shapes.layers]


def _state(layer: LayerShapes) -> dict[str, Any]:
    """The states of a layer: the shape of each without the batch, and their dtype."""
    shapes: dict[str, Any] = {name: list(each) for name, each in layer.state_shapes.items()}
    return {**shapes, "dtype": layer.recurrence.dtype}
