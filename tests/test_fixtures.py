"""Compares the replay of every fixture with the states that the Keras of that file computed.

The rows of docs/formats.md list these tests; UPDATE_GOLDEN=1 rewrites them.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import Model, Trace
from tests.conftest import FIXTURES

TABLE = Path(__file__).parents[1] / "docs" / "formats.md"

# Relative to the largest number, or to 1. In 16 bits Keras rounds after every operation, the replay
# once.
TOLERANCES = {"float64": 1e-12, "float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2}


class Fixture(NamedTuple):
    """A model file, and the file of arrays that Keras computed from it."""

    dialect: str
    file: Path
    oracle: Path

    @property
    def meta(self) -> dict[str, Any]:
        with np.load(self.oracle) as arrays:
            loaded: dict[str, Any] = json.loads(str(arrays["meta"]))
        return loaded

    @property
    def is_weights_only(self) -> bool:
        return "weights" in self.file.name


def fixtures() -> Iterator[Fixture]:
    for oracle in sorted(FIXTURES.glob("keras-*/*.npz")):
        fixture = Fixture(oracle.parent.name, oracle, oracle)
        for name in fixture.meta["files"]:
            is_shard = "_0000" in name
            is_config = name.endswith(".json") and not name.endswith(".weights.json")
            if not is_shard and not is_config:
                yield fixture._replace(file=oracle.parent / name)


ALL = list(fixtures())


def needs_tensorflow(fixture: Fixture) -> bool:
    return fixture.file.suffix == ".saved_model"


def cases() -> list[Any]:
    return [
        pytest.param(
            fixture,
            id=f"{fixture.dialect}/{fixture.file.name}",
            marks=[pytest.mark.keras] if needs_tensorflow(fixture) else [],
        )
        for fixture in ALL
    ]


def opened(fixture: Fixture) -> Model:
    config = fixture.oracle.with_suffix(".json") if fixture.is_weights_only else None
    return lstm_inspect.open_model(fixture.file, config)


def inputs_of(fixture: Fixture, model: Model, prefix: str = "in/") -> dict[str, Any]:
    """The input arrays by our names; the name of a Sequential's input depends on the Keras."""
    with np.load(fixture.oracle) as arrays:
        given = [arrays[key] for key in arrays.files if key.startswith(prefix)]
    return {each.name: array for each, array in zip(model.inputs, given, strict=True)}


def assert_states(fixture: Fixture, model: Model, trace: Trace, prefix: str = "oracle/") -> None:
    dtypes = {call.path: recurrence.dtype for call, recurrence in model.recurrent_calls}
    assert trace.untraced == {}
    with np.load(fixture.oracle) as arrays:
        expected = {
            key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)
        }
    assert expected
    for key, states in expected.items():
        path, signal = key.rsplit("/", 1)
        ours = trace[path].signals[signal].astype("float64")
        assert ours.shape == states.shape
        apart = np.abs(ours - states.astype("float64")).max() / max(1.0, np.abs(states).max())
        assert apart <= TOLERANCES[dtypes[path]], f"{key} is {apart:.2g} off"


@pytest.mark.parametrize("fixture", cases())
def test_a_file_is_replayed_as_the_keras_that_wrote_it_computes(fixture: Fixture) -> None:
    model = opened(fixture)
    trace = lstm_inspect.trace(model, inputs_of(fixture, model), engine="numpy")
    assert_states(fixture, model, trace)


def is_only_in_numpy(case: Any) -> bool:
    """Whether onnxruntime has no such cell, or in float64 not its hard_sigmoid."""
    return "/conv_lstm" in case.id or case.id == "keras-2.2-tf/float64.h5"


@pytest.mark.parametrize("fixture", [case for case in cases() if not is_only_in_numpy(case)])
def test_it_is_replayed_the_same_in_onnxruntime(fixture: Fixture) -> None:
    pytest.importorskip("onnxruntime")
    model = opened(fixture)
    trace = lstm_inspect.trace(model, inputs_of(fixture, model), engine="onnxruntime")
    assert_states(fixture, model, trace)


@pytest.mark.parametrize(
    "fixture", [case for case in cases() if case.values[0].oracle.stem == "stateful"]
)
def test_states_are_carried_from_batch_to_batch(fixture: Fixture) -> None:
    model = opened(fixture)
    first, second = (inputs_of(fixture, model, prefix) for prefix in ("in/", "next/in/"))
    size = len(next(iter(first.values())))
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    trace = lstm_inspect.trace(model, both, stateful=True)
    with np.load(fixture.oracle) as arrays:
        for path, layer in trace.items():
            for signal in ("h", "c"):
                expected = arrays[f"next/oracle/{path}/{signal}"]
                np.testing.assert_allclose(layer.signals[signal][size:], expected, atol=1e-6)


@pytest.mark.usefixtures("parsed_here")
@pytest.mark.parametrize("fixture", [case for case in cases() if case.values[0].is_weights_only])
def test_the_arrays_alone_give_the_shapes(fixture: Fixture) -> None:
    with_config = lstm_inspect.model_shapes(opened(fixture))
    alone = lstm_inspect.model_shapes(lstm_inspect.open_model(fixture.file))

    def known(shapes: lstm_inspect.ModelShapes) -> set[Any]:
        return {
            (row.recurrence.cell, row.recurrence.units, row.recurrence.features)
            for row in shapes.layers
        }

    assert known(alone) == known(with_config)
    assert all(row.recurrence.remarks and row.blocked_by for row in alone.layers)


def compatibility_rows() -> list[str]:
    """One row for each dialect and cell, with the models of that cell and their file formats."""
    models: dict[tuple[str, str], set[str]] = defaultdict(set)
    endings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for fixture in ALL:
        version = f"{fixture.meta['keras']} ({fixture.meta['backend']})"
        kinds = {"rnn": "simple_rnn", "peephole": "peephole_lstm"}
        for kind in set(fixture.meta["kinds"].values()):
            row = (version, kinds.get(kind, kind))
            models[row].add(fixture.oracle.stem)
            endings[row].add(fixture.file.name.removeprefix(fixture.oracle.stem).lstrip("_"))

    def newest_last(row: tuple[str, str]) -> tuple[list[int], str, str]:
        number = row[0].partition(" ")[0].partition("-")[0]
        return [int(part) for part in number.split(".")], row[0], row[1]

    return [
        f"| {row[0]} | {row[1]} | {', '.join(sorted(endings[row]))} | "
        f"{', '.join(sorted(models[row]))} |"
        for row in sorted(models, key=newest_last)
    ]


def test_the_compatibility_table_says_what_is_tested() -> None:
    start, end = "<!-- rows -->\n", "<!-- end of rows -->\n"
    head, rest = TABLE.read_text(encoding="utf-8").split(start)
    tail = rest.split(end)[1]
    rows = (
        "| Keras (backend) | cell | files | models |\n|---|---|---|---|\n"
        + "\n".join(compatibility_rows())
        + "\n"
    )
    if os.environ.get("UPDATE_GOLDEN"):
        TABLE.write_text(head + start + rows + end + tail, encoding="utf-8")
    assert TABLE.read_text(encoding="utf-8") == head + start + rows + end + tail
