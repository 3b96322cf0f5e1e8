"""Tests hostile files: each gives one line and exit status 2, soon and in little memory.

The files come from `tests/hostile.py`. Each trap has a control that opens it without care, to show
that it fires.
"""

import contextlib
import gc
import io
import json
import marshal
import os
import re
import resource
import signal
import subprocess
import sys
import traceback
import types
import warnings
import zipfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import lstm_inspect
from lstm_inspect import InspectError, LimitError, Limits, ModelFileError
from lstm_inspect.cli import cli
from lstm_inspect.files.content import read_content
from lstm_inspect.files.limits import DEFAULT_LIMITS, read_amount
from lstm_inspect.sources.keras.stores.by_content import read_saved_file
from tests import hostile
from tests.checkpoints import Graph, metadata_of, write_saved_model
from tests.conftest import Array, Json, input_layer, lstm, lstm_weights, random, write_h5
from tests.hostile import (
    BOMB,
    CONTAINERS,
    FEATURES,
    HDF5S,
    INPUTS,
    JSONS,
    KERNEL,
    SECRET,
    TRAPS,
    UNITS,
    ZIPS,
    Bad,
    Entry,
    good_h5,
    good_keras,
    good_npy,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

SECONDS = 5
MOST_MEMORY = 150 << 20
LONGEST_LINE = 300


# The memory that a good file takes, with the pages of this process that a child touches.
ORDINARY: list[int] = []


class Done(NamedTuple):
    """The result of a command in its own process; ``seconds`` is processor time."""

    status: int
    stdout: str
    stderr: str
    seconds: float
    memory: int


def run(*arguments: str) -> Done:
    """Runs the command line in a forked child, which has the imports of this process."""
    at_first, told = os.pipe()
    with Path("../stdout").open("w+b") as out, Path("../stderr").open("w+b") as err:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads
            child = os.fork()
        if not child:
            tell_memory(told)
            _run_in_child(arguments, out.fileno(), err.fileno())
        _, status, usage = os.wait4(child, 0)
        out.seek(0)
        err.seek(0)
        return Done(
            os.waitstatus_to_exitcode(status),
            out.read().decode(),
            err.read().decode(),
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024 - told_memory(at_first, told),
        )


MEASURED = """
import os, sys
process = os.posix_spawn(
    sys.executable, [sys.executable, "-m", "lstm_inspect", *sys.argv[1:]], os.environ
)
_, status, usage = os.wait4(process, 0)
with open("../usage", "w") as file:
    seconds = usage.ru_utime + usage.ru_stime
    print(os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss, file=file)
"""


def run_afresh(*arguments: str) -> Done:
    """Runs the command line in a new process, and measures its memory.

    A forked child would first fill memory that this process has free. A small process starts the
    new one, as a process inherits the peak memory of the process that starts it.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    status, seconds, kilobytes = Path("../usage").read_text().split()
    return Done(int(status), done.stdout, done.stderr, float(seconds), 1024 * int(kilobytes))


def tell_memory(told: int) -> None:
    """Reports the memory that a forked child starts with, which it shares with its parent."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    os.write(told, str(pages * resource.getpagesize()).encode())


def told_memory(at_first: int, told: int) -> int:
    os.close(told)
    with os.fdopen(at_first) as pipe:
        return int(pipe.read())


def _run_in_child(arguments: tuple[str, ...], out: int, err: int) -> None:
    status = 70
    try:
        gc.freeze()  # pages that the collector does not touch are not copied
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(6 * SECONDS)  # ends a child that waits; the limit ends a busy one
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 1, SECONDS + 1))
        warnings.simplefilter("default")
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8")
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8")
        try:
            cli(arguments, prog_name="lstm-inspect")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 71
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a good model of each kind and an input for them."""
    here = tmp_path / "here"
    here.mkdir()
    good_keras(here / "model.keras")
    good_h5(here / "model.h5")
    good_npy(here / "x.npy")
    monkeypatch.chdir(here)
    return here


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Imports everything once, so that no child has to."""
    here = tmp_path_factory.mktemp("imported")
    model, x = str(good_keras(here / "model.keras")), str(good_npy(here / "x.npy"))
    for arguments in (shapes(model), ("trace", model, "--input", x, "--out", str(here / "s.npz"))):
        assert CliRunner().invoke(cli, arguments).exit_code == 0
    (here / "in").mkdir()
    with contextlib.chdir(here / "in"):
        ORDINARY.append(run(*shapes(model)).memory)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """The mode and size of everything in a folder, by name."""
    found = {path.name: path.lstat() for path in folder.iterdir()}
    return {name: (status.st_mode, status.st_size) for name, status in found.items()}


