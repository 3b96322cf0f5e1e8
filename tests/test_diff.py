import json
import os
import shutil
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import lstm_inspect
from lstm_inspect import Tolerance, diff_models
from lstm_inspect.checks.diff.two_arrays import parting
from lstm_inspect.checks.diff.two_dumps import diff_traces
from lstm_inspect.cli import cli
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.files.npy import open_arrays
from lstm_inspect.model import Layer
from lstm_inspect.traces.recording import LayerTrace, Trace
from tests.conftest import (
    FIXTURES,
    SAMPLES,
    Array,
    Json,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    sequential,
    write_h5,
)

pytestmark = pytest.mark.usefixtures("parsed_here")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)


def lines(*arguments: object) -> list[str]:
    """The differences that diff prints, without the name of the file."""
    result = run("diff", *arguments)
    *found, total = result.stdout.splitlines()
    assert result.stderr == ""
    assert result.exit_code == bool(found)
    assert total == (
        f"{len(found)} difference{'s' * (len(found) > 1)}" if found else "no difference"
    )
    return [line.partition(": ")[2] for line in found]


# --- numbers


def part(one: Any, other: Any, **tolerance: float) -> Any:
    a, b = np.asarray(one, float), np.asarray(other, float)
    return parting(a.shape, [(a.reshape(-1), b.reshape(-1))], Tolerance(**tolerance))


def test_equal_numbers_do_not_part() -> None:
    assert part([[1, 2], [3, 4]], [[1, 2], [3, 4]]) is None


def test_the_first_and_the_largest_difference_are_told() -> None:
    parts = part([[1, 2], [3, 4]], [[1, 2.5], [3, 2]])
    assert (parts.first, parts.expected, parts.found) == ((0, 1), 2, 2.5)
    assert (parts.largest, parts.largest_place) == (2, (1, 1))


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "agree"),
    [
        (1.0, 1.5, {"absolute": 0.5}, True),
        (1.0, 1.5, {"absolute": 0.49}, False),
        (10.0, 11.0, {"relative": 0.1}, True),
        (10.0, 11.0, {"relative": 0.09}, False),
        (10.0, 12.0, {"absolute": 1.0, "relative": 0.1}, True),
        (np.nan, np.nan, {}, True),
        (np.nan, 1.0, {"absolute": 9.0}, False),
        (1.0, np.nan, {"absolute": 9.0}, False),
        (np.inf, np.inf, {}, True),
        (np.inf, -np.inf, {"absolute": 9.0}, False),
        (1.0, np.inf, {"absolute": 9.0}, False),
        (0.0, -0.0, {}, True),
    ],
)
def test_numbers_agree_within_the_tolerance(
    one: float, other: float, tolerance: dict[str, float], agree: bool
) -> None:
    assert (part([one], [other], **tolerance) is None) is agree


def test_a_number_beside_nan_is_infinitely_far() -> None:
    assert part([1.0, 2.0], [1.5, np.nan]).largest == np.inf


def test_places_count_over_pieces() -> None:
    pieces = [(np.zeros(4), np.zeros(4)), (np.zeros(2), np.array([0.0, 1.0]))]
    parts = parting((3, 2), pieces, Tolerance())
    assert parts is not None
    assert parts.first == (2, 1)


# --- models


def model(path: Path, *layers: Json, **weights: dict[str, Array]) -> Path:
    return write_h5(path, sequential(input_layer("x", None, 3), *layers), weights)


def test_a_model_does_not_differ_from_itself() -> None:
    path = SAMPLES / "encoder_decoder.keras"
    assert lines(path, path) == []


def conversions() -> list[Any]:
    """Fixtures that the same Keras saved in both formats."""
    by_stem = defaultdict(list)
    for path in sorted(FIXTURES.glob("keras-*/*")):
        if path.suffix in (".h5", ".keras") and not path.name.endswith(".weights.h5"):
            by_stem[path.parent.name, path.stem].append(path)
    return [
        pytest.param(*paths, id="/".join(stem))
        for stem, paths in by_stem.items()
        if len(paths) == 2
    ]


@pytest.mark.parametrize(("h5", "keras"), conversions())
def test_an_h5_does_not_differ_from_its_keras(h5: Path, keras: Path) -> None:
    one, other = lstm_inspect.open_model(h5), lstm_inspect.open_model(keras)
    assert diff_models(one, other, Tolerance()) == []


