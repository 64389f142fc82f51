"""Tempo, beats and key on the way through the pipeline: into the report, a file and the tags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutagen.flac import FLAC
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4

from api.contract.examples.files import EXAMPLE_BEATS, EXAMPLE_REPORT, EXAMPLE_WAVEFORM
from shared.audio.mixes import read_mix
from tests.fixtures.sounds.audio import write_wav
from tests.fixtures.sounds.made_up_music import RATE_HZ, make_music
from tests.fixtures.stand_ins.engines import Share, registry_of
from worker.pipeline.run import separate_song
from worker.run_messages import Outcome, Work

BPM = 112.0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    song = make_music(BPM, "march", tonic=5, mode="minor", seconds=22, seed=5)
    return write_wav(tmp_path_factory.mktemp("songs") / "song.wav", song.accompaniment, RATE_HZ)


def run(folder: Path, source: Path, **options: Any) -> Outcome:
    work = Work(str(source), str(folder / "out"), str(folder / "scratch"), source.name, "share", **options)
    return separate_song(work, lambda *_: None, registry=registry_of(Share()))


def beats_of(folder: Path) -> Any:
    return json.loads((folder / "out" / "beats.json").read_text())


def test_the_report_a_file_and_the_tags_have_tempo_beats_and_key(tmp_path: Path, source: Path) -> None:
    outcome = run(tmp_path, source)
    music, beats = outcome.report["music"], beats_of(tmp_path)
    assert (round(music["tempo_bpm"]), music["key"]) == (BPM, "F minor")
    assert [o.name for o in outcome.outputs if o.kind == "beats"] == ["beats"]
    # The API reads it there.
    assert [o.details for o in outcome.outputs if o.kind == "report"] == [{"music": music}]
    assert len(beats["beats"]) == music["beats_count"] > 35
    assert np.diff(beats["beats"]) == pytest.approx(60 / BPM, abs=0.05)
    for stem in ("vocals", "accompaniment"):
        tags = FLAC(tmp_path / "out" / f"{stem}.flac").tags
        assert (tags["bpm"], tags["initialkey"]) == (["112"], ["Fm"])


def test_the_files_have_the_members_that_the_openapi_document_shows(tmp_path: Path, source: Path) -> None:
    report = run(tmp_path, source, mixes=(read_mix("karaoke=minus:vocals"),)).report
    assert report.keys() == EXAMPLE_REPORT.keys()
    for part in ("source", "model", "format", "mixture", "music", "seconds"):
        assert report[part].keys() == EXAMPLE_REPORT[part].keys(), part
    assert report["stems"]["vocals"].keys() == EXAMPLE_REPORT["stems"]["vocals"].keys()
    assert report["mixes"]["karaoke"].keys() == EXAMPLE_REPORT["mixes"]["karaoke"].keys()
    assert report["source"]["streams"][0].keys() == EXAMPLE_REPORT["source"]["streams"][0].keys()
    assert beats_of(tmp_path).keys() == EXAMPLE_BEATS.keys()
    waveform = json.loads((tmp_path / "out" / "waveform-vocals.json").read_text())
    assert waveform.keys() == EXAMPLE_WAVEFORM.keys()


@pytest.mark.parametrize("name", ["mp3", "m4a"])
def test_each_format_is_tagged_in_its_way(tmp_path: Path, source: Path, name: str) -> None:
    run(tmp_path, source, format=name)
    path = tmp_path / "out" / f"vocals.{name}"
    if name == "mp3":
        tags = MP3(path).tags
        assert (tags["TBPM"].text, tags["TKEY"].text) == (["112"], ["Fm"])
    else:
        tags = MP4(path).tags
        assert (tags["tmpo"], bytes(tags["----:com.apple.iTunes:initialkey"][0])) == ([112], b"Fm")


def test_beats_of_an_excerpt_are_on_the_song_s_timeline(tmp_path: Path, source: Path) -> None:
    run(tmp_path / "whole", source)
    run(tmp_path / "part", source, excerpt_start_seconds=6.0, excerpt_duration_seconds=14.0)
    whole, part = beats_of(tmp_path / "whole"), beats_of(tmp_path / "part")
    assert part["start_seconds"] == 6.0
    assert 6 <= part["beats"][0] < part["beats"][-1] <= 20
    distances = np.abs(np.array(part["beats"])[:, np.newaxis] - whole["beats"]).min(axis=1)
    assert np.median(distances) < 0.03


def test_without_the_analysis_nothing_of_it_is_made(tmp_path: Path, source: Path) -> None:
    outcome = run(tmp_path, source, analyse_music=False)
    assert outcome.report["music"] is None
    assert not (tmp_path / "out" / "beats.json").exists()
    assert "bpm" not in (FLAC(tmp_path / "out" / "vocals.flac").tags or {})
