import subprocess
import sys
from pathlib import Path

import pytest

import lstm_inspect


def imported_by(code: str) -> set[str]:
    """The modules that a new interpreter has imported after it ran some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.split())


def test_importing_the_package_imports_neither_numpy_nor_h5py() -> None:
    modules = imported_by("import lstm_inspect")
    assert "lstm_inspect" in modules
    assert not modules & {"numpy", "h5py", "rich", "click", "tensorflow", "keras"}


def test_using_a_name_imports_what_it_needs_and_not_keras() -> None:
    modules = imported_by("import lstm_inspect; lstm_inspect.open_model; lstm_inspect.trace")
    assert {"numpy", "h5py"} <= modules
    assert not modules & {"tensorflow", "keras"}


@pytest.mark.parametrize("name", lstm_inspect.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(lstm_inspect, name).__name__ == name


def test_dir_lists_the_exported_names() -> None:
    assert set(lstm_inspect.__all__) <= set(dir(lstm_inspect))


def test_exported_names_are_sorted_and_given_once() -> None:
    assert lstm_inspect.__all__ == sorted(set(lstm_inspect.__all__))


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'lstm_inspect' has no attribute 'predict'"):
        _ = lstm_inspect.predict  # type: ignore[attr-defined]  # the subject of the test


def test_every_error_is_one_of_ours_and_one_that_python_knows() -> None:
    for name, builtin in {
        "ModelFileError": ValueError,
        "UnsupportedLayerError": NotImplementedError,
        "InputError": ValueError,
        "SelectionError": LookupError,
        "OutputError": OSError,
    }.items():
        error = getattr(lstm_inspect, name)
        assert issubclass(error, lstm_inspect.InspectError)
        assert issubclass(error, builtin)


def test_the_tests_without_keras_do_not_import_its_tests() -> None:
    options = ("-q", "-n0", "--collect-only", "-m", "not keras", "--ignore-glob=tests/test_*.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("\nno tests collected in ")
