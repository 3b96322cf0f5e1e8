"""Tests the zip of a dump against zipfile, which writes one member after the other."""

import io
import zipfile

import numpy as np
import pytest

from lstm_inspect.files import stored_zip
from lstm_inspect.files.stored_zip import StoredZip

MEMBERS = {"lstm/h.npy": b"0123456789" * 1000, "é/c.npy": b"", "__meta__.npy": b"\0" * 70_000}


def by_zipfile(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(data)
    return file.getvalue()


def by_pieces(members: dict[str, bytes], seed: int | None) -> bytes:
    """Writes pieces of 999 bytes: in order, or shuffled over all members."""
    file = io.BytesIO()
    archive = StoredZip(file)
    added = {name: archive.add(name, len(data)) for name, data in members.items()}
    pieces = [(name, at) for name, data in members.items() for at in range(0, len(data), 999)]
    if seed is not None:
        np.random.default_rng(seed).shuffle(pieces)
    for name, at in pieces:
        added[name].write(int(at), members[name][int(at) : int(at) + 999])
    archive.finish()
    return file.getvalue()


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_bytes_are_those_of_zipfile_in_whichever_order_they_come(seed: int | None) -> None:
    assert by_pieces(MEMBERS, seed) == by_zipfile(MEMBERS)


def test_an_empty_zip_is_that_of_zipfile() -> None:
    assert by_pieces({}, None) == by_zipfile({})


def test_sizes_and_places_of_more_than_32_bits_stand_where_zipfile_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored_zip, "_LARGEST", 9_999)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 9_999)
    wide = by_pieces(MEMBERS, None)
    assert wide == by_zipfile(MEMBERS)
    assert b"PK\x06\x06" in wide


def test_more_members_than_16_bits_count_are_those_of_zipfile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored_zip, "_MOST", 2)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    ours, theirs = by_pieces(MEMBERS, None), by_zipfile(MEMBERS)
    # The end has no count that is too large for it; here 2 would be.
    assert ours[:-14] == theirs[:-14]