def shapes(model: str) -> tuple[str, ...]:
    return ("shapes", model)


def trace(model: str = "model.keras", x: str = "x.npy", *more: str) -> tuple[str, ...]:
    return ("trace", model, "--input", x, "--out", "states.npz", *more)


def assert_refused(done: Done, says: str, warns: str = "") -> None:
    """Checks for one line on stderr after an expected warning, soon and in little memory.

    A hint of four lines may follow it.
    """
    assert "Traceback" not in done.stderr
    assert (done.status, done.stdout) == (2, ""), done.stderr[:1000]
    assert done.stderr.endswith("\n")
    lines = done.stderr[:-1].split("\n")
    ends = next((at for at, line in enumerate(lines) if line.startswith("hint: ")), len(lines))
    assert len(lines[ends:]) in (0, 4)
    *before, error = lines[:ends]
    kind, _, message = error.partition(": ")
    assert (kind, says in message) == ("error", True), error
    assert [line.startswith("warning: ") and warns in line for line in before] == [True] * bool(
        warns
    )
    for line in lines:
        assert line.isprintable()
        assert len(line.partition(": ")[2]) <= LONGEST_LINE
    assert done.seconds < SECONDS
    assert done.memory - max(ORDINARY) < MOST_MEMORY


# --- the tables


@pytest.mark.parametrize("model", ["model.keras", "model.h5"])
def test_a_good_file_passes(folder: Path, model: str) -> None:
    for arguments in (shapes(model), trace(model)):
        done = run(*arguments)
        assert (done.status, done.stderr) == (0, "")
        assert done.seconds < SECONDS
        assert done.memory - max(ORDINARY) < MOST_MEMORY
    assert (folder / "states.npz").is_file()


