"""Finds the cells of TensorFlow 1 among the variables of a checkpoint.

A cell is a scope with variables of known names: ``rnn/lstm_cell/kernel`` and
``rnn/lstm_cell/bias`` are an LSTM with the path ``rnn/lstm_cell``.

Source: tensorflow 2.15.0, keras/layers/rnn/legacy_cells.py. Until TensorFlow 1.2 a kernel was
called ``weights`` and a bias ``biases`` (tensorflow 1.1.0, contrib/rnn/python/ops/
core_rnn_cell_impl.py).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lstm_inspect.arrays import Array, NamedArray
from lstm_inspect.cells import GRU, SIMPLE_RNN, TF_LSTM, CellKind
from lstm_inspect.errors import ModelFileError
from lstm_inspect.model import Block, Place, Stored, joined, whole

_KERNELS = {"weights": "kernel", "biases": "bias"}
_PEEPHOLES = ("w_i_diag", "w_f_diag", "w_o_diag")
_PROJECTION = "projection/kernel"
_GRU_PARTS = ("gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias")

# What optimizers and averages keep of a variable is named below it: rnn/lstm_cell/kernel/Adam.
_LEAVES = ("kernel", "bias", *_PEEPHOLES)
_LSTM_GATES = ("i", "g", "f", "o")
"""The gates of an LSTM in the order of the file; TensorFlow calls g j."""

_GRU_GATES = ("r", "z")
"""Those of a GRU, apart from its candidate; TensorFlow calls z u."""


class TfCell(NamedTuple):
    """A cell of TensorFlow 1.

    Attributes:
        scope: The scope of its variables.
        kind: Its kind.
        units: Its units.
        weights: Its weights in canonical form.
        stored: How the checkpoint stores each block of them.
    """

    scope: str
    kind: CellKind
    units: int
    weights: Mapping[str, Array]
    stored: Mapping[Block, Stored]


def find_cells(variables: Mapping[str, Array], what: str) -> Iterator[TfCell]:
    """The cells among some variables, in the order of their scopes.

    Args:
        variables: All variables by name.
        what: The name of the checkpoint in errors.

    Raises:
        ModelFileError: The variables of a cell do not fit together, or there are unknown ones
            among them.
    """
    scopes: dict[str, dict[str, NamedArray]] = defaultdict(dict)
    for name, array in variables.items():
        for scope, leaf in _places(name):
            scopes[scope][leaf] = name, array
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


def _kind_of(scope: str, own: Mapping[str, NamedArray]) -> CellKind | None:
    """The kind of a cell with one kernel and one bias, which a Dense layer has too.

    Peepholes and a projection are those of an LSTM; else the name of the scope tells the kind.
    """
    last = scope.rpartition("/")[2]
    if "lstm" in last or not {*_PEEPHOLES, _PROJECTION}.isdisjoint(own):
        return TF_LSTM
    return SIMPLE_RNN if "rnn_cell" in last else None


def _check_known(
    scope: str, own: Mapping[str, NamedArray], variables: Mapping[str, Array], what: str
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


def _lstm(scope: str, own: Mapping[str, NamedArray], what: str) -> TfCell:
    kernel, bias = own["kernel"], own["bias"]
    units = _blocks(scope, kernel, bias, 4, what)
    output = own[_PROJECTION][1].shape[-1] if _PROJECTION in own else units
    stored = _side_by_side(kernel, bias, _rows(scope, kernel, output, what), _LSTM_GATES, units)
    peepholes = [own[name] for name in _PEEPHOLES if name in own]
    if peepholes:
        if [array.shape for _, array in peepholes] != [(units,)] * 3:
            raise ModelFileError(
                f"{what}: {scope}: expected {', '.join(_PEEPHOLES)} of shape ({units},) each"
            )
        gates = TF_LSTM.gates_of("peepholes")
        for gate, named in zip(gates, peepholes, strict=True):
            stored[Block("peepholes", gate)] = Stored((whole(*named),))
    if _PROJECTION in own:
        stored[Block("projection", None)] = Stored((whole(*own[_PROJECTION]),))
    return _cell(scope, TF_LSTM, units, stored, own)


def _gru(scope: str, own: Mapping[str, NamedArray], what: str) -> TfCell:
    """A GRUCell: its gates are r and u, where u is z; its candidate is n."""
    gates, gate_bias, candidate, bias = (own[name] for name in _GRU_PARTS)
    units = _blocks(scope, candidate, bias, 1, what)
    is_one_size = gates[1].shape[:1] == candidate[1].shape[:1]
    if _blocks(scope, gates, gate_bias, 2, what) != units or not is_one_size:
        raise ModelFileError(f"{what}: {scope}: expected gates and a candidate of one size")
    rows = _rows(scope, candidate, units, what)
    stored = _side_by_side(gates, gate_bias, rows, _GRU_GATES, units)
    stored |= _side_by_side(candidate, bias, rows, ("n",), units)
    return _cell(scope, GRU, units, stored, own)


def _rnn(scope: str, own: Mapping[str, NamedArray], what: str) -> TfCell:
    kernel, bias = own["kernel"], own["bias"]
    units = _blocks(scope, kernel, bias, 1, what)
    rows = _rows(scope, kernel, units, what)
    stored = _side_by_side(kernel, bias, rows, (None,), units)
    return _cell(scope, SIMPLE_RNN, units, stored, own)


def _cell(
    scope: str,
    kind: CellKind,
    units: int,
    stored: Mapping[Block, Stored],
    own: Mapping[str, NamedArray],
) -> TfCell:
    arrays = dict(own.values())
    blocks = {block: each.read(arrays) for block, each in stored.items()}
    return TfCell(scope, kind, units, joined(kind, blocks), stored)


def _blocks(scope: str, kernel: NamedArray, bias: NamedArray, count: int, what: str) -> int:
    """The units of a kernel with so many blocks of columns."""
    shape, width = kernel[1].shape, bias[1].shape
    if len(shape) != 2 or width != shape[1:] or shape[1] % count:
        raise ModelFileError(
            f"{what}: {scope}: expected a kernel of {count} blocks of columns and a bias as wide, "
            f"received {shape} and {width}"
        )
    return int(shape[1]) // count


def _rows(scope: str, kernel: NamedArray, output: int, what: str) -> tuple[slice, slice]:
    """The rows of a kernel that belong to x, and those that belong to h."""
    count = len(kernel[1])
    features = count - output
    if features <= 0:
        raise ModelFileError(
            f"{what}: {scope}: expected a kernel of more than {output} rows, received {count}"
        )
    return slice(0, features), slice(features, count)


def _side_by_side(
    kernel: NamedArray,
    bias: NamedArray,
    rows: tuple[slice, slice],
    gates: Sequence[str | None],
    units: int,
) -> dict[Block, Stored]:
    """The blocks of a kernel and of a bias that have columns for each gate."""
    of_x, of_h = rows
    parts = {
        "kernel": (kernel[0], (of_x,)),
        "recurrent_kernel": (kernel[0], (of_h,)),
        "bias": (bias[0], ()),
    }
    return {
        Block(weight, gate): Stored(
            (Place(name, (*own, slice(number * units, (number + 1) * units))),)
        )
        for weight, (name, own) in parts.items()
        for number, gate in enumerate(gates)
    }
