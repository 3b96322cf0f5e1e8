"""The pytest plugin: fixtures that trace models and check their states."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lstm_inspect.model import Model
    from lstm_inspect.traces.recording import Trace


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option of this plugin."""
    parser.getgroup("lstm-inspect").addoption(
        "--lstm-update",
        action="store_true",
        help="Write the golden states of assert_states_close instead of comparing with them.",
    )


@pytest.fixture
def lstm_trace() -> "Callable[..., Trace]":
    """Traces a model: ``lstm_trace(model, x, record="all")``.

    The model is a path or an opened model; the other arguments are those of `lstm_inspect.trace`.
    """
    from lstm_inspect.api import trace

    return trace


@pytest.fixture
def assert_state_dims() -> "Callable[[str | Path | Model, str | Path | Mapping[str, Any]], None]":
    """Checks a model against a contract: ``assert_state_dims(model, contract)``.

    The model is a path or an opened model; the contract is a path or the content of a contract.
    """
    from lstm_inspect.api import check_contract
    from lstm_inspect.errors import InspectError

    def check(model: "str | Path | Model", contract: str | Path | Mapping[str, Any]) -> None:
        __tracebackhide__ = True
        try:
            findings = check_contract(contract, model)
        except InspectError as error:
            # Pytest would print the error once more as the context of the failure.
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        if findings:
            lines = (f"{finding.file}: {finding.message}" for finding in findings)
            pytest.fail("\n".join(lines), pytrace=False)

    return check


@pytest.fixture
def assert_states_close(request: pytest.FixtureRequest) -> "Callable[..., None]":
    """Compares states with golden ones: ``assert_states_close(trace, golden, atol=1e-5, rtol=0)``.

    The golden states are a dump, which ``pytest --lstm-update`` writes.
    """
    from lstm_inspect.checks.diff.two_arrays import Tolerance
    from lstm_inspect.checks.diff.two_dumps import diff_traces
    from lstm_inspect.traces.dumps import check_new_dump, is_dump
    from lstm_inspect.traces.recording import load_trace

    def compare(trace: "Trace", golden: str | Path, atol: float = 1e-5, rtol: float = 0) -> None:
        __tracebackhide__ = True
        path, tolerance = Path(golden), Tolerance(atol, rtol)
        if request.config.getoption("lstm_update"):
            path.parent.mkdir(parents=True, exist_ok=True)
            check_new_dump(path, sources=[], may_replace=is_dump)
            trace.save(path, may_replace=is_dump)
            return
        if not path.exists():
            pytest.fail(
                f"{path}: no golden states; write them with pytest --lstm-update", pytrace=False
            )
        findings = diff_traces(load_trace(path).stored(), trace.stored(), path, tolerance)
        if findings:
            lines = [f"{path}: {finding.message}" for finding in findings]
            lines.append("If this change is intended, run pytest --lstm-update")
            pytest.fail("\n".join(lines), pytrace=False)

    return compare
