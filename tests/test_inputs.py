import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InputError, NonFiniteWarning, RoundingWarning
from lstm_inspect.files.npy import read_arrays
from tests.conftest import (
    SAMPLES,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    sample_input,
    sequential,
    write_h5,
)


def refusal(name: str, inputs: Any) -> str:
    """Returns the one-line error of a sample model about inputs."""
    model = lstm_inspect.open_model(SAMPLES / f"{name}.keras")
    with pytest.raises(InputError) as refused:
        lstm_inspect.trace(model, inputs)
    message = str(refused.value)
    assert "\n" not in message
    return message


def pair(*, encoder_batch: int = 3, decoder_batch: int = 3) -> dict[str, Any]:
    """Inputs for ``encoder_decoder``."""
    return {
        "encoder_input": random(encoder_batch, 7, 4),
        "decoder_input": random(decoder_batch, 5, 3),
    }


# --- shapes


@pytest.mark.parametrize(
    ("name", "shape", "expected", "received"),
    [
        pytest.param("stacked", (7,), "(batch, 10, 7)", "(7,)", id="rank-1"),
        pytest.param("stacked", (), "(batch, 10, 7)", "()", id="rank-0"),
        pytest.param("stacked", (1, 2, 10, 7), "(batch, 10, 7)", "(1, 2, 10, 7)", id="rank-4"),
        pytest.param("stacked", (2, 10, 6), "(batch, 10, 7)", "(2, 10, 6)", id="features"),
        pytest.param("stacked", (2, 9, 7), "(batch, 10, 7)", "(2, 9, 7)", id="timesteps"),
        pytest.param("stacked", (0, 10, 7), "(batch, 10, 7)", "(0, 10, 7)", id="no-sequences"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_both_shapes(
    name: str, shape: tuple[int, ...], expected: str, received: str
) -> None:
    assert f"input input: expected {expected}, received {received}" in refusal(name, random(*shape))


@pytest.mark.parametrize(
    ("samples", "what_to_do"), [(3, ""), (6, "; stateful=True takes 3 batches in order")]
)
def test_a_stateful_model_takes_one_batch_or_says_how_to_take_several(
    samples: int, what_to_do: str
) -> None:
    assert refusal("eight_units_stateful", random(samples, 5, 1)) == (
        "input input: expected 2 samples, the batch size of this stateful model, "
        f"received {samples}{what_to_do}"
    )


def test_a_missing_batch_axis_is_refused_with_what_to_do() -> None:
    message = refusal("stacked", random(10, 7))
    assert "expected (batch, 10, 7), received (10, 7)" in message
    assert message.endswith("add the batch axis with x[numpy.newaxis]")


def test_one_number_is_refused_where_the_file_states_no_shape(tmp_path: Path) -> None:
    path = write_h5(
        tmp_path / "m.h5", sequential(lstm("lstm", 2)), {"lstm": lstm_weights("lstm", 3, 2)}
    )
    with pytest.raises(InputError, match="expected an array, batch first, received one number"):
        lstm_inspect.trace(lstm_inspect.open_model(path), 0.5)


def test_exchanged_batch_and_timesteps_are_refused_with_what_to_do() -> None:
    message = refusal("stacked", random(10, 2, 7))
    assert message.endswith("received (10, 2, 7); swap batch and timesteps with x.swapaxes(0, 1)")


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((6,), "add the batch axis with x[numpy.newaxis]"),
        ((2, 6, 1), "drop the last axis with x[..., 0]"),
        ((2, 6, 5), "if these are one-hot vectors, make tokens of them with x.argmax(-1)"),
    ],
)
def test_tokens_of_another_rank_are_refused_with_what_to_do(
    shape: tuple[int, ...], remedy: str, tmp_path: Path
) -> None:
    config = sequential(
        input_layer("tokens", None),
        layer("Embedding", "embedding", input_dim=5, output_dim=3),
        lstm("lstm", 2),
    )
    weights = {
        "embedding": {"embedding/embeddings:0": random(5, 3)},
        "lstm": lstm_weights("lstm", 3, 2),
    }
    model = lstm_inspect.open_model(write_h5(tmp_path / "m.h5", config, weights))
    with pytest.raises(InputError) as refused:
        lstm_inspect.trace(model, np.zeros(shape, "int32"))
    assert str(refused.value).endswith(f"(batch, timesteps), received {shape}; {remedy}")


def test_a_missing_features_axis_is_refused_with_what_to_do() -> None:
    message = refusal("one_unit_state", random(2, 3))
    assert message.endswith("received (2, 3); add the features axis with x[..., numpy.newaxis]")


def test_an_input_that_nothing_needs_is_refused() -> None:
    model = lstm_inspect.open_model(SAMPLES / "stacked.keras")
    x = random(2, 10, 7)
    with pytest.raises(InputError, match="expected none, as the feed replaces all inputs"):
        lstm_inspect.trace(model, x, feed={"lstm:input": x})


def test_a_sequence_without_timesteps_is_refused() -> None:
    message = refusal("encoder_decoder", {**pair(), "encoder_input": np.zeros((3, 0, 4))})
    assert "expected (batch, timesteps, 4), received (3, 0, 4); it is empty" in message


def test_inputs_of_different_batches_are_refused() -> None:
    message = refusal("encoder_decoder", pair(encoder_batch=3, decoder_batch=2))
    assert "expected the same batch size for all" in message
    assert "encoder_input 3" in message
    assert "decoder_input 2" in message


@pytest.mark.parametrize("timesteps", [1, 20])
def test_any_length_fits_where_the_model_leaves_it_open(timesteps: int) -> None:
    model = lstm_inspect.open_model(SAMPLES / "encoder_decoder.keras")
    inputs = {**pair(), "encoder_input": random(3, timesteps, 4)}
    assert lstm_inspect.trace(model, inputs)["encoder"].h.shape == (3, timesteps, 6)


# --- names


def test_a_missing_input_is_refused_with_what_the_model_takes() -> None:
    message = refusal("encoder_decoder", {"encoder_input": random(3, 7, 4)})
    assert message == (
        "input decoder_input: missing; the model takes encoder_input (batch, timesteps, 4), "
        "decoder_input (batch, timesteps, 3), received encoder_input"
    )


def test_an_unknown_input_is_refused_with_what_the_model_takes() -> None:
    message = refusal("encoder_decoder", {**pair(), "decoder": random(3, 5, 3)})
    assert message == (
        "input decoder: the model has no input of that name; it takes "
        "encoder_input (batch, timesteps, 4), decoder_input (batch, timesteps, 3)"
    )


def test_one_array_is_not_enough_for_two_inputs() -> None:
    message = refusal("encoder_decoder", random(3, 7, 4))
    assert "expected one array by name for each of encoder_input, decoder_input" in message
    assert "received one array without a name" in message


def test_no_array_at_all_is_refused_with_what_the_model_takes() -> None:
    message = refusal("stacked", {})
    assert message == "input input: missing; the model takes input (batch, 10, 7), received none"


def test_arrays_that_savez_numbered_are_the_inputs_in_order(tmp_path: Path) -> None:
    by_name = sample_input("encoder_decoder")
    assert isinstance(by_name, dict)
    path = tmp_path / "inputs.npz"
    np.savez(path, by_name["encoder_input"], by_name["decoder_input"])
    model = lstm_inspect.open_model(SAMPLES / "encoder_decoder.keras")
    numbered = lstm_inspect.trace(model, read_arrays(path))
    for key, array in lstm_inspect.trace(model, by_name).arrays().items():
        np.testing.assert_array_equal(numbered.arrays()[key], array)


# --- the numbers in the arrays


@pytest.mark.parametrize(
    ("array", "received"),
    [
        pytest.param(np.full((1, 3, 1), "0.5"), "<U3", id="text"),
        pytest.param(np.full((1, 3, 1), 1j), "complex128", id="complex"),
        pytest.param(np.full((1, 3, 1), None), "object", id="objects"),
        pytest.param(np.zeros((1, 3, 1), "M8[s]"), "datetime64[s]", id="dates"),
    ],
)
def test_what_is_no_number_is_refused_with_its_dtype(array: Any, received: str) -> None:
    message = refusal("one_unit_last_h", array)
    assert message == f"input input: expected numbers, received an array of {received}"


def test_nested_lists_of_numbers_are_arrays() -> None:
    model = lstm_inspect.open_model(SAMPLES / "one_unit_last_h.keras")
    listed = lstm_inspect.trace(model, [[[0.5], [0.25], [1.0]]])["lstm"].h
    array = lstm_inspect.trace(model, np.array([[[0.5], [0.25], [1.0]]]))["lstm"].h
    np.testing.assert_array_equal(listed, array)


def test_nested_lists_of_different_lengths_are_refused() -> None:
    assert "input input: expected" in refusal("one_unit_last_h", [[[0.5], [0.25, 1.0], [1.0]]])


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (-np.inf, "-inf")])
def test_a_number_that_is_not_finite_is_warned_of_with_its_first_place(
    value: float, text: str
) -> None:
    x = random(2, 10, 7)
    x[1, 4, 2:] = value
    x[1, 5] = value
    model = lstm_inspect.open_model(SAMPLES / "stacked.keras")
    with pytest.warns(NonFiniteWarning) as warned:
        trace = lstm_inspect.trace(model, x, allow_nonfinite=True)
    assert [str(each.message) for each in warned] == [
        f"input input: not finite, first {text} at [1, 4, 2]"
    ]
    assert np.isfinite(trace["lstm"].h[0]).all()
    assert refusal("stacked", x) == (
        f"input input: not finite, first {text} at [1, 4, 2]; allow it with allow_nonfinite=True"
    )


