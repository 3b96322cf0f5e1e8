"""Measures the engines against the LSTMs of other libraries, and against their own matrix products.

    python -m tests.bench.replay [--rows 0,2] [--rounds N] [--sequences N] [--against COMMIT]

All of a row run in turn (A B C A B C ...), so that other work on the machine slows all alike. A
ratio is the median of the ratios of single rounds. What is printed is Markdown.
"""

import argparse
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstm_inspect.cells import CELLS, LSTM, Cell
from lstm_inspect.engines import Wanted, Work, numpy_engine, onnxruntime_engine, threads
from tests.conftest import Array, input_layer, lstm, lstm_weights, sequential, write_h5

ROOT = Path(__file__).parents[2]

Run = Callable[[], Array]
"""Runs an LSTM once and returns its h, (batch, timesteps, units)."""


class Row(NamedTuple):
    """The sizes of an LSTM and its input."""

    batch: int
    timesteps: int
    features: int
    units: int


ROWS = (
    Row(32, 60, 1, 50),
    Row(1, 1000, 64, 256),
    Row(32, 200, 64, 256),
    Row(64, 100, 512, 512),
    Row(256, 100, 512, 1024),
)


class Case:
    """An LSTM with random weights, and x."""

    def __init__(self, row: Row) -> None:
        random = np.random.default_rng(1)
        batch, timesteps, features, units = self.row = row

        def uniform(*shape: int) -> Array:
            array: Array = random.uniform(-1, 1, shape) / shape[0] ** 0.5
            return array.astype(np.float32)

        self.kernel = uniform(features, 4 * units)
        self.recurrent_kernel = uniform(units, 4 * units)
        self.bias = uniform(4 * units)
        self.x = random.normal(size=(batch, timesteps, features)).astype(np.float32)
        self.zeros = np.zeros((batch, units), np.float32)
        cell: Cell = CELLS[LSTM](
            kernel=self.kernel,
            recurrent_kernel=self.recurrent_kernel,
            bias=self.bias,
            activation="tanh",
            recurrent_activation="sigmoid",
        )
        self.work = Work(cell, self.x, {"h": self.zeros, "c": self.zeros}, mask=None)

    def blocks(self, weights: Array, order: str) -> Array:
        """Weights with the blocks of the gates in another order."""
        stored = dict(zip(LSTM.gates, np.split(weights, 4, axis=-1), strict=True))
        joined: Array = np.concatenate([stored[gate] for gate in order], axis=-1)
        return joined


# --- ours


def ours(engine: Any, signals: tuple[str, ...], case: Case) -> Run:
    wanted = Wanted(signals, range(case.row.timesteps), units=None, sequence=False)

    def run() -> Array:
        h: Array = engine.run(case.work, wanted).recorded["h"]
        return h

    return run


