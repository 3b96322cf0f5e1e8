"""Paths of the sample models, and functions that write small model files for the tests."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import settings

from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.traces import dumps
from lstm_inspect.traces.stored_trace import SCHEMA

FIXTURES = Path(__file__).parent / "fixtures"
SAMPLES = Path(__file__).parents[1] / "sample_models"
ORACLES = Path(__file__).parent / "oracles"
KERAS_TESTS = Path(__file__).parent / "keras"

# On a busy machine an example may be slow without a fault.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

Array = np.ndarray[Any, np.dtype[Any]]
Json = dict[str, Any]
Source = str | tuple[str, int, int]
"""A tensor in a config: (layer, call, output), or a name alone for the only output of a layer."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the modules of `tests/keras` with ``-m "not keras"``: they import TensorFlow."""
    unwanted = "not keras" in config.option.markexpr
    return True if unwanted and collection_path == KERAS_TESTS else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs tests that import TensorFlow last: others fail sooner, and measure memory without it."""
    items.sort(key=lambda item: item.get_closest_marker("keras") is not None)


@pytest.fixture(scope="module", params=["numpy", "onnxruntime"])
def engine(request: pytest.FixtureRequest) -> str:
    """The name of each engine that is installed."""
    name: str = request.param
    pytest.importorskip(name)
    return name


@pytest.fixture
def parsed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parses HDF5 in the process of the test, for tests that open many files.

    A confined process is forked from the whole test session, which takes three times as long as
    to open the file. `test_fixtures` opens every fixture in one.
    """
    monkeypatch.setattr("lstm_inspect.files.confined.IS_CONFINED", False)


def chromium() -> str:
    """The path of Chromium; a test is skipped without it, but not in CI."""
    path = shutil.which("chromium")
    if path is None:
        assert not os.environ.get("CI"), "Chromium is not installed"
        pytest.skip("Chromium is not installed")
    return path


def sample_input(name: str) -> Array | dict[str, Array]:
    """The input of a sample model; a dict by input name if the model has several."""
    only = SAMPLES / f"{name}.npy"
    if only.exists():
        array: Array = np.load(only)
        return array
    return {
        path.name.split(".")[1]: np.load(path) for path in sorted(SAMPLES.glob(f"{name}.*.npy"))
    }


def random(*shape: int) -> Array:
    """Numbers between -1 and 1, the same for the same shape."""
    return np.random.default_rng(shape).uniform(-1, 1, shape).astype("float32")


def layer(class_name: str, name: str, *calls: Source | list[Source], **config: Any) -> Json:
    """A layer's entry in a config of Keras 2.

    Each of ``calls`` is the source, or the sources, that the call reads. ``call_kwargs`` are the
    keyword arguments of the calls; the other keyword arguments are config.
    """
    call_kwargs = config.pop("call_kwargs", {})
    nodes = [
        [
            [*((source, 0, 0) if isinstance(source, str) else source), call_kwargs]
            for source in (call if isinstance(call, list) else [call])
        ]
        for call in calls
    ]
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, "dtype": "float32", **config},
        "inbound_nodes": nodes,
    }


def input_layer(name: str, *sizes: int | None, **config: Any) -> Json:
    """An InputLayer; ``sizes`` are its shape without the batch."""
    return layer("InputLayer", name, batch_input_shape=[None, *sizes], **config)


def lstm(name: str, units: int, *calls: Source | list[Source], **config: Any) -> Json:
    """An LSTM."""
    return layer("LSTM", name, *calls, units=units, **config)


def lstm_weights(name: str, features: int, units: int) -> dict[str, Array]:
    """Random weights for `lstm`, by their names in a file."""
    shapes = {
        "kernel": (features, 4 * units),
        "recurrent_kernel": (units, 4 * units),
        "bias": (4 * units,),
    }
    return {f"{name}/lstm_cell/{key}:0": random(*shape) for key, shape in shapes.items()}


def sequential(*layers: Json, name: str = "model") -> Json:
    """A Sequential model."""
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def functional(
    *layers: Json, inputs: list[str], outputs: list[Source], name: str = "model"
) -> Json:
    """A Functional model."""
    return {
        "class_name": "Functional",
        "name": name,
        "config": {
            "name": name,
            "layers": list(layers),
            "input_layers": [[each, 0, 0] for each in inputs],
            "output_layers": [
                [each, 0, 0] if isinstance(each, str) else list(each) for each in outputs
            ],
        },
    }


def write_h5(
    path: Path,
    config: Json,
    weights: Mapping[str, Mapping[str, Array]],
    *,
    keras_version: str = "2.15.0",
) -> Path:
    """Writes a whole-model ``.h5``, with ``weights`` by layer name and weight name."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = keras_version
        file.attrs["model_config"] = json.dumps(config)
        model_weights = file.create_group("model_weights")
        model_weights.attrs["layer_names"] = list(weights)
        for layer_name, arrays in weights.items():
            group = model_weights.create_group(layer_name)
            group.attrs["weight_names"] = list(arrays)
            for name, array in arrays.items():
                group.create_dataset(name, data=array)
    return path


def save_dump(path: str | Path, arrays: Mapping[str, Array], document: Mapping[str, Any]) -> None:
    """Writes a dump, whose arrays have axes of their own."""
    named = {
        key: dumps.NamedAxes(array, tuple(f"{key[-1]}{axis}" for axis in range(array.ndim)))
        for key, array in arrays.items()
    }
    dumps.save_dump(Path(path), named, document, lambda path: True)


def load_dump(path: str | Path) -> tuple[dict[str, Array], Json]:
    """The arrays and the document of a dump."""
    with dumps.open_dump(Path(path), SCHEMA, DEFAULT_LIMITS) as (arrays, document):
        return {key: array.read() for key, array in arrays.items()}, document
