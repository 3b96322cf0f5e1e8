"""Activation functions by name, as Keras defines them; each one changes its array in place.

Source: keras 3.15.1, activations/activations.py and ops/nn.py, unless a line says otherwise.
"""

import math
from collections.abc import Callable

import numpy as np

from lstm_inspect.arrays import Array

Activation = Callable[[Array], None]
"""Replaces z by its activation, in place; z is a float array with the units on the last axis."""


def _linear(z: Array) -> None:
    pass


def _tanh(z: Array) -> None:
    np.tanh(z, out=z)


def _sigmoid(z: Array) -> None:
    # Equal to 1 / (1 + exp(-z)), but it cannot overflow, and NumPy's tanh is vectorized.
    z *= 0.5
    np.tanh(z, out=z)
    z *= 0.5
    z += 0.5


def _relu(z: Array) -> None:
    np.maximum(z, 0, out=z)


def _clip(slope: float, offset: float, low: float, high: float) -> Activation:
    def activation(z: Array) -> None:
        z *= slope
        z += offset
        np.clip(z, low, high, out=z)

    return activation


def _from(function: Callable[[Array], Array]) -> Activation:
    def activation(z: Array) -> None:
        z[...] = function(z)

    return activation


def _softmax(z: Array) -> Array:
    e: Array = np.exp(z - z.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def _log_softmax(z: Array) -> Array:
    shifted: Array = z - z.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def _softplus(z: Array) -> Array:
    return np.logaddexp(z, 0)


def _expm1_below_zero(z: Array) -> Array:
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def _hard_sigmoid(z: Array) -> Array:
    return np.clip(z / 6 + 0.5, 0, 1)


def _gelu(z: Array) -> Array:
    scaled = z / math.sqrt(2)
    erf: Array = np.fromiter(map(math.erf, scaled.flat), z.dtype, z.size).reshape(z.shape)
    erf += 1
    erf *= z
    erf *= 0.5
    return erf


def _sparse_plus(z: Array) -> Array:
    return np.where(z <= -1, 0, np.where(z < 1, (z + 1) ** 2 / 4, z))


def _sparsemax(z: Array) -> Array:
    # This is Keras's threshold, not the paper's. Keras adds up all cumulative sums over the support
    # (backend/tensorflow/nn.py, `sparsemax`); the paper takes only the last of them.
    falling = np.sort(z, axis=-1)[..., ::-1]
    sums = np.cumsum(falling, axis=-1)
    bound = sums - 1
    bound /= np.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    support = falling > bound
    del falling, bound
    np.copyto(sums, 0, where=~support)
    threshold = sums.sum(axis=-1, keepdims=True) - 1
    threshold /= support.sum(axis=-1, keepdims=True)
    above: Array = np.maximum(z - threshold, 0)
    return above


ACTIVATIONS: dict[str, Activation] = {
    "celu": _from(_expm1_below_zero),
    "elu": _from(_expm1_below_zero),
    "exponential": _from(np.exp),
    "gelu": _from(_gelu),
    "hard_shrink": _from(lambda z: np.where(np.abs(z) > 0.5, z, 0)),
    "hard_sigmoid": _from(_hard_sigmoid),
    # What Keras 1, Keras 2 and tf.keras call hard_sigmoid (keras 2.15.0, backend.py).
    "hard_sigmoid_0.2": _clip(0.2, 0.5, 0.0, 1.0),
    "hard_silu": _from(lambda z: z * _hard_sigmoid(z)),
    "hard_tanh": _clip(1.0, 0.0, -1.0, 1.0),
    "leaky_relu": _from(lambda z: np.maximum(z, z.dtype.type(0.2) * z)),
    "linear": _linear,
    "log_sigmoid": _from(lambda z: -_softplus(-z)),
    "log_softmax": _from(_log_softmax),
    "mish": _from(lambda z: z * np.tanh(_softplus(z))),
    "relu": _relu,
    "relu6": _clip(1.0, 0.0, 0.0, 6.0),
    "selu": _from(
        lambda z: (
            1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0)))
        )
    ),
    "sigmoid": _sigmoid,
    "silu": _from(lambda z: z * (np.tanh(z / 2) + 1) / 2),
    "soft_shrink": _from(lambda z: np.sign(z) * np.maximum(np.abs(z) - 0.5, 0)),
    "softmax": _from(_softmax),
    "softplus": _from(_softplus),
    "softsign": _from(lambda z: z / (1 + np.abs(z))),
    "sparse_plus": _from(_sparse_plus),
    "sparse_sigmoid": _clip(0.5, 0.5, 0.0, 1.0),
    "sparsemax": _from(_sparsemax),
    "squareplus": _from(lambda z: (z + np.sqrt(z * z + 4)) / 2),
    "tanh": _tanh,
    "tanh_shrink": _from(lambda z: z - np.tanh(z)),
}
ACTIVATIONS["swish"] = ACTIVATIONS["silu"]
ACTIVATIONS["hard_swish"] = ACTIVATIONS["hard_silu"]
