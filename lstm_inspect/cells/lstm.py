"""The instrumented LSTM cell."""

from collections.abc import Mapping

import numpy as np

from lstm_inspect.cells.activations import ACTIVATIONS, Array
from lstm_inspect.cells.projection import project

# Blocks as the weights have them, and as computed here: the three gates side by side, so that one
# call of the recurrent activation serves them all.
_STORED = ("i", "f", "g", "o")
_COMPUTED = ("i", "f", "o", "g")


class LstmCell:
    """One step of an LSTM, with everything it computes on the way.

    ``z = x_t·kernel + h_{t-1}·recurrent_kernel + bias``; ``i, f, g, o = split(z)``, i, f and o
    through the recurrent activation, g through the activation;
    ``c_t = f·c_{t-1} + i·g``; ``h_t = o·activation(c_t)``
    (keras 3.15.1, layers/rnn/lstm.py, ``LSTMCell.call``).

    Args:
        kernel: (features, 4·units), blocks i, f, g, o; float32 or float64, as all the weights.
        recurrent_kernel: (units, 4·units).
        bias: (4·units,) or None.
        activation: A name in `ACTIVATIONS`.
        recurrent_activation: A name in `ACTIVATIONS`.
        peepholes: None, or (3, units): weights from c_{t-1} to i and f, and from c_t to o
            (tensorflow 1.15.5, python/keras/layers/recurrent.py, ``PeepholeLSTMCell``).
    """

    states: tuple[str, ...] = ("h", "c")
    signals: tuple[str, ...] = ("h", "c", "i", "f", "g", "o")

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None,
        activation: str,
        recurrent_activation: str,
        peepholes: Array | None = None,
    ) -> None:
        self.units = recurrent_kernel.shape[0]
        self.dtype = kernel.dtype
        self._kernel = _as_computed(kernel)
        self._recurrent_kernel = _as_computed(recurrent_kernel)
        self._bias = None if bias is None else _as_computed(bias)
        self._peepholes = peepholes
        self._activate = ACTIVATIONS[activation]
        self._activate_gates = ACTIVATIONS[recurrent_activation]

    def state_shape(self, features: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a state without the batch: (units,)."""
        return (self.units,)

    def project(self, x: Array) -> Array:
        """The part of z that does not depend on the state.

        Args:
            x: (timesteps, batch, features).

        Returns:
            (timesteps, batch, 4·units).
        """
        return project(x, self._kernel, self._bias)

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> None:
        """Computes one timestep.

        Args:
            projected: (batch, 4·units) of `project`; overwritten.
            previous: h_{t-1} and c_{t-1}, (batch, units) each.
            out: Where to write h, c, and any of i, f, g, o; (batch, units) each.
        """
        projected += previous["h"] @ self._recurrent_kernel
        blocks = projected.reshape(len(projected), 4, self.units)
        i, f, o, g = (blocks[:, number] for number in range(4))
        h, c = out["h"], out["c"]
        self._activate(g)
        if self._peepholes is None:
            self._activate_gates(blocks[:, :3])
        else:
            blocks[:, :2] += self._peepholes[:2] * previous["c"][:, np.newaxis]
            self._activate_gates(blocks[:, :2])
        np.multiply(f, previous["c"], out=c)
        c += i * g
        if self._peepholes is not None:
            o += self._peepholes[2] * c
            self._activate_gates(o)
        h[...] = c
        self._activate(h)
        h *= o
        for name, gate in zip(_COMPUTED, (i, f, o, g), strict=True):
            if name in out:
                out[name][...] = gate


def _as_computed(weights: Array) -> Array:
    stored = dict(zip(_STORED, np.split(weights, 4, axis=-1), strict=True))
    return np.concatenate([stored[name] for name in _COMPUTED], axis=-1)
