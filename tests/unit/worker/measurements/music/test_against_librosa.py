"""Onsets and beats are those of librosa's functions, which need the whole song and seconds to be imported."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.sounds.made_up_music import RATE_HZ, MadeUpMusic, make_music
from worker.engines.stft_frames import frames_of
from worker.measurements.music.beats import track_beats
from worker.measurements.music.onsets import FLOOR, OnsetEnvelope
from worker.measurements.music.tempo import estimate_tempo, softness


@pytest.fixture(scope="module")
def song() -> MadeUpMusic:
    return make_music(104, "rock", seconds=25)


@pytest.mark.slow
def test_onset_strengths_are_those_of_librosa(song: MadeUpMusic) -> None:
    import librosa

    y = song.accompaniment[0]
    envelope = OnsetEnvelope(sample_rate_hz=RATE_HZ)
    padded = np.concatenate((np.zeros(envelope.n_fft // 2, np.float32), y))
    powers = envelope.powers(frames_of(padded, envelope.n_fft, envelope.hop_length))
    levels = librosa.power_to_db(powers.T, amin=FLOOR, top_db=None)
    expected = librosa.onset.onset_strength(S=levels, center=False)
    envelope.add_block(y)
    np.testing.assert_allclose(envelope.rises()[0], expected, atol=1e-3)


@pytest.mark.slow
def test_beats_are_those_of_librosa(song: MadeUpMusic) -> None:
    import librosa

    envelope = OnsetEnvelope(sample_rate_hz=RATE_HZ)
    envelope.add_block(song.accompaniment[0])
    rises = envelope.rises()
    estimate = estimate_tempo(rises, envelope.frame_rate_hz, softness(rises))
    assert estimate is not None
    ours = track_beats(rises, envelope.frame_rate_hz, np.full(len(estimate.window_bpm), estimate.bpm))
    _, theirs = librosa.beat.beat_track(
        onset_envelope=rises[0], sr=RATE_HZ, hop_length=envelope.hop_length, bpm=estimate.bpm, units="time"
    )
    near = np.abs(ours[:, np.newaxis] - theirs).min(axis=0)
    assert (near < 0.03).mean() > 0.95