def test_a_changed_weight_is_told_by_array_and_gate(tmp_path: Path) -> None:
    weights = lstm_weights("lstm", 3, 2)
    one = model(tmp_path / "a.h5", lstm("lstm", 2), lstm=weights)
    changed = {name: array.copy() for name, array in weights.items()}
    kernel = changed["lstm/lstm_cell/kernel:0"]
    kernel[1, 2] = 9  # the forget gate's first unit
    kernel[2, 3] = -1
    before = weights["lstm/lstm_cell/kernel:0"]
    other = model(tmp_path / "b.h5", lstm("lstm", 2), lstm=changed)
    (line,) = lines(one, other)
    assert line == (
        f"lstm: weights.kernel (f) at (1, 0): expected {before[1, 2]:.9g}, found 9; "
        f"largest difference {9 - before[1, 2]:.3g} at (1, 0)"
    )
    assert lines(one, other, "--atol", "20") == []


def test_other_units_are_told_field_by_field(tmp_path: Path) -> None:
    one = model(tmp_path / "a.h5", lstm("lstm", 2), lstm=lstm_weights("lstm", 3, 2))
    other = model(tmp_path / "b.h5", lstm("lstm", 3), lstm=lstm_weights("lstm", 3, 3))
    found = lines(one, other)
    assert "lstm: units: expected 2, found 3" in found
    assert "lstm: weights.kernel: expected (3, 8), found (3, 12)" in found
    assert "lstm: states.c: expected (batch, 2), found (batch, 3)" in found


def test_another_shape_of_weights_without_gates_is_told_once(tmp_path: Path) -> None:
    paths = []
    for units in (2, 4):
        stored = {
            "lstm/kernel:0": random(3, units),
            "lstm/recurrent_kernel:0": random(units, units),
            "lstm/bias:0": random(units),
        }
        rnn = layer("SimpleRNN", "lstm", units=units)
        paths.append(model(tmp_path / f"{units}.h5", rnn, lstm=stored))
    found = lines(*paths)
    assert "lstm: weights.kernel: expected (3, 2), found (3, 4)" in found
    assert len(found) == len(set(found)) == 6


def test_another_hard_sigmoid_is_a_difference(tmp_path: Path) -> None:
    """Another version of Keras uses the same name for another function."""
    weights = lstm_weights("lstm", 3, 2)
    config = sequential(
        input_layer("x", None, 3), lstm("lstm", 2, recurrent_activation="hard_sigmoid")
    )
    one = write_h5(tmp_path / "a.h5", config, {"lstm": weights}, keras_version="2.2.4")
    other = write_h5(tmp_path / "b.h5", config, {"lstm": weights}, keras_version="3.15.1")
    assert lines(one, other) == [
        "lstm: recurrent_activation: expected hard_sigmoid_0.2, found hard_sigmoid"
    ]


def test_a_layer_more_or_less_is_told(tmp_path: Path) -> None:
    weights = {"lstm": lstm_weights("lstm", 3, 2)}
    one = model(tmp_path / "a.h5", lstm("lstm", 2), layer("Dropout", "drop", rate=0.5), **weights)
    other = model(tmp_path / "b.h5", lstm("lstm", 2), layer("Flatten", "flat"), **weights)
    assert lines(one, other) == [
        "drop: missing; there are lstm, flat",
        "flat: not expected",
    ]


def test_a_layer_of_another_class_is_told(tmp_path: Path) -> None:
    weights = {"lstm": lstm_weights("lstm", 3, 2)}
    one = model(tmp_path / "a.h5", lstm("lstm", 2), layer("Dropout", "last", rate=0.5), **weights)
    other = model(tmp_path / "b.h5", lstm("lstm", 2), layer("Flatten", "last"), **weights)
    assert lines(one, other) == ["last: class: expected Dropout, found Flatten"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"activation": "tanh"}, "head: activation: expected linear, found tanh"),
        ({"zero_output_for_mask": True}, "lstm: zero_output_for_mask: expected false, found true"),
    ],
)
def test_an_option_that_changes_what_is_computed_is_told(
    tmp_path: Path, change: dict[str, Any], line: str
) -> None:
    dense = {"activation": "linear", "units": 2, "use_bias": False}
    weights = {"lstm": lstm_weights("lstm", 3, 2), "head": {"head/kernel:0": random(2, 2)}}
    own = {"lstm": {}, "head": {}, line.split(":")[0]: change}
    one = model(tmp_path / "a.h5", lstm("lstm", 2), layer("Dense", "head", **dense), **weights)
    changed = layer("Dense", "head", **{**dense, **own["head"]})
    other = model(tmp_path / "b.h5", lstm("lstm", 2, **own["lstm"]), changed, **weights)
    assert lines(one, other) == [line]


