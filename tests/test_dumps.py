import errno
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_inspect import OutputError
from lstm_inspect.files.atomic import check_target
from lstm_inspect.files.limits import DEFAULT_LIMITS
from lstm_inspect.notation import command_line_words
from lstm_inspect.traces.dumps import is_dump
from tests.conftest import SAMPLES, load_dump, save_dump

META = {"schema": 1}


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """A dump on disk, alone in its folder."""
    path = tmp_path / "states.npz"
    save_dump(path, {"lstm/h": np.zeros(3)}, META)
    return path


def test_a_dump_replaces_the_one_before(dump: Path) -> None:
    save_dump(dump, {"lstm/h": np.ones(3)}, META)
    arrays, meta = load_dump(dump)
    assert arrays["lstm/h"].tolist() == [1, 1, 1]
    assert meta == META
    assert [path.name for path in dump.parent.iterdir()] == [dump.name]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), OutputError, id="disk-full"),
        pytest.param(KeyboardInterrupt(), KeyboardInterrupt, id="interrupted"),
        pytest.param(MemoryError(), MemoryError, id="no-memory"),
    ],
)
def test_a_failed_write_leaves_the_old_dump_and_no_debris(
    failure: BaseException,
    expected: type[BaseException],
    dump: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = dump.read_bytes()

    def fail_half_way(file: Any, *array: Any, **options: Any) -> None:
        file.write(b"PK half")
        raise failure

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", fail_half_way)
    with pytest.raises(expected):
        save_dump(dump, {}, META)
    assert dump.read_bytes() == before
    assert [path.name for path in dump.parent.iterdir()] == [dump.name]


def test_a_full_disk_is_named(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: Any, *array: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", fail)
    with pytest.raises(OutputError) as refused:
        save_dump(dump, {}, META)
    assert str(refused.value) == f"{dump}: cannot be written (No space left on device)"


def test_a_dump_is_told_by_its_document(dump: Path) -> None:
    assert is_dump(dump)


@pytest.mark.parametrize(
    "content", [b"", b"0.5,0.25\n", b"PK\x03\x04"], ids=["empty", "csv", "zip"]
)
def test_other_files_are_no_dumps(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "states.npz"
    path.write_bytes(content)
    assert not is_dump(path)


def test_arrays_without_a_document_are_no_dump(tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", x=np.zeros(3))
    assert not is_dump(tmp_path / "inputs.npz")


def test_a_zip_of_more_members_than_a_limit_allows_is_no_dump(tmp_path: Path) -> None:
    path = tmp_path / "many.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(DEFAULT_LIMITS.zip_members + 1):
            archive.writestr(str(number), b"")
    assert not is_dump(path)


def test_a_model_is_no_dump() -> None:
    assert not is_dump(SAMPLES / "one_unit_last_h.keras")


def always(path: Path) -> bool:
    return True


class TestTarget:
    def refusal(self, path: Path, *sources: Path, force: bool = False) -> str:
        """Returns the one-line error about the target."""
        with pytest.raises(OutputError) as refused:
            check_target(path, sources=list(sources), may_replace=always if force else is_dump)
        message = str(refused.value)
        assert "\n" not in message
        assert message.startswith(str(path))
        return message

    def test_a_new_name_in_a_folder_is_fine(self, tmp_path: Path) -> None:
        target = tmp_path / "states.npz"
        check_target(target, sources=[], may_replace=is_dump)
        assert not target.exists()

    def test_an_earlier_dump_may_be_replaced(self, dump: Path) -> None:
        before = dump.read_bytes()
        check_target(dump, sources=[], may_replace=is_dump)
        assert dump.read_bytes() == before

    @pytest.mark.parametrize("force", [False, True])
    def test_what_is_read_is_never_replaced(self, force: bool, dump: Path) -> None:
        message = self.refusal(dump, dump.with_name("other"), dump, force=force)
        assert "the result would overwrite an input" in message

    @pytest.mark.parametrize("force", [False, True])
    def test_what_is_read_is_known_under_any_name(self, force: bool, dump: Path) -> None:
        link = dump.with_name("link.npz")
        link.symlink_to(dump)
        assert "the result would overwrite an input" in self.refusal(link, dump, force=force)

    def test_another_file_is_replaced_only_by_force(self, tmp_path: Path) -> None:
        thesis = tmp_path / "thesis.npz"
        thesis.write_text("years of work")
        with command_line_words():
            message = self.refusal(thesis)
        assert "exists and would be overwritten; choose another name, or" in message
        assert "--force" in message
        check_target(thesis, sources=[], may_replace=always)
        assert thesis.read_text() == "years of work"

    @pytest.mark.parametrize("force", [False, True])
    def test_a_missing_folder_is_named(self, force: bool, tmp_path: Path) -> None:
        target = tmp_path / "missing" / "states.npz"
        expected = f"the folder {target.parent} does not exist"
        assert expected in self.refusal(target, force=force)

    @pytest.mark.parametrize("force", [False, True])
    def test_a_folder_is_no_target(self, force: bool, tmp_path: Path) -> None:
        assert "received a folder" in self.refusal(tmp_path, force=force)

    def test_the_folder_of_a_bare_name_is_the_current_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        save_dump("states.npz", {}, META)
        check_target(Path("states.npz"), sources=[], may_replace=is_dump)
        assert is_dump(tmp_path / "states.npz")
