"""Two models: their structure, their shapes, then their weights gate by gate."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.checks.diff.two_arrays import Tolerance, findings_of, parting
from lstm_inspect.checks.findings import Finding
from lstm_inspect.model import Layer, Model, Operation, Recurrence
from lstm_inspect.notation import shape_text
from lstm_inspect.shapes import model_shapes

# Said of the file or of what can be done with it, or told by another field.
_FREE = frozenset({"path", "name", "blocked_by", "notes", "parameters"})

_LABELS = frozenset({"name", "trainable", "batch_input_shape", "seed", "dtype"})
_OPTIONS = ("zero_output_for_mask", "time_major", "restores_order")

_Fields = Mapping[str, Any]


def diff_models(one: Model, other: Model, tolerance: Tolerance) -> list[Finding]:
    """Compares two models; that they are saved in different formats is no difference.

    Returns:
        Where the second is not as the first: inputs, then layers field by field (how they are wired
        is not compared), then weights. Of each array, or each gate of it: the first number that
        differs and the largest difference.

    Raises:
        SelectionError: One has no recurrent layer.
    """
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
    """The fields of every layer by path: of a recurrent one as `shapes` has them, and its options.

    Operations between layers are left out: one Keras writes them into a config, another does not.
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
    """What a layer computes: its options, or the settings of a layer that only Keras knows."""
    if layer.options is None:
        settings = {name: value for name, value in layer.config.items() if _tells(name, value)}
    else:
        settings = _flat(asdict(layer.options))
    return {**settings, "activation": layer.activation}


def _tells(name: str, value: Any) -> bool:
    """Whether a setting of a layer says what it computes; initializers and such do not."""
    items = value if isinstance(value, list) else [value]
    return name not in _LABELS and all(type(item) in (str, int, float, bool) for item in items)


def _flat(row: _Fields, prefix: str = "") -> dict[str, Any]:
    """The fields of a row, those of objects in it by ``object.field``."""
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
        is_plain = "class" in fields  # one Keras writes options that another does not have
        for field in dict.fromkeys([*fields, *other[name]]):
            expected, found = fields.get(field), other[name].get(field)
            if expected != found and not (is_plain and None in (expected, found)):
                yield finding("value", name, field, expected, found)
    for name in other:
        if name not in one:
            yield finding("extra", name, "", list(one), name)


def _weights(model: Model) -> dict[str, dict[str, Array]]:
    """The arrays of every layer by path, those of a recurrent one gate by gate."""
    arrays = {}
    for call in model.calls:
        match call.layer:
            case Recurrence() as recurrence:
                arrays[call.path] = dict(_gates(recurrence))
            case Layer(weights=weights):
                arrays[call.path] = {f"weights.{n}": array for n, array in enumerate(weights)}
    return arrays


def _gates(recurrence: Recurrence) -> Iterator[tuple[str, Array]]:
    for name in recurrence.weights:
        for gate, block in recurrence.gates_of(name):
            yield f"weights.{name} ({gate})" if gate else f"weights.{name}", block


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
            if array.shape != found.shape:
                if "(" not in name:  # of a recurrent layer the fields have told
                    shapes = list(array.shape), list(found.shape)
                    yield finding(rule="value", field=name, expected=shapes[0], found=shapes[1])
                continue
            parts = parting(array.shape, [(array.reshape(-1), found.reshape(-1))], tolerance)
            yield from findings_of(parts, partial(finding, field=name), shape_text)