def test_a_layer_that_lost_its_weights_is_told_in_both_orders(tmp_path: Path) -> None:
    dense = layer("Dense", "head", units=2, use_bias=False)
    weights = {"lstm": lstm_weights("lstm", 3, 2), "head": {"head/kernel:0": random(2, 2)}}
    one = model(tmp_path / "a.h5", lstm("lstm", 2), dense, **weights)
    other = model(tmp_path / "b.h5", lstm("lstm", 2), dense, **{**weights, "head": {}})
    assert lines(one, other) == ["head: arrays: expected 1, found 0"]
    assert lines(other, one) == ["head: arrays: expected 0, found 1"]


def test_the_weights_of_other_layers_are_compared_too(tmp_path: Path) -> None:
    dense = layer("Dense", "head", units=2, use_bias=False)
    paths = []
    for name, kernel in (("a.h5", np.zeros((2, 2))), ("b.h5", np.ones((2, 2)))):
        weights = {"lstm": lstm_weights("lstm", 3, 2), "head": {"head/kernel:0": kernel}}
        paths.append(model(tmp_path / name, lstm("lstm", 2), dense, **weights))
    (line,) = lines(*paths)
    assert line.startswith("head: weights.0 at (0, 0): expected 0, found 1")


# --- dumps


def dump(
    path: Path,
    signals: dict[str, Array],
    layer_path: str = "lstm",
    cell: str = "lstm",
    direction: str = "forward",
) -> Path:
    traced = LayerTrace(path=layer_path, cell=cell, units=2, direction=direction, signals=signals)
    model = {"name": "m.keras", "sha256": "0", "keras_version": None}
    Trace(layers={layer_path: traced}, model=model).save(path)
    return path


def test_a_dump_does_not_differ_from_itself(tmp_path: Path) -> None:
    path = dump(tmp_path / "a.npz", {"h": random(2, 3, 4), "mask": np.ones((2, 3), bool)})
    assert lines(path, path) == []


@pytest.mark.parametrize(("a", "b"), [(2**53, 2**53 + 1), (-(2**63), 2**63 - 1)])
def test_whole_numbers_are_compared_as_whole_numbers(a: int, b: int) -> None:
    parts = parting((1,), [(np.array([a]), np.array([b]))], Tolerance())
    assert parts is not None
    assert parts.largest == float(b - a)
    assert parting((1,), [(np.array([a]), np.array([a]))], Tolerance(0, 0)) is None


def test_the_first_step_in_which_two_dumps_part_is_told(tmp_path: Path) -> None:
    h = random(2, 5, 4)
    changed = h.copy()
    changed[1, 2, 3] += 0.5
    changed[1, 4, 0] -= 2
    one = dump(tmp_path / "a.npz", {"h": h, "c": h})
    other = dump(tmp_path / "b.npz", {"h": h, "c": changed})
    (line,) = lines(one, other)
    assert line == (
        f"lstm: c at sample 1, step 2, unit 3: expected {h[1, 2, 3]:.9g}, "
        f"found {changed[1, 2, 3]:.9g}; largest difference 2 at sample 1, step 4, unit 0"
    )
    assert lines(one, other, "--atol", "2.1") == []
    assert len(lines(one, other, "--rtol", "0.01")) == 1


def test_another_dtype_is_told_and_the_numbers_are_compared_all_the_same(tmp_path: Path) -> None:
    h = random(2, 5, 4)
    one = dump(tmp_path / "a.npz", {"h": h})
    told = "lstm: h.dtype: expected float32, found float64"
    assert lines(one, dump(tmp_path / "b.npz", {"h": h.astype(np.float64)})) == [told]
    first, second = lines(one, dump(tmp_path / "c.npz", {"h": h.astype(np.float64) + 1}))
    assert first == told
    assert second.startswith("lstm: h at sample 0, step 0, unit 0: expected")


