"""The tracks of a folder: all files with the name of a song, readable or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.client.catalog.tracks.items import SourceError
from api.client.catalog.tracks.left_out import LeftOutPath, summarise
from api.client.catalog.tracks.sources import find_source
from shared.audio.names import LeftOut
from tests.unit.shared.audio.test_names import CASES


def test_a_link_that_leads_nowhere_is_told_and_a_pipe_is_no_song(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "gone.flac").symlink_to("/nowhere/at/all.flac")
    (tmp_path / "album" / "there.flac").symlink_to(tmp_path / "real.flac")
    (tmp_path / "real.flac").touch()
    os.mkfifo(tmp_path / "album" / "pipe.flac")
    (tmp_path / "album" / "notes.txt").touch()
    items = find_source(str(tmp_path / "album")).tracks(besides=tmp_path / "out")
    assert [item.track for item in items] == ["gone", "there"]


def test_a_folder_without_songs_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "cover.jpg").touch()
    with pytest.raises(SourceError, match="There are no songs in"):
        find_source(str(tmp_path)).demand_songs(besides=tmp_path / "out")
    (tmp_path / "a.wav").touch()
    find_source(str(tmp_path)).demand_songs(besides=tmp_path / "out")
    find_source("s3://bucket/prefix").demand_songs(besides=tmp_path / "out")


def test_every_song_is_taken_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    songs = [path for path in CASES["taken"] if not path.startswith(("a.mp3/", "mp3"))]
    for name in (*songs, *CASES["system"], *CASES["other"]):
        if name not in {"a.mp3/cover.jpg"}:
            path = catalog / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    left_out: list[LeftOutPath] = []
    items = list(find_source(str(catalog)).tracks(besides=tmp_path / "out", left_out=left_out))
    assert sorted(str(item.path) for item in items) == sorted(str(catalog / name) for name in songs)
    counts = {reason: files for reason, (files, _) in summarise(left_out).items()}
    assert counts == {LeftOut.SYSTEM: len(CASES["system"]), LeftOut.OTHER: len(CASES["other"]) - 1}
    assert "@eaDir/" in {item.path for item in left_out}, "such a folder is told once, with its number of files"


def test_names_that_are_not_utf_8_are_tracks_with_readable_names(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"Beyonc\xe9 - D\xe9j\xe0 Vu.mp3")
    odd.touch()
    (item,) = find_source(str(tmp_path)).tracks(besides=tmp_path / "out")
    assert (item.track, item.path) == ("Beyonc\N{LATIN SMALL LETTER E WITH ACUTE} - D\xe9j\xe0 Vu", odd)


def test_links_to_folders_pipes_and_stems_are_told(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    (catalog / "album").mkdir(parents=True)
    (catalog / "again").symlink_to(catalog / "album")
    (catalog / "stems" / ".stemqueue").mkdir(parents=True)
    (catalog / "stems" / "vocals.flac").touch()
    os.mkfifo(catalog / "album" / "pipe.flac")
    (catalog / "album" / "a.flac").touch()
    left_out: list[LeftOutPath] = []
    items = list(find_source(str(catalog)).tracks(besides=tmp_path / "out", left_out=left_out))
    assert [item.track for item in items] == ["album/a"]
    assert {(item.path, item.reason) for item in left_out} == {
        ("again/", "link"),
        ("stems/", "stems"),
        ("album/pipe.flac", "special"),
    }


def test_two_songs_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("song.flac", "song.mp3", "song"):
        (tmp_path / name).touch()
    items = find_source(str(tmp_path)).tracks(besides=tmp_path / "out")
    assert [item.track for item in items] == ["song", "song (flac)", "song (mp3)"]
