"""Finds the cells of TensorFlow 1 among the variables of a checkpoint.

A cell is a scope with variables of known names: ``rnn/lstm_cell/kernel`` and
``rnn/lstm_cell/bias`` are an LSTM with the path ``rnn/lstm_cell``.

Source: tensorflow 2.15.0, keras/layers/rnn/legacy_cells.py. Until TensorFlow 1.2 a kernel was
called ``weights`` and a bias ``biases`` (tensorflow 1.1.0, contrib/rnn/python/ops/
core_rnn_cell_impl.py).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.cells import GRU, SIMPLE_RNN, TF_LSTM, CellKind
from lstm_inspect.errors import ModelFileError

_KERNELS = {"weights": "kernel", "biases": "bias"}
_PEEPHOLES = ("w_i_diag", "w_f_diag", "w_o_diag")
_PROJECTION = "projection/kernel"
_GRU_PARTS = ("gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias")

# What optimizers and averages keep of a variable is named below it: rnn/lstm_cell/kernel/Adam.
_LEAVES = ("kernel", "bias", *_PEEPHOLES)
_GATES_IN_FILE = (0, 2, 1, 3)
"""The blocks i, j, f, o of a kernel in the order i, f, g, o; TensorFlow's j is g."""


class TfCell(NamedTuple):
    """A cell of TensorFlow 1.

    Attributes:
        scope: The scope of its variables.
        kind: Its kind.
        units: Its units.
        weights: Its weights in canonical form.
    """

    scope: str
    kind: CellKind
    units: int
    weights: Mapping[str, Array]


def find_cells(variables: Mapping[str, Array], what: str) -> Iterator[TfCell]:
    """The cells among some variables, in the order of their scopes.

    Args:
        variables: All variables by name.
        what: The name of the checkpoint in errors.

    Raises:
        ModelFileError: The variables of a cell do not fit together, or there are unknown ones
            among them.
    """
    scopes: dict[str, dict[str, Array]] = defaultdict(dict)
    for name, array in variables.items():
        for scope, leaf in _places(name):
            scopes[scope][leaf] = array
    for scope, own in sorted(scopes.items(), key=lambda each: _natural(each[0])):
        if {*_GRU_PARTS} <= own.keys():
            yield _gru(scope, own, what)
        elif {"kernel", "bias"} <= own.keys() and (kind := _kind_of(scope, own)) is not None:
            read = {TF_LSTM: _lstm, SIMPLE_RNN: _rnn}[kind]
            _check_known(scope, own, variables, what)
            yield read(scope, own, what)


def _places(name: str) -> Iterator[tuple[str, str]]:
    """The scopes that a variable may belong to, each with its name in it."""
    parts = name.split("/")
    parts[-1] = _KERNELS.get(parts[-1], parts[-1])
    if parts[-1] in _LEAVES and len(parts) > 1:
        yield "/".join(parts[:-1]), parts[-1]
    pair = "/".join(parts[-2:])
    if pair in (*_GRU_PARTS, _PROJECTION) and len(parts) > 2:
        yield "/".join(parts[:-2]), pair


def _natural(scope: str) -> list[Any]:
    """Sorts cell_10 behind cell_9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", scope)]


def _kind_of(scope: str, own: Mapping[str, Array]) -> CellKind | None:
    """The kind of a cell with one kernel and one bias, which a Dense layer has too.

    Peepholes and a projection are those of an LSTM; else the name of the scope tells the kind.
    """
    last = scope.rpartition("/")[2]
    if "lstm" in last or not {*_PEEPHOLES, _PROJECTION}.isdisjoint(own):
        return TF_LSTM
    return SIMPLE_RNN if "rnn_cell" in last else None


def _check_known(
    scope: str, own: Mapping[str, Array], variables: Mapping[str, Array], what: str
) -> None:
    """Refuses a cell that has variables beside the known ones, such as those of a LayerNorm."""
    for name in variables:
        inner = name.removeprefix(f"{scope}/")
        if inner == name:
            continue
        leaf = _KERNELS.get(inner, inner)
        is_of_variable = any(leaf.startswith(f"{each}/") for each in (*own, *_KERNELS))
        if leaf not in own and not is_of_variable:
            raise ModelFileError(
                f"{what}: {scope}: expected the variables of a cell of TensorFlow "
                f"({', '.join((*_LEAVES, _PROJECTION))}), received {inner} too"
            )


def _lstm(scope: str, own: Mapping[str, Array], what: str) -> TfCell:
    kernel, bias = own["kernel"], own["bias"]
    units = _blocks(scope, kernel, bias, 4, what)
    projection = own.get(_PROJECTION)
    output = units if projection is None else projection.shape[-1]
    x, h = _rows(scope, kernel, output, what)
    weights = {"kernel": x, "recurrent_kernel": h, "bias": bias}
    weights = {name: _reordered(array) for name, array in weights.items()}
    peepholes = [own[name] for name in _PEEPHOLES if name in own]
    if peepholes:
        if [array.shape for array in peepholes] != [(units,)] * 3:
            raise ModelFileError(
                f"{what}: {scope}: expected {', '.join(_PEEPHOLES)} of shape ({units},) each"
            )
        weights["peepholes"] = np.stack(peepholes)
    if projection is not None:
        weights["projection"] = projection
    return TfCell(scope, TF_LSTM, units, weights)


def _gru(scope: str, own: Mapping[str, Array], what: str) -> TfCell:
    """A GRUCell: its gates are r and u, where u is z; its candidate is n."""
    gates, gate_bias, candidate, bias = (own[name] for name in _GRU_PARTS)
    units = _blocks(scope, candidate, bias, 1, what)
    if _blocks(scope, gates, gate_bias, 2, what) != units or len(gates) != len(candidate):
        raise ModelFileError(f"{what}: {scope}: expected gates and a candidate of one size")
    swapped = np.concatenate([gates[:, units:], gates[:, :units], candidate], axis=-1)
    x, h = _rows(scope, swapped, units, what)
    bias = np.concatenate([gate_bias[units:], gate_bias[:units], bias])
    return TfCell(scope, GRU, units, {"kernel": x, "recurrent_kernel": h, "bias": bias})


def _rnn(scope: str, own: Mapping[str, Array], what: str) -> TfCell:
    kernel, bias = own["kernel"], own["bias"]
    units = _blocks(scope, kernel, bias, 1, what)
    x, h = _rows(scope, kernel, units, what)
    return TfCell(scope, SIMPLE_RNN, units, {"kernel": x, "recurrent_kernel": h, "bias": bias})


def _blocks(scope: str, kernel: Array, bias: Array, count: int, what: str) -> int:
    """The units of a kernel with so many blocks of columns."""
    if kernel.ndim != 2 or bias.shape != kernel.shape[1:] or kernel.shape[1] % count:
        raise ModelFileError(
            f"{what}: {scope}: expected a kernel of {count} blocks of columns and a bias as wide, "
            f"received {kernel.shape} and {bias.shape}"
        )
    return int(kernel.shape[1]) // count


def _rows(scope: str, kernel: Array, output: int, what: str) -> tuple[Array, Array]:
    """The rows of a kernel that belong to x, and those that belong to h."""
    features = len(kernel) - output
    if features <= 0:
        raise ModelFileError(
            f"{what}: {scope}: expected a kernel of more than {output} rows, received {len(kernel)}"
        )
    return kernel[:features], kernel[features:]


def _reordered(array: Array) -> Array:
    blocks = np.split(array, 4, axis=-1)
    return np.concatenate([blocks[number] for number in _GATES_IN_FILE], axis=-1)
