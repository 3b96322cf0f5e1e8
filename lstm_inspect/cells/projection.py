"""The part of a step that no state enters, for many timesteps at once."""

from lstm_inspect.cells.activations import Array


def project(x: Array, kernel: Array, bias: Array | None) -> Array:
    """One matrix product for all timesteps.

    Args:
        x: (timesteps, batch, features).
        kernel: (features, width).
        bias: (width,) or None.

    Returns:
        (timesteps, batch, width).
    """
    projected: Array = x.reshape(-1, x.shape[-1]) @ kernel
    if bias is not None:
        projected += bias
    return projected.reshape(*x.shape[:2], -1)