def products(case: Case) -> Run:
    """The matrix products alone, on the same pieces and with the same threads."""
    pieces = [*numpy_engine._pieces(case.work)]
    block = max(1, numpy_engine._BLOCK_BYTES // numpy_engine._bytes_of_step(case.work, 1))

    def run_piece(rows: slice) -> None:
        x, state = case.x[rows].swapaxes(0, 1), case.zeros[rows]
        steps = max(1, block // len(state))
        projected = np.empty((steps * len(state), case.kernel.shape[1]), np.float32)
        product = np.empty((len(state), case.kernel.shape[1]), np.float32)
        for start in range(0, len(x), steps):
            some = np.ascontiguousarray(x[start : start + steps]).reshape(-1, x.shape[-1])
            np.matmul(some, case.kernel, out=projected[: len(some)])
            for _ in range(len(some) // len(state)):
                np.matmul(state, case.recurrent_kernel, out=product)

    def run() -> Array:
        with numpy_engine._one_thread_of_blas(), ThreadPoolExecutor(threads.thread_count()) as pool:
            for _ in pool.map(run_piece, pieces) if len(pieces) > 1 else map(run_piece, pieces):
                pass
        return np.empty(0)

    return run


# --- others


def keras_model(case: Case) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    layer = keras.layers.LSTM(case.row.units, return_sequences=True)
    model = keras.Sequential([keras.Input((case.row.timesteps, case.row.features)), layer])
    layer.set_weights([case.kernel, case.recurrent_kernel, case.bias])
    return model


def keras_predict(case: Case) -> Run:
    model = keras_model(case)
    return lambda: model.predict(case.x, batch_size=case.row.batch, verbose=0)


def tf_function(case: Case, *, with_xla: bool) -> Run:
    model = keras_model(case)
    import tensorflow as tf

    call = tf.function(lambda x: model(x), jit_compile=with_xla)
    x = tf.constant(case.x)
    return lambda: call(x).numpy()


def block_lstm(case: Case) -> Run:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    stacked = np.concatenate([case.kernel, case.recurrent_kernel])
    weights, bias, zeros = map(tf.constant, (stacked, case.bias, case.zeros))
    unused = tf.zeros(case.row.units)

    def compute(x: Any) -> Any:
        out = tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.constant(case.row.timesteps, tf.int64),
            x=x,
            cs_prev=zeros,
            h_prev=zeros,
            w=weights,
            wci=unused,
            wcf=unused,
            wco=unused,
            b=bias,
            cell_clip=-1.0,
        )
        return out.h, out.cs

    call = tf.function(compute)
    x = tf.constant(np.ascontiguousarray(case.x.swapaxes(0, 1)))

    def run() -> Array:
        h, c = call(x)
        c.numpy()
        every: Array = h.numpy()
        return every.swapaxes(0, 1)

    return run


def lstm_op(case: Case) -> Run:
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import InferenceSession

    def constant(name: str, array: Array) -> Any:
        return numpy_helper.from_array(np.ascontiguousarray(array[np.newaxis]), name)

    bias = case.blocks(case.bias, "iofg")
    weights = [
        constant("W", case.blocks(case.kernel, "iofg").T),
        constant("R", case.blocks(case.recurrent_kernel, "iofg").T),
        constant("B", np.concatenate([bias, np.zeros_like(bias)])),
    ]
    names = [each.name for each in weights]
    node = helper.make_node("LSTM", ["x", *names], ["h"], hidden_size=case.row.units)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (None, None, case.row.features))
    h = helper.make_tensor_value_info("h", TensorProto.FLOAT, (None, 1, None, case.row.units))
    graph = helper.make_graph([node], "lstm", [x], [h], weights)
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    steps = np.ascontiguousarray(case.x.swapaxes(0, 1))

    def run() -> Array:
        every: Array = session.run(None, {"x": steps})[0]
        return every[:, 0].swapaxes(0, 1)

    return run


SIX = ("h", "c", "i", "f", "g", "o")

COLUMNS: dict[str, Callable[[Case], Run]] = {
    "NumPy engine": partial(ours, numpy_engine, ("h", "c")),
    "NumPy engine, six signals": partial(ours, numpy_engine, SIX),
    "onnxruntime engine": partial(ours, onnxruntime_engine, ("h", "c")),
    "onnxruntime engine, six signals": partial(ours, onnxruntime_engine, SIX),
    "Keras predict": keras_predict,
    "Keras tf.function": partial(tf_function, with_xla=False),
    "Keras XLA": partial(tf_function, with_xla=True),
    "BlockLSTMV2": block_lstm,
    "onnxruntime LSTM op": lstm_op,
    "NumPy products alone": products,
}


class Target(NamedTuple):
    """How fast a column has to be.

    Attributes:
        ours: Our column.
        others: The columns to compare with; the fastest one counts.
        at_least: Their time must be so many times ours.
        batch: For batches of this size or more.
    """

    ours: str
    others: tuple[str, ...]
    at_least: float
    batch: int = 1


_KERAS = ("Keras predict", "Keras tf.function", "Keras XLA", "BlockLSTMV2")
TARGETS = (
    Target("onnxruntime engine", _KERAS, 1.0),
    Target("onnxruntime engine", ("onnxruntime LSTM op",), 0.7, batch=32),
    Target("NumPy engine", ("Keras tf.function",), 0.9),
    Target("NumPy engine", ("NumPy products alone",), 0.75, batch=64),
    Target("NumPy engine, six signals", ("NumPy engine",), 1 / 1.3),
    Target("onnxruntime engine, six signals", ("onnxruntime engine",), 1 / 1.3),
)


def measure(row: Row, rounds: int, missing: set[str]) -> dict[str, list[float]]:
    """Measures the seconds of each column in each round; those that are missing are left out."""
    print(f"measuring {row} ...", file=sys.stderr)
    case = Case(row)
    runs: dict[str, Run] = {}
    expected = ours(numpy_engine, ("h",), case)()
    for name, make in COLUMNS.items():
        try:
            runs[name] = make(case)
            h = runs[name]()
        except ImportError:
            missing.add(name)
            runs.pop(name, None)
            continue
        if h.size:
            np.testing.assert_allclose(h, expected, rtol=0, atol=1e-4, err_msg=name)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(0.01)  # the threads of the one before may spin for a while
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(target: Target, seconds: dict[str, list[float]]) -> float | None:
    """The median over the rounds of how many times as long as ours the others take."""
    others = [seconds[name] for name in target.others if name in seconds]
    if target.ours not in seconds or not others:
        return None
    fastest = min(others, key=statistics.median)
    pairs = zip(fastest, seconds[target.ours], strict=True)
    return statistics.median(other / mine for other, mine in pairs)


def print_table(head: list[str], rows: list[list[str]]) -> None:
    for line in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(line)} |")
    print(flush=True)


