"""Runs the plugin in small test suites of its own."""

import shutil

import pytest

from tests.conftest import SAMPLES

pytestmark = pytest.mark.slow

SUITE = """
import numpy

def test_states(lstm_trace, assert_state_dims, assert_states_close):
    assert_state_dims("model.keras", {"layers": [{"path": "lstm", "units": UNITS}]})
    trace = lstm_trace("model.keras", SCALE * numpy.load("x.npy"), record="all")
    assert_states_close(trace, "golden/states.npz", atol=1e-6)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with a model and an input; `write` adds a test."""
    shutil.copy(SAMPLES / "one_unit_sequences.keras", pytester.path / "model.keras")
    shutil.copy(SAMPLES / "one_unit_sequences.npy", pytester.path / "x.npy")
    return pytester


def write(suite: pytest.Pytester, *, units: int = 1, scale: str = "1") -> None:
    suite.makepyfile(SUITE.replace("UNITS", str(units)).replace("SCALE", f"numpy.float32({scale})"))


def test_golden_states_are_written_once_and_kept(suite: pytest.Pytester) -> None:
    write(suite)
    suite.runpytest_subprocess("--lstm-update").assert_outcomes(passed=1)
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_states_that_part_are_told_by_step(suite: pytest.Pytester) -> None:
    write(suite)
    suite.runpytest_subprocess("--lstm-update").assert_outcomes(passed=1)
    write(suite, scale="1.5")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "golden/states.npz: lstm: h at sample 0, step 0, unit 0: expected *, found *",
            "If this change is intended, run pytest --lstm-update",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_states_within_the_tolerance_are_close(suite: pytest.Pytester) -> None:
    write(suite)
    suite.runpytest_subprocess("--lstm-update").assert_outcomes(passed=1)
    write(suite, scale="1.0000001")
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_missing_golden_states_fail_with_what_to_do(suite: pytest.Pytester) -> None:
    write(suite)
    result = suite.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["golden/states.npz: no golden states; write them with pytest --lstm-update"]
    )


def test_dimensions_that_break_a_contract_are_told_by_field(suite: pytest.Pytester) -> None:
    write(suite, units=2)
    result = suite.runpytest_subprocess("--lstm-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["model.keras: lstm: units: expected 2, found 1"])


def test_a_contract_may_be_a_file(suite: pytest.Pytester) -> None:
    suite.makefile(".json", contract='{"layers": [{"path": "lstm", "units": 1}]}')
    suite.makepyfile(
        """
        import lstm_inspect

        def test_dims(assert_state_dims):
            assert_state_dims(lstm_inspect.open_model("model.keras"), "contract.json")
        """
    )
    suite.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_suite_that_does_not_use_it_does_not_pay_for_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import sys

        def test_imports():
            assert "lstm_inspect.pytest_plugin" in sys.modules
            assert "numpy" not in sys.modules
        """
    )
    others = ("-p", "no:hypothesispytest", "-p", "no:zarr")  # plugins that import NumPy
    suite.runpytest_subprocess(*others).assert_outcomes(passed=1)


def test_only_golden_states_are_rewritten(suite: pytest.Pytester) -> None:
    (suite.path / "golden").mkdir()
    (suite.path / "golden" / "states.npz").write_text("notes")
    write(suite)
    result = suite.runpytest_subprocess("--lstm-update")
    result.assert_outcomes(failed=1)
    assert (suite.path / "golden" / "states.npz").read_text() == "notes"


def test_a_contract_that_is_not_there_fails_in_a_line(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def test_dims(assert_state_dims):
            assert_state_dims("model.keras", "none.json")
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["none.json: no such file"])


def test_a_contract_with_a_typo_fails_in_a_line_that_is_printed_once(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        """
        def test_dims(assert_state_dims):
            assert_state_dims("model.keras", {"layers": [{"path": "lstm", "unitss": 1}]})
        """
    )
    result = suite.runpytest_subprocess("-r", "N")
    result.assert_outcomes(failed=1)
    assert [line for line in result.outlines if "did you mean units?" in line] == [
        "contract: layers: lstm: no such field: unitss; did you mean units?"
    ]