def test_another_cell_and_another_direction_are_told(tmp_path: Path) -> None:
    h = {"h": random(2, 5, 4)}
    one = dump(tmp_path / "a.npz", h)
    other = dump(tmp_path / "b.npz", h, cell="gru", direction="backward")
    told = [
        "lstm: cell: expected lstm, found gru",
        "lstm: direction: expected forward, found backward",
    ]
    assert lines(one, other) == told
    before, after = (lstm_inspect.load_trace(each).stored() for each in (one, other))
    findings = diff_traces(before, after, file=other, tolerance=Tolerance())
    assert [finding.message for finding in findings] == told


def test_signals_shapes_and_layers_that_are_not_the_same_are_told(tmp_path: Path) -> None:
    h = random(2, 5, 4)
    one = dump(tmp_path / "a.npz", {"h": h, "c": h})
    assert lines(one, dump(tmp_path / "b.npz", {"h": h[:1], "o": h})) == [
        "lstm: h: expected (2, 5, 4), found (1, 5, 4)",
        "lstm: c: missing; there are h, o",
        "lstm: o: not expected",
    ]
    assert lines(one, dump(tmp_path / "b.npz", {"h": h}, "other")) == [
        "lstm: h: missing; there are none",
        "lstm: c: missing; there are none",
        "other: h: not expected",
    ]


def test_two_traces_of_one_model_do_not_differ(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        run(
            *("trace", SAMPLES / "stacked.keras", "--input", SAMPLES / "stacked.npy"),
            *("--record", "all", "--out", tmp_path / name),
        )
    assert lines(tmp_path / "a.npz", tmp_path / "b.npz") == []


def test_a_dump_is_read_in_pieces(tmp_path: Path) -> None:
    h = random(3, 100, 2000)
    dump(tmp_path / "a.npz", {"h": h})
    with open_arrays(tmp_path / "a.npz", "a dump", DEFAULT_LIMITS) as arrays:
        blocks = list(arrays["lstm/h"].blocks())
        assert arrays["lstm/h"].shape == (3, 100, 2000)
    assert len(blocks) > 2
    assert max(block.nbytes for block in blocks) <= 1 << 20
    np.testing.assert_array_equal(np.concatenate(blocks).reshape(h.shape), h)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "compressed"])
def test_arrays_in_other_orders_and_compressed_ones_are_read_in_the_same_blocks(
    tmp_path: Path, save: Any
) -> None:
    x = np.asfortranarray(random(60, 50, 100))
    save(tmp_path / "a.npz", x=x, y=np.float64(3))
    with open_arrays(tmp_path / "a.npz", "arrays", DEFAULT_LIMITS) as arrays:
        flat = np.concatenate(list(arrays["x"].blocks()))
        assert [block.tolist() for block in arrays["y"].blocks()] == [[3.0]]
    np.testing.assert_array_equal(flat, x.reshape(-1))


def test_a_damaged_dump_is_noticed_at_the_latest_when_it_is_compared(tmp_path: Path) -> None:
    path = dump(tmp_path / "a.npz", {"h": np.full((1, 1, 2), 0.625)})
    data, stored = path.read_bytes(), np.full(2, 0.625).tobytes()
    assert data.count(stored) == 1
    (tmp_path / "b.npz").write_bytes(data.replace(stored, np.full(2, 0.5).tobytes()))
    result = run("diff", path, tmp_path / "b.npz")
    assert result.exit_code == 2
    assert "lstm/h.npy is damaged" in result.stderr


@pytest.mark.parametrize("held", [0, 16, 4000])
def test_an_array_that_does_not_hold_what_it_claims_is_refused(tmp_path: Path, held: int) -> None:
    path = dump(tmp_path / "a.npz", {"h": random(1, 2, 3)})
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            archive.writestr(name, data if "meta" in name else data[:128] + bytes(held))
    for pair in ((path, "b.npz"), ("b.npz", path), ("b.npz", "b.npz")):
        result = run("diff", *(tmp_path / name for name in pair))
        assert result.exit_code == 2
        assert "claims 24 bytes of numbers" in result.stderr


