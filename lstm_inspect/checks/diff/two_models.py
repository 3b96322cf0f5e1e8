"""Compares two models: their structure, their shapes, then their weights gate by gate."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.checks.diff.two_arrays import Tolerance, findings_of, parting
from lstm_inspect.checks.findings import Finding
from lstm_inspect.model import Layer, Model, Operation, Recurrence
from lstm_inspect.notation import shape_text
from lstm_inspect.shapes import model_shapes

# Fields about the file or about what can be done with it, and fields that follow from others.
_FREE = frozenset({"path", "name", "blocked_by", "notes", "parameters"})

_LABELS = frozenset({"name", "trainable", "batch_input_shape", "seed", "dtype"})
_OPTIONS = ("zero_output_for_mask", "time_major", "restores_order")

_Fields = Mapping[str, Any]


def diff_models(one: Model, other: Model, tolerance: Tolerance) -> list[Finding]:
    """Compares two models; `lstm_inspect.diff_models` says more."""
    file = other.source.path
    shapes, its = model_shapes(one).as_json(), model_shapes(other).as_json()
    return [
        *_diff_fields(_inputs(shapes), _inputs(its), file, is_layers=False),
        *_diff_fields(_layers(one, shapes), _layers(other, its), file, is_layers=True),
        *_diff_weights(_weights(one), _weights(other), file, tolerance),
    ]


def _inputs(shapes: _Fields) -> dict[str, _Fields]:
    return {each["name"]: _flat(each) for each in shapes["inputs"]}


def _layers(model: Model, shapes: _Fields) -> dict[str, _Fields]:
    """The fields of every layer by path; for a recurrent one those of ``shapes`` and its options.

    Operations between layers are left out: not every version of Keras writes them into a config.
    """
    rows = {row["path"]: row for row in shapes["layers"]}
    layers: dict[str, _Fields] = {}
    for call in model.calls:
        match call.layer:
            case Recurrence() as recurrence:
                options = {name: getattr(recurrence, name) for name in _OPTIONS}
                layers[call.path] = {**_flat(rows[call.path]), **options}
            case Layer(options=Operation()):
                continue
            case Layer() as layer:
                layers[call.path] = {"class": layer.class_name, **_settings(layer)}
    return layers


def _settings(layer: Layer) -> dict[str, Any]:
    """What a layer computes: its options, or its settings if only Keras knows the layer."""
    if layer.options is None:
        settings = {name: value for name, value in layer.config.items() if _tells(name, value)}
    else:
        settings = layer.options._asdict()
    shapes = {f"weights.{n}": list(array.shape) for n, array in enumerate(_arrays_of(layer))}
    return {**settings, "activation": layer.activation, **shapes}


def _tells(name: str, value: Any) -> bool:
    """Whether a setting of a layer says what it computes; an initializer, for example, does not."""
    items = value if isinstance(value, list) else [value]
    return name not in _LABELS and all(type(item) in (str, int, float, bool) for item in items)


def _flat(row: _Fields, prefix: str = "") -> dict[str, Any]:
    """The fields of a row; a field of an object in it becomes ``object.field``."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif name not in _FREE:
            flat[prefix + name] = value
    return flat


def _diff_fields(
    one: Mapping[str, _Fields], other: Mapping[str, _Fields], file: Path, *, is_layers: bool
) -> Iterator[Finding]:
    def finding(rule: str, name: str, field: str, expected: Any, found: Any) -> Finding:
        if not is_layers:
            field = f"inputs.{name}.{field}".rstrip(".")
        return Finding(
            rule=rule,
            file=file,
            layer=name if is_layers else None,
            field=field,
            expected=expected,
            found=found,
        )

    for name, fields in one.items():
        if name not in other:
            yield finding("missing", name, "", name, list(other))
            continue
        is_plain = "class" in fields  # a version of Keras may write options that another lacks
        for field in dict.fromkeys([*fields, *other[name]]):
            expected, found = fields.get(field), other[name].get(field)
            if expected != found and not (is_plain and None in (expected, found)):
                yield finding("value", name, field, expected, found)
    for name in other:
        if name not in one:
            yield finding("extra", name, "", list(one), name)


def _weights(model: Model) -> dict[str, dict[str, Array]]:
    """The arrays of every layer by path; those of a recurrent layer gate by gate."""
    arrays = {}
    for call in model.calls:
        match call.layer:
            case Recurrence() as recurrence:
                arrays[call.path] = dict(_blocks(recurrence))
            case Layer() as layer:
                own = _arrays_of(layer)
                arrays[call.path] = {f"weights.{n}": array for n, array in enumerate(own)}
    return arrays


def _arrays_of(layer: Layer) -> list[Array]:
    """The arrays of a layer that is not recurrent, in an order that every format has.

    Of a layer of somebody's own, an ``.h5`` lists the arrays of layers in it in the order in which
    they were made, and a ``.keras`` by the names of attributes.
    """
    if layer.options is not None:
        return [*layer.weights]
    return sorted(layer.weights, key=lambda array: (array.shape, array.tobytes()))


def _blocks(recurrence: Recurrence) -> Iterator[tuple[str, Array]]:
    for block in recurrence.blocks:
        gate = f" ({block.gate})" if block.gate else ""
        yield f"weights.{block.weight}{gate}", recurrence.block(block)


def _diff_weights(
    one: Mapping[str, Mapping[str, Array]],
    other: Mapping[str, Mapping[str, Array]],
    file: Path,
    tolerance: Tolerance,
) -> Iterator[Finding]:
    for path, arrays in one.items():
        if path not in other:
            continue
        its = other[path]
        finding = partial(Finding, file=file, layer=path)
        if len(its) != len(arrays):
            yield finding(rule="value", field="arrays", expected=len(arrays), found=len(its))
        for name in (name for name in arrays if name in its):
            array, found = arrays[name], its[name]
            if array.shape == found.shape:  # else the fields of the layer have reported it
                parts = parting(array.shape, [(array.reshape(-1), found.reshape(-1))], tolerance)
                yield from findings_of(parts, partial(finding, field=name), shape_text)
