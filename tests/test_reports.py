"""Tests reports in every format, against the schema of each."""

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema

from lstm_inspect.checks.findings import RULES, Finding, Report
from lstm_inspect.views.printing import print_report

SCHEMAS = Path(__file__).parent / "schemas"

NAME = "enc\x1b[31moder <&\"'>"
MODEL = Path("models/a b,c:d%.keras")


def finding(file: Path = MODEL, layer: str | None = NAME) -> Finding:
    return Finding(
        rule="value", file=file, layer=layer, field="units", expected=256, found=["batch", 8]
    )


FINDINGS = (
    finding(),
    finding(Path("/models/b.keras"), layer=None),
    Finding(
        rule="numbers",
        file=MODEL,
        layer="lstm",
        field="h",
        expected=float("nan"),
        found=0.5,
        place="sample 0, step 3, unit 5",
        largest=float("inf"),
        largest_place="sample 1, step 0, unit 0",
    ),
    Finding(rule="missing", file=MODEL, layer="lstm", field="", expected="lstm", found=None),
    Finding(rule="extra", file=MODEL, layer="lstm", field="", expected=None, found="lstm"),
    Finding(rule="states", file=MODEL, layer="lstm", field="h", expected=[6], found=[8]),
)
KEPT = Path("models/kept.keras")
REPORTS = {
    "findings": Report(
        command="check", files=(MODEL, Path("/models/b.keras"), KEPT), findings=FINDINGS
    ),
    "none": Report(command="diff", files=(KEPT,), findings=()),
    "unread": Report(
        command="check", files=(MODEL, KEPT), findings=(), unread={MODEL: "m: no such \x1bfile"}
    ),
}


def printed(report: Report, format_: str, capsys: pytest.CaptureFixture[str]) -> str:
    print_report(report, format_)
    text, errors = capsys.readouterr()
    assert errors == ""
    return text


def test_every_rule_has_a_finding_here() -> None:
    assert {each.rule for each in FINDINGS} == RULES.keys()


@pytest.mark.parametrize("format_", ["text", "json", "junit", "sarif", "github"])
@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_no_name_moves_the_terminal(
    report: Report, format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert all(c == "\n" or c.isprintable() for c in printed(report, format_, capsys))


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_junit_is_of_its_schema(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd").validate(printed(report, "junit", capsys))


def test_junit_has_a_case_for_each_file_and_a_failure_for_each_finding(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = ElementTree.fromstring(printed(REPORTS["findings"], "junit", capsys).encode())
    failures = {case.get("name"): len(case.findall("failure")) for case in root.iter("testcase")}
    assert failures == {str(MODEL): 5, "/models/b.keras": 1, str(KEPT): 0}
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_sarif_is_of_its_schema(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads((SCHEMAS / "sarif-2.1.0-excerpt.json").read_text(encoding="utf-8"))
    log = json.loads(printed(report, "sarif", capsys))
    checker = jsonschema.FormatChecker()
    jsonschema.Draft7Validator(schema, format_checker=checker).validate(log)
    assert len(log["runs"][0]["results"]) == len(report.findings)


def test_the_schema_of_sarif_does_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads((SCHEMAS / "sarif-2.1.0-excerpt.json").read_text(encoding="utf-8"))
    log = json.loads(printed(REPORTS["findings"], "sarif", capsys))
    del log["runs"][0]["results"][0]["message"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(log, schema)


def test_sarif_names_rule_file_and_layer(capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = json.loads(printed(REPORTS["findings"], "sarif", capsys))["runs"]
    first, second, *_ = run["results"]
    rules = run["tool"]["driver"]["rules"]
    assert rules[first["ruleIndex"]]["id"] == first["ruleId"] == "value"
    places = [each["locations"][0]["physicalLocation"] for each in (first, second)]
    assert [place["artifactLocation"]["uri"] for place in places] == [
        "models/a%20b%2Cc%3Ad%25.keras",
        "file:///models/b.keras",
    ]


def test_github_annotates_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = printed(REPORTS["findings"], "github", capsys).splitlines()
    assert first == (
        "::error file=models/a b%2Cc%3Ad%25.keras,title=lstm-inspect check::"
        "enc\\x1b[31moder <&\"'>: units: expected 256, found (batch, 8)"
    )


def test_github_appends_a_summary_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    printed(REPORTS["findings"], "github", capsys)
    lines = summary.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["before", "### lstm-inspect check: 6 findings in 2 of 3 models"]
    assert "| /models/b.keras |  | units | 256 | (batch, 8) |" in lines
    printed(REPORTS["findings"], "text", capsys)
    assert summary.read_text(encoding="utf-8").splitlines() == lines


def test_json_has_no_number_that_json_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    report = json.loads(printed(REPORTS["findings"], "json", capsys), parse_constant=refuse)
    numbers = report["findings"][2]
    assert (numbers["expected"], numbers["largest"]) == ("nan", "inf")


@pytest.mark.parametrize(
    ("report", "total"),
    [
        (REPORTS["findings"], "6 findings in 2 of 3 models"),
        (REPORTS["none"], "no difference"),
        (REPORTS["unread"], "1 model as expected, 1 of 2 models could not be read"),
        (Report(command="check", files=(KEPT,), findings=()), "1 model as expected"),
        (Report(command="diff", files=(KEPT,), findings=FINDINGS[:1]), "1 difference"),
    ],
)
def test_text_ends_with_a_total(
    report: Report, total: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(report, "text", capsys).splitlines()[-1] == total


def test_a_file_that_could_not_be_read_makes_no_report_green(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = REPORTS["unread"]
    root = ElementTree.fromstring(printed(report, "junit", capsys).encode())
    assert [error.get("message") for error in root.iter("error")] == ["m: no such \\x1bfile"]
    (run,) = json.loads(printed(report, "sarif", capsys))["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert printed(report, "github", capsys).startswith("::error file=models/a b%2C")
    assert json.loads(printed(report, "json", capsys))["unread"]
