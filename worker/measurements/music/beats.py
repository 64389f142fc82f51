"""The beats of a song: the moments that are about one beat apart and on which its onsets fall.

This is the dynamic programming of D. Ellis, "Beat tracking by dynamic programming" (2007), which is in
`librosa.beat.beat_track` too; a test compares the two. librosa's module compiles a loop at each import; README.md has
what that costs. Here all frames of half a beat are computed at once, because none of them can follow another.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.measurements.music.tempo import STEP_SECONDS, WINDOW_SECONDS, Curve, window_starts

TIGHTNESS = 100.0
"""How much a beat that comes early or late must be worth. librosa's value."""

SILENT_SHARE = 0.05
SILENT_BEATS = 3
"""Where no onset within so many beats reaches this share of the usual, there are no beats."""

ATTACK_SECONDS = 0.003
"""How much later than an attack its frame lies."""


def track_beats(rises: FloatArray, frame_rate_hz: float, window_bpm: Curve) -> Curve:
    """Return the seconds of the beats, rising.

    Parameters
    ----------
    rises : ndarray, shape (3, frames)
        What `OnsetEnvelope.rises` returns.
    frame_rate_hz
    window_bpm
        The tempo in each window, as `estimate_tempo` returns it.
    """
    periods = _periods(rises.shape[1], frame_rate_hz, window_bpm)
    scores = _scores(rises, frame_rate_hz, float(np.median(periods)))
    frames = _best_path(scores, periods)
    loud = scipy.ndimage.maximum_filter1d(scores, 2 * SILENT_BEATS * round(float(np.median(periods))) + 1)
    frames = frames[loud[frames] > SILENT_SHARE * float(np.median(loud))]
    seconds: Curve = (frames + _between_frames(scores, frames)) / frame_rate_hz - ATTACK_SECONDS
    return np.maximum(seconds, 0.0, dtype=np.float64)


def _periods(n_frames: int, frame_rate_hz: float, window_bpm: Curve) -> Curve:
    """Return the length of a beat at each frame, in frames."""
    starts = np.array(window_starts(n_frames, frame_rate_hz))[: len(window_bpm)]
    centres = starts + min(WINDOW_SECONDS * frame_rate_hz, n_frames) / 2
    bpm = np.interp(np.arange(n_frames), centres, window_bpm).astype(np.float64)
    return np.asarray(60 * frame_rate_hz / bpm, dtype=np.float64)


def _scores(rises: FloatArray, frame_rate_hz: float, period: float) -> Curve:
    """Return how well a beat fits at each frame: the rises in decibels and of the bass, beside those around.

    The bass tells beats from off-beats, which in some styles are louder.
    """
    total = np.zeros(rises.shape[1])
    for row in rises[[0, 2]].astype(np.float64):
        power = scipy.ndimage.uniform_filter1d(np.square(row), round((WINDOW_SECONDS + STEP_SECONDS) * frame_rate_hz))
        # A passage that is quieter than a tenth of the song's mean does not count as much as the others.
        total += row / np.sqrt(np.maximum(power, 0.01 * float(power.mean()) + 1e-12))
    # librosa's width: a 32nd of a beat.
    return np.asarray(scipy.ndimage.gaussian_filter1d(total, max(0.5, period / 32), mode="constant"))


def _best_path(scores: Curve, periods: Curve) -> NDArray[np.intp]:
    """Return the frames that together have the largest scores, less what their distances cost."""
    n = scores.size
    totals, previous = scores.copy(), np.full(n, -1)
    first = int(np.argmax(scores >= 0.01 * scores.max()))
    start = first + 1
    while start < n:
        period = periods[start]
        lags = np.arange(max(1, round(period / 2)), round(2 * period) + 1)
        frames = np.arange(start, min(n, start + int(lags[0])))
        before = frames[:, np.newaxis] - lags
        worth = np.where(before >= first, totals[before], -np.inf) - TIGHTNESS * np.square(np.log(lags / period))
        best = np.argmax(worth, axis=1)
        gains = worth[np.arange(frames.size), best]
        linked = np.isfinite(gains)
        totals[frames[linked]] += gains[linked]
        previous[frames[linked]] = before[np.arange(frames.size), best][linked]
        start += frames.size
    # The path ends with the best of the last two beats.
    tail = max(0, n - round(2 * periods[-1]))
    path = [tail + int(np.argmax(totals[tail:]))]
    while previous[path[-1]] >= 0:
        path.append(int(previous[path[-1]]))
    return np.array(path[::-1], dtype=np.intp)


def _between_frames(scores: Curve, frames: NDArray[np.intp]) -> Curve:
    """Return how far the peak of a parabola through each frame and its neighbours is from the frame, in frames."""
    left, right = scores[np.maximum(frames - 1, 0)], scores[np.minimum(frames + 1, scores.size - 1)]
    bend = left - 2 * scores[frames] + right
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.where(bend < 0, 0.5 * (left - right) / bend, 0.0)
    return np.clip(offset, -0.5, 0.5)
