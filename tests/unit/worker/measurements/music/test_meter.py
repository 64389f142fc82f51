"""Tempo, beats and key of made-up songs whose truth is known, and sounds that have none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.bench.music.tempo import SAME_TEMPO, beats_f_measure, find, judge_key, judge_tempo
from tests.fixtures.sounds.made_up_music import RATE_HZ, Hits, Style, make_music, without_music
from tests.fixtures.sounds.other_made_up_music import make_other_music
from worker.audio_files.tags.fields import Tags
from worker.engines.interface import FloatArray
from worker.measurements.music.meter import MusicFindings, MusicMeter
from worker.measurements.music.outputs import tags_with_music, write_beats
from worker.measurements.music.tempo import LEAST_CONFIDENCE, softness

NOTHING = MusicFindings(None, None, None, None, np.empty(0))


@pytest.mark.parametrize(
    ("bpm", "style", "swing", "drift", "tonic", "mode"),
    [
        (108.0, "rock", 0.0, 0.0, 5, "minor"),
        (130.0, "funk", 0.0, 0.0, 5, "minor"),
        (140.0, "march", 1.0, 0.0, 2, "major"),
        (110.0, "rock", 0.0, 0.08, 5, "minor"),
    ],
)
def test_tempo_beats_and_key_of_a_song_are_found(  # noqa: PLR0917 - one for each column
    bpm: float, style: str, swing: float, drift: float, tonic: int, mode: str
) -> None:
    song = make_music(bpm, style, tonic=tonic, mode=mode, swing=swing, drift=drift, seconds=30, cents=15, seed=5)
    found = find(song.accompaniment, song.vocals)
    assert found.tempo_bpm == pytest.approx(song.bpm, rel=SAME_TEMPO if drift else 0.005)
    assert beats_f_measure(found, song) > 0.9
    assert judge_key(found, song) == "right"
    assert found.tempo_confidence is not None
    assert LEAST_CONFIDENCE <= found.tempo_confidence <= 1


def test_most_keys_are_told_and_none_is_wrong() -> None:
    # 17 are told; the others are left out.
    judged = Counter[str]()
    for tonic in range(12):
        for mode, style in (("major", "waltz"), ("minor", "march")):
            song = make_music(90 + 3 * tonic, style, tonic=tonic, mode=mode, seconds=20, cents=15, seed=5)
            judged[judge_key(find(song.accompaniment, song.vocals), song)] += 1
    assert set(judged) <= {"right", "left out"}
    assert judged["right"] >= 12


def test_most_tempos_of_songs_that_nothing_was_fitted_on_are_told_and_right() -> None:
    # One song of each pattern. 8 are told and right; the others are left out.
    judged = Counter(
        judge_tempo(find(song.accompaniment), song)
        for song in (make_other_music(seed, seconds=20) for seed in range(2_000, 2_010))
    )
    assert judged["right"] >= 6
    assert judged["right"] + judged["left out"] >= 9


EIGHTHS = ((0, 1), (0.5, 0.4), (1, 0.5), (1.5, 0.4), (2, 0.7), (2.5, 0.4), (3, 0.5), (3.25, 0.4), (3.5, 0.4))
SIXTEENTHS = ((0, 1), (0.5, 0.5), (0.75, 0.5), (1, 0.7), (1.5, 0.5), (2, 0.9), (2.5, 0.5), (2.75, 0.5), (3, 0.7))


@pytest.mark.parametrize(
    ("bpm", "bass", "chords", "told"),
    [(60, ((0, 1),), EIGHTHS, 60), (72, ((0, 1), (2, 0.8)), (*SIXTEENTHS, (3.5, 0.5), (3.75, 0.5)), None)],
)
def test_a_slow_song_without_drums_is_not_told_double(bpm: int, bass: Hits, chords: Hits, told: int | None) -> None:
    found = find(make_music(bpm, Style((), (), (), bass, chords), seconds=24, seed=3).accompaniment)
    assert found.tempo_bpm == (None if told is None else pytest.approx(told, rel=SAME_TEMPO))


def test_onsets_are_soft_without_drums_and_hard_with_them() -> None:
    song = make_music(118, "rock", tonic=5, mode="minor", seconds=20, seed=5)
    notes = make_music(60, Style((), (), (), ((0, 1),), EIGHTHS), seconds=20, seed=5)
    assert softness(onsets(song.accompaniment)) == 0
    assert softness(onsets(notes.accompaniment)) > 0.5
    # A short passage with drums is enough.
    bars = slice(4 * RATE_HZ, 10 * RATE_HZ)
    notes.accompaniment[:, bars] += song.drums[:, bars]
    assert softness(onsets(notes.accompaniment)) == 0
    assert softness(np.empty((3, 0), np.float32)) == 0


def onsets(accompaniment: FloatArray) -> FloatArray:
    meter = MusicMeter(("accompaniment",), sample_rate_hz=RATE_HZ, channels=2, n_samples=accompaniment.shape[1])
    for task in meter.measuring_tasks(accompaniment, accompaniment[np.newaxis]):
        task()
    return meter.onsets()[0]


@pytest.mark.parametrize("kind", ["silence", "noise", "speech", "rain", "free_time"])
def test_what_has_no_tempo_is_told_none(kind: str) -> None:
    found = find(without_music(kind, seconds=20))
    assert found.tempo_bpm is None
    assert len(found.beats) == 0
    if kind != "free_time":
        assert found.key is None


@pytest.mark.parametrize("n_samples", [0, 1, 100, RATE_HZ * 3])
def test_a_song_that_is_too_short_is_told_no_tempo(n_samples: int) -> None:
    song = make_music(seconds=4)
    assert find(song.accompaniment[:, :n_samples]).tempo_bpm is None


def test_a_silence_in_a_song_does_not_change_its_tempo() -> None:
    song = make_music(108, "rock", tonic=5, mode="minor", seconds=30, seed=5)
    song.accompaniment[:, 8 * RATE_HZ : 20 * RATE_HZ] = 0
    found = find(song.accompaniment)
    assert found.tempo_bpm == pytest.approx(108, rel=0.005)
    assert not ((found.beats > 10) & (found.beats < 18)).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("level", [0.0, 1e-30, 1.0, 1e15])
@pytest.mark.parametrize("rate_hz", [8_000, 192_000])
def test_signals_of_no_music_and_any_level_are_told_nothing(level: float, rate_hz: int) -> None:
    n = 7 * rate_hz
    noise = np.random.default_rng(0).normal(0, 1, (1, n)).astype(np.float32)
    for mono in (np.ones((1, n), np.float32), noise):
        meter = MusicMeter(("vocals", "drums", "other"), sample_rate_hz=rate_hz, channels=1, n_samples=n)
        signal = mono * np.float32(level)
        for task in meter.measuring_tasks(signal, np.stack([signal * 0.2, signal * 0.5, signal * 0.3])):
            task()
        found = meter.findings(start_seconds=0.0)
        assert (found.tempo_bpm, found.key, len(found.beats)) == (None, None, 0)


def test_blocks_of_any_size_give_the_same() -> None:
    song = make_music(seconds=12)
    found = []
    for size in (song.accompaniment.shape[1], 1_009, 60_001):
        meter = MusicMeter(("vocals", "accompaniment"), sample_rate_hz=44_100, channels=2, n_samples=12 * RATE_HZ)
        for start in range(0, song.accompaniment.shape[1], size):
            part = song.accompaniment[:, start : start + size]
            for task in meter.measuring_tasks(part, np.stack([np.zeros_like(part), part])):
                task()
        found.append((meter._onsets.rises(), meter._pitches.weights))
    for rises, weights in found[1:]:
        np.testing.assert_allclose(rises, found[0][0], atol=1e-4)
        np.testing.assert_allclose(weights, found[0][1], rtol=1e-3, atol=0.05)


def test_drums_are_used_if_the_engine_has_them_and_the_voice_is_not() -> None:
    song = make_music(118, "rock", tonic=5, mode="minor", seconds=20, seed=5)
    n = song.accompaniment.shape[1]
    meter = MusicMeter(("vocals", "drums", "other"), sample_rate_hz=RATE_HZ, channels=2, n_samples=n)
    # A voice that is louder than the song, and claps another tempo.
    voice = 3 * make_music(77, "march", seconds=20, tonic=6).accompaniment
    stems = np.stack([voice, song.drums, song.accompaniment - song.drums])
    for task in meter.measuring_tasks(stems.sum(axis=0), stems):
        task()
    found = meter.findings(start_seconds=90.0)
    assert found.tempo_bpm == pytest.approx(118, rel=0.005)
    assert judge_key(found, song) == "right"
    assert 90 <= found.beats[0] < found.beats[-1] <= 110


def test_channels_out_of_phase_are_heard() -> None:
    song = make_music(108, tonic=5, mode="minor", seconds=20, seed=5)
    found = find(song.accompaniment * np.array([[1], [-1 / 0.9]], dtype=np.float32))
    assert found.tempo_bpm == pytest.approx(108, rel=0.005)


def test_beats_are_written_as_seconds(tmp_path: Path) -> None:
    music = MusicFindings(120.0, 0.9, None, None, np.array([90.12345, 90.6234]))
    (file,) = write_beats(music, tmp_path, start_seconds=90.0)
    assert (file.kind, file.name, file.content_type) == ("beats", "beats", "application/json")
    written = json.loads((tmp_path / "beats.json").read_text())
    assert written == {"tempo_bpm": 120.0, "start_seconds": 90.0, "beats": [90.123, 90.623]}
    assert write_beats(NOTHING, tmp_path, start_seconds=0.0) == []


def test_tags_of_the_source_are_kept_and_missing_ones_are_added() -> None:
    music = MusicFindings(123.6, 0.9, "Eb minor", 0.9, np.empty(0))
    assert tags_with_music(None, music) is None
    found = tags_with_music(Tags({"title": ("A",)}), music)
    assert found is not None
    assert found.fields == {"title": ("A",), "bpm": ("124",), "key": ("Ebm",)}
    kept = tags_with_music(Tags({"bpm": ("62",), "key": ("Gm",)}), music)
    assert kept is not None
    assert kept.fields == {"bpm": ("62",), "key": ("Gm",)}
    unsure = tags_with_music(Tags({}), NOTHING)
    assert unsure is not None
    assert unsure.fields == {}
