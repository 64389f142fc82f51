"""The script that reads tags is confined within the child's own sandbox, where fewer folders can be read."""

from __future__ import annotations

from pathlib import Path

from mutagen import id3
from mutagen.flac import FLAC
from mutagen.mp3 import MP3

from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.integration.worker.audio_files.test_hostile_audio import run
from worker.child.process import ChildProcess


def test_a_confined_child_reads_several_artists_and_the_identifier_of_the_recording(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(1)), tmp_path / "song.mp3")
    file = MP3(path)
    if file.tags is None:
        file.add_tags()
    # ffmpeg passes on only the first artist, and no identifier.
    file.tags.add(id3.TPE1(encoding=3, text=["First", "Second"]))
    file.tags.add(id3.UFID(owner="http://musicbrainz.org", data=b"0c7bd4ee-0000-4000-8000-000000000001"))
    file.save()
    child = ChildProcess(
        threads=1, scratch_folder=tmp_path / "scratch", extra_engines=("tests.fixtures.stand_ins.engines",)
    )
    try:
        assert child.read_event(240) == {"event": "ready"}
        assert run(child, path, child.jobs_folder / "1")["event"] == "done"
        stem = FLAC(child.jobs_folder / "1" / "out" / "vocals.flac")
    finally:
        child.end()
    assert stem["artist"] == ["First", "Second"]
    assert stem["musicbrainz_trackid"] == ["0c7bd4ee-0000-4000-8000-000000000001"]
