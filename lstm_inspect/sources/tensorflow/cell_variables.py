"""Finds the cells of TensorFlow 1 among the variables of a checkpoint.

A cell is a scope with variables of known names: ``rnn/lstm_cell/kernel`` and
``rnn/lstm_cell/bias`` are an LSTM with the path ``rnn/lstm_cell``.

Source: tensorflow 2.15.0, keras/layers/rnn/legacy_cells.py. Until TensorFlow 1.2 a kernel was
called ``weights`` and a bias ``biases`` (tensorflow 1.1.0, contrib/rnn/python/ops/
core_rnn_cell_impl.py).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from lstm_inspect.arrays import Array, NamedArray
from lstm_inspect.cells import GRU, SIMPLE_RNN, TF_LSTM, CellKind
from lstm_inspect.model import Block, Place, Stored, joined, whole

_KERNELS = {"weights": "kernel", "biases": "bias"}
_PEEPHOLES = ("w_i_diag", "w_f_diag", "w_o_diag")
_PROJECTION = "projection/kernel"
_GRU_PARTS = ("gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias")

_LSTMS = ("lstm_cell", "basic_lstm_cell", "lstm_fused_cell", "cudnn_compatible_lstm_cell")
_CELL = re.compile(r"\w*(lstm|gru|rnn)\w*_cell(_\d+)?")

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


class UnknownCell(NamedTuple):
    """A cell that is not read.

    Attributes:
        scope: The scope of its variables.
        why: Why not.
    """

    scope: str
    why: str


class _Mismatch(Exception):
    """The variables of a cell do not fit together; the message says why."""


def find_cells(variables: Mapping[str, Array]) -> Iterator[TfCell | UnknownCell]:
    """The cells among some variables, in the order of their scopes.

    Args:
        variables: All variables by name.
    """
    scopes: dict[str, dict[str, NamedArray]] = defaultdict(dict)
    twice = set()
    for name, array in variables.items():
        for scope, leaf in _places(name):
            if leaf in scopes[scope]:
                twice.add(scope)
            scopes[scope][leaf] = name, array
    inner: dict[str, list[str]] = defaultdict(list)
    for name in variables:
        at = name.find("/")
        while at > 0:
            if (scope := name[:at]) in scopes:
                inner[scope].append(name[at + 1 :])
            at = name.find("/", at + 1)
    for scope in sorted(scopes, key=_natural):
        last = scope.rpartition("/")[2]
        own, read = scopes[scope], _reader_of(last)
        if read is None:
            if _CELL.fullmatch(last):
                yield UnknownCell(scope, f"no cell of TensorFlow is called {last}")
            continue
        try:
            if scope in twice:
                raise _Mismatch("it has a kernel and weights, or a bias and biases")
            _check_known(own, inner[scope])
            yield read(scope, own)
        except _Mismatch as error:
            yield UnknownCell(scope, str(error))


_Own = Mapping[str, NamedArray]
_Read = Callable[[str, _Own], TfCell]


def _reader_of(last: str) -> _Read | None:
    """What reads the cell of a scope: the last part of its name tells its kind.

    The names are those that the classes give their scopes. TensorFlow numbers further ones.
    """
    name = re.sub(r"_\d+$", "", last)
    if name in _LSTMS:
        return _lstm
    return {"gru_cell": _gru, "basic_rnn_cell": _rnn}.get(name)


def _places(name: str) -> Iterator[tuple[str, str]]:
    """The scopes that a variable may belong to, each with its name in it."""
    parts = name.split("/")
    parts[-1] = _KERNELS.get(parts[-1], parts[-1])
    if parts[-1] in _LEAVES and len(parts) > 1:
        yield "/".join(parts[:-1]), parts[-1]
    pair = "/".join(parts[-2:])
    if pair in (*_GRU_PARTS, _PROJECTION) and len(parts) > 2:
        yield "/".join(parts[:-2]), pair


def _natural(scope: str) -> list[str]:
    """Sorts cell_10 behind cell_9."""
    return [part.rjust(20, "0") if part.isdecimal() else part for part in re.split(r"(\d+)", scope)]


def _check_known(own: _Own, inner: Sequence[str]) -> None:
    """Refuses a cell that has variables beside the known ones, such as those of a LayerNorm."""
    for name in inner:
        leaf = "/".join(_KERNELS.get(part, part) for part in name.split("/"))
        is_of_variable = any(leaf.startswith(f"{each}/") for each in own)
        if leaf not in own and not is_of_variable:
            raise _Mismatch(f"it has a variable {name:.60}, which no such cell has")


def _all_of(own: _Own, names: Sequence[str]) -> list[NamedArray]:
    if lacking := [name for name in names if name not in own]:
        raise _Mismatch(f"it has no {lacking[0]}")
    return [own[name] for name in names]


def _lstm(scope: str, own: _Own) -> TfCell:
    kernel, bias = _all_of(own, ("kernel", "bias"))
    units = _blocks(kernel, bias, 4)
    output = units
    if _PROJECTION in own:
        shape = own[_PROJECTION][1].shape
        if len(shape) != 2 or shape[0] != units:
            raise _Mismatch(f"it has a projection of shape {shape}, its units are {units}")
        output = shape[1]
    stored = _side_by_side(kernel, bias, _rows(kernel, output), _LSTM_GATES, units)
    peepholes = [own[name] for name in _PEEPHOLES if name in own]
    if peepholes:
        if [array.shape for _, array in peepholes] != [(units,)] * 3:
            raise _Mismatch(f"its {', '.join(_PEEPHOLES)} are not of shape ({units},) each")
        gates = TF_LSTM.gates_of("peepholes")
        for gate, named in zip(gates, peepholes, strict=True):
            stored[Block("peepholes", gate)] = Stored((whole(*named),))
    if _PROJECTION in own:
        stored[Block("projection", None)] = Stored((whole(*own[_PROJECTION]),))
    return _cell(scope, TF_LSTM, units, stored, own)


def _gru(scope: str, own: _Own) -> TfCell:
    """A GRUCell: its gates are r and u, where u is z; its candidate is n."""
    gates, gate_bias, candidate, bias = _all_of(own, _GRU_PARTS)
    units = _blocks(candidate, bias, 1)
    is_one_size = gates[1].shape[:1] == candidate[1].shape[:1]
    if _blocks(gates, gate_bias, 2) != units or not is_one_size:
        raise _Mismatch("its gates and its candidate are not of one size")
    rows = _rows(candidate, units)
    stored = _side_by_side(gates, gate_bias, rows, _GRU_GATES, units)
    stored |= _side_by_side(candidate, bias, rows, ("n",), units)
    return _cell(scope, GRU, units, stored, own)


def _rnn(scope: str, own: _Own) -> TfCell:
    kernel, bias = _all_of(own, ("kernel", "bias"))
    units = _blocks(kernel, bias, 1)
    rows = _rows(kernel, units)
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


def _blocks(kernel: NamedArray, bias: NamedArray, count: int) -> int:
    """The units of a kernel with so many blocks of columns."""
    shape, width = kernel[1].shape, bias[1].shape
    if len(shape) != 2 or width != shape[1:] or shape[1] % count or not shape[1]:
        raise _Mismatch(
            f"its kernel {shape} is no {count} blocks of columns with a bias as wide, {width}"
        )
    return int(shape[1]) // count


def _rows(kernel: NamedArray, output: int) -> tuple[slice, slice]:
    """The rows of a kernel that belong to x, and those that belong to h."""
    count = len(kernel[1])
    features = count - output
    if features <= 0:
        raise _Mismatch(f"its kernel has {count} rows, and needs more than {output}")
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
