"""The good files that `fuzz.py` changes, and what it does with each of their mutants."""

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import h5py
import numpy as np

from lstm_inspect import InspectError, Limits, load_trace, model_shapes, open_model, trace
from lstm_inspect.checks.contract.contracts import read_contract
from lstm_inspect.checks.contract.matching import check_contract
from lstm_inspect.checks.contract.renewal import contract_of
from lstm_inspect.checks.diff.two_arrays import Tolerance
from lstm_inspect.checks.diff.two_dumps import diff_dumps
from lstm_inspect.files.confined import run_confined
from lstm_inspect.files.csv_sequences import read_csv
from lstm_inspect.files.hdf5 import SIGNATURE, read_hdf5
from lstm_inspect.files.npy import read_arrays
from lstm_inspect.replay.options import ReplayOptions
from lstm_inspect.replay.resuming import resume_dump
from lstm_inspect.replay.run import Replay
from tests import hostile
from tests.checkpoints import Graph, metadata_of, write_saved_model
from tests.conftest import FIXTURES, SAMPLES, lstm_weights

LIMITS = Limits(parser_seconds=1, replay_bytes=1 << 28, replay_steps=20_000)
LARGEST = 60_000
MODEL = SAMPLES / "one_unit_sequences.keras"

CONTRACT = """
[[layers]]
path = "l*"
units = {min = 1, max = 8}
states.h = ["any", 1]
[[inputs]]
name = "*"
shape = ["any", 3, 1]
"""


class Source(NamedTuple):
    """A good file, and what to do with a file like it.

    Attributes:
        kind: What kind of file it is; each kind is chosen as often as any other.
        name: Its name.
        data: Its bytes.
        open: Opens a file and does with it what users do.
    """

    kind: str
    name: str
    data: bytes
    open: Callable[[Path], object]


@cache
def sources() -> tuple[Source, ...]:
    """Small good files of every kind that the tool reads."""
    found = [
        Source("model", name, path.read_bytes(), partial(open_and_replay, x=x))
        for name, path, x in _models()
    ]
    with tempfile.TemporaryDirectory() as folder:
        found += [
            Source(kind, _name_of(path, Path(folder)), path.read_bytes(), opens)
            for kind, path, opens in _written(Path(folder))
        ]
    saved = FIXTURES / "keras-2.15" / "lstm.saved_model"
    for path in sorted(path for path in saved.rglob("*") if path.is_file()):
        within = path.relative_to(saved)
        opens = partial(open_in_folder, folder=saved, within=within)
        found.append(Source("saved model", f"{within}", path.read_bytes(), opens))
    for path in sorted((FIXTURES / "tensorflow-1").glob("*l*.ckpt.*")):
        opens = partial(open_checkpoint, prefix=path.with_name(f"{path.name.split('.')[0]}.ckpt"))
        found.append(Source("checkpoint", path.name, path.read_bytes(), opens))
    return tuple(found)


