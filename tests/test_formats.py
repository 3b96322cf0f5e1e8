import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import LimitError, ModelFileError
from lstm_inspect.files.content import read_content
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.sources.keras.stores.by_content import read_saved_file
from lstm_inspect.sources.keras.stores.saved_file import LayerWeights, VariableTree
from tests.conftest import (
    FIXTURES,
    SAMPLES,
    functional,
    input_layer,
    lstm,
    lstm_weights,
    random,
    save_dump,
    sequential,
    write_h5,
)

ZIP = SAMPLES / "one_unit_last_h.keras"
HDF5 = SAMPLES / "keras-2.15" / "one_unit_last_h.h5"
WEIGHTS = ("kernel", "recurrent_kernel", "bias")
H5_NAMES = [f"lstm/lstm_cell/{name}:0" for name in WEIGHTS]


def refusal(path: Path) -> str:
    """Returns the one-line error about the file."""
    with pytest.raises(ModelFileError) as refused:
        lstm_inspect.open_model(path)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def rezip(target: Path, changes: Mapping[str, bytes | None]) -> Path:
    """Copies the sample zip, with some members replaced or left out."""
    with zipfile.ZipFile(ZIP) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = changes.get(name, source.read(name))
            if content is not None:
                archive.writestr(name, content)
    return target


def written(path: Path) -> Path:
    """Writes a small model file, which the test changes with h5py."""
    config = sequential(input_layer("x", 3, 2), lstm("lstm", 2))
    return write_h5(path, config, {"lstm": lstm_weights("lstm", 2, 2)})


@pytest.mark.parametrize(
    ("source", "misnamed"),
    [
        pytest.param(ZIP, "model.h5", id="zip-named-h5"),
        pytest.param(HDF5, "model.keras", id="hdf5-named-keras"),
        pytest.param(ZIP, "model", id="zip-without-extension"),
    ],
)
def test_content_decides_not_the_extension(source: Path, misnamed: str, tmp_path: Path) -> None:
    copy = tmp_path / misnamed
    copy.write_bytes(source.read_bytes())
    (expected,) = lstm_inspect.open_model(source).recurrent
    (read,) = lstm_inspect.open_model(copy).recurrent
    for name in WEIGHTS:
        np.testing.assert_array_equal(read.weights[name], expected.weights[name])


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.99])
@pytest.mark.parametrize(
    ("source", "what"),
    [pytest.param(ZIP, "zip archive", id="zip"), pytest.param(HDF5, "HDF5 data", id="hdf5")],
)
def test_a_truncated_file_is_refused_as_such(
    source: Path, what: str, kept: float, tmp_path: Path
) -> None:
    data = source.read_bytes()
    cut = tmp_path / source.name
    cut.write_bytes(data[: int(kept * len(data))])
    assert f"damaged or truncated {what}" in refusal(cut)


@pytest.mark.parametrize("content", [b"PK", b"a model"], ids=["too-short", "text"])
def test_a_file_that_is_no_model_is_refused_with_its_first_bytes(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    message = refusal(path)
    assert "expected a .keras zip, an HDF5 file or a checkpoint" in message
    assert repr(content[:8]) in message


def test_a_path_where_nothing_is_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "model.keras").endswith("no such file")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "received a folder" in refusal(tmp_path)