@pytest.mark.parametrize(
    ("array", "dims"),
    [
        (np.zeros((1, 2), "c8"), ["batch", "timesteps"]),
        (np.zeros((1, 2), "<U3"), ["batch", "timesteps"]),
        (np.zeros((1, 2)), ["batch"]),
    ],
)
def test_an_array_that_is_not_as_its_document_says_is_refused(
    tmp_path: Path, array: Array, dims: list[str]
) -> None:
    layer = {"cell": "lstm", "units": 2, "direction": "forward", "dims": dims}
    layers = {"lstm": {**layer, "signals": {"h": {"dims": dims}}}}
    meta = {"schema": 1, "layers": layers, "untraced": {}, "model": {}, "verification": None}
    members: dict[str, Any] = {"lstm/h": array, "__meta__": np.asarray(json.dumps(meta))}
    np.savez(tmp_path / "a.npz", **members)
    result = run("diff", tmp_path / "a.npz", tmp_path / "a.npz")
    assert result.exit_code == 2
    assert "expected lstm/h to be numbers with the axes" in result.stderr


@pytest.mark.parametrize("option", ["--atol", "--rtol"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_a_tolerance_is_a_number(tmp_path: Path, option: str, value: str) -> None:
    path = dump(tmp_path / "a.npz", {"h": random(1, 1, 2)})
    assert run("diff", path, path, option, value).exit_code == 2


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert run("diff", tmp_path / "pipe", SAMPLES / "stacked.keras").exit_code == 2


def test_a_model_and_a_dump_cannot_be_compared(tmp_path: Path) -> None:
    path = dump(tmp_path / "a.npz", {"h": random(1, 1, 2)})
    result = run("diff", path, SAMPLES / "stacked.keras")
    assert result.exit_code == 2
    assert "expected two models or two dumps" in result.stderr


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = run("diff", SAMPLES / "stacked.keras", tmp_path / "none.keras")
    assert (result.exit_code, result.stderr) == (2, f"error: {tmp_path}/none.keras: no such file\n")


def test_weights_alone_are_compared_with_a_model_of_the_same_format(tmp_path: Path) -> None:
    source = SAMPLES / "keras-2.15" / "one_unit_last_h.h5"
    shutil.copy(source, tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5", "a") as file:
        del file.attrs["model_config"]
    fields = [line.split(": ")[1] for line in lines(source, tmp_path / "b.h5")]
    assert "weights.kernel (i)" not in fields
    assert "units" not in fields


def test_a_signalling_nan_is_a_nan_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    signalling = np.array([0x7F800001], np.uint32).view(np.float32)
    assert parting((1,), [(signalling, signalling)], Tolerance(0, 0)) is None
    assert not recwarn.list


def custom(path: Path, arrays: dict[str, Array], *, as_keras: bool) -> Path:
    """A model with a layer of somebody's own that has a layer in it, in one of two formats."""
    own = {**layer("mine>Att", "att"), "registered_name": "mine>Att"}
    config = sequential(input_layer("x", 3, 2), own, lstm("lstm", 2))
    lstm_arrays = lstm_weights("lstm", 2, 2)
    if not as_keras:
        named = {f"att/{name}": array for name, array in arrays.items()}
        return write_h5(path, config, {"att": named, "lstm": lstm_arrays}, keras_version="3.15.1")
    places = ("vars/0", "b/vars/0", "a/vars/0")
    with h5py.File(path.with_suffix(".weights"), "w") as file:
        for place, array in zip(places, arrays.values(), strict=True):
            file.create_dataset(f"layers/att/{place}", data=array)
        file.create_dataset("layers/att/seed_generator/vars/0", data=np.zeros(2, "uint32"))
        for number, array in enumerate(lstm_arrays.values()):
            file.create_dataset(f"layers/lstm/cell/vars/{number}", data=array)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(config))
        archive.write(path.with_suffix(".weights"), "model.weights.h5")
    return path


def test_a_layer_of_somebodys_own_has_the_same_arrays_in_each_format(tmp_path: Path) -> None:
    arrays = {"w": random(2), "first": random(2, 2), "second": -random(2, 2)}
    one = lstm_inspect.open_model(custom(tmp_path / "m.h5", arrays, as_keras=False))
    same = lstm_inspect.open_model(custom(tmp_path / "m.keras", arrays, as_keras=True))
    changed = {**arrays, "second": random(2, 2) + 1}
    other = lstm_inspect.open_model(custom(tmp_path / "o.keras", changed, as_keras=True))
    (own,) = [call.layer for call in same.calls if call.path == "att"]
    assert isinstance(own, Layer)
    np.testing.assert_array_equal(own.weights[0], arrays["w"])
    assert diff_models(one, same, Tolerance(0, 0)) == []
    assert {each.layer for each in diff_models(one, other, Tolerance(0, 0))} == {"att"}
