"""What is recorded if steps, units or samples are asked for: the same numbers as of the whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InputError, LayerTrace
from lstm_inspect.checks.diff.two_dumps import diff_dumps
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.run import Replay
from lstm_inspect.traces.kept import Kept
from tests import conftest
from tests.conftest import (
    SAMPLES,
    Array,
    functional,
    input_layer,
    load_dump,
    lstm,
    lstm_weights,
    random,
    save_dump,
    write_h5,
)

MASKED = SAMPLES / "bidirectional_masking.keras"


def masked_input() -> Array:
    """3 samples of 6 steps, with masked ones at either end."""
    x = random(3, 6, 2)
    x[0, :2] = x[1, 4:] = 0
    return x


def traced(**options: Any) -> lstm_inspect.Trace:
    """A trace of a masked Bidirectional."""
    return lstm_inspect.trace(MASKED, masked_input(), record="all", **options)


def cut(layer: LayerTrace, places: dict[str, list[int]]) -> dict[str, Any]:
    """The signals of a whole trace, with some places of some axes."""
    signals = {}
    for name, array in layer.signals.items():
        for axis, dim in enumerate(layer.dims_of(name)):
            if dim in places:
                array = array.take(places[dim], axis)
        signals[name] = array
    return signals


@pytest.mark.parametrize(
    ("options", "dim", "places"),
    [
        ({"steps": "0:4:2"}, "timesteps", [0, 2]),
        ({"steps": "1, 3:"}, "timesteps", [1, 3, 4, 5]),
        ({"steps": -1}, "timesteps", [5]),
        ({"steps": [0, slice(4, None)]}, "timesteps", [0, 4, 5]),
        ({"steps": np.array([5, 0])}, "timesteps", [0, 5]),
        ({"steps": np.arange(6)[-1]}, "timesteps", [5]),
        ({"units": "0,2"}, "units", [0, 2]),
        ({"units": range(1, 3)}, "units", [1, 2]),
        ({"samples": "1:"}, "batch", [1, 2]),
        ({"samples": 0}, "batch", [0]),
    ],
    ids=str,
)
def test_a_part_has_the_numbers_of_the_whole(
    options: dict[str, Any], dim: str, places: list[int]
) -> None:
    whole, part = traced(), traced(**options)
    for path, layer in part.items():
        assert list(layer.kept[dim].places) == places
        for name, array in cut(whole[path], {dim: places}).items():
            np.testing.assert_allclose(layer.signals[name], array, rtol=0, atol=1e-6)


def test_last_is_the_last_step_that_each_direction_reads() -> None:
    whole, last = traced(), traced(last=True)
    for path, layer in last.items():
        place = 0 if layer.direction == "backward" else whole[path].h.shape[1] - 1
        assert layer.kept == {"timesteps": Kept.of([place], whole[path].h.shape[1])}
        np.testing.assert_array_equal(layer.h, whole[path].h[:, [place]])


def test_a_dtype_is_that_of_all_but_the_mask() -> None:
    whole = traced()
    for path, layer in traced(dtype="float16").items():
        for name, array in layer.signals.items():
            assert array.dtype == ("bool" if name == "mask" else "float16")
            np.testing.assert_array_equal(array, whole[path].signals[name].astype(array.dtype))


def test_numbers_that_a_dtype_cannot_hold_are_refused() -> None:
    x = np.full((1, 3, 1), 1e30, "float32")
    with pytest.raises(InputError, match=r"dtype float16: .* received up to 1e\+30 in .*/x"):
        lstm_inspect.trace(SAMPLES / "one_unit_sequences.keras", x, record="x", dtype="float16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": "8"}, "steps: expected numbers below 6, received 8"),
        ({"steps": "8:"}, "steps: expected some of 0 to 5, received none"),
        ({"steps": "a"}, "steps: expected places such as"),
        ({"steps": True}, "steps: expected places such as"),
        ({"steps": np.array([True, False])}, "steps: expected places such as"),
        ({"steps": np.array([[0]])}, "steps: expected places such as"),
        ({"steps": np.array([])}, "steps: expected places such as"),
        ({"steps": [[0]]}, "steps: expected places such as"),
        ({"steps": [[0, 1], 2]}, "steps: expected places such as"),
        ({"steps": slice(None, None, -1)}, "steps: expected places such as"),
        ({"units": 1.5}, "units: expected places such as"),
        ({"units": ""}, "units: expected places such as"),
        ({"samples": [9]}, "samples: expected numbers below 3, received 9"),
        ({"steps": 0, "last": True}, "steps: expected none with last"),
        ({"dtype": "int8"}, "dtype: expected float16 or float32 or float64; received 'int8'"),
    ],
    ids=str,
)
def test_what_is_no_part_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        traced(**options)
    assert message in str(refused.value)


def test_a_dump_says_what_was_kept(tmp_path: Path) -> None:
    part = traced(steps="0:6:3,5", units="1", samples="0,2")
    part.save(tmp_path / "part.npz")
    loaded = lstm_inspect.load_trace(tmp_path / "part.npz")
    for path, layer in loaded.items():
        assert layer.kept == part[path].kept
        assert {dim: str(kept) for dim, kept in layer.kept.items()} == {
            "batch": "0,2 of 3",
            "timesteps": "0,3,5 of 6",
            "units": f"1 of {layer.units}",
        }


def test_a_whole_dump_has_the_schema_that_older_versions_read(tmp_path: Path) -> None:
    for number, options in ((1, {}), (2, {"last": True})):
        traced(**options).save(tmp_path / "t.npz")
        assert load_dump(tmp_path / "t.npz")[1]["schema"] == number


@pytest.mark.parametrize(
    "kept",
    [
        {"places": [[0, 10**15, 1]], "of": 10**15},
        {"places": [[0, 1, 1], [0, 1, 1]], "of": 8},
        {"places": [[1, -1, -1]], "of": 8},
        {"places": [[7, 9, 1]], "of": 8},
        {"places": [[0, 2, 1]], "of": "8"},
        {"places": [0, 1], "of": 8},
        {"of": 8},
        [],
    ],
    ids=str,
)
def test_a_dump_whose_places_are_not_those_of_its_arrays_is_refused(
    kept: object, tmp_path: Path
) -> None:
    traced(steps="0,1").save(tmp_path / "t.npz")
    arrays, document = load_dump(tmp_path / "t.npz")
    for layer in document["layers"].values():
        layer["kept"]["timesteps"] = kept
    save_dump(tmp_path / "t.npz", arrays, document)
    with pytest.raises(InputError, match="its document does not describe its arrays"):
        lstm_inspect.load_trace(tmp_path / "t.npz")


def test_diff_tells_which_steps_two_dumps_have_and_names_places_by_step(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.npz", "b.npz", "c.npz")]
    for path, steps in zip(paths, ("2,5", "2,4", "2,5"), strict=True):
        traced(steps=steps).save(path)
    arrays, document = load_dump(paths[-1])
    path = next(iter(document["layers"]))
    h = arrays[f"{path}/h"].copy()
    h[1, 1, 0] += 1
    arrays[f"{path}/h"] = h
    save_dump(paths[-1], arrays, document)
    one, other, third = paths
    other_steps = {each.field: (each.expected, each.found) for each in diff_dumps(one, other)}
    assert other_steps == {"timesteps": ("2,5 of 6", "2,4 of 6")}
    (number,) = diff_dumps(one, third)
    assert number.place == "sample 1, step 5, unit 0"


def test_samples_that_a_call_mixes_are_computed_together(tmp_path: Path) -> None:
    def size_behind(class_name: str, features: int = 3, **config: Any) -> int | None:
        model_config = functional(
            input_layer("x", 5, 3),
            conftest.layer(class_name, "front", ["x"], **config),
            lstm("lstm", 2, "front"),
            inputs=["x"],
            outputs=["lstm"],
        )
        path = write_h5(
            tmp_path / "m.h5", model_config, {"lstm": lstm_weights("lstm", features, 2)}
        )
        model, options = lstm_inspect.open_model(path), ReplayOptions(record="h")
        first = next(Replay(model, random(8, 5, 3), options, block_bytes=400).blocks())
        return None if first.samples.stop == 8 else first.samples.stop

    def size(function: str, features: int = 3, **call: Any) -> int | None:
        return size_behind("TFOpLambda", features, function=function, call_kwargs=call)

    assert size("math.multiply", y=2.0) == 2
    assert size("math.reduce_mean", axis=0, keepdims=True) is None
    assert size("math.reduce_mean", 1, axis=2, keepdims=True) is not None
    for axis in (0, -3, [1, 0]):
        assert size_behind("LayerNormalization", axis=axis, scale=False, center=False) is None
    for axis in (1, -1, -2, [1, 2]):
        assert size_behind("LayerNormalization", axis=axis, scale=False, center=False) is not None


def test_blocks_have_the_numbers_of_the_whole() -> None:
    x = np.concatenate([masked_input()] * 5)
    model = lstm_inspect.open_model(MASKED)
    options = ReplayOptions(record="all")
    whole = Replay(model, x, options).in_memory().trace
    parts = Replay(model, x, options, block_bytes=8000).in_memory().trace
    for key, array in whole.arrays().items():
        np.testing.assert_allclose(parts.arrays()[key], array, rtol=0, atol=1e-6)