def test_a_feed_that_is_not_finite_is_refused_too() -> None:
    model = lstm_inspect.open_model(SAMPLES / "stacked.keras")
    feed = {"lstm:input": np.full((2, 10, 7), np.nan, np.float32)}
    with pytest.raises(InputError, match=r"feed lstm:input: not finite, first nan at \[0, 0, 0\]"):
        lstm_inspect.trace(model, feed=feed)
    with pytest.warns(NonFiniteWarning, match="feed lstm:input: not finite"):
        lstm_inspect.trace(model, feed=feed, allow_nonfinite=True)


# --- dtypes


def test_a_double_that_single_precision_has_is_taken_without_a_word() -> None:
    model = lstm_inspect.open_model(SAMPLES / "stacked.keras")
    lstm_inspect.trace(model, random(2, 10, 7).astype(np.float64))


def test_a_double_that_is_rounded_is_warned_of_with_the_largest_change() -> None:
    x = random(2, 10, 7).astype(np.float64)
    x[1, 2, 3] = 0.5 + 2.0**-26
    model = lstm_inspect.open_model(SAMPLES / "stacked.keras")
    with pytest.warns(RoundingWarning) as warned:
        lstm_inspect.trace(model, x)
    assert [str(each.message) for each in warned] == [
        "input input: rounded from float64 to the model's float32, by up to 1.5e-08"
    ]


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (2**24 + 1, np.int64, "16777217"),
        (2**53 + 1, np.int64, "9007199254740993"),
        (1e300, "f8", "1e+300"),
    ],
)
def test_a_number_that_the_model_s_dtype_does_not_have_is_refused(
    value: float, dtype: Any, text: str
) -> None:
    x = np.zeros((2, 10, 7), dtype)
    x[1, 2, 3] = value
    assert refusal("stacked", x) == (
        f"input input: expected numbers that float32 can hold, received {text} at [1, 2, 3]"
    )


