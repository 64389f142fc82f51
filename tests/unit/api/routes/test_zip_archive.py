"""Archives that are made while they are read."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

import pytest

from api.routes.zip_archive import Entry, archive_bytes, safe_name, zip_chunks
from shared.errors import StorageUnavailableError
from shared.storage.opened_object import Opened

MOMENT = datetime(2026, 11, 23, 12, 30, 8, tzinfo=UTC)


def entry(name: str, content: bytes, *, size_bytes: int | None = None) -> Entry:
    size = len(content) if size_bytes is None else size_bytes
    return Entry(name, size, lambda: Opened(io.BytesIO(content), size, '"e"'))


def test_what_is_packed_unpacks_the_same() -> None:
    contents = {"vocals.flac": b"v" * 700_000, "accompaniment.flac": b"", "report.json": b"{}"}
    chunks = list(zip_chunks([entry(n, c) for n, c in contents.items()], MOMENT))
    assert max(map(len, chunks)) < 300_000, "no whole file is held"
    with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as archive:
        assert archive.testzip() is None
        assert {n: archive.read(n) for n in archive.namelist()} == contents
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.infolist()[0].date_time == (2026, 11, 23, 12, 30, 8)


def test_an_object_that_ends_early_breaks_the_archive_off() -> None:
    with pytest.raises(StorageUnavailableError):
        list(zip_chunks([entry("a.flac", b"short", size_bytes=10)], MOMENT))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("..", "file"),
        (".hidden", "hidden"),
        ("a\nb\x1b[31m.flac", "ab[31m.flac"),
        ("Ärger - vocals.flac", "Ärger - vocals.flac"),
    ],
)
def test_names_unpack_where_they_should(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("limit", [zipfile.ZIP64_LIMIT, 1000, 100])
@pytest.mark.parametrize("sizes", [[], [0], [5, 0, 7], [96, 100, 101], [953, 1000, 1001], [400] * 9])
def test_the_size_is_known_before(monkeypatch: pytest.MonkeyPatch, limit: int, sizes: list[int]) -> None:
    """A low limit stands for files and archives of more than 2 GB."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    entries = [entry(f"../.{n} \u00c4rger: vocals.flac", bytes(size)) for n, size in enumerate(sizes)]
    assert archive_bytes(entries) == len(b"".join(zip_chunks(entries, MOMENT)))


def test_the_size_of_many_entries_is_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    entries = [entry(f"{n}.flac", b"a") for n in range(5)]
    assert archive_bytes(entries) == len(b"".join(zip_chunks(entries, MOMENT)))
