"""Writes a report in each format, for people and for machines."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lstm_inspect.checks.findings import RULES, Finding, Report
from lstm_inspect.notation import counted, printable
from lstm_inspect.version import __version__
from lstm_inspect.views.colors import colored


def _text(report: Report) -> str:
    lines = [
        f"{printable(str(each.file))}: {colored(printable(each.message), 'red', sys.stdout)}"
        for each in report.findings
    ]
    return "\n".join([*lines, _total(report)])


def _total(report: Report) -> str:
    count, files = len(report.findings), len(report.files)
    if report.command == "diff":
        return f"{counted(count, 'difference')}" if count else "no difference"
    unread = len(report.unread)
    parts = [f"{unread} of {counted(files, 'model')} could not be read"] if unread else []
    if count:
        broken = len({finding.file for finding in report.findings})
        parts.insert(0, f"{counted(count, 'finding')} in {broken} of {counted(files, 'model')}")
    elif unread < files:
        parts.insert(0, f"{counted(files - unread, 'model')} as expected")
    return ", ".join(parts)


def _json(report: Report) -> str:
    return json.dumps(report.as_json(), indent=2)


def _junit(report: Report) -> str:
    """Writes JUnit XML; layout: the schema junit-10.xsd of the Jenkins xunit plugin."""
    from xml.etree import ElementTree

    name = f"lstm-inspect {report.command}"
    root = ElementTree.Element("testsuites")
    broken = {finding.file for finding in report.findings}
    suite = ElementTree.SubElement(root, "testsuite", name=name)
    suite.set("tests", str(len(report.files)))
    suite.set("failures", str(len(broken)))
    suite.set("errors", str(len(report.unread)))
    for file in report.files:
        case = ElementTree.SubElement(
            suite, "testcase", classname=name, name=printable(str(file)), time="0"
        )
        for finding in report.of(file):
            message = printable(finding.message)
            failure = ElementTree.SubElement(case, "failure", message=message, type=finding.rule)
            failure.text = message
        if file in report.unread:
            message = printable(report.unread[file])
            ElementTree.SubElement(case, "error", message=message, type="unread")
    ElementTree.indent(root)
    # ASCII is the same bytes in any encoding that the output may have.
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root).decode("ascii")


def _sarif(report: Report) -> str:
    """Writes SARIF 2.1.0; layout: https://docs.oasis-open.org/sarif/sarif/v2.1.0/."""
    rules = [{"id": rule, "shortDescription": {"text": text}} for rule, text in RULES.items()]
    driver = {"name": "lstm-inspect", "version": __version__, "rules": rules}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "invocations": [
                    {
                        "executionSuccessful": not report.unread,
                        "toolExecutionNotifications": [
                            _sarif_notification(file, message)
                            for file, message in report.unread.items()
                        ],
                    }
                ],
                "artifacts": [{"location": {"uri": _uri(file)}} for file in report.files],
                "results": [_sarif_result(finding) for finding in report.findings],
            }
        ],
    }
    return json.dumps(log, indent=2)


def _sarif_notification(file: Path, message: str) -> dict[str, Any]:
    location = {"physicalLocation": {"artifactLocation": {"uri": _uri(file)}}}
    return {"level": "error", "message": {"text": printable(message)}, "locations": [location]}


def _sarif_result(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": _uri(finding.file)}}
    }
    if finding.layer:
        name = printable(finding.layer)
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "layer"}]
    return {
        "ruleId": finding.rule,
        "ruleIndex": list(RULES).index(finding.rule),
        "level": "error",
        "message": {"text": printable(finding.message)},
        "locations": [location],
    }


def _uri(file: Path) -> str:
    from urllib.parse import quote

    return file.as_uri() if file.is_absolute() else quote(os.fsencode(file.as_posix()))


def _github(report: Report) -> str:
    """Writes workflow commands of GitHub Actions, ``::error file=NAME,title=TITLE::MESSAGE``."""
    told = [(finding.file, finding.message) for finding in report.findings]
    lines = []
    for file, message in [*told, *report.unread.items()]:
        properties = f"file={_escaped(file, '%:,')},title=lstm-inspect {report.command}"
        lines.append(f"::error {properties}::{_escaped(message, '%')}")
    return "\n".join([*lines, _total(report)])


def _escaped(text: Path | str, special: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in special else c for c in printable(str(text)))


def markdown(report: Report) -> str:
    """Writes a report as Markdown, for the summary of a step in GitHub Actions."""
    lines = [f"### lstm-inspect {report.command}: {_total(report)}", ""]
    if report.findings:
        lines += ["| file | layer | field | expected | found |", "|---|---|---|---|---|"]
    for each in report.findings:
        cells = [str(each.file), each.layer or "", each.field, *each.values]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    lines += [f"- {_cell(message)}" for message in report.unread.values()]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    escaped = printable(text).replace("\\", "\\\\")
    return "".join(f"\\{c}" if c in "|<>[]*_`" else c for c in escaped)


FORMATS: dict[str, Callable[[Report], str]] = {
    "text": _text,
    "json": _json,
    "junit": _junit,
    "sarif": _sarif,
    "github": _github,
}
"""The function that writes each format of a report, by the name of the format."""
