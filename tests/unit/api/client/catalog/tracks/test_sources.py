"""The tracks of a folder: all files with the name of a song, readable or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.client.catalog.tracks.items import SourceError
from api.client.catalog.tracks.sources import find_source


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
