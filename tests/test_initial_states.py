"""Where a replay starts: from zeros, from given states, or from where an earlier replay ended."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import lstm_inspect
from lstm_inspect import InputError, InspectError, InspectWarning, SelectionError
from tests.conftest import (
    SAMPLES,
    Array,
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


@pytest.fixture
def two_lstms(tmp_path: Path) -> Path:
    """An LSTM over a masked sequence, and one on top of it."""
    config = functional(
        input_layer("x", None, 2),
        layer("Masking", "masking", "x", mask_value=0.0),
        lstm("below", 3, "masking", return_sequences=True),
        lstm("above", 4, "below", return_sequences=True),
        inputs=["x"],
        outputs=["above"],
    )
    weights = {"below": lstm_weights("below", 2, 3), "above": lstm_weights("above", 3, 4)}
    return write_h5(tmp_path / "two.h5", config, weights)


def traced(*arguments: object) -> Result:
    return run("trace", *map(str, arguments))


def zeros(*layers: tuple[str, int], batch: int = 5) -> dict[str, Array]:
    return {
        f"{path}/{state}0": np.zeros((batch, units), "float32")
        for path, units in layers
        for state in ("h", "c")
    }


def test_a_replay_goes_on_where_another_ended(two_lstms: Path) -> None:
    x = random(5, 12, 2)
    x[1, 3:9] = x[2, :8] = 0
    whole = lstm_inspect.trace(two_lstms, x, record="all")
    first = lstm_inspect.trace(two_lstms, x[:, :7])
    second = lstm_inspect.trace(two_lstms, x[:, 7:], initial_state=first.final_states())
    for path in whole:
        for state in ("h", "c"):
            np.testing.assert_allclose(
                second[path].signals[state], whole[path].signals[state][:, 7:], atol=1e-6
            )


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_the_command_takes_the_last_states_of_a_dump(
    two_lstms: Path, tmp_path: Path, suffix: str
) -> None:
    x = random(5, 6, 2)
    np.save(tmp_path / "x.npy", x)
    before, after = tmp_path / f"before{suffix}", tmp_path / "after.npz"
    assert traced(two_lstms, "-i", tmp_path / "x.npy", "--out", before).exit_code == 0
    arguments = ("-i", tmp_path / "x.npy", "--out", after, "--record", "all")
    result = traced(two_lstms, *arguments, "--initial-state", before)
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = map(lstm_inspect.load_trace, (before, after))
    for path in first:
        np.testing.assert_array_equal(second[path].h0, first[path].h[:, -1])
        np.testing.assert_array_equal(second[path].c0, first[path].c[:, -1])


def test_the_command_takes_an_npz_of_states(two_lstms: Path, tmp_path: Path) -> None:
    shapes = {key: array.shape for key, array in zeros(("below", 3), ("above", 4)).items()}
    states: dict[str, Any] = {key: random(*shape) for key, shape in shapes.items()}
    np.savez(tmp_path / "states.npz", **states)
    np.save(tmp_path / "x.npy", random(5, 6, 2))
    arguments = ("-i", tmp_path / "x.npy", "--out", tmp_path / "out.npz", "--record", "h0,c0")
    result = traced(two_lstms, *arguments, "--initial-state", tmp_path / "states.npz")
    assert (result.exit_code, result.stderr) == (0, "")
    for key, array in lstm_inspect.load_trace(tmp_path / "out.npz").arrays().items():
        np.testing.assert_array_equal(array, states[key])


def test_the_last_step_of_a_backward_layer_is_the_first() -> None:
    first = lstm_inspect.trace(
        SAMPLES / "bidirectional_masking.keras", sample_input("bidirectional_masking")
    )
    states = first.final_states()
    for path, recorded in first.items():
        last = 0 if recorded.direction == "backward" else -1
        np.testing.assert_array_equal(states[f"{path}/h0"], recorded.h[:, last])


def test_gates_follow_from_the_given_state() -> None:
    """The equations of an LSTM over one step, written out."""
    path = SAMPLES / "one_unit_sequences.keras"
    x, h, c = random(2, 3, 1), random(2, 1), random(2, 1)
    trace = lstm_inspect.trace(path, x, initial_state={"lstm/h0": h, "lstm/c0": c}, record="all")
    (recurrence,) = lstm_inspect.open_model(path).recurrent
    weights = recurrence.weights
    z = x[:, 0] @ weights["kernel"] + h @ weights["recurrent_kernel"] + weights["bias"]
    i, f, g, _ = np.split(z, 4, axis=-1)
    i, f = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f))
    np.testing.assert_allclose(trace["lstm"].c[:, 0], f * c + i * np.tanh(g), atol=1e-6)


def test_samples_start_from_their_own_states(two_lstms: Path) -> None:
    x = random(5, 6, 2)
    states = {key: random(*array.shape) for key, array in zeros(("below", 3), ("above", 4)).items()}
    whole = lstm_inspect.trace(two_lstms, x, initial_state=states)
    some = lstm_inspect.trace(two_lstms, x, initial_state=states, samples="1,4")
    np.testing.assert_allclose(some["above"].h, whole["above"].h[[1, 4]], atol=1e-6)


def test_stateful_batches_start_once_from_the_given_states() -> None:
    path = SAMPLES / "eight_units_stateful.keras"
    x = sample_input("eight_units_stateful")
    assert isinstance(x, np.ndarray)
    first = lstm_inspect.trace(path, x)
    twice = lstm_inspect.trace(path, np.concatenate([x, x]), stateful=True)
    states = first.final_states()
    again = lstm_inspect.trace(path, np.concatenate([x, x]), stateful=True, initial_state=states)
    np.testing.assert_allclose(again["lstm"].h[: len(x)], twice["lstm"].h[len(x) :], atol=1e-6)
    second = lstm_inspect.trace(path, x, initial_state=states).final_states()
    third = lstm_inspect.trace(path, x, initial_state=second)
    np.testing.assert_allclose(again["lstm"].h[len(x) :], third["lstm"].h, atol=1e-6)


@pytest.mark.parametrize(
    ("states", "kind", "message"),
    [
        (
            {"bellow/h0": np.zeros((5, 3))},
            SelectionError,
            "initial state bellow/h0: no recurrent layer has it; there are below/h0, below/c0",
        ),
        (
            {"below/h0": np.zeros((5, 3))},
            InputError,
            "layer below: expected the initial states below/h0 and below/c0, "
            "received below/h0 alone",
        ),
        (
            {**zeros(("below", 3)), "below/c0": np.zeros((4, 3))},
            InputError,
            "initial state below/c0: expected numbers of shape (5, 3), received (4, 3) of float64",
        ),
        (
            {**zeros(("below", 3)), "below/c0": np.full((5, 3), np.nan)},
            InputError,
            "initial state below/c0: not finite, first nan at [0, 0]; "
            "allow it with allow_nonfinite=True",
        ),
        ([1], InputError, "initial_state: expected arrays by state"),
    ],
)
def test_states_that_do_not_fit_are_refused(
    two_lstms: Path, states: Any, kind: type[InspectError], message: str
) -> None:
    with pytest.raises(kind) as refused:
        lstm_inspect.trace(two_lstms, random(5, 6, 2), initial_state=states)
    assert message in str(refused.value)


def test_a_layer_that_starts_from_zeros_is_named_if_others_do_not(two_lstms: Path) -> None:
    with pytest.warns(InspectWarning, match="above: starts from zeros; no initial state is given"):
        lstm_inspect.trace(two_lstms, random(5, 6, 2), initial_state=zeros(("below", 3)))


def test_states_for_a_layer_that_the_model_gives_states_are_named() -> None:
    path, inputs = SAMPLES / "encoder_decoder.keras", sample_input("encoder_decoder")
    first = lstm_inspect.trace(path, inputs)
    with pytest.warns(InspectWarning, match="starts from the states that the model gives it"):
        second = lstm_inspect.trace(path, inputs, initial_state=first.final_states(), record="h0")
    encoder, decoder = second.values()
    np.testing.assert_array_equal(encoder.h0, first[encoder.path].h[:, -1])
    assert not np.array_equal(decoder.h0, first[decoder.path].h[:, -1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": "0:3"}, "below/h: expected the last step that the layer reads, kept are 0:3 of"),
        ({"units": "0,1"}, "below/h: expected all units, kept are 0:2 of 3"),
    ],
)
def test_a_trace_without_its_last_states_is_refused(
    two_lstms: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    part = lstm_inspect.trace(two_lstms, random(5, 6, 2), **options)
    with pytest.raises(InputError, match=message):
        part.final_states()
    part.save(tmp_path / "part.npz")
    np.save(tmp_path / "x.npy", random(5, 6, 2))
    arguments = ("-i", tmp_path / "x.npy", "--out", tmp_path / "out.npz")
    result = traced(two_lstms, *arguments, "--initial-state", tmp_path / "part.npz")
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_last_step_alone_is_enough(two_lstms: Path) -> None:
    x = random(5, 6, 2)
    whole, last = lstm_inspect.trace(two_lstms, x), lstm_inspect.trace(two_lstms, x, last=True)
    for key, state in whole.final_states().items():
        np.testing.assert_array_equal(last.final_states()[key], state)


def test_an_array_alone_is_no_state(two_lstms: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", random(5, 6, 2))
    arguments = ("-i", tmp_path / "x.npy", "--out", tmp_path / "out.npz")
    result = traced(two_lstms, *arguments, "--initial-state", tmp_path / "x.npy")
    assert result.exit_code == 2
    assert "expected a dump, or an .npz of states such as lstm/h0, received one" in result.stderr
