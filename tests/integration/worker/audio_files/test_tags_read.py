"""Tags of sources: read by the probe if possible, else by another ffmpeg process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.audio import convert, make_song, write_wav
from worker.audio_files.probe import Probe, probe_file
from worker.audio_files.tags import Tags, read_tags
from worker.run_messages import Work
from worker.run_support.workspace import Workspace

TAGS = {"title": 'A = "b"; #1', "artist": "Zoë", "album": "Älbum", "date": "1999"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return Workspace(folder, max_bytes=1 << 30)


def tagged(folder: Path, name: str) -> Path:
    options = [v for field, value in TAGS.items() for v in ("-metadata", f"{field}={value}")]
    return convert(write_wav(folder / "in.wav", make_song(1)), folder / name, *options)


def look(path: Path, workspace: Workspace) -> Probe:
    return probe_file(path, workspace=workspace, ffmpeg_path=None, max_seconds=60)


def read(path: Path, found: Probe, workspace: Workspace, ffmpeg_path: str | None = None) -> Tags | None:
    work = Work(str(path), "out", "scratch", path.name, engine="repetition", ffmpeg_path=ffmpeg_path)
    return read_tags(work, found, workspace)


# Ogg stores tags with the stream, the other formats with the container.
@pytest.mark.parametrize("name", ["song.mp3", "song.flac", "song.ogg", "song.m4a"])
def test_the_probe_reads_tags_so_ffmpeg_is_not_started_for_them(
    tmp_path: Path, workspace: Workspace, name: str
) -> None:
    path = tagged(tmp_path, name)
    assert read(path, look(path, workspace), workspace, ffmpeg_path="/nowhere") == Tags(TAGS)


def test_tags_are_the_same_if_the_probe_was_cut_short(tmp_path: Path, workspace: Workspace) -> None:
    path = tagged(tmp_path, "song.mp3")
    cut = replace(look(path, workspace), walked_seconds=None)
    assert read(path, cut, workspace) == Tags(TAGS)
