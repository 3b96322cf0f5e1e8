"""The instrumented LSTM cell."""

from collections.abc import Mapping

import numpy as np

from lstm_inspect.cells.activations import ACTIVATIONS, Array

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
    ) -> None:
        self.units = recurrent_kernel.shape[0]
        self.dtype = kernel.dtype
        self._kernel = _as_computed(kernel)
        self._recurrent_kernel = _as_computed(recurrent_kernel)
        self._bias = None if bias is None else _as_computed(bias)
        self._activate = ACTIVATIONS[activation]
        self._activate_gates = ACTIVATIONS[recurrent_activation]

    def project(self, x: Array) -> Array:
        """The part of z that does not depend on the state.

        Args:
            x: (timesteps, batch, features).

        Returns:
            (timesteps, batch, 4·units).
        """
        projected = x @ self._kernel
        if self._bias is not None:
            projected += self._bias
        return projected

    def step(
        self, projected: Array, previous: Mapping[str, Array], out: Mapping[str, Array]
    ) -> None:
        """Computes one timestep.

        Args:
            projected: (batch, 4·units) of `project`; overwritten.
            previous: h_{t-1} and c_{t-1}, (batch, units) each.
            out: Where to write h, c, and any of i, f, g, o; (batch, units) each.
        """
        z = projected
        z += previous["h"] @ self._recurrent_kernel
        blocks = z.reshape(len(z), 4, self.units)
        self._activate_gates(blocks[:, :3])
        self._activate(blocks[:, 3])
        i, f, o, g = (blocks[:, number] for number in range(4))
        for name, gate in zip(_COMPUTED, (i, f, o, g), strict=True):
            if name in out:
                out[name][...] = gate
        h, c = out["h"], out["c"]
        np.multiply(f, previous["c"], out=c)
        i *= g
        c += i
        h[...] = c
        self._activate(h)
        h *= o


def _as_computed(weights: Array) -> Array:
    stored = dict(zip(_STORED, np.split(weights, 4, axis=-1), strict=True))
    return np.concatenate([stored[name] for name in _COMPUTED], axis=-1)
