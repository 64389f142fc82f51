"""The tempo of a song: how long it takes until its onsets repeat, on the level at which people tap their feet.

The autocorrelation of the onset strength is taken in windows of 12 s (the tempogram of `librosa.feature.tempogram`,
from P. Grosche et al., ICASSP 2010), so that a tempo that drifts does not blur. A tempo fits if the onsets repeat after
one, two, three and four beats. Its half and its double fit nearly as well. What tells them apart is how strongly each
kind of onset repeats after parts and multiples of a beat: a snare comes back after two beats, a hi-hat after half a
beat. The weights of all this were fitted on made-up songs, and for music without drums also on MIDI files
(`tests/bench/music/fit_tempo.py`). The share of the best tempo among all that are compared is the confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.measurements.music.tempo_weights import (
    CHANGES_WITHOUT_DRUMS,
    DISTANCES_BEATS,
    WEIGHTS,
    WEIGHTS_OF_TEMPO,
)

Curve = NDArray[np.float64]

WINDOW_SECONDS, STEP_SECONDS = 12.0, 6.0
LONGEST_LAG_SECONDS = 6.0
MEAN_SECONDS = 1.0

TEMPOS_BPM: Curve = np.geomspace(40, 240, 260)
"""The tempos that are looked at first, 0.7 percent apart."""

REPETITIONS = 4

DRIFT_STEPS = 9
"""Windows agree on a tempo if theirs lie within so many of these tempos: 3 percent up or down."""

RATIOS = (1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3)
"""The tempos that are compared with the one that fits best, as multiples of it."""

LOWEST_BPM, HIGHEST_BPM = 48.0, 220.0

USUAL_BPM = 120.0

LOUDEST_SHARE = 0.02
SOFT_DB, HARD_DB = 6.0, 7.0
"""Among the loudest onsets of music with drums few rise by less than `HARD_DB` in the mean over all bands, and of music
without drums few by more than `SOFT_DB`. A piano has about 5.5 dB, a band about 10."""

NEAR = np.linspace(0.975, 1.025, 7)
"""Onsets that come back so much early or late count as well."""

SMALLEST_VALUE = 0.02

LEAST_STRENGTH = 0.12
"""Noise, rain, speech and notes in free time stay below 0.08, made-up songs above 0.25."""
LEAST_CONFIDENCE = 0.7
"""Of the tempos that are told 9 percent were wrong in the cross-validation of the weights. README.md has the counts on
other songs."""

LARGEST_DRIFT = 0.12
"""How far, as a logarithm, a window's tempo may be from the song's."""

SHORTEST_SECONDS = 6.0
"""Less music than this shows no tempo."""


@dataclass(frozen=True)
class TempoEstimate:
    """The tempo, how sure it is (0 to 1), how strongly onsets repeat (0 to 1), and the tempo in each window in BPM."""

    bpm: float
    confidence: float
    strength: float
    window_bpm: Curve

    @property
    def is_sure(self) -> bool:
        """Whether the tempo may be told."""
        return self.strength >= LEAST_STRENGTH and self.confidence >= LEAST_CONFIDENCE


@dataclass(frozen=True)
class TempoCandidates:
    """The tempos that are compared: in BPM, shape (n,), and what speaks for each, shape (n, features).

    `strength` is how strongly onsets repeat, from 0 to 1; `window_bpm` has the first tempo in each window.
    """

    bpm: Curve
    features: Curve
    strength: float
    window_bpm: Curve


def window_starts(n_frames: int, frame_rate_hz: float) -> range:
    """Return the frames at which windows begin. A song that is shorter than a window has one window."""
    length, step = round(WINDOW_SECONDS * frame_rate_hz), round(STEP_SECONDS * frame_rate_hz)
    return range(0, max(1, n_frames - length + step), step)


def softness(rises: FloatArray) -> float:
    """Return 0 if these onsets, shape (3, frames), are those of music with drums, 1 if without, or a value between.

    The pulse of music without drums is slower: the onsets of a ballad for piano are mostly halves of beats.
    """
    if not rises.shape[1]:
        return 0.0
    loudest_db = float(np.quantile(rises[0], 1 - LOUDEST_SHARE))
    return float(np.clip((HARD_DB - loudest_db) / (HARD_DB - SOFT_DB), 0, 1))


def estimate_tempo(rises: FloatArray, frame_rate_hz: float, soft: float) -> TempoEstimate | None:
    """Return the tempo that these onsets show; None if they show none.

    Parameters
    ----------
    rises : ndarray, shape (3, frames)
        What `OnsetEnvelope.rises` returns.
    frame_rate_hz
    soft
        The `softness` of the whole accompaniment.
    """
    candidates = tempo_candidates(rises, frame_rate_hz)
    if candidates is None:
        return None
    utilities = candidates.features @ (np.array((*WEIGHTS, *WEIGHTS_OF_TEMPO)) + soft * np.array(CHANGES_WITHOUT_DRUMS))
    best = int(np.argmax(utilities))
    bpm = float(candidates.bpm[best])
    confidence = float(1 / np.exp(utilities - utilities[best]).sum())
    window_bpm = candidates.window_bpm * (bpm / candidates.bpm[0])
    return TempoEstimate(bpm, confidence, candidates.strength, window_bpm)


def tempo_candidates(rises: FloatArray, frame_rate_hz: float) -> TempoCandidates | None:
    """Return the tempo that fits best, its multiples, and what speaks for each; None for too little music.

    `rises` and `frame_rate_hz` are those of `estimate_tempo`.
    """
    if rises.shape[1] < SHORTEST_SECONDS * frame_rate_hz:
        return None
    correlations = [_autocorrelations(row, frame_rate_hz) for row in rises]
    combs = [_comb(correlation, frame_rate_hz) for correlation in correlations[:2]]
    by_tempo, by_tempo_in_amplitude = (
        scipy.ndimage.maximum_filter1d(comb, DRIFT_STEPS, axis=1).mean(axis=0) for comb in combs
    )
    fits = by_tempo * by_tempo_in_amplitude * np.exp(-0.5 * np.square(np.log2(TEMPOS_BPM / USUAL_BPM)))
    first = float(TEMPOS_BPM[np.argmax(fits)])
    bpm = np.array([first, *(first * r for r in RATIOS if r != 1 and LOWEST_BPM <= first * r <= HIGHEST_BPM)])
    window_bpm = _window_tempos(combs[0], first)
    repeats = np.log(np.hstack([_repeats(c, window_bpm, bpm / first, frame_rate_hz) for c in correlations]))
    octaves = np.log2(bpm / USUAL_BPM)
    features = np.hstack((repeats, octaves[:, np.newaxis], np.square(octaves)[:, np.newaxis]))
    strength = float(np.interp(np.log(first), np.log(TEMPOS_BPM), by_tempo))
    return TempoCandidates(bpm, features, strength, window_bpm)


def _autocorrelations(row: FloatArray, frame_rate_hz: float) -> Curve:
    """Return how well each window fits itself at each lag, shape (windows, lags); 1 at lag 0."""
    length, n_lags = round(WINDOW_SECONDS * frame_rate_hz), round(LONGEST_LAG_SECONDS * frame_rate_hz)
    n_fft = scipy.fft.next_fast_len(length + n_lags, real=True)
    shares = 1 - np.arange(n_lags) / length
    starts = window_starts(row.size, frame_rate_hz)
    found = np.zeros((len(starts), n_lags))
    for number, start in enumerate(starts):
        part = _above_mean(row[start : start + length].astype(np.float64), frame_rate_hz)
        spectrum = scipy.fft.rfft(part, n_fft)
        correlation = scipy.fft.irfft(np.square(spectrum.real) + np.square(spectrum.imag), n_fft)[:n_lags]
        if correlation[0] > 0:
            found[number] = np.maximum(correlation / correlation[0] / shares, 0)
    return found


def _above_mean(part: Curve, frame_rate_hz: float) -> Curve:
    """Return what of the onset strength is above its moving mean, less the mean of that."""
    above = np.maximum(part - scipy.ndimage.uniform_filter1d(part, max(3, round(MEAN_SECONDS * frame_rate_hz))), 0)
    return np.asarray(above - above.mean())


def _comb(correlations: Curve, frame_rate_hz: float) -> Curve:
    """Return how strongly onsets repeat at each tempo in each window: the mean over one to four beats."""
    lags = 60 / TEMPOS_BPM * frame_rate_hz
    at = np.arange(correlations.shape[1])
    beats: Sequence[Any] = [
        [np.interp(k * lags, at, correlation, right=0) for k in range(1, REPETITIONS + 1)]
        for correlation in correlations
    ]
    return np.asarray(np.mean(beats, axis=1), dtype=np.float64)


def _window_tempos(comb: Curve, bpm: float) -> Curve:
    """Return the tempo in each window, near that of the song. A window that shows none has the tempo around it."""
    near = np.flatnonzero(np.abs(np.log(TEMPOS_BPM / bpm)) <= LARGEST_DRIFT)
    best = np.argmax(comb[:, near], axis=1)
    found = TEMPOS_BPM[near][best]
    clear = comb[np.arange(len(comb)), near[best]] >= LEAST_STRENGTH
    if not clear.any():
        return np.full(len(comb), bpm)
    windows = np.arange(len(comb))
    return np.asarray(scipy.ndimage.median_filter(np.interp(windows, windows[clear], found[clear]), 5, mode="nearest"))


def _repeats(correlations: Curve, window_bpm: Curve, ratios: Curve, frame_rate_hz: float) -> Curve:
    """Return how strongly onsets repeat after each distance in beats, shape (tempos, distances).

    The tempos are those of the windows multiplied by each ratio. `SMALLEST_VALUE` is added to all.
    """
    at = np.arange(correlations.shape[1])
    # Shape (tempos, distances, NEAR), in frames at one beat per second.
    frames = 60 * frame_rate_hz / ratios[:, np.newaxis, np.newaxis] * np.outer(DISTANCES_BEATS, NEAR)
    total = np.zeros(frames.shape[:2])
    for correlation, bpm in zip(correlations, window_bpm, strict=True):
        total += np.interp(frames / bpm, at, correlation, right=0).max(axis=2)
    return total / len(correlations) + SMALLEST_VALUE
