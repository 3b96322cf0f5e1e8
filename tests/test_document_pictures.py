"""Makes the pictures of the documents again, as `docs/pictures/make.py` does."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conftest import chromium

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
MADE = sorted({path.name for path in FOLDER.iterdir() if path.is_file()} - {"make.py"})
SHOWN = re.compile(r"!\[(?P<alt>[^]]*)\]\((?P<path>[^)]*)\)")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with the pictures, which two processes made."""
    chromium()
    folders = [tmp_path_factory.mktemp("pictures") for _ in range(2)]
    for folder in folders:
        subprocess.run([sys.executable, FOLDER / "make.py", folder], check=True)
    return folders


def test_the_script_makes_the_pictures_that_there_are(made: list[Path]) -> None:
    assert sorted(path.name for path in made[0].iterdir()) == MADE


@pytest.mark.parametrize("name", MADE)
def test_a_picture_has_the_same_bytes_each_time(name: str, made: list[Path]) -> None:
    first, second = ((folder / name).read_bytes() for folder in made)
    assert first == second


@pytest.mark.parametrize("name", MADE)
def test_a_picture_is_small_and_stands_alone(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    assert len(data) < 150_000
    if name.endswith(".svg"):
        ElementTree.fromstring(data)
        assert b"url(http" not in data.replace(b'"', b"")
        assert b"<script" not in data


def test_each_picture_is_shown_with_words_for_who_cannot_see_it() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    words = {Path(each["path"]).name: each["alt"] for each in SHOWN.finditer(text)}
    assert sorted(words) == MADE
    assert min(map(len, words.values())) > 40
