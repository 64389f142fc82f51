"""The tempo of a song: how long it takes until its onsets repeat, on the level at which people tap their feet.

The autocorrelation of the onset strength is taken in windows of 12 s (the tempogram of `librosa.feature.tempogram`,
from P. Grosche et al., ICASSP 2010), so that a tempo that drifts does not blur. A tempo fits if the onsets repeat after
one, two, three and four beats. Its half and its double fit nearly as well. They are compared by weights that were
fitted on made-up songs (`tests/bench/tempo.py`). The share of the best among them is the confidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

from worker.engines.interface import FloatArray

Curve = NDArray[np.float64]

WINDOW_SECONDS, STEP_SECONDS = 12.0, 6.0
LONGEST_LAG_SECONDS = 6.0
MEAN_SECONDS = 1.0

TEMPOS_BPM: Curve = np.geomspace(40, 240, 260)
"""The tempos that are compared, 0.7 percent apart."""

REPETITIONS = 4

DRIFT_STEPS = 9
"""Windows agree on a tempo if theirs lie within so many of the compared tempos: 3 percent up or down."""

RATIOS = (1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3)
"""The tempos that are compared with the one that fits best, as multiples of it."""

LOWEST_BPM, HIGHEST_BPM = 48.0, 220.0

USUAL_BPM = 120.0
WEIGHTS = np.array([-0.2, -0.45, 3.85, 2.45, 2.65, -2.7])
"""Weights of the logarithms of: the repetitions in dB over four beats and one beat, those in amplitude over four beats
and one beat, and those after half a beat in dB and in amplitude. Fitted by conditional logit on 112 made-up songs."""
TEMPO_WEIGHT = 1.65
SMALLEST_VALUE = 0.02

LEAST_STRENGTH = 0.12
"""Noise, rain, speech and notes in free time stay below 0.08, made-up songs above 0.3, real ones above 0.2."""
LEAST_CONFIDENCE = 0.9
"""Of the tempos above this 4 percent were double or wrong, above 0.7 9 percent: 336 made-up songs (seeds 20 to 23)."""

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


def window_starts(n_frames: int, frame_rate_hz: float) -> range:
    """Return the frames at which windows begin. A song that is shorter than a window has one window."""
    length, step = round(WINDOW_SECONDS * frame_rate_hz), round(STEP_SECONDS * frame_rate_hz)
    return range(0, max(1, n_frames - length + step), step)


def repetition_curves(rises: FloatArray, frame_rate_hz: float) -> tuple[Curve, Curve]:
    """Return how strongly onsets repeat at each tempo, from 0 to 1, in each window.

    Parameters
    ----------
    rises : ndarray, shape (frames,)
    frame_rate_hz

    Returns
    -------
    ndarray, ndarray, shape (windows, tempos)
        The mean over one to four beats, and after a single beat.
    """
    lags = 60 / TEMPOS_BPM * frame_rate_hz
    combs, singles = [], []
    for correlation in _autocorrelations(rises, frame_rate_hz):
        at = np.arange(correlation.size)
        beats = [np.interp(k * lags, at, correlation, right=0) for k in range(1, REPETITIONS + 1)]
        combs.append(np.mean(beats, axis=0))
        singles.append(beats[0])
    return np.array(combs), np.array(singles)


def _autocorrelations(rises: FloatArray, frame_rate_hz: float) -> Iterator[Curve]:
    """Yield for each window how well it fits itself at each lag; 1 at lag 0."""
    length, n_lags = round(WINDOW_SECONDS * frame_rate_hz), round(LONGEST_LAG_SECONDS * frame_rate_hz)
    n_fft = scipy.fft.next_fast_len(length + n_lags, real=True)
    shares = 1 - np.arange(n_lags) / length
    for start in window_starts(rises.size, frame_rate_hz):
        part = _above_mean(rises[start : start + length].astype(np.float64), frame_rate_hz)
        spectrum = scipy.fft.rfft(part, n_fft)
        correlation = scipy.fft.irfft(np.square(spectrum.real) + np.square(spectrum.imag), n_fft)[:n_lags]
        if correlation[0] > 0:
            yield np.maximum(correlation / correlation[0] / shares, 0)
        else:
            yield np.zeros(n_lags)


def _above_mean(part: Curve, frame_rate_hz: float) -> Curve:
    """Return what of the onset strength is above its moving mean, less the mean of that."""
    above = np.maximum(part - scipy.ndimage.uniform_filter1d(part, max(3, round(MEAN_SECONDS * frame_rate_hz))), 0)
    return np.asarray(above - above.mean())


def estimate_tempo(rises: FloatArray, frame_rate_hz: float) -> TempoEstimate | None:
    """Return the tempo that these onsets show; None if they show none.

    Parameters
    ----------
    rises : ndarray, shape (2, frames)
        What `OnsetEnvelope.rises` returns.
    frame_rate_hz
    """
    if rises.shape[1] < SHORTEST_SECONDS * frame_rate_hz:
        return None
    per_window = repetition_curves(rises[0], frame_rate_hz)
    per_row = (*per_window, *repetition_curves(rises[1], frame_rate_hz))
    curves = np.stack([scipy.ndimage.maximum_filter1d(c, DRIFT_STEPS, axis=1).mean(axis=0) for c in per_row])
    first_guess = TEMPOS_BPM[np.argmax(curves[0] * np.sqrt(curves[2] * curves[3]) * np.exp(_from_usual(TEMPOS_BPM)))]
    tempos = [float(first_guess * ratio) for ratio in RATIOS if LOWEST_BPM <= first_guess * ratio <= HIGHEST_BPM]
    utilities = np.array([_utility(curves, bpm) for bpm in tempos])
    best = int(np.argmax(utilities))
    bpm = tempos[best]
    strength = _value_at(curves[0], bpm)
    confidence = float(1 / np.exp(utilities - utilities[best]).sum())
    return TempoEstimate(bpm, confidence, strength, _window_tempos(per_window[0], bpm))


def _utility(curves: Curve, bpm: float) -> float:
    """Return the logarithm of how much speaks for this tempo, up to a constant that all tempos of a song share."""
    double = min(2 * bpm, float(TEMPOS_BPM[-1]))
    values = (*(_value_at(curve, bpm) for curve in curves), _value_at(curves[1], double), _value_at(curves[3], double))
    evidence = np.dot(WEIGHTS, np.log(np.array(values) + SMALLEST_VALUE))
    return float(evidence + TEMPO_WEIGHT * np.log2(bpm / USUAL_BPM) + 2 * _from_usual(bpm))


def _from_usual(bpm: float | Curve) -> Any:
    """Return the logarithm of how usual a tempo is, as `librosa.feature.tempo` assumes it."""
    return -0.5 * np.square(np.log2(np.asarray(bpm) / USUAL_BPM))


def _value_at(curve: Curve, bpm: float) -> float:
    return float(np.interp(np.log(bpm), np.log(TEMPOS_BPM), curve))


def _window_tempos(combs: Curve, bpm: float) -> Curve:
    """Return the tempo in each window, near that of the song. A window that shows none has the tempo around it."""
    near = np.flatnonzero(np.abs(np.log(TEMPOS_BPM / bpm)) <= LARGEST_DRIFT)
    best = np.argmax(combs[:, near], axis=1)
    found = TEMPOS_BPM[near][best]
    clear = combs[np.arange(len(combs)), near[best]] >= LEAST_STRENGTH
    if not clear.any():
        return np.full(len(combs), bpm)
    windows = np.arange(len(combs))
    return np.asarray(scipy.ndimage.median_filter(np.interp(windows, windows[clear], found[clear]), 5, mode="nearest"))
