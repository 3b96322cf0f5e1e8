"""Tests which way imports run between the rooms: the top-level modules and packages."""

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lstm_inspect"
MODULES = sorted([*PACKAGE.rglob("*.py"), PACKAGE / "__init__.pyi"])

FLOORS = [
    {"arrays", "nested", "notation", "version"},
    {"cells", "errors", "notebooks"},
    {"pictures"},
    {"files", "model"},
    {"engines", "layers"},
    {"genuine"},
    {"sources", "traces"},
    {"replay"},
    {"shapes", "weight_dump"},
    {"checks"},
    {"page", "views"},
    {"api"},
    {"pytest_plugin", "__init__"},
    {"cli"},
    {"__main__"},
]
"""A room may import only rooms of the floors below its own: the sets before its own."""

FORBIDDEN = {
    ("model", "files"): "the canonical form of a model knows no file",
    ("layers", "files"): "what a layer computes does not depend on a file",
    ("engines", "files"): "nor does what a cell computes",
    ("engines", "model"): "an engine is handed a cell",
    ("replay", "sources"): "another source needs no change in the replay",
    ("shapes", "sources"): "nor in the shapes",
    ("weight_dump", "sources"): "nor in the dumps of weights",
    ("checks", "sources"): "nor in the checks",
    ("views", "sources"): "nor in the views",
    ("views", "files"): "a view is handed what it shows",
    ("views", "cells"): "a view is handed what it shows",
    ("page", "sources"): "nor in the page",
    ("page", "replay"): "a page is handed what it shows",
    ("traces", "model"): "a trace is read without the model",
    ("traces", "cells"): "a trace is read without the model",
}
"""Imports that run down and are still forbidden, with the reason."""

THIRD_PARTY: dict[str, set[str]] = {
    "numpy": {
        *("arrays", "cells", "checks", "engines", "files", "genuine", "layers", "model", "replay"),
        *("page", "pictures", "sources", "traces"),
    },
    "onnx": {"engines"},
    "onnxruntime": {"engines"},
    "threadpoolctl": {"engines"},
    "dask": {"replay"},
    "distributed": {"replay"},
    "google_crc32c": {"files"},
    "h5py": {"files"},
    "rich": {"pictures", "views"},
    "plotly": {"page"},
    "matplotlib": {"pictures"},
    "click": {"cli"},
    "pytest": {"pytest_plugin"},
    "keras": {"genuine"},
    "tensorflow": {"genuine"},
    "tf_keras": {"genuine"},
    "yaml": {"files"},
}
"""For each library, the rooms that may import it."""

ONLY_IN: dict[str, set[str]] = {
    "zipfile": set(),  # files reads and writes zips
    "json": {
        "checks",
        "files",
        "genuine",
        "page",
        "traces",
        "views",
    },  # a stranger's JSON: files alone
    # __init__: lazy exports; genuine: is Keras installed? engines: is onnxruntime?
    "importlib": {"__init__", "engines", "genuine"},
    "html": {"notebooks"},
    "pickle": set(),
    "marshal": set(),
    "subprocess": {"genuine"},  # the process in which Keras runs
    "resource": {"files", "genuine"},  # the processes with limits
}
"""For each of these standard modules, the rooms that may import it."""

Imported = tuple[str, str]
"""A dotted module name, and the name imported from it, or ""."""


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].partition(".")[0]


def imports_of(module: Path) -> Iterator[Imported]:
    """Yields every import: at the top, inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((each.name, "") for each in names)
            case ast.ImportFrom(module=str(name), names=names, level=0):
                yield from ((name, each.name) for each in names)
            case ast.ImportFrom():
                raise AssertionError(f"{module}:{node.lineno}: a relative import")


def imports_by_room() -> dict[str, set[Imported]]:
    found: dict[str, set[Imported]] = defaultdict(set)
    for module in MODULES:
        found[room_of(module)].update(imports_of(module))
    return found


IMPORTS = imports_by_room()


def rooms_imported(room: str) -> set[str]:
    rooms = set()
    for name, taken in IMPORTS[room]:
        top, *inner = name.split(".")
        if top == "lstm_inspect":
            rooms.add(inner[0] if inner else taken)
    return rooms - {room}


def tops_imported(room: str) -> set[str]:
    return {name.partition(".")[0] for name, _ in IMPORTS[room]}


def test_every_room_stands_on_one_floor() -> None:
    assert Counter(room for floor in FLOORS for room in floor) == Counter(IMPORTS.keys())


@pytest.mark.parametrize("room", sorted(IMPORTS))
def test_a_room_imports_only_rooms_on_the_floors_below(room: str) -> None:
    own = next(number for number, floor in enumerate(FLOORS) if room in floor)
    below: set[str] = set().union(*FLOORS[:own])
    assert rooms_imported(room) <= below


@pytest.mark.parametrize(("room", "other"), FORBIDDEN)
def test_an_arrow_that_is_forbidden_is_not_there(room: str, other: str) -> None:
    assert other not in rooms_imported(room), FORBIDDEN[room, other]


@pytest.mark.parametrize("room", sorted(IMPORTS))
def test_a_room_imports_only_the_libraries_it_may(room: str) -> None:
    libraries = tops_imported(room) - {"lstm_inspect", *sys.stdlib_module_names}
    assert libraries <= {library for library, rooms in THIRD_PARTY.items() if room in rooms}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_guarded_part_of_the_standard_library_stays_in_its_rooms(library: str) -> None:
    assert {room for room in IMPORTS if library in tops_imported(room)} <= ONLY_IN[library]


def test_tensorflow_is_imported_inside_functions_and_no_other_framework_at_all() -> None:
    frameworks = {"keras", "tensorflow", "tf_keras", "torch", "jax"}
    at_the_top = {
        module.name
        for module in MODULES
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", "") or "", *(each.name for each in node.names))
        if name.partition(".")[0] in frameworks
    }
    assert at_the_top == set()
    anywhere = {top for room in IMPORTS for top in tops_imported(room)}
    assert anywhere & frameworks == {"keras", "tensorflow", "tf_keras"}


def test_every_module_is_named_for_what_it_does() -> None:
    vague = {"utils", "util", "helpers", "common", "misc", "core", "base"}
    assert [module for module in MODULES if module.stem in vague] == []


def test_no_two_modules_have_one_name() -> None:
    names = Counter(module.stem for module in MODULES if module.stem != "__init__")
    assert [name for name, count in names.items() if count > 1] == []


def test_every_module_is_short_enough_to_read() -> None:
    lines = {module: len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {module: count for module, count in lines.items() if count > 400} == {}
