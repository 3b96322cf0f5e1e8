"""The options of a replay."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lstm_inspect.arrays import Array
from lstm_inspect.engines import ENGINES, check_installed
from lstm_inspect.errors import InputError
from lstm_inspect.files.limits import DEFAULT_LIMITS, Limits
from lstm_inspect.model import Layer
from lstm_inspect.notation import advice
from lstm_inspect.traces.cuts import read_cut

Progress = Callable[[str, int, int], None]
"""Called with (path of a recurrent layer, steps done, steps in all), of all sequences together."""

CustomLayer = Callable[..., Array | tuple[Array, Array | None]]
"""Called with (the layer, its input arrays ...); returns its output, or (its output, its mask)."""


_DTYPES = ("float16", "float32", "float64")


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """Options of a replay; `lstm_inspect.trace` takes and explains each.

    ``record`` and ``select`` may be given as one text, and a text of ``record`` may be ``"h,c"``.
    Here they are tuples of single names, and ``steps``, ``units`` and ``samples`` are cuts.

    Raises:
        InputError: An option is of another kind.
        MissingExtraError: The engine is not installed.
    """

    record: Collection[str] = ("h", "c")
    select: Sequence[str] = ("*",)
    feed: Mapping[str, Any] = field(default_factory=dict)
    layers: Mapping[str, CustomLayer] = field(default_factory=dict)
    stateful: bool = False
    allow_nonfinite: bool = False
    limits: Limits = DEFAULT_LIMITS
    progress: Progress | None = None
    steps: Any = None
    last: bool = False
    units: Any = None
    samples: Any = None
    initial_state: Mapping[str, Any] = field(default_factory=dict)
    time_chunk: int | None = None
    dtype: str | None = None
    engine: str = "auto"

    def __post_init__(self) -> None:
        """Makes tuples of single texts, and refuses what is of another kind."""
        signals = 'the names of signals, such as "h,c" or ["h", "c"]'
        texts = _texts("record", self.record, signals)
        names = tuple(name.strip() for text in texts for name in text.split(","))
        object.__setattr__(self, "record", names)
        paths = 'paths of layers or globs over them, such as "lstm" or ["lstm", "encoder/*"]'
        object.__setattr__(self, "select", _texts("select", self.select, paths))
        for option in ("steps", "units", "samples"):
            object.__setattr__(self, option, read_cut(option, getattr(self, option)))
        if self.last and self.steps is not None:
            both = advice(
                python="steps: expected none with last",
                command_line="--steps: expected none with --last",
            )
            raise InputError(f"{both}, which is the last step alone")
        if self.dtype not in (None, *_DTYPES):
            raise _unfit("dtype", " or ".join(_DTYPES), self.dtype)
        if self.engine not in ENGINES:
            raise _unfit("engine", " or ".join(ENGINES), self.engine)
        check_installed(self.engine)
        mappings = {
            "feed": 'arrays by path, such as {"dense": array}',
            "initial_state": 'arrays by state, such as {"lstm/h0": array, "lstm/c0": array}',
        }
        for option, expected in mappings.items():
            if not isinstance(getattr(self, option), Mapping):
                raise _unfit(option, expected, getattr(self, option))
        if self.time_chunk is not None and not _is_count(self.time_chunk):
            option = advice(python="time_chunk", command_line="--time-chunk")
            raise _unfit(option, "a number of timesteps, 1 or more", self.time_chunk)
        is_code = isinstance(self.layers, Mapping) and all(map(callable, self.layers.values()))
        if not is_code:
            functions = 'functions by the name of a layer or class, such as {"Attention": function}'
            raise _unfit("layers", functions, self.layers)

    @property
    def is_part(self) -> bool:
        """Whether less than the whole of a signal is recorded, or in another dtype."""
        return self.last or any(each is not None for each in (self.steps, self.units, self.dtype))

    def code_of(self, layer: Layer) -> CustomLayer | None:
        """The function in ``layers`` that computes a layer; None if there is none."""
        return next(
            (self.layers[name] for name in names_for_code(layer) if name in self.layers), None
        )


def names_for_code(layer: Layer) -> tuple[str, ...]:
    """What the code of a layer may be given by: its name, its class, its class without package.

    Keras registers the class ``Attention`` of the package mine as ``mine>Attention``.
    """
    return layer.name, layer.class_name, layer.class_name.rpartition(">")[2]


def _texts(option: str, given: Any, expected: str) -> tuple[str, ...]:
    try:
        texts = (given,) if isinstance(given, str) else tuple(given)
    except TypeError:
        texts = ()
    if not texts or not all(isinstance(each, str) for each in texts):
        raise _unfit(option, expected, given)
    return texts


def _is_count(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given > 0


def _unfit(option: str, expected: str, given: object) -> InputError:
    return InputError(f"{option}: expected {expected}; received {given!r:.80}")