def _name_of(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _models() -> Iterator[tuple[str, Path, Any]]:
    """Small models of every Keras, with an input each."""
    for path in sorted(FIXTURES.glob("*/*")):
        oracle = path.with_name(f"{path.name.split('.')[0]}.npz")
        is_model = path.suffix in (".keras", ".h5") and path != oracle
        if is_model and oracle.exists() and path.stat().st_size < LARGEST:
            with np.load(oracle) as arrays:
                x = {key[3:]: arrays[key] for key in arrays.files if key.startswith("in/")}
            name = f"{path.parent.name}/{path.name}"
            yield name, path, x if len(x) > 1 else next(iter(x.values()))
    for path in sorted(SAMPLES.glob("one_unit*.keras")):
        yield path.name, path, np.load(path.with_suffix(".npy"))


def _written(folder: Path) -> Iterator[tuple[str, Path, Callable[[Path], object]]]:
    x = np.load(MODEL.with_suffix(".npy"))
    traced = trace(open_model(MODEL), x, record=("h", "c", "x", "mask"), steps="0,2")
    for suffix in (".npz", ".h5"):
        traced.save(folder / f"dump{suffix}")
        yield "dump", folder / f"dump{suffix}", open_dump
    traced.save(folder / "dump.zarr", compress=True)
    tree = _files_in(folder / "dump.zarr")
    for within in tree:
        opens = partial(open_dump_folder, tree=tree, within=within)
        yield "dump", folder / "dump.zarr" / within, opens
    (folder / "resumed").mkdir()
    with suppress(KeyboardInterrupt):
        resume(folder / "resumed", _interrupted())
    tree = _files_in(folder / "resumed")
    state = next(path for path in tree if path.name == "state.json")
    opens = partial(resume_with, tree=tree, within=state)
    yield "dump", folder / "resumed" / state, opens
    (folder / "x.csv").write_text("id,x\na,1\nb,2.5\na,-3e2\nb,4\n")
    yield "array", folder / "x.csv", partial(read_csv, batch="id", limits=LIMITS)
    np.savez(folder / "inputs.npz", a=x, b=x.astype(">i2"))
    yield "array", folder / "inputs.npz", partial(read_arrays, limits=LIMITS)
    yield "array", MODEL.with_suffix(".npy"), partial(read_arrays, limits=LIMITS)
    _write_tree(folder / "tree.weights.h5")
    yield "model", folder / "tree.weights.h5", partial(open_and_replay, x=None)
    shapes = model_shapes(open_model(MODEL))
    (folder / "contract.toml").write_text(CONTRACT)
    (folder / "contract.json").write_text(json.dumps(contract_of(shapes)))
    for path in (folder / "contract.toml", folder / "contract.json"):
        yield "contract", path, lambda path: check_contract(read_contract(path), shapes)
    for path in sorted((FIXTURES / "keras-2.15").glob("*.json")):
        weights = path.with_name(f"{path.stem}_weights.h5")
        yield "config", path, partial(open_with_config, weights=weights)
    (folder / "metadata.json").write_text(json.dumps(metadata_of(hostile.config_of())))
    yield "saved model", folder / "metadata.json", open_metadata


def _write_tree(path: Path) -> None:
    """Writes weights alone as Keras 3 does, in the newest format of HDF5."""
    with h5py.File(path, "w", libver="latest") as file:
        for name in ("lstm", "lstm_1"):
            group = file.create_group(f"layers/{name}/cell/vars")
            group.attrs["name"] = f"{name}_cell"
            for index, array in enumerate(lstm_weights(name, 2, 2).values()):
                group.create_dataset(str(index), data=array)


# --- what is done with a file


def open_and_replay(path: Path, x: Any) -> None:
    """Shows the shapes of a model, replays it, and holds its arrays against h5py."""
    check_arrays(path)
    model = open_model(path, limits=LIMITS)
    json.dumps(model_shapes(model).as_json(["calls", "gates"]))
    if model.why_unwired is None:
        trace(model, x, limits=LIMITS)


def open_with_config(path: Path, weights: Path) -> None:
    model = open_model(weights, path, limits=LIMITS)
    json.dumps(model_shapes(model).as_json(["calls", "gates"]))
    sizes = {each.name: [size or 3 for size in each.shape or ()] for each in model.inputs}
    if all(np.prod(shape) < 1 << 20 for shape in sizes.values()):
        trace(model, {name: np.ones(shape) for name, shape in sizes.items()}, limits=LIMITS)


def open_in_folder(path: Path, folder: Path, within: Path) -> None:
    """Opens a SavedModel of which one file is another."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(folder, name, dirs_exist_ok=True)
        shutil.copy(path, Path(name) / within)
        model_shapes(open_model(name, limits=LIMITS))


def open_checkpoint(path: Path, prefix: Path) -> None:
    """Opens a checkpoint of which one file is another, and replays it."""
    suffix = path.name.partition(".ckpt")[2]
    with tempfile.TemporaryDirectory() as name:
        for each in prefix.parent.glob(f"{prefix.name}.*"):
            shutil.copy(each, name)
        shutil.copy(path, Path(name) / f"{prefix.name}{suffix}")
        model = open_model(Path(name) / prefix.name, limits=LIMITS)
        json.dumps(model_shapes(model).as_json())
        inputs = {
            each.name: np.ones((2, 3, (each.shape or (1,))[-1] or 1)) for each in model.inputs
        }
        trace(model, inputs, limits=LIMITS)


def open_metadata(path: Path) -> None:
    """Opens a SavedModel whose metadata is the content of a file."""
    graph, arrays = Graph(), {}
    for name, array in lstm_weights("lstm", hostile.FEATURES, hostile.UNITS).items():
        key = name.rpartition("/")[2]
        graph.add(f"layer-0/cell/{key}", key)
        arrays[key] = array
    try:
        metadata = {"root": json.loads(path.read_bytes())}
    except ValueError:
        return  # the metadata is no JSON
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "saved"
        write_saved_model(folder, metadata, graph, arrays)
        model_shapes(open_model(folder, limits=LIMITS))


def open_dump(path: Path) -> None:
    load_trace(path, limits=LIMITS)
    diff_dumps(path, path, Tolerance(1e-6, 0), limits=LIMITS)


def open_dump_folder(path: Path, tree: Mapping[Path, bytes], within: Path) -> None:
    """Opens a dump that is a folder, of which one file is another."""
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name), {**tree, within: path.read_bytes()})
        open_dump(Path(name))


def resume_with(path: Path, tree: Mapping[Path, bytes], within: Path) -> None:
    """Goes on with a dump of which one file is another, and opens it."""
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name), {**tree, within: path.read_bytes()})
        resume(Path(name), lambda size: None)
        open_dump(Path(name) / "d.zarr")


def resume(folder: Path, wrote: Callable[[int], None]) -> None:
    """Begins or goes on with a dump in a folder, one sample at a time."""
    x = np.repeat(np.load(MODEL.with_suffix(".npy")), 4, axis=0)
    ready = Replay(open_model(MODEL), x, ReplayOptions(engine="numpy"), block_bytes=1)
    follower = SimpleNamespace(begin=lambda size, free: None, wrote=wrote)
    made = {"the model": "one", "--compress": "none"}
    resume_dump(
        ready, folder / "d.zarr", made, lambda path: True, compress=False, follower=follower
    )


def _interrupted() -> Callable[[int], None]:
    """A follower's ``wrote`` that interrupts the third sample; each has h and c."""
    calls = iter(range(6))

    def wrote(size: int) -> None:
        if next(calls) == 5:
            raise KeyboardInterrupt

    return wrote


def write_files(folder: Path, tree: Mapping[Path, bytes]) -> None:
    for within, content in tree.items():
        (folder / within).parent.mkdir(parents=True, exist_ok=True)
        (folder / within).write_bytes(content)


def _files_in(folder: Path) -> dict[Path, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def check_arrays(path: Path) -> None:
    """Holds each array that is read from the HDF5 of a file against what h5py reads there."""
    for content in _hdf5_in(path):
        try:
            arrays = read_hdf5(content, path.name, LIMITS).all_arrays()
            numbers = {name: array for name, array in arrays.items() if array.dtype.kind != "V"}
            theirs = run_confined(partial(_digests, content, [*numbers]), path.name, LIMITS)
        except InspectError:
            continue
        ours = {name: _digest(array) for name, array in numbers.items()}
        assert {name: ours[name] for name in theirs} == theirs, "h5py reads other numbers"


def _hdf5_in(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    if data.startswith(SIGNATURE):
        yield data
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
        yield from (archive.read(name) for name in archive.namelist() if name.endswith(".h5"))


def _digest(array: Any) -> str:
    shape_and_dtype = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(shape_and_dtype + array.tobytes()).hexdigest()


def _digests(content: bytes, names: list[str]) -> dict[str, str]:
    with h5py.File(io.BytesIO(content), "r") as file:
        arrays = {name: file[name] for name in names}
        return {
            name: _digest(array[()])
            for name, array in arrays.items()
            # bfloat16 is widened as it is read.
            if array.dtype.kind != "V" and array.attrs.get("dtype") != "bfloat16"
        }