@pytest.mark.parametrize("member", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_zip_without_a_member_is_refused_with_what_it_holds(member: str, tmp_path: Path) -> None:
    message = refusal(rezip(tmp_path / "model.keras", {member: None}))
    must_hold, _, holds = message.partition(", received a zip with ")
    assert must_hold.endswith(f"expected a .keras file with {member}")
    assert set(holds.split(", ")) == {"config.json", "metadata.json", "model.weights.h5"} - {member}


@pytest.mark.parametrize(
    ("config", "received"),
    [("[]", "list"), ("null", "NoneType"), ('"Sequential"', "str"), ("3", "int")],
)
def test_a_config_that_is_no_object_is_refused_with_what_it_is(
    config: str, received: str, tmp_path: Path
) -> None:
    path = rezip(tmp_path / "model.keras", {"config.json": config.encode()})
    assert refusal(path).endswith(f"config.json: expected a JSON object, received {received}")


@pytest.mark.parametrize("config", [b'{"class_name": ', b"\xff\xfe\xfa"], ids=["cut", "not-utf-8"])
def test_a_config_that_is_no_json_is_refused(config: bytes, tmp_path: Path) -> None:
    path = rezip(tmp_path / "model.keras", {"config.json": config})
    assert "config.json: not valid JSON" in refusal(path)


@pytest.mark.parametrize("version", ["3", "[]", '{"major": 3}'])
def test_a_version_that_is_no_text_is_refused(version: str, tmp_path: Path) -> None:
    metadata = f'{{"keras_version": {version}}}'.encode()
    assert "keras_version" in refusal(rezip(tmp_path / "m.keras", {"metadata.json": metadata}))


def test_damage_inside_a_zip_is_blamed_on_the_member(tmp_path: Path) -> None:
    with zipfile.ZipFile(ZIP) as archive:
        weights = archive.read("model.weights.h5")
    path = rezip(tmp_path / "model.keras", {"model.weights.h5": weights[: len(weights) // 2]})
    assert "model.weights.h5: damaged or truncated HDF5 data" in refusal(path)


def test_a_changed_byte_inside_a_zip_is_noticed(tmp_path: Path) -> None:
    path = rezip(tmp_path / "model.keras", {})
    data = path.read_bytes()
    assert data.count(b"recurrent_activation") == 1
    path.write_bytes(data.replace(b"recurrent_activation", b"recurrent_Activation"))
    assert "config.json is damaged" in refusal(path)


def test_hdf5_of_something_else_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "prices.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("prices/close", data=np.zeros((1, 4)))
    message = refusal(path)
    assert "expected a model or weights that Keras saved" in message
    assert "prices" in message


def test_a_layer_of_which_an_array_was_never_written_counts_as_without_weights(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        del file[f"model_weights/lstm/{H5_NAMES[1]}"]
    weights = read_saved_file(read_content(path, DEFAULT_LIMITS), DEFAULT_LIMITS).weights
    assert isinstance(weights, LayerWeights)
    assert weights.layers["lstm"] == ()


def test_numbers_that_hdf5_would_invent_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/lstm/cell/vars/0", data=np.ones((2, 4), "float32"))
        file.create_dataset("layers/lstm/cell/vars/1", (1, 4), "float32", fillvalue=7)
    file = read_saved_file(read_content(path, DEFAULT_LIMITS), DEFAULT_LIMITS)
    assert isinstance(file.weights, VariableTree)
    # A kernel without the other array would pass for the only array of the layer.
    assert dict(file.weights.arrays) == {}
    assert list(file.unread) == ["layers/lstm/cell/vars/1"]


def test_a_claim_of_far_more_numbers_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/lstm/cell/vars/0", (2**20, 2**20), "float32", chunks=(64, 64))
    with pytest.raises(LimitError, match="4398046511104 is more than the limit weight_bytes"):
        lstm_inspect.open_model(path)


def test_the_arrays_of_a_zip_are_those_of_its_hdf5() -> None:
    (recurrence,) = lstm_inspect.open_model(ZIP).recurrent
    with (
        zipfile.ZipFile(ZIP) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        for number, name in enumerate(WEIGHTS):
            stored = file[f"layers/lstm/cell/vars/{number}"][()]
            np.testing.assert_array_equal(recurrence.weights[name], stored, strict=True)


def test_the_arrays_of_an_h5_are_those_that_h5py_reads() -> None:
    (recurrence,) = lstm_inspect.open_model(HDF5).recurrent
    with h5py.File(HDF5) as file:
        for name, stored_name in zip(WEIGHTS, H5_NAMES, strict=True):
            stored = file[f"model_weights/lstm/{stored_name}"][()]
            np.testing.assert_array_equal(recurrence.weights[name], stored, strict=True)


@pytest.mark.parametrize("path", [ZIP, HDF5], ids=["zip", "hdf5"])
def test_arrays_are_read_only(path: Path) -> None:
    (recurrence,) = lstm_inspect.open_model(path).recurrent
    for array in recurrence.weights.values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize(
    "storage",
    [
        pytest.param({"dtype": ">f4"}, id="big-endian"),
        pytest.param({"dtype": "f8"}, id="double"),
    ],
)
def test_an_array_is_read_however_it_is_stored(storage: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path / "model.h5")
    expected = lstm_weights("lstm", 2, 2)[H5_NAMES[0]]
    with h5py.File(path, "a") as file:
        del file[f"model_weights/lstm/{H5_NAMES[0]}"]
        file.create_dataset(f"model_weights/lstm/{H5_NAMES[0]}", data=expected, **storage)
    kernel = lstm_inspect.open_model(path).recurrent[0].weights["kernel"]
    np.testing.assert_array_equal(kernel, expected)
    assert not kernel.flags.writeable


@pytest.mark.parametrize(
    ("group", "attribute"),
    [("model_weights", "layer_names"), ("model_weights/lstm_1", "weight_names")],
)
def test_a_list_of_names_may_be_split_over_several_attributes(
    group: str, attribute: str, tmp_path: Path
) -> None:
    config = sequential(
        input_layer("x", 3, 2), lstm("lstm", 2, return_sequences=True), lstm("lstm_1", 1)
    )
    weights = {"lstm": lstm_weights("lstm", 2, 2), "lstm_1": lstm_weights("lstm_1", 2, 1)}
    path = write_h5(tmp_path / "model.h5", config, weights)
    with h5py.File(path, "a") as file:
        attributes = file[group].attrs
        names = list(attributes.pop(attribute))
        for number, name in enumerate(names):
            attributes[f"{attribute}{number}"] = [name]
    recurrent = lstm_inspect.open_model(path).recurrent
    assert [recurrence.path for recurrence in recurrent] == ["lstm", "lstm_1"]
    for name, array in zip(WEIGHTS, weights["lstm_1"].values(), strict=True):
        np.testing.assert_array_equal(recurrent[1].weights[name], array)


def test_attributes_may_be_bytes(tmp_path: Path) -> None:
    path = written(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        for attributes in (
            file.attrs,
            file["model_weights"].attrs,
            file["model_weights/lstm"].attrs,
        ):
            for name, value in list(attributes.items()):
                attributes[name] = np.char.encode(np.asarray(value, dtype=str), "utf-8")
        assert file.attrs["keras_version"] == b"2.15.0"
    model = lstm_inspect.open_model(path)
    assert model.source.version == "2.15.0"
    assert [recurrence.path for recurrence in model.recurrent] == ["lstm"]


@pytest.mark.parametrize(
    ("path", "format_name", "keras_version"),
    [
        (ZIP, "keras", "3.15.1"),
        (HDF5, "h5", "2.15.0"),
        (SAMPLES / "keras-2.12" / "one_unit_last_h.keras", "h5", "2.12.0"),
    ],
    ids=["zip", "h5", "keras-2.12-hdf5-named-keras"],
)
def test_a_file_says_its_format_and_its_keras(
    path: Path, format_name: str, keras_version: str
) -> None:
    source = lstm_inspect.open_model(path).source
    assert (source.format, source.framework, source.version) == (
        format_name,
        "Keras",
        keras_version,
    )


def test_a_path_may_be_text() -> None:
    assert lstm_inspect.open_model(str(ZIP)).source.path == ZIP


def test_the_config_of_a_zip_comes_as_it_is() -> None:
    with zipfile.ZipFile(ZIP) as archive:
        stored = json.loads(archive.read("config.json"))
    assert read_saved_file(read_content(ZIP, DEFAULT_LIMITS), DEFAULT_LIMITS).config == stored


def test_only_two_bytes_are_a_bfloat16(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        for number, shape in enumerate([(1, 4), (1, 4), (4,)]):
            array = file.create_dataset(f"layers/lstm/cell/vars/{number}", data=random(*shape))
            array.attrs["dtype"] = "bfloat16"
    (recurrence,) = lstm_inspect.open_model(path).recurrent
    np.testing.assert_array_equal(recurrence.weights["kernel"], random(1, 4))


def test_layers_that_are_named_again_and_again_are_read_once(tmp_path: Path) -> None:
    path = written(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["layer_names"] = ["lstm"] * 3000
    assert [layer.path for layer in lstm_inspect.open_model(path).recurrent] == ["lstm"]


def test_the_arrays_of_all_shards_count(tmp_path: Path) -> None:
    for number in range(3):
        with h5py.File(tmp_path / f"m_{number}.weights.h5", "w") as file:
            file.create_dataset(f"layers/lstm_{number}/cell/vars/0", data=np.zeros((1, 100)))
    names = {f"/layers/lstm_{number}/cell/vars": f"m_{number}.weights.h5" for number in range(3)}
    (tmp_path / "m.weights.json").write_text(json.dumps({"weight_map": names}))
    limits = lstm_inspect.Limits(weight_bytes=1600)
    with pytest.raises(LimitError, match="2400 is more than the limit weight_bytes=1600"):
        lstm_inspect.open_model(tmp_path / "m.weights.json", limits=limits)


@pytest.mark.parametrize(
    "listed", [{"/layers/lstm/cell/vars": "m_0.weights.h5", "/other/vars": "m_1.weights.h5"}, {}]
)
def test_an_array_in_a_shard_that_the_index_does_not_name_is_refused(
    tmp_path: Path, listed: dict[str, Any]
) -> None:
    for number in range(2):
        with h5py.File(tmp_path / f"m_{number}.weights.h5", "w") as file:
            file.create_dataset("layers/lstm/cell/vars/0", data=random(2, 8))
    listed = listed or {"/layers/lstm/cell/vars": ["m_0.weights.h5", "m_1.weights.h5"]}
    path = tmp_path / "m.weights.json"
    path.write_text(json.dumps({"weight_map": listed}))
    assert "layers/lstm/cell/vars/0 in m_1.weights.h5" in refusal(path)


def test_arrays_numbered_with_a_gap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        for number, array in zip((0, 1, 3), lstm_weights("lstm", 2, 2).values(), strict=True):
            file.create_dataset(f"layers/lstm/cell/vars/{number}", data=array)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(sequential(input_layer("x", 3, 2), lstm("lstm", 2))))
    with pytest.raises(ModelFileError, match="without a gap, received 0, 1, 3"):
        lstm_inspect.open_model(path, config)


def test_layers_listed_in_another_order_than_in_the_config_are_refused(tmp_path: Path) -> None:
    """Keras gives the weights to the layers by their order, whatever the names are."""
    layers = [input_layer("x", 3, 2), lstm("a", 2, "x", return_sequences=True), lstm("b", 2, "a")]
    weights = {"b": lstm_weights("b", 2, 2), "a": lstm_weights("a", 2, 2)}
    path = write_h5(tmp_path / "m.h5", functional(*layers, inputs=["x"], outputs=["b"]), weights)
    assert "in the order of the layers, as Keras loads them (a, b), received b, a" in refusal(path)


def test_whole_numbers_that_an_attribute_calls_bfloat16_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        name = f"model_weights/lstm/{H5_NAMES[0]}"
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, data=np.ones(shape, "u2")).attrs["dtype"] = "bfloat16"
    assert "expected floating-point numbers in" in refusal(path)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "x" * 300])
def test_a_shard_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.weights.json"
    path.write_text(json.dumps({"weight_map": {"/layers/lstm": name}}))
    with pytest.raises(ModelFileError):
        lstm_inspect.open_model(path)


def test_what_git_left_in_the_place_of_a_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert refusal(path).endswith("it is a Git LFS pointer; run: git lfs pull")


def test_weights_of_whole_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        for number, shape in enumerate([(1, 4), (1, 4), (4,)]):
            file.create_dataset(f"layers/lstm/cell/vars/{number}", data=np.ones(shape, "int64"))
    with pytest.raises(ModelFileError, match="expected kernel of floating-point numbers"):
        lstm_inspect.open_model(path)


@pytest.mark.parametrize("name", ["bidirectional.weights.h5", "bidirectional_weights.h5"])
def test_the_half_beside_a_backward_one_is_forward(name: str) -> None:
    model = lstm_inspect.open_model(FIXTURES / "keras-2.15" / name)
    assert {each.path: each.direction for each in model.recurrent} == {
        f"{layer}/{direction}": direction
        for layer in ("bidirectional", "bidirectional_1")
        for direction in ("forward", "backward")
    }


def test_a_layer_that_is_called_forward_may_read_backwards(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        for number, shape in enumerate([(3, 8), (2, 8), (8,)]):
            file.create_dataset(f"layers/forward/cell/vars/{number}", data=random(*shape))
    (recurrence,) = lstm_inspect.open_model(tmp_path / "m.weights.h5").recurrent
    assert recurrence.direction == "unknown"


def torch_zip(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "m.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    return (folder / "m.pt").read_bytes()


def dump(folder: Path) -> bytes:
    save_dump(folder / "d.npz", {"lstm/h": np.zeros(1)}, {"schema": 1})
    return (folder / "d.npz").read_bytes()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (torch_zip, "it is a model of PyTorch"),
        (dump, "it is a dump that lstm-inspect wrote; pass the model"),
        (b"\x80\x02}q\x00.", "it is a pickle or an old model of PyTorch"),
        (b"\x1c\0\0\0TFL3" + bytes(9), "it is a model of TensorFlow Lite"),
        (b"\x08\x08\x12\x07pytorch\x1a", "it is a model of ONNX"),
        (b"\x10" + bytes(7) + b'{"__metadata__":{}}', "it is a file of safetensors"),
        (b"\n<!DOCTYPE html>", "it is a web page; download the file itself"),
        (b"", "it is empty; copy or download it again"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_to_do(
    data: Any, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(data(tmp_path) if callable(data) else data)
    assert says in refusal(path)


def test_a_url_is_to_be_downloaded_first() -> None:
    with pytest.raises(ModelFileError, match="it is a URL: download the file first"):
        lstm_inspect.open_model("https://example.com/model.keras")