def test_a_whole_number_that_single_precision_has_is_taken() -> None:
    model = lstm_inspect.open_model(SAMPLES / "stacked.keras")
    lstm_inspect.trace(model, np.full((2, 10, 7), 2**24))


# --- from disk


def test_an_npy_is_one_array(tmp_path: Path) -> None:
    x = random(2, 3, 1)
    np.save(tmp_path / "x.npy", x)
    read = read_arrays(tmp_path / "x.npy")
    assert isinstance(read, np.ndarray)
    np.testing.assert_array_equal(read, x)


@pytest.mark.parametrize("first", [b"\n", b" ", b"}", b"\x00"])
def test_numbers_that_look_like_a_header_are_numbers(first: bytes, tmp_path: Path) -> None:
    x = np.frombuffer(4 * first, np.float32)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(read_arrays(tmp_path / "x.npy"), x)


def test_an_npz_is_arrays_by_name_whatever_its_extension(tmp_path: Path) -> None:
    with (tmp_path / "inputs.npy").open("wb") as file:
        np.savez(file, x=random(2, 3), y=random(3, 2))
    read = read_arrays(tmp_path / "inputs.npy")
    assert isinstance(read, dict)
    assert list(read) == ["x", "y"]
    np.testing.assert_array_equal(read["y"], random(3, 2))


