"""Long sequences piece by piece, and timesteps that nothing recorded depends on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_inspect
from lstm_inspect import InputError
from lstm_inspect.engines import TIME_BLOCK
from tests.conftest import (
    SAMPLES,
    Array,
    Json,
    functional,
    input_layer,
    layer,
    lstm,
    lstm_weights,
    random,
    sample_input,
    write_h5,
)
from tests.test_cli import run

LENGTH = 3 * TIME_BLOCK + 7


def model(folder: Path, *middle: Json, last: str = "x", features: int = 3, **above: Any) -> Path:
    """An LSTM on top of an LSTM on top of some layers, of which the last one is named."""
    config = functional(
        input_layer("x", None, 3),
        *middle,
        lstm("below", 5, last, return_sequences=True),
        lstm("above", 4, "below", **{"return_sequences": True, **above}),
        inputs=["x"],
        outputs=["above"],
    )
    weights = {
        "dense": {"dense/kernel:0": random(3, 6), "dense/bias:0": random(6)},
        "below": lstm_weights("below", features, 5),
        "above": lstm_weights("above", 5, 4),
    }
    names = {each["name"] for each in config["config"]["layers"]}
    own = {name: arrays for name, arrays in weights.items() if name in names}
    return write_h5(folder / "model.h5", config, own)


DENSE = layer("Dense", "dense", "x", units=6, activation="tanh")
MASKING = layer("Masking", "masking", "x", mask_value=0.0)
DISTRIBUTED = layer(
    "TimeDistributed",
    "dense",
    "x",
    layer={"class_name": "Dense", "config": {"name": "inner", "units": 6, "dtype": "float32"}},
)


def masked_input(samples: int = 9) -> Array:
    """Samples with masked steps at the start, at the end, and around the ends of pieces."""
    x = random(samples, LENGTH, 3)
    x[1, :70] = x[2, 60:130] = x[3, 100:] = x[4] = 0
    return x


@pytest.mark.parametrize("chunk", [1, TIME_BLOCK, TIME_BLOCK + 1, LENGTH, 10 * LENGTH])
@pytest.mark.parametrize("record", ["h,c", "all"])
@pytest.mark.parametrize(
    ("middle", "last", "features"),
    [
        ((), "x", 3),
        ((MASKING,), "masking", 3),
        ((DENSE,), "dense", 6),
        ((DISTRIBUTED,), "dense", 6),
    ],
    ids=["none", "Masking", "Dense", "TimeDistributed"],
)
def test_pieces_have_the_bits_of_the_whole(
    tmp_path: Path, middle: tuple[Json, ...], last: str, features: int, record: str, chunk: int
) -> None:
    path = model(tmp_path, *middle, last=last, features=features)
    whole = lstm_inspect.trace(path, masked_input(), record=record)
    pieces = lstm_inspect.trace(path, masked_input(), record=record, time_chunk=chunk)
    arrays = pieces.arrays()
    assert list(arrays) == list(whole.arrays())
    for key, array in whole.arrays().items():
        np.testing.assert_array_equal(arrays[key], array, err_msg=key)


@pytest.mark.parametrize("options", [{"steps": "5:150:7"}, {"last": True}, {"units": "1"}], ids=str)
def test_pieces_and_cuts_go_together(tmp_path: Path, options: dict[str, Any]) -> None:
    path = model(tmp_path, MASKING, last="masking")
    whole = lstm_inspect.trace(path, masked_input(), record="all", **options)
    pieces = lstm_inspect.trace(path, masked_input(), record="all", time_chunk=64, **options)
    for key, array in whole.arrays().items():
        np.testing.assert_array_equal(pieces.arrays()[key], array, err_msg=key)
    assert {path: layer.kept for path, layer in pieces.items()} == {
        path: layer.kept for path, layer in whole.items()
    }


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_the_dump_of_pieces_is_that_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = model(tmp_path, MASKING, last="masking")
    np.save(tmp_path / "x.npy", masked_input())
    dumps = [tmp_path / f"{name}{suffix}" for name in ("whole", "pieces")]
    printed = []
    for out, options in zip(dumps, ([], ["--time-chunk", "64"]), strict=True):
        arguments = map(str, ("-i", tmp_path / "x.npy", "--record", "all", "--out", out))
        result = run("trace", str(path), *arguments, "--json", *options)
        assert (result.exit_code, result.stderr) == (0, "")
        printed.append(result.stdout.replace(str(out), "out"))
    whole, pieces = map(lstm_inspect.load_trace, dumps)
    for key, array in whole.arrays().items():
        np.testing.assert_array_equal(pieces.arrays()[key], array, err_msg=key)
    assert pieces.document() == whole.document()


def test_stateful_layers_go_on_from_piece_to_piece_and_from_batch_to_batch(tmp_path: Path) -> None:
    x = random(8, 130, 3)
    config = functional(
        layer("InputLayer", "x", batch_input_shape=[4, None, 3]),
        lstm("below", 5, "x", return_sequences=True, stateful=True),
        lstm("above", 4, "below", return_sequences=True, stateful=True),
        inputs=["x"],
        outputs=["above"],
    )
    weights = {"below": lstm_weights("below", 3, 5), "above": lstm_weights("above", 5, 4)}
    path = write_h5(tmp_path / "stateful.h5", config, weights)
    whole = lstm_inspect.trace(path, x, stateful=True)
    pieces = lstm_inspect.trace(path, x, stateful=True, time_chunk=64)
    for key, array in whole.arrays().items():
        np.testing.assert_array_equal(pieces.arrays()[key], array, err_msg=key)


POOLING = layer("MaxPooling1D", "pooling", "x", pool_size=[2], strides=[1], padding="same")
BIDIRECTIONAL = SAMPLES / "bidirectional_masking.keras"


def test_a_layer_that_needs_other_timesteps_says_why(tmp_path: Path) -> None:
    def refused(path: Path, inputs: Any, **options: Any) -> str:
        with pytest.raises(InputError) as error:
            lstm_inspect.trace(path, inputs, time_chunk=64, **options)
        return str(error.value)

    start = "time_chunk: expected timesteps that can be computed in order; "
    pooling = model(tmp_path, POOLING, last="pooling")
    assert refused(pooling, random(2, 9, 3)) == f"{start}pooling may compute a timestep from others"
    assert refused(BIDIRECTIONAL, sample_input("bidirectional_masking")) == (
        f"{start}bidirectional/backward reads the last timestep first"
    )
    encoder_decoder = SAMPLES / "encoder_decoder.keras"
    assert refused(encoder_decoder, sample_input("encoder_decoder")) == (
        f"{start}decoder takes the final state of encoder"
    )
    backwards = model(tmp_path, go_backwards=True)
    assert "above reads the last timestep first" in refused(backwards, random(2, 9, 3))


def test_no_piece_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="time_chunk: expected a number of timesteps, 1 or more"):
        lstm_inspect.trace(model(tmp_path), random(2, 9, 3), time_chunk=0)


def steps_done(path: Path, x: Array, **options: Any) -> dict[str, int]:
    """How many timesteps of one sequence each layer computed."""
    done: dict[str, int] = {}
    lstm_inspect.trace(
        path, x, progress=lambda layer, steps, _: done.update({layer: steps}), **options
    )
    return {layer: steps // len(x) for layer, steps in done.items()}


def test_a_layer_stops_when_nothing_behind_needs_more_of_it(tmp_path: Path) -> None:
    x = random(2, 1000, 3)
    plain = model(tmp_path)
    assert steps_done(plain, x) == {"below": 1000, "above": 1000}
    assert steps_done(plain, x, steps="0:100:10") == {"below": 128, "above": 128}
    assert steps_done(plain, x, steps="3", select="below") == {"below": 64}
    assert steps_done(plain, x, steps="990") == {"below": 1000, "above": 1000}


def test_what_stands_in_front_of_a_backward_layer_is_computed_as_a_whole(tmp_path: Path) -> None:
    x = random(2, 1000, 3)
    path = model(tmp_path, go_backwards=True)
    assert steps_done(path, x, steps="900:") == {"below": 1000, "above": 128}
    assert steps_done(path, x, steps="0") == {"below": 1000, "above": 1000}
    whole = lstm_inspect.trace(path, x, record="all")
    late = lstm_inspect.trace(path, x, record="all", steps="900:")
    for key, array in late.arrays().items():
        expected = whole.arrays()[key]
        np.testing.assert_array_equal(array, expected if key[-1] == "0" else expected[:, 900:])


def test_what_a_layer_needs_of_a_pooling_is_computed_as_a_whole(tmp_path: Path) -> None:
    path = model(tmp_path, POOLING, last="pooling")
    x = random(2, 1000, 3)
    assert steps_done(path, x, steps="5") == {"below": 64, "above": 64}
    whole, some = lstm_inspect.trace(path, x), lstm_inspect.trace(path, x, steps="5")
    np.testing.assert_array_equal(some["above"].h, whole["above"].h[:, [5]])


def test_a_final_state_that_is_read_takes_all_timesteps() -> None:
    path, inputs = SAMPLES / "encoder_decoder.keras", sample_input("encoder_decoder")
    whole = lstm_inspect.trace(path, inputs)
    some = lstm_inspect.trace(path, inputs, steps="0")
    np.testing.assert_array_equal(some["decoder"].h, whole["decoder"].h[:, [0]])


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_any_batch_size_gives_the_same_numbers(tmp_path: Path, batch: int) -> None:
    path = model(tmp_path, DENSE, last="dense", features=6)
    x = random(64, 150, 3)
    whole = lstm_inspect.trace(path, x, record="all").arrays()
    for start in range(0, len(x), batch):
        part = lstm_inspect.trace(path, x[start : start + batch], record="all")
        for key, array in part.arrays().items():
            np.testing.assert_allclose(array, whole[key][start : start + batch], atol=2e-6)
