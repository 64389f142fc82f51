"""Which pitches a signal that streams by has, folded into one octave.

Only peaks of the spectrum count, each at the frequency of a parabola through it, because drums have no peaks that last.
So a pitch is known to some cents, and a song may be tuned higher or lower than A = 440 Hz. `librosa.piptrack` and
`librosa.estimate_tuning` work in this way. They need the whole signal, and load numba.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.engines.stft_frames import hann_window

WINDOW_SECONDS = 0.372
"""16,384 samples at 44.1 kHz: notes a semitone apart have peaks of their own from 200 Hz on."""

LOWEST_HZ, HIGHEST_HZ = 80.0, 2_000.0
BINS = 120
"""Bins of an octave, 10 cents each; bin 0 is C when A is at 440 Hz."""

C0_HZ = 440 * 2 ** (-57 / 12)

QUIET = 1e-4
"""Amplitude below which a peak does not count, relative to a sine at full scale."""


class PitchHistogram:
    """Takes blocks of samples of one channel, shape (n,), of a signal whose length is known.

    `weights`, shape (2, BINS), has the pitches of the first half and those of the second, however long the signal is.
    """

    def __init__(self, *, sample_rate_hz: float, n_samples: int) -> None:
        self._n_fft = scipy.fft.next_fast_len(round(WINDOW_SECONDS * sample_rate_hz), real=True)
        self._window = hann_window(self._n_fft) * np.float32(4 / self._n_fft)
        hz_per_bin = sample_rate_hz / self._n_fft
        self._first = max(2, round(LOWEST_HZ / hz_per_bin))
        self._last = min(self._n_fft // 2 - 1, round(HIGHEST_HZ / hz_per_bin))
        self._hz_per_bin = hz_per_bin
        self._rest: FloatArray = np.empty(0, dtype=np.float32)
        self._n_frames = max(1, n_samples // self._n_fft)
        self._next_frame = 0
        self.weights: NDArray[np.float64] = np.zeros((2, BINS))

    def add_block(self, block: FloatArray) -> None:
        """Add the next samples, shape (n,)."""
        samples = np.concatenate((self._rest, block))
        n_frames = samples.size // self._n_fft
        if n_frames:
            self._add_frames(samples[: n_frames * self._n_fft].reshape(n_frames, self._n_fft))
        self._rest = samples[n_frames * self._n_fft :].copy()

    def _add_frames(self, frames: FloatArray) -> None:
        spectra = scipy.fft.rfft(frames * self._window)[:, self._first - 1 : self._last + 1]
        magnitudes = np.abs(spectra)
        left, middle, right = magnitudes[:, :-2], magnitudes[:, 1:-1], magnitudes[:, 2:]
        audible = np.maximum(QUIET, 0.01 * magnitudes.max(axis=1, keepdims=True))
        numbers, peaks = np.nonzero((middle > left) & (middle >= right) & (middle > audible))
        # In logarithms the top of a Hann window's lobe is nearly a parabola.
        a, b, c = (np.log(part[numbers, peaks].astype(np.float64) + 1e-12) for part in (left, middle, right))
        offset = 0.5 * (a - c) / (a - 2 * b + c)
        hz = (peaks + self._first + offset) * self._hz_per_bin
        bins = np.round(np.log2(hz / C0_HZ) * BINS).astype(np.intp) % BINS
        halves = np.minimum(1, 2 * (numbers + self._next_frame) // self._n_frames)
        # Roots, so that a few loud notes do not stand for the song.
        weights = np.sqrt(middle[numbers, peaks])
        self.weights += np.bincount(bins + BINS * halves, weights, 2 * BINS).reshape(2, BINS)
        self._next_frame += len(frames)