def unreadable(path: Path) -> str:
    """Returns the one-line error about a file of arrays."""
    with pytest.raises(InputError) as refused:
        read_arrays(path)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_pickled_objects_are_refused_and_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"code": "here"}]), allow_pickle=True)
    assert "expected a .npy or .npz file of numbers, received pickled objects" in unreadable(path)


def test_pickled_objects_in_an_npz_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([None]))
    assert "received pickled objects" in unreadable(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"0.5,0.25\n", id="text"),
        pytest.param(b"PK\x03\x04 and no more", id="damaged-zip"),
        pytest.param(b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'", id="truncated-header"),
    ],
)
def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    assert "expected a .npy or .npz file of numbers" in unreadable(path)
    gc.collect()  # a file left open would be warned of here


@pytest.mark.parametrize("descr", ["f4,(", "f4,f4", "<f4 ", "(2,)f4"])
def test_a_dtype_of_several_parts_is_refused_unread(descr: str, tmp_path: Path) -> None:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}".ljust(117) + "\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    (tmp_path / "x.npy").write_bytes(start + header.encode() + bytes(4))
    assert "it has no valid header" in unreadable(tmp_path / "x.npy")


def test_text_is_not_mistaken_for_pickled_objects(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("0.5,0.25\n")
    assert "pickled" not in unreadable(path)


def test_a_truncated_npy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, random(2, 3, 1))
    path.write_bytes(path.read_bytes()[:-1])
    assert "expected a .npy or .npz file of numbers" in unreadable(path)


def test_an_input_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert unreadable(tmp_path / "x.npy").endswith("no such file")


def test_a_folder_of_inputs_is_refused(tmp_path: Path) -> None:
    assert unreadable(tmp_path).endswith(
        "expected a .npy or .npz file of numbers, received a folder"
    )


def tokens_model(tmp_path: Path, dtype: str) -> lstm_inspect.Model:
    """An input of whole numbers -> Embedding(mask_zero) -> LSTM."""
    entry = input_layer("x", 4, dtype=dtype)
    embedding = layer("Embedding", "embedding", input_dim=9, output_dim=3, mask_zero=True)
    config = sequential(entry, embedding, lstm("lstm", 2))
    weights = {
        "embedding": {"embedding/embeddings:0": random(9, 3)},
        "lstm": lstm_weights("lstm", 3, 2),
    }
    return lstm_inspect.open_model(write_h5(tmp_path / "m.h5", config, weights))


TOKENS = np.array([[3, 1, 0, 8]])


@pytest.mark.parametrize("given", [TOKENS, TOKENS.astype("f4"), TOKENS.astype("u1")])
def test_whole_numbers_of_any_dtype_are_the_same_tokens(given: Any, tmp_path: Path) -> None:
    model = tokens_model(tmp_path, "int32")
    expected = lstm_inspect.trace(model, TOKENS.astype("int32"), record="all")["lstm"]
    found = lstm_inspect.trace(model, given, record="all")["lstm"]
    np.testing.assert_array_equal(found.mask, [[True, True, False, True]])
    np.testing.assert_array_equal(found.h, expected.h)


@pytest.mark.parametrize(
    ("dtype", "given", "says"),
    [
        ("int32", TOKENS + 2**40, r"numbers that int32 can hold, received 1099511627779 at \[0, 0"),
        ("int32", TOKENS + 0.5, r"numbers that int32 can hold, received 3.5 at \[0, 0\]"),
        ("uint8", TOKENS - 1, r"numbers that uint8 can hold, received -1 at \[0, 2\]"),
        ("int64", TOKENS + 2**32, "expected indices from 0 to 8, received 4294967299"),
    ],
)
def test_a_number_that_a_whole_input_cannot_hold_is_refused(
    dtype: str, given: Any, says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        lstm_inspect.trace(tokens_model(tmp_path, dtype), given)


def test_text_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2\n3,4\n")
    with pytest.raises(InputError, match=r"received text; save it with numpy\.save"):
        read_arrays(tmp_path / "x.csv")
