"""Takes a replay to a dump that an interruption does not lose, and goes on with what is there."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from lstm_inspect.arrays import Array
from lstm_inspect.engines import versions
from lstm_inspect.errors import InputError
from lstm_inspect.files.mapped_file import pieces
from lstm_inspect.model import Model
from lstm_inspect.notation import advice, counted
from lstm_inspect.replay.block import Block
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.run import Replay
from lstm_inspect.replay.to_dump import Follower, Written, figures_of, write_behind, write_block
from lstm_inspect.traces.cuts import Cut
from lstm_inspect.traces.dump_format import NewArray
from lstm_inspect.traces.recording import Trace
from lstm_inspect.traces.unfinished import unfinished_dump
from lstm_inspect.version import __version__

_WITHOUT_EFFECT = {"allow_nonfinite", "limits", "progress"}
"""The options that change no number."""

_DIGITS = 16


def made_from(
    model: Model, ready: Replay, options: ReplayOptions, also: Mapping[str, str]
) -> dict[str, str]:
    """What the numbers of a dump depend on, each by the name that an error gives it.

    Args:
        model: The model.
        ready: The replay.
        options: Its options.
        also: What else they depend on.

    Raises:
        InputError: A block depends on the one before it.
    """
    if options.stateful:
        raise InputError(
            advice(
                python="resume: expected none with stateful",
                command_line="--resume: expected none with --stateful",
            )
            + "; the states that a batch hands to the next are not kept"
        )
    files = {"": model.source.data, **model.source.files}
    asked = {
        _option(each.name): _text(getattr(options, each.name))
        for each in fields(options)
        if each.name not in {*_WITHOUT_EFFECT, "feed"}
    }
    given = {
        _given_as(name, model, options): _digest_of_array(each.array)
        for name, each in ready.given.items()
    }
    return {
        "lstm-inspect": __version__,
        "NumPy": np.__version__,
        "engines": versions(options.engine),
        "the model": _digest_of_text(*(part for each in sorted(files.items()) for part in each)),
        "its config": _digest_of_text(repr(model.source.config)),
        **also,
        **asked,
        **given,
        "blocks of": counted(ready.block, "sample"),
    }


def resume_dump(
    ready: Replay,
    path: Path,
    origin: Mapping[str, str],
    may_replace: Callable[[Path], bool],
    *,
    compress: bool,
    follower: Follower,
) -> Written:
    """Computes what is not on disk of a replay, and writes the dump; see `unfinished_dump`.

    Args:
        ready: The replay.
        path: The path of the dump.
        origin: What `made_from` returned.
        may_replace: Tells whether what has this name may be replaced.
        compress: Whether to compress it.
        follower: Told how far it is.

    Raises:
        InputError: What is on disk was made from something else.
        OutputError: The dump cannot be written there, or there is no room for it.
        InspectError: The replay raises it; see `lstm_inspect.trace`.
    """
    with unfinished_dump(
        path, origin, may_replace, samples=ready.samples, compress=compress
    ) as dump:

        def begin(trace: Trace, arrays: Mapping[str, NewArray]) -> None:
            free = dump.begin(arrays, ready.block, trace.document())
            size = sum(array.size * array.dtype.itemsize for array in arrays.values())
            follower.begin(size, free)
            follower.wrote(size * dump.samples // ready.samples)

        def write(block: Block, stopped: Event) -> None:
            write_block(dump, block, dump.figures, follower, stopped)
            # The last block is always computed: it says what the dump says of itself.
            is_on_disk = block.is_last and not stopped.is_set()
            if is_on_disk and block.samples.stop < ready.samples:
                dump.keep(block.samples.stop)

        trace, arrays = write_behind(ready, ready.blocks(dump.samples), begin, write)
    return Written(trace, figures_of(arrays, dump.figures), ready.hint)


def _option(name: str) -> str:
    flag = "layer" if name == "select" else name.replace("_", "-")
    return advice(python=name, command_line=f"--{flag}")


def _given_as(name: str, model: Model, options: ReplayOptions) -> str:
    """What to call an array that the replay starts from."""
    if name in options.feed:
        return f"{_option('feed')} {name}"
    return f"input {next(each.name for each in model.inputs if each.tensor == name)}"


def _text(value: Any) -> str:
    """The value of an option, as one text for one meaning."""
    match value:
        case None | False:
            return "none"
        case True:
            return "given"
        case str():
            return value
        case Cut():
            return str(value)
        case Mapping():
            return ",".join(f"{key}={_text(each)}" for key, each in value.items()) or "none"
        case np.ndarray():
            return _digest_of_array(value)
        case Sequence():
            return ",".join(map(_text, value))
        case _:
            return repr(value)


def _digest_of_text(*texts: str | bytes) -> str:
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode() if isinstance(text, str) else text
        digest.update(f"{len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def _digest_of_array(array: Array) -> str:
    """The digest of an array, of which a piece is in memory at a time."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    for _, piece in pieces(array):
        digest.update(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:_DIGITS]
