"""Mixes of finished stems: what they sound like, and what the report says about them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutagen.flac import FLAC

from shared.audio.mixes import STEM_FILE_MIXES, STEMS_OF_STEM_FILES, Mix
from shared.errors import RequestInvalidError, ScratchFullError
from tests.fixtures.sounds.audio import convert, decode, make_song, write_wav
from tests.fixtures.stand_ins.engines import Share, registry_of
from worker.engines.interface import FloatArray
from worker.pipeline.run import separate_song
from worker.run_messages import Limits, Outcome, Work

KARAOKE = Mix("karaoke", {"vocals": None, "accompaniment": 0.0}, None)


@pytest.fixture
def song() -> FloatArray:
    return make_song(3)


def stems_of(folder: Path, song: FloatArray, format_name: str = "flac", **options: Any) -> dict[str, str]:
    """Separate a song with tags; return its stems."""
    convert(write_wav(folder / "song.wav", song), folder / "song.flac", "-metadata", "title=A Song", "-c:a", "flac")
    work = Work(
        *(str(folder / "song.flac"), str(folder / "stems"), str(folder / "scratch"), "song.flac", "share"),
        format=format_name,
        **options,
    )
    outcome = separate_song(work, lambda *_: None, registry=registry_of(Share()))
    return {o.name: str(folder / "stems" / o.filename) for o in outcome.outputs if o.kind == "stem"}


def mix(folder: Path, stems: dict[str, str], *mixes: Mix, told: list[Any] | None = None, **options: Any) -> Outcome:
    work = Work(
        *(next(iter(stems.values())), str(folder / "out"), str(folder / "scratch"), "song.flac", "gone"),
        stem_paths=stems,
        mixes=mixes,
        **options,
    )
    work = Work.from_json(json.loads(json.dumps(work.to_json())))
    return separate_song(work, lambda *_: None, report_probed=None if told is None else told.append)


def test_stems_at_0_db_are_the_song_again_and_the_gains_are_kept(tmp_path: Path, song: FloatArray) -> None:
    told: list[Any] = []
    stems = stems_of(tmp_path, song, format_options={"bit_depth": 24})
    same = Mix("same", {"vocals": 0.0, "accompaniment": 0.0}, None)
    quiet = Mix("quiet", {"vocals": -12.0, "accompaniment": -6.0}, None)
    outcome = mix(tmp_path, stems, same, quiet, KARAOKE, told=told, format_options={"bit_depth": 24})
    step = 2.0**-23
    np.testing.assert_allclose(decode(tmp_path / "out/same.flac", channels=2), song, atol=3 * step)
    np.testing.assert_allclose(decode(tmp_path / "out/karaoke.flac", channels=2), song * 0.75, atol=3 * step)
    share = 0.25 * 10 ** (-12 / 20) + 0.75 * 10 ** (-6 / 20)
    np.testing.assert_allclose(decode(tmp_path / "out/quiet.flac", channels=2), song * share, atol=3 * step)
    assert [(o.kind, o.name) for o in outcome.outputs] == [
        *(("mix", name) for name in ("same", "quiet", "karaoke")),
        *(("waveform", name) for name in ("same", "quiet", "karaoke")),
        ("report", "report"),
    ]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {o.filename for o in outcome.outputs}
    assert not (tmp_path / "scratch").exists()
    assert (told[0]["sample_rate_hz"], told[0]["duration_seconds"]) == (44_100, pytest.approx(3.0))
    assert outcome.source["duration_seconds"] == 3.0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report == outcome.report
    assert report["mixes"]["quiet"]["gains_db"] == {"vocals": -12.0, "accompaniment": -6.0}
    assert report["mixed_stems"] == {"vocals": "flac", "accompaniment": "flac"}
    assert len(report["notes"]) == 1
    assert "nothing was separated" in report["notes"][0]


def test_a_mix_has_the_tags_of_the_song_and_its_own_name(tmp_path: Path, song: FloatArray) -> None:
    stems = stems_of(tmp_path, song)
    assert FLAC(stems["vocals"])["title"] == ["A Song (vocals)"]
    mix(tmp_path, stems, KARAOKE)
    assert FLAC(tmp_path / "out/karaoke.flac")["title"] == ["A Song (karaoke)"]


def test_a_mix_needs_only_the_stems_that_are_heard(tmp_path: Path, song: FloatArray) -> None:
    """Only these are fetched (api/submission/mix_submission.py)."""
    stems = stems_of(tmp_path, song, format_options={"bit_depth": 24})
    mix(tmp_path, {"accompaniment": stems["accompaniment"]}, KARAOKE, format_options={"bit_depth": 24})
    np.testing.assert_allclose(decode(tmp_path / "out/karaoke.flac", channels=2), song * 0.75, atol=3 * 2.0**-23)


def test_a_stem_file_of_an_engine_without_other_stems_has_a_silent_track(tmp_path: Path, song: FloatArray) -> None:
    stems = {name: str(write_wav(tmp_path / f"{name}.wav", song / 4)) for name in STEMS_OF_STEM_FILES}
    every = [
        replace(m, gains_db={s: m.gains_db.get(s, m.rest_db) for s in stems}, rest_db=None) for m in STEM_FILE_MIXES
    ]
    outcome = mix(tmp_path, stems, *every, format="stem.mp4")
    assert [output.name for output in outcome.outputs if output.kind == "mix"] == ["stems"]
    other = convert(tmp_path / "out/stems.stem.mp4", tmp_path / "other.wav", "-map", "0:3")
    assert not decode(other, channels=2).any()


def test_a_mix_of_the_stems_of_a_stem_says_of_which(tmp_path: Path, song: FloatArray) -> None:
    convert(write_wav(tmp_path / "a.wav", song), tmp_path / "a.flac", "-metadata", "title=A Song (drums of vocals)")
    mix(tmp_path, {"drums": str(tmp_path / "a.flac")}, Mix("loud", {"drums": 3.0}, None))
    assert FLAC(tmp_path / "out/loud.flac")["title"] == ["A Song (loud of vocals)"]


def test_lossy_stems_are_mixed_as_they_are_and_the_report_says_so(tmp_path: Path, song: FloatArray) -> None:
    outcome = mix(tmp_path, stems_of(tmp_path, song, "mp3"), KARAOKE, format="wav")
    heard = decode(tmp_path / "out/karaoke.wav", channels=2)
    assert heard.shape == song.shape
    assert np.sqrt(np.mean((heard - 0.75 * song) ** 2)) < 0.05 * np.sqrt(np.mean(song**2))
    assert any("lossy format (mp3" in note for note in outcome.report["notes"])


def test_a_mix_that_would_clip_is_made_quieter(tmp_path: Path, song: FloatArray) -> None:
    stems = stems_of(tmp_path, song, format_options={"bit_depth": 24})
    loud = Mix("loud", {"vocals": 24.0, "accompaniment": None}, None)
    outcome = mix(tmp_path, stems, loud, KARAOKE, format_options={"bit_depth": 24})
    gain = 0.9999 / (np.abs(song).max() * 0.25 * 10 ** (24 / 20))
    assert outcome.report["gain_db"] == pytest.approx(20 * np.log10(gain), abs=0.01)
    np.testing.assert_allclose(decode(tmp_path / "out/karaoke.flac", channels=2), song * 0.75 * gain, atol=1e-6)
    assert any("All mixes were made" in note for note in outcome.report["notes"])


@pytest.mark.parametrize(
    "wrong",
    [Mix("drums", {"drums": 0.0}, None), Mix("nothing", {"drums": None}, None), Mix("rest", {"vocals": None}, 0.0)],
)
def test_mixes_that_do_not_match_the_stems_are_refused(tmp_path: Path, song: FloatArray, wrong: Mix) -> None:
    with pytest.raises(RequestInvalidError):
        mix(tmp_path, stems_of(tmp_path, song), wrong)


def test_stems_that_do_not_fit_on_the_scratch_disk_together_are_refused_at_once(
    tmp_path: Path, song: FloatArray
) -> None:
    stems = stems_of(tmp_path, song)
    room = Limits(max_scratch_bytes=int(1.5 * song.nbytes))
    same = Mix("same", {"vocals": 0.0, "accompaniment": 0.0}, None)
    with pytest.raises(ScratchFullError, match="for mixes of fewer stems") as refused:
        mix(tmp_path, stems, same, limits=room)
    assert "2 stems" in refused.value.message
    alone = {"accompaniment": stems["accompaniment"]}
    mix(tmp_path, alone, Mix("alone", {"accompaniment": 0.0}, None), limits=room)
