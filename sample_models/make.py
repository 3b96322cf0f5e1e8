"""Writes the sample models, their inputs and the oracle that genuine Keras gives for them.

Each Keras writes the files that belong to it, so run the script once per version, each time in a
throwaway virtual environment (Python 3.11 has wheels for all of them):

    pip install tensorflow-cpu==2.12.1                  # Keras 2.12.0 -> keras-2.12/
    pip install tensorflow-cpu==2.15.1                  # Keras 2.15.0 -> keras-2.15/
    pip install tensorflow-cpu==2.16.2 keras==3.0.5     # Keras 3.0.5  -> keras-3.0/
    pip install tensorflow-cpu keras==3.15.1            # Keras 3.15.1 -> this folder

    python sample_models/make.py

Weights and inputs are drawn with NumPy from seeds made of the layers' and inputs' names. They are
therefore the same whichever Keras writes them, and the forms of one model (say, the four of
`one_unit_*`) differ only in what they return.

The oracle, `tests/oracles/[keras-X.Y/]NAME.npz`, holds `<path>/h` and `<path>/c`, shaped (batch,
timesteps, units), for every recurrent layer, and the version of the Keras that computed them under
`__keras__`. Index t is the timestep of the layer's input, also for a layer which goes backwards.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

MODELS_FOLDER = Path(__file__).resolve().parent
ORACLES_FOLDER = MODELS_FOLDER.parent / "tests" / "oracles"

# The tensor class of the backend, which has no common name in Keras 2 and 3.
Tensor = Any


class Sample(NamedTuple):
    """A model and an input for it, by the names and in the order of the model's inputs."""

    model: keras.Model
    inputs: dict[str, np.ndarray]


class Release(NamedTuple):
    """What one release of Keras writes: which samples, in which formats, and where."""

    folder: str
    names: tuple[str, ...]
    suffixes: tuple[str, ...]


def generator_for(name: str) -> np.random.Generator:
    """Returns a generator seeded by a name, so that no order of drawing can change the values."""
    return np.random.default_rng(list(name.encode()))


