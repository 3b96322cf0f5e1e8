"""What a path names: a file, a checkpoint of TensorFlow, or the folder of a SavedModel."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

from lstm_inspect.errors import ModelFileError
from lstm_inspect.files.limits import Limits
from lstm_inspect.files.tensor_bundle import TensorBundle
from lstm_inspect.files.whole_file import read_all, read_bytes

SAVED_MODEL = "saved_model.pb"
"""The file that makes a folder a SavedModel."""

_SUFFIXES = (".keras", ".h5", ".hdf5")
_WEIGHTS_ALONE = ".weights.h5"
_CHECKPOINT = "checkpoint"
_INDEX = ".index"
_LONGEST_STATE = 1 << 16

# The first line that a Saver writes (tensorflow 2.15.0, python/training/checkpoint_state.proto).
_NEWEST = re.compile(r'model_checkpoint_path: "([^"\\]+)"')
_BESIDE_INDEX = re.compile(r"(.*[^.].*)\.(?:index|meta|data-\d{5}-of-\d{5})")


@dataclass(frozen=True, eq=False, kw_only=True)
class Content:
    """What was read from a path.

    Attributes:
        path: The file; the folder of a SavedModel; or the prefix of a checkpoint, which is its name
            without ``.index``.
        data: The bytes of the file; of a SavedModel those of saved_model.pb, of a checkpoint those
            of its index.
        bundle: The variables of a checkpoint or a SavedModel; None for a file.
        is_saved_model: Whether it is a SavedModel.
        state: The file ``checkpoint`` that named it, by its name; empty if none did.
        stands_alone: Whether it has no folder in which it could name other files.
    """

    path: Path
    data: bytes
    bundle: TensorBundle | None = None
    is_saved_model: bool = False
    state: Mapping[str, bytes] = field(default_factory=dict)
    stands_alone: bool = False

    @property
    def files(self) -> dict[str, bytes]:
        """The files that were read, by their path in the folder or beside the prefix."""
        if self.bundle is None:
            return {}
        if not self.is_saved_model:
            return {**self.bundle.files, **self.state}
        variables = {f"variables/{name}": each for name, each in self.bundle.files.items()}
        return {SAVED_MODEL: self.data, **variables}


def read_content(path: Path, limits: Limits) -> Content:
    """Reads what a path names.

    A checkpoint is named by its prefix (``model-100``), by one of its files
    (``model-100.index``), or by its folder: if a file ``checkpoint`` in it names the newest one, or
    if there is only one. Only the last part of that name counts, so nothing outside is read.

    Args:
        path: The path.
        limits: How large the files may be.

    Raises:
        ModelFileError: There is nothing that can be read, or it is damaged.
        LimitError: It asks for more than a limit allows.
    """
    if path.name == SAVED_MODEL:
        path = path.parent
    if path.is_dir():
        if (path / SAVED_MODEL).exists():
            return Content(
                path=path,
                data=read_bytes(path / SAVED_MODEL, limits, "file_bytes"),
                bundle=TensorBundle(path / "variables" / "variables", limits),
                is_saved_model=True,
            )
        prefix, state = _newest(path, limits)
        return _checkpoint(prefix, limits, state)
    beside = _BESIDE_INDEX.fullmatch(path.name)
    prefix = path.with_name(beside[1]) if beside else path
    if (beside or not path.exists()) and _index(prefix).is_file():
        return _checkpoint(prefix, limits)
    return Content(path=path, data=read_bytes(path, limits, "file_bytes"))


def read_stream(stream: BinaryIO, name: Path, limits: Limits) -> Content:
    """Reads a file from a stream, such as standard input.

    Args:
        stream: The stream, which is read to its end.
        name: What to call it.
        limits: How large the file may be.

    Raises:
        ModelFileError: The stream is empty, or cannot be read.
        LimitError: The file is larger than the limit.
    """
    data = read_all(stream, name, limits, "file_bytes")
    if not data:
        raise ModelFileError(f"{name}: expected a model, received nothing")
    return Content(path=name, data=data, stands_alone=True)


def models_in(folder: Path) -> list[Path]:
    """The models in a folder, in the order of their paths.

    A SavedModel or a folder of checkpoints is one model. Any other folder stands for the
    SavedModels, ``.keras``, ``.h5`` and ``.hdf5`` files in it, at any depth. Left out are hidden
    ones, and weights alone (``.weights.h5``): they need a config.

    Raises:
        ModelFileError: There is none, or a folder in it cannot be read.
    """
    if (folder / _CHECKPOINT).exists() or any(folder.glob(f"*{_INDEX}")):
        return [folder]
    found = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        if SAVED_MODEL in files:
            folders.clear()
            found.append(Path(place))
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files if _is_whole_model(name)]
    if not found:
        raise ModelFileError(
            f"{folder}: expected a model or a folder of models, received a folder that holds no "
            ".keras, .h5 or .hdf5 file, SavedModel or checkpoint; name weights alone themselves"
        )
    return sorted(found)


def _is_whole_model(name: str) -> bool:
    lower = name.lower()
    is_hidden = name.startswith(".")
    return lower.endswith(_SUFFIXES) and not lower.endswith(_WEIGHTS_ALONE) and not is_hidden


def _refuse(error: OSError) -> NoReturn:
    raise ModelFileError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _checkpoint(prefix: Path, limits: Limits, state: Mapping[str, bytes] | None = None) -> Content:
    bundle = TensorBundle(prefix, limits)
    return Content(path=prefix, data=bundle.index, bundle=bundle, state=state or {})


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}{_INDEX}")


def _newest(folder: Path, limits: Limits) -> tuple[Path, dict[str, bytes]]:
    """The prefix of the newest checkpoint in a folder, and the file that says so by its name."""
    state = folder / _CHECKPOINT
    if state.exists():
        content = read_bytes(state, limits, "metadata_bytes")
        named = _NEWEST.match(content[:_LONGEST_STATE].decode(errors="replace"))
        # A Saver may write the path that the folder had on the machine of its author.
        name = re.split(r"[/\\]", named[1])[-1] if named else ""
        if name in ("", ".", "..") or not name.isprintable():
            raise ModelFileError(
                f'{state}: expected model_checkpoint_path: "NAME" in its first line, received '
                "other text; pass the checkpoint itself"
            )
        return folder / name, {_CHECKPOINT: content}
    found = sorted(path.name for path in folder.glob(f"*{_INDEX}"))
    if len(found) == 1:
        return folder / found[0].removesuffix(_INDEX), {}
    if found:
        raise ModelFileError(
            f"{folder}: expected one checkpoint, received {len(found)} ({', '.join(found):.80}); "
            "pass one of them"
        )
    raise ModelFileError(
        f"{folder}: expected a model, a SavedModel folder or a checkpoint, received a folder "
        f"without {SAVED_MODEL} and without a checkpoint"
    )
