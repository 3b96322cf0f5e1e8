"""Tests that the JSON output fits the schemas in docs/schemas, and that these never change."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from referencing import Registry, Resource

from lstm_inspect.checks.comparison import Comparison
from lstm_inspect.checks.contract.contracts import Contract
from lstm_inspect.checks.verification import Verification
from lstm_inspect.cli import cli
from lstm_inspect.errors import ContractError
from tests.conftest import FIXTURES, SAMPLES, lstm, lstm_weights, sequential, write_h5

pytestmark = pytest.mark.usefixtures("parsed_here")

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"

# To change the JSON output: publish a schema with the next number beside the old one, increase the
# number in `schema`, and add the digest here.
PUBLISHED = {
    "contract.1.json": "a97687250c8b9f53",
    "contract.2.json": "d51ec9bdfa2d6eee",
    "report.1.json": "d0714111175655c5",
    "several_shapes.1.json": "023c90e34a5baa0e",
    "shapes.1.json": "cc842ebe466d7944",
    "shapes.2.json": "badd69491dac749a",
    "shapes.3.json": "767ee926da4fd0f6",
    "stats.1.json": "f7c3a754f106589a",
    "trace.1.json": "f6e11b09195fee35",
    "trace.2.json": "42992895c4707628",
    "verify.1.json": "3d7215e47160ac08",
    "verify.2.json": "2dd05b0cb6932726",
    "weights.1.json": "78b077e2b287b91c",
}


def content_of(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def digest_of(name: str) -> str:
    """A digest of the content; the layout of the JSON does not matter."""
    plain = json.dumps(content_of(name), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    resources = [(each, Resource.from_contents(content_of(each))) for each in PUBLISHED]
    registry: Registry[Any] = Registry().with_resources(resources)
    return jsonschema.Draft202012Validator(content_of(name), registry=registry)


def validate(value: Any, name: str) -> None:
    validator(name).validate(value)


def printed(*arguments: object) -> Any:
    """The JSON that a command prints; NaN, which is not JSON, fails the test."""
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code in (0, 1), result.stderr
    return json.loads(result.stdout, parse_constant=lambda constant: pytest.fail(constant))


def test_every_published_schema_is_listed() -> None:
    assert {path.name for path in SCHEMAS.iterdir()} == PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_schema_never_changes(name: str) -> None:
    assert digest_of(name) == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_schema_is_one_and_has_its_number(name: str) -> None:
    schema = content_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    number = int(name.split(".")[1])
    assert schema["properties"]["schema"] == {"const": number}


MODELS = [
    *sorted(SAMPLES.glob("*.keras")),
    *sorted(FIXTURES.glob("keras-3.15/*.keras")),
    *sorted(FIXTURES.glob("keras-2.15/*.h5")),
]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shapes_prints_what_its_schema_says(path: Path) -> None:
    value = printed("shapes", path, "--format", "json")
    validate(value, "shapes.2.json")
    validate(value, "contract.2.json")


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shapes_prints_further_tables_as_its_schema_says(path: Path) -> None:
    validate(printed("shapes", path, "--gates", "--format", "json"), "shapes.2.json")
    value = printed("shapes", path, "--gates", "--all", "--format", "json")
    validate(value, "shapes.3.json")
    assert len(value["gates"]) == len(value["layers"]) <= len(value["calls"])


def test_shapes_prints_several_models_as_their_schema_says(tmp_path: Path) -> None:
    (tmp_path / "bad.h5").write_text("text")
    arguments = ["shapes", str(tmp_path), str(MODELS[0]), "--gates", "--json"]
    value = json.loads(CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout)
    validate(value, "several_shapes.1.json")
    assert [sorted(row) for row in value["models"]] == [["error", "path"], ["path", "shapes"]]


@pytest.mark.parametrize("name", ["lstm_all", "gru", "multi"])
def test_a_checkpoint_is_printed_as_its_schema_says(name: str) -> None:
    path = FIXTURES / "tensorflow-1" / f"{name}.ckpt"
    validate(printed("shapes", path, "--gates", "--all", "--format", "json"), "shapes.3.json")
    validate(printed("contract", path), "contract.2.json")


def test_weights_prints_what_its_schema_says(tmp_path: Path) -> None:
    value = printed(
        *("weights", SAMPLES / "stacked.keras", "--gates"),
        *("--out", tmp_path / "w.npz", "--format", "json"),
    )
    validate(value, "weights.1.json")


def test_trace_prints_what_its_schema_says(tmp_path: Path) -> None:
    x = np.load(SAMPLES / "stacked.npy")
    x[:] = np.nan
    np.save(tmp_path / "x.npy", x)
    for given in (SAMPLES / "stacked.npy", tmp_path / "x.npy"):
        value = printed(
            *("trace", SAMPLES / "stacked.keras", "--input", given, "--allow-nonfinite"),
            *("--out", tmp_path / "s.npz", "--format", "json"),
        )
        validate(value, "trace.2.json")
    assert value["arrays"][0]["mean"] is None


def test_stats_prints_what_its_schema_says(tmp_path: Path) -> None:
    x = np.load(SAMPLES / "bidirectional_masking.npy")
    x[1, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    for given in (SAMPLES / "bidirectional_masking.npy", tmp_path / "x.npy"):
        printed(
            *(
                "trace",
                SAMPLES / "bidirectional_masking.keras",
                "--input",
                given,
                "--record",
                "all",
            ),
            *("--allow-nonfinite", "--out", tmp_path / "s.npz", "--format", "json"),
        )
        value = printed("stats", tmp_path / "s.npz", "--json")
        validate(value, "stats.1.json")
    assert [note["kind"] for note in value["notes"]].count("nonfinite") > 4


def test_a_verification_is_of_its_schema() -> None:
    comparisons = tuple(
        Comparison("lstm", "h", absolute=apart, relative=apart, place=(0, 1, 2), tolerance=1e-4)
        for apart in (1e-7, float("nan"))
    )
    verification = Verification(comparisons=comparisons, skipped={"the whole model": "why"})
    validate(json.loads(json.dumps(verification.as_json())), "verify.2.json")
    assert verification.as_json()["comparisons"][1]["relative"] is None


def test_check_and_diff_print_what_their_schema_says(tmp_path: Path) -> None:
    model = SAMPLES / "encoder_decoder.keras"
    expect = ["--expect", "encoder.units=7..9", "--expect", "gone.units=1"]
    value = printed("check", model, *expect, "--format", "json")
    validate(value, "report.1.json")
    assert [finding["rule"] for finding in value["findings"]] == ["value", "missing"]
    config = sequential(lstm("lstm", 2, batch_input_shape=[None, 3, 1]))
    for name, scale in (("a.h5", 1), ("b.h5", 2)):
        weights = {key: scale * array for key, array in lstm_weights("lstm", 1, 2).items()}
        write_h5(tmp_path / name, config, {"lstm": weights})
    value = printed("diff", tmp_path / "a.h5", tmp_path / "b.h5", "--format", "json")
    validate(value, "report.1.json")
    assert {finding["rule"] for finding in value["findings"]} == {"numbers"}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_contract_writes_what_its_schema_says(path: Path) -> None:
    validate(printed("contract", path), "contract.2.json")


@pytest.mark.parametrize(
    "content",
    [
        {
            "layers": [
                {"path": "*", "units": {"min": 1, "max": 9}, "states": {"h": [1, {"max": 2}]}}
            ]
        },
        {"layers": {"exactly": []}, "inputs": {"exactly": [{"name": "x", "shape": None}]}},
        {"schema": 2, "parameters": {"max": 9}},
    ],
)
def test_a_contract_that_is_taken_is_of_the_schema(content: Any) -> None:
    Contract(content)
    validate(content, "contract.2.json")


def test_a_contract_of_the_first_schema_is_still_taken() -> None:
    content = {"schema": 1, "layers": [{"path": "*", "cell": "lstm"}]}
    Contract(content)
    validate(content, "contract.1.json")


@pytest.mark.parametrize(
    "content",
    [
        {"layer": []},
        {"layers": {}},
        {"layers": [{"units": 3}]},
        {"layers": [{"path": "x", "unit": 3}]},
        {"schema": 3},
    ],
)
def test_a_contract_that_is_refused_is_not_of_the_schema(content: Any) -> None:
    with pytest.raises(ContractError):
        Contract(content)
    with pytest.raises(jsonschema.ValidationError):
        validate(content, "contract.2.json")
