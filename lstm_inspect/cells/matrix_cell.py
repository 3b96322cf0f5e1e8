"""What the cells have in common whose products are of matrices."""

from lstm_inspect.cells.activations import Array


class MatrixCell:
    """A cell with vectors for states, and one matrix product for the x of all timesteps.

    Args:
        kernel: (features, width).
        bias: (width,) or None.
        units: Width of a state.
    """

    def __init__(self, kernel: Array, bias: Array | None, units: int) -> None:
        self.units = units
        self.dtype = kernel.dtype
        self._kernel = kernel
        self._bias = bias

    def state_shape(self, features: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a state without the batch: (units,)."""
        return (self.units,)

    def project(self, x: Array) -> Array:
        """The part of a step that no state enters.

        Args:
            x: (timesteps, batch, features).

        Returns:
            (timesteps, batch, width).
        """
        projected: Array = x.reshape(-1, x.shape[-1]) @ self._kernel
        if self._bias is not None:
            projected += self._bias
        return projected.reshape(*x.shape[:2], -1)