def random_input(name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns a (batch, timesteps, features) input for the model input of that name."""
    return generator_for(name).uniform(-1, 1, shape).astype("float32")


def randomize_weights(model: keras.Model) -> None:
    """Draws every weight, the biases too, from a generator seeded by the layer's name."""
    for layer in model.layers:
        generator = generator_for(layer.name)
        layer.set_weights(
            [generator.uniform(-0.5, 0.5, weight.shape) for weight in layer.get_weights()]
        )


def single_lstm(
    name: str,
    *,
    units: int,
    input_shape: tuple[int, int, int],
    return_sequences: bool = False,
    return_state: bool = False,
    stateful: bool = False,
) -> Sample:
    """One LSTM and nothing else."""
    batch, timesteps, features = input_shape
    # A stateful layer must know its batch size beforehand.
    sequences = keras.Input(
        (timesteps, features), batch_size=batch if stateful else None, name="input"
    )
    lstm = keras.layers.LSTM(
        units,
        return_sequences=return_sequences,
        return_state=return_state,
        stateful=stateful,
        name="lstm",
    )
    model = keras.Model(sequences, lstm(sequences), name=name)
    return Sample(model, {"input": random_input("input", input_shape)})


def stacked(name: str) -> Sample:
    """A Sequential of two LSTMs, the second reading the sequence of the first."""
    model = keras.Sequential(
        [
            keras.Input((10, 7), name="input"),
            keras.layers.LSTM(100, return_sequences=True, name="lstm"),
            keras.layers.LSTM(16, name="lstm_1"),
            keras.layers.Dense(1, name="dense"),
        ],
        name=name,
    )
    return Sample(model, {"input": random_input("input", (2, 10, 7))})


def encoder_decoder(name: str) -> Sample:
    """An encoder whose last states start the decoder; both take sequences of any length."""
    encoder_input = keras.Input((None, 4), name="encoder_input")
    decoder_input = keras.Input((None, 3), name="decoder_input")
    _, h, c = keras.layers.LSTM(6, return_state=True, name="encoder")(encoder_input)
    decoder = keras.layers.LSTM(6, return_sequences=True, return_state=True, name="decoder")
    decoded, _, _ = decoder(decoder_input, initial_state=[h, c])
    output = keras.layers.Dense(3, name="dense")(decoded)
    model = keras.Model([encoder_input, decoder_input], output, name=name)
    inputs = {
        "encoder_input": random_input("encoder_input", (3, 7, 4)),
        "decoder_input": random_input("decoder_input", (3, 5, 3)),
    }
    return Sample(model, inputs)


def bidirectional_masking(name: str) -> Sample:
    """A Bidirectional LSTM behind a Masking layer; the input has padding in different places."""
    sequences = keras.Input((6, 2), name="input")
    masked = keras.layers.Masking(mask_value=0.0, name="masking")(sequences)
    bidirectional = keras.layers.Bidirectional(
        keras.layers.LSTM(4, return_sequences=True, name="lstm"),
        merge_mode="concat",
        name="bidirectional",
    )
    model = keras.Model(sequences, bidirectional(masked), name=name)
    kept = np.array(
        [
            [1, 1, 1, 1, 0, 0],  # padded on the right
            [0, 1, 1, 0, 1, 1],  # padded on the left, and with a gap
            [1, 1, 1, 1, 1, 1],
        ],
        dtype=bool,
    )
    padded = np.where(kept[:, :, np.newaxis], random_input("input", (3, 6, 2)), np.float32(0))
    return Sample(model, {"input": padded})


one_unit = partial(single_lstm, units=1, input_shape=(1, 3, 1))
eight_units = partial(
    single_lstm, units=8, input_shape=(2, 5, 1), return_sequences=True, return_state=True
)
thirty_units = partial(single_lstm, units=30, input_shape=(5, 60, 1))

SAMPLES: dict[str, Callable[[str], Sample]] = {
    "one_unit_last_h": one_unit,
    "one_unit_sequences": partial(one_unit, return_sequences=True),
    "one_unit_state": partial(one_unit, return_state=True),
    "one_unit_sequences_state": partial(one_unit, return_sequences=True, return_state=True),
    "encoder_decoder": encoder_decoder,
    "eight_units_state": eight_units,
    "eight_units_stateful": partial(eight_units, stateful=True),
    "thirty_units_sequences_state": partial(thirty_units, return_sequences=True, return_state=True),
    "stacked": stacked,
    "bidirectional_masking": bidirectional_masking,
}

# The older releases lay their files out in other ways; these samples are enough to show how.
LAYOUT_SAMPLES = (
    "one_unit_last_h",
    "one_unit_sequences",
    "one_unit_state",
    "one_unit_sequences_state",
    "encoder_decoder",
)

CURRENT = (3, 15)
RELEASES = {
    (2, 12): Release("keras-2.12", LAYOUT_SAMPLES, (".h5", ".keras")),
    (2, 15): Release("keras-2.15", LAYOUT_SAMPLES, (".h5", ".keras")),
    (3, 0): Release("keras-3.0", LAYOUT_SAMPLES, (".h5", ".keras")),
    CURRENT: Release("", tuple(SAMPLES), (".keras",)),
}


def installed_release() -> Release:
    """Returns what the installed Keras is to write, or exits if it is none of ours."""
    major, minor = keras.__version__.split(".")[:2]
    # A Keras newer than the current one takes its place.
    release = RELEASES.get(min((int(major), int(minor)), CURRENT))
    if release is None:
        raise SystemExit(f"Keras 2.12, 2.15, 3.0 or 3.15+ is needed, not {keras.__version__}")
    return release


def lstms(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer, keras.layers.LSTM]]:
    """Yields the path of every LSTM, the layer of the model that has its input, and the LSTM."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Bidirectional):
            yield f"{layer.name}/forward", layer, layer.forward_layer
            yield f"{layer.name}/backward", layer, layer.backward_layer
        elif isinstance(layer, keras.layers.LSTM):
            yield layer.name, layer, layer


def states_by_timestep(
    lstm: keras.layers.LSTM,
    sequences: Tensor,
    *,
    initial_state: list[Tensor] | None = None,
    mask: Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns h and c of every timestep as Keras computes them.

    Keras returns only the states a layer ends with, so the layer is called once per timestep, on
    just the steps which it has read by then.
    """
    # A twin, as the layer itself may return no states, or keep them from one call to the next.
    options = {"return_sequences": False, "return_state": True, "stateful": False}
    twin = keras.layers.LSTM.from_config({**lstm.get_config(), **options})
    twin.build(sequences.shape)
    twin.cell.set_weights(lstm.cell.get_weights())

    states = []
    for t in range(sequences.shape[1]):
        read = slice(t, None) if lstm.go_backwards else slice(t + 1)
        read_mask = None if mask is None else mask[:, read]
        _, h, c = twin(sequences[:, read], initial_state=initial_state, mask=read_mask)
        states.append((h, c))
    h_by_timestep, c_by_timestep = zip(*states, strict=True)
    return np.stack(h_by_timestep, axis=1), np.stack(c_by_timestep, axis=1)


def oracle(model: keras.Model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns h and c of every recurrent layer by `<path>/h` and `<path>/c`."""
    arrays = {"__keras__": np.array(keras.__version__)}
    for path, layer, lstm in lstms(model):
        # Keras counts the initial states among a layer's inputs; Keras 3 the mask too, and Keras 2
        # writes no model with a mask.
        match keras.Model(model.inputs, layer.input)(list(inputs.values())):
            case [sequences, initial_h, initial_c]:
                h, c = states_by_timestep(lstm, sequences, initial_state=[initial_h, initial_c])
            case [sequences, mask]:
                h, c = states_by_timestep(lstm, sequences, mask=mask)
            case sequences:
                h, c = states_by_timestep(lstm, sequences)
        arrays[f"{path}/h"], arrays[f"{path}/c"] = h, c
    return arrays


def write_inputs(name: str, inputs: dict[str, np.ndarray]) -> None:
    """Writes NAME.npy for an only input, else NAME.INPUT.npy for each; every Keras shares them."""
    for input_name, array in inputs.items():
        stem = name if len(inputs) == 1 else f"{name}.{input_name}"
        np.save(MODELS_FOLDER / f"{stem}.npy", array)


def main() -> None:
    """Writes everything that belongs to the installed Keras."""
    folder, names, suffixes = installed_release()
    (MODELS_FOLDER / folder).mkdir(exist_ok=True)
    (ORACLES_FOLDER / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        model, inputs = SAMPLES[name](name)
        randomize_weights(model)
        write_inputs(name, inputs)
        for suffix in suffixes:
            model.save(MODELS_FOLDER / folder / f"{name}{suffix}")
        np.savez(ORACLES_FOLDER / folder / f"{name}.npz", **oracle(model, inputs))


if __name__ == "__main__":
    main()
