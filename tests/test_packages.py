"""Builds the wheel and the sdist, offline, and runs what they install in an empty environment."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import lstm_inspect
from tests.conftest import SAMPLES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run(*command: object, folder: Path) -> str:
    done = subprocess.run(
        [str(each) for each in command], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, target: Path, *kinds: str) -> None:
    options = ("--no-isolation", "--outdir", target)
    run(sys.executable, "-m", "build", *options, *kinds, source, folder=target.parent)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of the checkout, and below it what the sdist builds."""
    folder = tmp_path_factory.mktemp("packages")
    build(ROOT, folder, "--wheel", "--sdist")
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    build(folder / sdist.name.removesuffix(".tar.gz"), folder / "from_sdist", "--wheel")
    return folder


def needed_by(package: Distribution) -> Iterator[Distribution]:
    """What a package needs without any extra, and what that needs in turn."""
    for text in package.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed = distribution(requirement.name)
            yield needed
            yield from needed_by(needed)


def environment(folder: Path, wheel: Path) -> Path:
    """The programs of an environment with a wheel and the dependencies that it names."""
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--no-index", "--no-deps", wheel, folder=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    installed = Distribution.at(next(site.glob("lstm_inspect-*.dist-info")))
    for package in needed_by(installed):
        for name in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(str(package.locate_file(name)))
    return python.parent


@pytest.mark.parametrize("where", [".", "from_sdist"])
def test_what_is_built_runs_in_an_empty_environment(
    packages: Path, where: str, tmp_path: Path
) -> None:
    (wheel,) = (packages / where).glob("*.whl")
    programs = environment(tmp_path / "empty", wheel)
    where_from = run(
        *(programs / "python", "-c", "import lstm_inspect; print(lstm_inspect.__file__)"),
        folder=tmp_path,
    )
    assert Path(where_from).is_relative_to(tmp_path / "empty")
    version = run(programs / "lstm-inspect", "--version", folder=tmp_path)
    assert version.startswith(f"lstm-inspect, version {lstm_inspect.__version__}\n")
    printed = run(programs / "lstm-inspect", "shapes", SAMPLES / "stacked.keras", folder=tmp_path)
    assert "2 recurrent layers" in printed


@pytest.mark.parametrize("where", [".", "from_sdist"])
def test_a_wheel_holds_the_package_and_nothing_else(packages: Path, where: str) -> None:
    (wheel,) = (packages / where).glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = ROOT / "lstm_inspect"
    suffixes = (".py", ".pyi", ".typed", ".css", ".html", ".js")
    files = {path for path in package.rglob("*.*") if path.suffix in suffixes}
    assert names == {str(path.relative_to(ROOT)) for path in files}
    assert {"lstm_inspect/py.typed", "lstm_inspect/__init__.pyi"} <= names


def test_the_sdist_holds_what_the_readme_refers_to_and_no_tests(packages: Path) -> None:
    (sdist,) = packages.glob("*.tar.gz")
    unpacked = packages / sdist.name.removesuffix(".tar.gz")
    assert {path.name for path in unpacked.iterdir()} == {
        *("lstm_inspect", "docs", "sample_models", "pyproject.toml", "PKG-INFO", ".gitignore"),
        *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
    }