def print_rows(rows: list[Row], rounds: int) -> bool:
    """Prints the times and the targets of some rows; returns whether all targets are met."""
    missing: set[str] = set()
    measured = {row: measure(row, rounds, missing) for row in rows}
    head = ["batch, timesteps, features, units", *(name for name in COLUMNS if name not in missing)]
    print("Median milliseconds; ours give h and c, or all six signals:\n")
    print_table(
        head,
        [
            [
                ", ".join(map(str, row)),
                *(f"{1000 * statistics.median(each):.3g}" for each in seconds.values()),
            ]
            for row, seconds in measured.items()
        ],
    )
    if missing:
        print(f"Not installed, so left out: {', '.join(sorted(missing))}.\n")
    all_met = True
    lines = []
    for target in TARGETS:
        others = "the best of " * (len(target.others) > 1) + ", ".join(target.others)
        cells = []
        for row, seconds in measured.items():
            reached = ratio(target, seconds) if row.batch >= target.batch else None
            is_met = reached is None or reached >= target.at_least
            all_met &= is_met
            cells.append("" if reached is None else f"{reached:.2f}{'' if is_met else ' missed'}")
        lines.append([f"{target.ours}: {others}", f"{target.at_least:.2f}", *cells])
    print("How many times as long as ours the other takes:\n")
    print_table(["", "at least", *(", ".join(map(str, row)) for row in rows)], lines)
    return all_met


# --- a whole process


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The package as it was at a commit."""
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", folder, commit], check=True, capture_output=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


TRACE = """
import sys, numpy, lstm_inspect
limits = lstm_inspect.Limits(replay_bytes=1 << 36, replay_steps=1 << 40)
lstm_inspect.trace(sys.argv[1], numpy.load(sys.argv[2]), limits=limits)
"""


def seconds_of_process(package: Path, model: Path, x: Path) -> float:
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, "-c", TRACE, str(model), str(x)]
    subprocess.run(command, check=True, env=environment, cwd=model.parent)
    return time.perf_counter() - started


def print_process(sequences: int, against: str | None) -> bool:
    """Prints how many sequences of 60 x 1 into 50 units a whole process replays in a second."""
    with tempfile.TemporaryDirectory() as folder:
        layers = sequential(input_layer("x", None, 1), lstm("lstm", 50))
        model = write_h5(Path(folder) / "model.h5", layers, {"lstm": lstm_weights("lstm", 1, 50)})
        x = Path(folder) / "x.npy"
        np.save(x, np.random.default_rng(0).normal(size=(sequences, 60, 1)).astype(np.float32))
        mine = seconds_of_process(ROOT, model, x)
        print(f"{sequences} sequences of 60 x 1 into 50 units, h and c in memory, a whole process:")
        print(f"{mine:.1f} s, {sequences / mine:.0f} sequences in a second.")
        if against is None:
            return True
        with checkout(against) as package:
            other = seconds_of_process(package, model, x)
        print(f"At {against}: {other:.1f} s, so {other / mine:.1f} times as long; at least 3.")
        return other / mine >= 3


def versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for name in ("numpy", "onnx", "onnxruntime", "tensorflow", "keras"):
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"no {name}"
    yield f"{threads.thread_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    every = ",".join(map(str, range(len(ROWS))))
    parser.add_argument("--rows", default=every, help="the rows to measure, counted from 0")
    parser.add_argument("--rounds", type=int, default=9, help="how often each column runs")
    parser.add_argument(
        "--sequences", type=int, default=200_000, help="those of the whole process; 0 for none"
    )
    parser.add_argument("--against", metavar="COMMIT", help="compare the whole process with it")
    given = parser.parse_args()
    print(f"{', '.join(versions())}; {given.rounds} rounds.\n")
    rows = [ROWS[int(number)] for number in given.rows.split(",") if number]
    met = [print_rows(rows, given.rounds)] if rows else []
    if given.sequences:
        met.append(print_process(given.sequences, given.against))
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
