"""Which room may import which; the rooms are the top-level modules and packages."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lstm_inspect"
MODULES = sorted(PACKAGE.rglob("*.py"))

ALLOWED: dict[str, set[str]] = {
    "notation": set(),
    "signals": set(),
    "errors": {"notation"},
    "version": set(),
    "cells": set(),
    "extras": {"errors"},
    "limits": {"errors"},
    "formats": {"errors", "extras", "limits", "signals"},
    "arrays": {"errors", "formats", "limits"},
    "precision": {"formats"},
    "model": {"errors", "formats", "limits", "notation"},
    "layers": {"cells", "errors", "formats", "model", "notation", "precision"},
    "inputs": {"errors", "formats", "model", "notation", "precision"},
    "dumps": {"arrays", "errors", "formats", "limits", "signals"},
    "bridge": {"cells", "errors", "extras", "formats", "layers", "model"},
    "plan": {"bridge", "cells", "errors", "layers", "model"},
    "recording": {"dumps", "errors", "formats", "version"},
    "replay": {
        "bridge",
        "cells",
        "errors",
        "formats",
        "inputs",
        "layers",
        "limits",
        "model",
        "plan",
        "precision",
        "recording",
    },
    "shapes": {"errors", "layers", "model", "plan"},
    "stats": {"formats", "notation", "recording"},
    "findings": {"notation"},
    "contract": {"errors", "findings", "formats", "limits", "shapes"},
    "diff": {
        "arrays",
        "dumps",
        "errors",
        "findings",
        "formats",
        "limits",
        "model",
        "notation",
        "recording",
        "shapes",
    },
    "verification": {"bridge", "formats", "model", "notation", "recording", "replay"},
    "views": {
        "findings",
        "model",
        "notation",
        "replay",
        "shapes",
        "stats",
        "verification",
        "version",
    },
    "cli": {
        "arrays",
        "contract",
        "diff",
        "dumps",
        "errors",
        "findings",
        "formats",
        "limits",
        "model",
        "replay",
        "shapes",
        "stats",
        "verification",
        "version",
        "views",
    },
    "pytest_plugin": {
        "contract",
        "diff",
        "dumps",
        "errors",
        "model",
        "recording",
        "replay",
        "shapes",
    },
    "__init__": {
        "contract",
        "diff",
        "errors",
        "findings",
        "limits",
        "model",
        "recording",
        "replay",
        "shapes",
        "verification",
        "version",
    },
    "__main__": {"cli"},
}

THIRD_PARTY: dict[str, set[str]] = {
    "numpy": {
        "arrays",
        "bridge",
        "cells",
        "diff",
        "dumps",
        "formats",
        "inputs",
        "layers",
        "limits",
        "model",
        "precision",
        "replay",
        "stats",
        "verification",
    },
    "h5py": {"formats"},
    "rich": {"views"},
    "click": {"cli"},
    "pytest": {"pytest_plugin"},
    "tensorflow": {"extras", "formats"},  # formats: the protobuf classes of a SavedModel
    "google": {"formats"},
    "keras": {"extras"},
}

# Reading zip archives and JSON is formats' work, but for these.
ONLY_IN: dict[str, set[str]] = {
    "zipfile": {"dumps"},  # is it a dump?
    "json": {"formats", "dumps", "cli", "views"},  # dumps: its own __meta__; cli, views: to print
    "importlib": {"__init__", "bridge"},  # __init__: lazy exports; bridge: is Keras installed?
    "pickle": set(),
    "marshal": set(),
    "subprocess": set(),
    "resource": {"formats"},  # the confined process
}

Imported = tuple[str, str]
"""A dotted module name, and a name taken from it or ""."""


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(module: Path) -> Iterator[Imported]:
    """Every import, at the top, inside functions and under TYPE_CHECKING alike."""
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


@pytest.mark.parametrize("room", sorted(IMPORTS))
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    assert room in ALLOWED, f"{room} is a new room: say here what it may import"
    assert rooms_imported(room) <= ALLOWED[room]


def test_the_allowed_arrows_form_no_cycle() -> None:
    assert set(TopologicalSorter(ALLOWED).static_order()) == ALLOWED.keys()


def test_every_arrow_that_is_allowed_is_used() -> None:
    assert {room: rooms_imported(room) & arrows for room, arrows in ALLOWED.items()} == ALLOWED


@pytest.mark.parametrize("room", sorted(IMPORTS))
def test_a_room_imports_only_the_libraries_it_may(room: str) -> None:
    libraries = tops_imported(room) - {"lstm_inspect", *sys.stdlib_module_names}
    assert libraries <= {library for library, rooms in THIRD_PARTY.items() if room in rooms}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_guarded_part_of_the_standard_library_stays_in_its_rooms(library: str) -> None:
    assert {room for room in IMPORTS if library in tops_imported(room)} <= ONLY_IN[library]


def test_nothing_but_main_imports_the_command_line() -> None:
    assert [room for room in IMPORTS if "cli" in rooms_imported(room)] == ["__main__"]


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
    assert anywhere & frameworks == {"keras", "tensorflow"}


def test_every_module_is_named_for_what_it_does() -> None:
    vague = {"utils", "util", "helpers", "common", "misc", "core", "base"}
    assert [module for module in MODULES if module.stem in vague] == []


def test_every_module_is_short_enough_to_read() -> None:
    lines = {module: len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {module: count for module, count in lines.items() if count > 400} == {}