def test_the_harness_tells_a_bug_a_hang_and_a_heap(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Controls: the harness must notice a tool with a bug, a hang or a full heap."""

    def fill(*arguments: object) -> None:
        raise RuntimeError(len(bytes(2 * MOST_MEMORY) + b"x"))

    good = run(*shapes("model.keras"))
    monkeypatch.setattr("lstm_inspect.sources.read_content", fill)
    ill = run(*shapes("model.keras"))
    assert good.memory < MOST_MEMORY < ill.memory
    assert "Traceback" in ill.stderr
    with pytest.raises(AssertionError):
        assert_refused(ill, "")


BAD_MODELS: Mapping[str, Bad] = {
    f"{kind}: {name}": bad
    for kind, table in {
        "container": CONTAINERS,
        "zip": ZIPS,
        "json": JSONS,
        "hdf5": HDF5S,
    }.items()
    for name, bad in table.items()
}


@pytest.mark.parametrize("bad", BAD_MODELS.values(), ids=BAD_MODELS)
def test_a_bad_model_is_refused_in_a_line(folder: Path, bad: Bad) -> None:
    bad.make(folder / "bad")
    before = contents(folder)
    started = run_afresh if "parser_bytes" in bad.says else run
    done = started(*(trace("bad") if bad.command == "trace" else shapes("bad")))
    assert_refused(done, bad.says, bad.warns)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("says", "make"),
    [pytest.param(says, make, id=name) for name, says, make in INPUTS],
)
def test_a_bad_input_is_refused_in_a_line(folder: Path, says: str, make: hostile.Recipe) -> None:
    make(folder / "bad")
    before = contents(folder)
    assert_refused(run(*trace(x="bad")), says)
    assert contents(folder) == before


# --- names


ESCAPES = "\x1b[2J\x1b]0;title\x07\u202e\x9b31m\n"


@pytest.mark.parametrize("command", ["shapes", "json", "trace"])
def test_escapes_in_names_do_not_reach_the_terminal(folder: Path, command: str) -> None:
    name = f"lstm{ESCAPES}"
    config = hostile.config_of(
        input_layer(f"x{ESCAPES}", 3, FEATURES),
        lstm(name, UNITS, activation=f"swish{ESCAPES}"),
        lstm("last", UNITS),
    )
    (folder / "bad").write_bytes(
        hostile.zipped(
            Entry("metadata.json", json.dumps({"keras_version": f"2.15{ESCAPES}"}).encode()),
            *(
                Entry(member, content)
                for member, content in hostile.members(config).items()
                if member != "metadata.json"
            ),
        )
    )
    arguments = {
        "shapes": shapes("bad"),
        "json": (*shapes("bad"), "--format", "json"),
        "trace": trace("bad"),
    }[command]
    done = run(*arguments)
    assert done.status == 2  # the file lacks the arrays of one layer
    for line in (done.stdout + done.stderr).split("\n"):
        assert line.isprintable()
    assert "\\x1b" in done.stdout + done.stderr or "\\u001b" in done.stdout


@pytest.mark.parametrize("name", ["../../states", "/tmp/states", "a/../../b"])
def test_a_layer_cannot_be_named_out_of_the_dump(folder: Path, name: str) -> None:
    config = hostile.config_of(input_layer("x", 3, FEATURES), lstm(name, UNITS))
    write_h5(folder / "bad", config, {name: lstm_weights("lstm", FEATURES, UNITS)})
    (folder.parent / "stdout").touch()
    (folder.parent / "stderr").touch()
    before = contents(folder).keys(), contents(folder.parent).keys()
    done = run(*trace("bad"))
    (folder / "states.npz").unlink(missing_ok=True)
    assert (contents(folder).keys(), contents(folder.parent).keys()) == before
    assert done.status in (0, 2)


# --- code in a config


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.parametrize("trap", TRAPS)
def test_a_layer_of_code_is_listed_and_only_what_needs_it_is_refused(
    folder: Path, trap: str, kind: str
) -> None:
    fired = folder / "fired"
    entry = hostile.traps(fired)[trap]
    write: Callable[[Path, Json], Path] = good_keras if kind == "keras" else good_h5
    write(folder / "front", hostile.model_with(entry, in_front=True))
    write(folder / "behind", hostile.model_with(entry, in_front=False))
    listed = run(*shapes("front"))
    assert (listed.status, listed.stderr) == (0, "")
    assert re.search(r"^ ?lstm ", listed.stdout, re.MULTILINE)
    assert "lstm cannot be traced: trap" in listed.stdout
    assert_refused(run(*trace("front")), "lstm not traced: trap")
    assert not (folder / "states.npz").exists()
    passed = run(*trace("behind"))
    assert (passed.status, passed.stderr) == (0, "")
    assert not fired.exists()


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"module": "evil.layers"}, id="module"),
        pytest.param(
            {"module": "evil.layers", "registered_name": "evil>LSTM"}, id="module-and-registered"
        ),
        pytest.param({"registered_name": "evil>LSTM"}, id="registered"),
    ],
)
def test_a_layer_that_only_calls_itself_lstm_is_not_run_as_one(folder: Path, entry: Json) -> None:
    config = hostile.config_of(input_layer("x", 3, FEATURES), {**lstm("lstm", UNITS), **entry})
    good_keras(folder / "bad", config)
    assert_refused(run(*trace("bad")), "lstm")
    assert not (folder / "states.npz").exists()


@pytest.mark.parametrize(
    "activation",
    [
        pytest.param("evil_activation", id="name"),
        pytest.param(
            {"module": "os", "class_name": "function", "config": "system", "registered_name": "x"},
            id="function",
        ),
        pytest.param(
            {
                "module": "builtins",
                "class_name": "function",
                "config": "tanh",
                "registered_name": "evil>tanh",
            },
            id="function-named-tanh",
        ),
        pytest.param({"class_name": "__lambda__", "config": {"code": "4wE="}}, id="lambda"),
        pytest.param({"class_name": {}, "config": []}, id="nonsense"),
        pytest.param("custom:tanh", id="mark"),
    ],
)
def test_an_activation_that_is_not_built_in_is_not_run(folder: Path, activation: object) -> None:
    good_keras(folder / "bad", hostile.lstm_with(activation=activation))
    assert run(*shapes("bad")).status == 0
    assert_refused(run(*trace("bad")), "lstm has an activation that is not built in")


# --- live controls: the traps fire when opened without care


def built(make: hostile.Recipe, path: Path) -> Path:
    make(path)
    return path


@pytest.mark.parametrize(
    "make",
    [hostile.external_storage, hostile.external_link, hostile.virtual],
    ids=["external-storage", "external-link", "virtual"],
)
def test_h5py_alone_reads_another_file(folder: Path, make: hostile.Recipe) -> None:
    with h5py.File(built(make, folder / "bad"), "r") as file:
        np.testing.assert_array_equal(file[KERNEL][()], SECRET)


def test_h5py_alone_invents_numbers(folder: Path) -> None:
    make = HDF5S["never written, with a fill value"].make
    with h5py.File(built(make, folder / "bad"), "r") as file:
        assert file[KERNEL][1, 0] == np.float32(1e30)


def test_h5py_alone_reads_one_text_as_many(folder: Path) -> None:
    def read() -> None:
        with h5py.File("bad", "r") as file:
            file.attrs["notes"]

    hostile.texts_in_one_place(folder / "bad")
    assert memory_of(read) > 300 << 20


def memory_of(read: Callable[[], None]) -> int:
    """The peak memory of a call, in its own process."""
    at_first, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            tell_memory(told)
            read()
        finally:
            os._exit(0)
    _, _, usage = os.wait4(child, 0)
    return usage.ru_maxrss * 1024 - told_memory(at_first, told)


def test_numpy_alone_runs_a_pickle(folder: Path) -> None:
    hostile.saved(np.array(hostile.Fires(folder / "fired"), object))(folder / "bad.npy")
    np.load("bad.npy", allow_pickle=True)
    assert (folder / "fired").is_dir()


def test_numpy_alone_takes_trailing_bytes(folder: Path) -> None:
    (folder / "bad.npy").write_bytes(hostile.X_BYTES + b"x")
    np.testing.assert_array_equal(np.load("bad.npy"), hostile.X)


@pytest.mark.parametrize("trap", ["Lambda", "Lambda of Keras 3"])
def test_marshal_runs_the_code_of_a_lambda(folder: Path, trap: str) -> None:
    import base64

    function = hostile.traps(folder / "fired")[trap]["config"]["function"]
    code = function[0] if isinstance(function, list) else function["config"]["code"]
    types.FunctionType(marshal.loads(base64.b64decode(code)), {})(None)
    assert (folder / "fired").is_dir()


def test_pickle_runs_the_module_of_a_torch_wrapper(folder: Path) -> None:
    import base64
    import pickle

    config = hostile.traps(folder / "fired")["TorchModuleWrapper"]["config"]
    pickle.loads(base64.b64decode(config["module"]))
    assert (folder / "fired").is_dir()


def test_zipfile_alone_expands_a_bomb(folder: Path) -> None:
    hostile.bomb(folder / "bad")
    with zipfile.ZipFile("bad") as archive:
        assert len(archive.read("config.json")) == BOMB > 500 * (folder / "bad").stat().st_size


def test_zipfile_alone_takes_the_last_of_two_members(folder: Path) -> None:
    ZIPS["a member twice"].make(folder / "bad")
    with zipfile.ZipFile("bad") as archive:
        assert archive.read("config.json") == b"{}"


@pytest.mark.parametrize(
    "name", ["junk in front", "gap between members", "two checksums", "symbolic link"]
)
def test_zipfile_alone_reads_what_is_not_exact(folder: Path, name: str) -> None:
    ZIPS[name].make(folder / "bad")
    with zipfile.ZipFile("bad") as archive:
        assert json.loads(archive.read("config.json")) == hostile.config_of()


@pytest.mark.parametrize("name", ["NaN", "Infinity", "1e999", "a name twice", "UTF-16"])
def test_json_alone_takes_what_is_no_json(name: str) -> None:
    _, text = hostile.TEXTS[name]
    assert isinstance(text, (str, bytes))
    assert json.loads(text)["class_name"] == "Sequential"


# --- limits


def two_lstms(path: Path) -> None:
    weights = {name: lstm_weights(name, FEATURES, UNITS) for name in ("lstm", "second")}
    layers = (
        lstm("lstm", UNITS, return_sequences=True),
        lstm("second", UNITS),
    )
    write_h5(path, hostile.config_of(input_layer("x", 3, FEATURES), *layers), weights)


def expanding(path: Path) -> None:
    """A member above 8 MiB that expands to many times its stored size."""
    one, two, three = hostile.entries()
    config = Entry(two.name, two.content + b" " * (9 << 20), 8)
    path.write_bytes(hostile.zipped(one, config, three))


def expansion(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("config.json")
        return -(-member.file_size // member.compress_size)


def json_values(text: str) -> int:
    """Counts commas and opening brackets, which is the tool's upper bound of the values."""
    bare = re.sub(r'"[^"]*"', "", text)
    return sum(bare.count(each) for each in ",[{") + 1


def directory_size(path: Path) -> int:
    data = path.read_bytes()
    return data.rindex(b"PK\x05\x06") - data.index(b"PK\x01\x02")


def hdf5_objects(path: Path) -> int:
    """Counts links and the attributes of groups with h5py."""
    with h5py.File(path) as file:
        names: list[str] = []
        file.visit(names.append)
        held = [file, *(file[name] for name in names)]
        return len(names) + sum(len(each.attrs) for each in held)


def hdf5_metadata(path: Path) -> int:
    with h5py.File(path) as file:
        sizes: list[int] = []
        file.visititems(
            lambda _, each: sizes.append(each.nbytes) if isinstance(each, h5py.Dataset) else None
        )
        return path.stat().st_size - sum(sizes)


def saved_model(path: Path) -> None:
    graph, stored = Graph(), {}
    for name, array in lstm_weights("lstm", FEATURES, UNITS).items():
        key = name.rpartition("/")[2]
        graph.add(f"layer-0/cell/{key}", key)
        stored[key] = array
    metadata = {"root": metadata_of(hostile.config_of())}
    write_saved_model(path, metadata, graph, stored)


def bytes_of_replay(path: Path) -> int:
    """The smallest limit on memory under which a model can be replayed."""

    def passes(limit: int) -> bool:
        with contextlib.suppress(LimitError):
            model = lstm_inspect.open_model(path)
            lstm_inspect.trace(
                model, np.load(path.with_name("x.npy")), limits=Limits(replay_bytes=limit)
            )
            return True
        return False

    return bisect_left(range(1 << 20), True, key=passes)


CONFIG = json.dumps(hostile.config_of())
ONE_LAYER_BYTES = 4 * (FEATURES + UNITS + 1) * 4 * UNITS


class Limited(NamedTuple):
    """The test of a limit: a recipe for a file, and how much of the limit the file needs."""

    make: hostile.Recipe
    asks: Callable[[Path], int]
    command: str = "shapes"


# These are counted while reading. The total is unknown, so the error advises the default limit.
COUNTED = {"hdf5_objects", "hdf5_depth", "graph_calls", "replay_bytes", "replay_steps"}

LIMITS = {
    "file_bytes": Limited(good_h5, lambda path: path.stat().st_size),
    "zip_members": Limited(good_keras, lambda path: 3),
    "zip_directory_bytes": Limited(good_keras, directory_size),
    "config_bytes": Limited(good_keras, lambda path: len(CONFIG)),
    "metadata_bytes": Limited(good_keras, lambda path: len(hostile.members()["metadata.json"])),
    "expansion": Limited(expanding, expansion),
    "json_values": Limited(good_keras, lambda path: json_values(CONFIG)),
    "json_depth": Limited(good_keras, lambda path: 6),
    "graph_calls": Limited(two_lstms, lambda path: 2),
    "hdf5_objects": Limited(good_h5, hdf5_objects),
    "hdf5_depth": Limited(good_h5, lambda path: 4),
    "hdf5_metadata_bytes": Limited(good_h5, hdf5_metadata),
    # The root, its layer, the cell of that, and three variables.
    "checkpoint_objects": Limited(saved_model, lambda path: 6),
    "weight_bytes": Limited(two_lstms, lambda path: 2 * ONE_LAYER_BYTES),
    "input_bytes": Limited(good_npy, lambda path: path.stat().st_size, "input"),
    "replay_bytes": Limited(good_h5, bytes_of_replay, "trace"),
    "replay_steps": Limited(two_lstms, lambda path: 2 * 3, "trace"),
}


def limited(folder: Path, name: str, value: int | str | None = None) -> Done:
    command = LIMITS[name].command
    arguments = {
        "shapes": shapes("bounded"),
        "trace": trace("bounded"),
        "input": trace(x="bounded"),
    }[command]
    (folder / "states.npz").unlink(missing_ok=True)
    return run(*arguments, *([] if value is None else ["--limit", f"{name}={value}"]))


@pytest.mark.parametrize("name", LIMITS)
def test_what_asks_for_as_much_as_a_limit_passes_and_for_one_more_is_told_how_to(
    folder: Path, name: str
) -> None:
    LIMITS[name].make(folder / "bounded")
    asked = LIMITS[name].asks(folder / "bounded")
    passed = limited(folder, name, asked)
    assert (passed.status, passed.stderr) == (0, "")
    refused = limited(folder, name, asked - 1)
    assert_refused(refused, f"{asked} is more than the limit {name}={asked - 1};")
    told = re.search(rf" raise it with --limit {name}=(\w+)\n$", refused.stderr)
    assert told
    enough = read_amount(name, told[1])
    assert enough == getattr(Limits, name) if name in COUNTED else asked <= enough < 2 * asked


@pytest.mark.parametrize("name", LIMITS)
def test_the_advice_of_an_error_about_a_limit_is_enough(folder: Path, name: str) -> None:
    """The value that an error advises must be large enough at once."""
    LIMITS[name].make(folder / "bounded")
    told = re.search(r"--limit \w+=(\w+)$", limited(folder, name, 1).stderr)
    assert told
    assert limited(folder, name, told[1]).stderr == ""


@pytest.mark.parametrize("name", LIMITS)
def test_an_error_about_a_limit_tells_a_stranger_from_a_large_batch(
    folder: Path, name: str
) -> None:
    LIMITS[name].make(folder / "bounded")
    own = {
        "input_bytes": "; if this is a large batch of your own, trace it in parts, or raise it",
        "replay_bytes": "; if this is a large batch of your own, trace it in parts, or raise it",
        "replay_steps": "; if these are long sequences of your own, raise it",
    }
    says = own.get(name, "; if you trust this file, raise it")
    assert says in limited(folder, name, 1).stderr


def test_a_member_of_eight_mebibytes_expands_as_it_likes(folder: Path) -> None:
    text = json.dumps(hostile.config_of()).encode()
    one, _, three = hostile.entries()
    content = text + b" " * ((8 << 20) - len(text))
    (folder / "bad").write_bytes(hostile.zipped(one, Entry("config.json", content, 8), three))
    assert run(*shapes("bad")).status == 0


def test_memory_of_the_parser_is_limited(folder: Path) -> None:
    hostile.texts_in_one_place(folder / "bad")
    done = run_afresh(*shapes("bad"), "--limit", "parser_bytes=100000000")
    assert_refused(done, "takes more memory than the limit parser_bytes=100000000")


def test_every_limit_is_tested() -> None:
    elsewhere = {"dump_bytes", "zarr_files", "parser_bytes", "keras_bytes", "keras_seconds"}
    out_of_reach = {"parser_seconds"}  # no small file takes the parser a second
    named = set(Limits.__dataclass_fields__)
    assert named == LIMITS.keys() | elsewhere | out_of_reach


# --- damage


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """The path of a file to open in this process, with warnings ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield tmp_path / "small"


@pytest.mark.parametrize("source", [hostile.KERAS, hostile.H5], ids=["keras", "h5"])
def test_a_file_cut_at_any_byte_is_refused(small: Path, source: Path) -> None:
    small.write_bytes(source.read_bytes())
    for size in reversed(range(source.stat().st_size)):
        os.truncate(small, size)
        with pytest.raises((ModelFileError, LimitError)):
            lstm_inspect.open_model(small)


def known_of(path: Path) -> tuple[Any, dict[str, Array]]:
    """The config and the arrays that are read from a model file."""
    model = lstm_inspect.open_model(path)
    arrays = {
        f"{each.path}/{name}": array
        for each in model.recurrent
        for name, array in each.weights.items()
    }
    file = read_saved_file(read_content(path, DEFAULT_LIMITS), DEFAULT_LIMITS)
    return file.config, arrays


def structure(data: bytes) -> list[int]:
    """The places of the bytes in a zip that are not its weights."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (weights,) = (i for i in archive.infolist() if i.filename == "model.weights.h5")
    first = weights.header_offset + 30 + len(weights.filename)
    return [*range(first), *range(first + weights.file_size, len(data))]


@pytest.mark.parametrize("flip", [0xFF, 0x01], ids=["all-bits", "lowest-bit"])
def test_a_changed_byte_of_a_zip_is_refused_or_changes_nothing(small: Path, flip: int) -> None:
    config, arrays = known_of(good_keras(small))
    data = small.read_bytes()
    passed = 0
    for at in structure(data):
        flipped = bytearray(data)
        flipped[at] ^= flip
        small.write_bytes(flipped)
        try:
            read_config, read_arrays = known_of(small)
        except InspectError:
            continue
        passed += 1
        assert read_config == config, at
        assert read_arrays.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(read_arrays[name], array, err_msg=str(at))
    # Control: bytes of times, versions and attributes may change without effect.
    assert 0 < passed < len(structure(data)) // 4


@pytest.mark.parametrize(
    ("flip", "share"), [(0xFF, 0.0), (0x01, 0.5)], ids=["all-bits", "lowest-bit"]
)
def test_a_changed_byte_of_an_h5_is_no_bug(small: Path, flip: int, share: float) -> None:
    """The byte may change a number or a setting, as an ``.h5`` has no checksums."""
    data = good_h5(small).read_bytes()
    outcomes = set()
    apart = len(data) // 100
    for at in range(int(share * apart), len(data), apart):
        flipped = bytearray(data)
        flipped[at] ^= flip
        small.write_bytes(flipped)
        try:
            known_of(small)
            outcomes.add("read")
        except InspectError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


# --- configs that are valid JSON but make no sense


STRANGE: tuple[object, ...] = (
    None,
    True,
    -1,
    0.5,
    2**63,
    "",
    "x",
    [],
    [[]],
    [1],
    {},
    {"config": [1]},
)


def places(value: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of keys to every value inside a value."""
    members: Any = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, member in members:
        yield (*above, key)
        yield from places(member, (*above, key))


def with_value(config: Json, place: tuple[str | int, ...], value: object) -> Json:
    changed: Any = json.loads(json.dumps(config))
    held = changed
    for key in place[:-1]:
        held = held[key]
    held[place[-1]] = value
    return dict(changed)


@pytest.mark.usefixtures("parsed_here")
@pytest.mark.parametrize("strange", STRANGE, ids=json.dumps)
def test_any_value_of_a_config_may_be_any_other(small: Path, strange: object) -> None:
    dense = hostile.called("Dense", config={"dtype": "float32", "units": 1})
    config = hostile.model_with(dense, in_front=False)
    config["keras_version"] = "2.15.0"
    with h5py.File(small.with_name("weights.h5"), "w") as file:
        for number, array in enumerate(hostile.lstm_arrays()):
            file[f"layers/lstm/cell/vars/{number}"] = array
    bugs = []
    for place in places(config):
        small.write_text(json.dumps(with_value(config, place, strange)))
        try:
            model = lstm_inspect.open_model(small.with_name("weights.h5"), small)
            lstm_inspect.model_shapes(model)
            lstm_inspect.trace(model, random(1, 3, FEATURES))
        except InspectError:
            pass
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            bugs.append((place[2:], repr(error), f"{Path(where.filename).name}:{where.lineno}"))
    assert bugs == []


# --- no code of a file runs, and no other file is opened


AUDITED = """
import json, mmap, os, sys, warnings
sys.path.insert(0, {root!r})
from lstm_inspect.cli import cli

FORBIDDEN = ("import", "exec", "compile", "marshal.loads", "pickle.find_class", "os.system",
             "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.", "ctypes.", "urllib.")
OWN = {{"/proc/self/statm", "/proc/self/fd", "/dev/null"}}
seen = mmap.mmap(-1, 1 << 20)  # shared with the confined child
watching = False
# What numpy.save writes as header of the input is parsed, which is no code: ast.literal_eval.
parsed = ("<unknown>",) if sys.argv[1] == "models" else ()

def hook(event, arguments):
    if not watching:
        return
    if event == "open":
        path = arguments[0]
        if isinstance(path, int):
            return
        path = os.fspath(path)
        path = path.decode() if isinstance(path, bytes) else path
        full = os.path.join(folder, path)
        if path in OWN or full == folder or os.path.dirname(full) == folder:
            return
    elif not event.startswith(FORBIDDEN) or (event == "compile" and arguments[1] in parsed):
        return
    seen.seek(seen.find(b"\\0"))
    seen.write(f"{{event}} {{arguments!r:.200}}\\n".encode())

def run(*arguments):
    try:
        cli(arguments, standalone_mode=False)
    except Exception as error:
        return type(error).__name__
    return None

folder = os.getcwd()
sys.stdout = open(os.devnull, "w")
for model in ("model.keras", "model.h5"):
    for arguments in (("shapes", model), ("trace", model, "--input", "x.npy", "--out", "warm.npz")):
        assert run(*arguments) is None
run("shapes", "warm")
sys.addaudithook(hook)
for given in sys.argv[2:]:
    watching = True
    if sys.argv[1] == "inputs":
        run("trace", "model.keras", "--input", given, "--out", "states.npz", "--force")
    else:
        run("shapes", given)
        run("trace", given, "--input", "x.npy", "--out", "states.npz", "--force")
    watching = False
if sys.argv[1] == "control":
    import pickle, marshal, socket, subprocess
    held, code = pickle.dumps(os.getcwd), marshal.dumps(compile("1", "a", "eval"))
    watching = True
    if os.fork() == 0:
        open("/etc/hostname").close()
        os._exit(0)
    os.wait()
    import stringprep
    exec("1")
    pickle.loads(held)
    marshal.loads(code)
    os.system("true")
    subprocess.run(["true"])
    socket.socket().close()
    watching = False
print(bytes(seen[: seen.find(b"\\0")]).decode(), end="", file=sys.__stdout__)
"""


HDF5S_THAT_LEAD_OUT = (
    "external storage",
    "external link",
    "virtual array",
    "soft link",
    "in chunks of a format with plugins",
    "texts",
    "references",
)


def audited(kind: str, *models: str) -> list[str]:
    """The forbidden events that occur while models are opened and traced."""
    done = subprocess.run(
        [sys.executable, "-c", AUDITED.format(root=str(ROOT)), kind, *models],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_nothing_of_a_model_runs_and_no_other_file_is_opened(folder: Path) -> None:
    models = []
    for number, entry in enumerate(hostile.traps(folder / "fired").values()):
        for kind, write in (("keras", good_keras), ("h5", good_h5)):
            models.append(f"trap{number}.{kind}")
            write(folder / models[-1], hostile.model_with(entry, in_front=bool(number % 2)))
    for name in HDF5S_THAT_LEAD_OUT:
        models.append(name.replace(" ", "-"))
        HDF5S[name].make(folder / models[-1])
    for name in ("weights as pickles", "symbolic link", "bomb as weights"):
        models.append(name.replace(" ", "-"))
        ZIPS[name].make(folder / models[-1])
    assert audited("models", *models) == []
    assert not (folder / "fired").exists()


def test_nothing_of_an_input_runs_and_no_other_file_is_opened(folder: Path) -> None:
    inputs = []
    for name, _, make in INPUTS:
        if name in ("pickle", "pickled payload", "header that calls", "npz of pickled objects"):
            inputs.append(name.replace(" ", "-"))
            make(folder / inputs[-1])
    assert audited("inputs", *inputs) == []
    assert not (folder / "fired").exists()


def test_the_audit_would_see_it(folder: Path) -> None:
    """Control: the audit sees events in the process and in its children."""
    seen = {line.split(" ")[0] for line in audited("control")}
    assert {
        "open",
        "import",
        "exec",
        "compile",
        "pickle.find_class",
        "marshal.loads",
        "os.system",
        "subprocess.Popen",
    } <= seen
    assert any(each.startswith("socket.") for each in seen)
