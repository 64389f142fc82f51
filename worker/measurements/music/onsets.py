"""Onset strengths of a signal that streams by: how much louder each moment is than the moment before.

There are three. The rise in decibels finds soft and loud onsets alike, and tells where beats are. The rise in amplitude
of the lower bands is large for drums and bass only, and that of the lowest for bass drum and bass: both help to tell
beats from their halves. The first is the
spectral flux of `librosa.onset.onset_strength`, on bands instead of mel filters; a test compares the two. librosa's
function needs the whole signal, and importing it loads numba: README.md has what that costs.
"""

from __future__ import annotations

from array import array

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.engines.stft_frames import frames_of, hann_window

FRAMES_PER_SECOND = 22_050 / 256
"""One frame in 11.6 ms, or nearly, as its length is a whole number of samples. An hour has 310,000 frames."""

BANDS = 36
LOWEST_HZ, BASS_HZ, BODY_HZ, HIGHEST_HZ = 40.0, 160.0, 2_000.0, 10_000.0

FLOOR = 1e-7
"""Power of a band, relative to a sine at full scale, below which nothing is audible: -70 dB."""

FRAMES_AT_ONCE = 512

ROWS = 3
"""How many onset strengths there are."""


class OnsetEnvelope:
    """Takes blocks of samples of one channel, shape (n,). Keeps `ROWS` numbers for each frame: 3.7 MB for an hour."""

    def __init__(self, *, sample_rate_hz: float) -> None:
        self.hop_length = max(1, round(sample_rate_hz / FRAMES_PER_SECOND))
        self.frame_rate_hz = sample_rate_hz / self.hop_length
        self.n_fft = 2 * self.hop_length
        # A sine at full scale has the power 1.
        self._window = hann_window(self.n_fft) * np.float32(4 / self.n_fft)
        self._first_bins, self._last_bin = _band_bins(sample_rate_hz, self.n_fft)
        self._n_bass, self._n_body = np.searchsorted(
            self._first_bins, np.array((BASS_HZ, BODY_HZ)) * self.n_fft / sample_rate_hz
        )
        # Frame t is centred on the sample t * hop_length, as librosa's frames are.
        self._rest: FloatArray = np.zeros(self.n_fft // 2, dtype=np.float32)
        self._last_power: FloatArray | None = None
        # One block of memory that grows: see the loudness.
        self._rises = array("f")

    def add_block(self, block: FloatArray) -> None:
        """Add the next samples, shape (n,)."""
        samples = np.concatenate((self._rest, block))
        n_frames = max(0, (samples.size - self.n_fft) // self.hop_length + 1)
        if n_frames:
            frames = frames_of(samples, self.n_fft, self.hop_length)
            for start in range(0, n_frames, FRAMES_AT_ONCE):
                self._add_powers(self.powers(frames[start : start + FRAMES_AT_ONCE]))
        self._rest = samples[n_frames * self.hop_length :].copy()

    def rises(self) -> FloatArray:
        """Return what each whole frame so far has more than the one before, shape (ROWS, frames).

        The first row is the mean over all bands in dB, the others are sums in amplitude: below 2 kHz, and below 160 Hz.
        """
        return np.ascontiguousarray(np.array(self._rises, dtype=np.float32).reshape(-1, ROWS).T)

    def powers(self, frames: FloatArray) -> FloatArray:
        """Return the power of each band, shape (frames, bands), of samples of shape (frames, n_fft)."""
        spectra = scipy.fft.rfft(frames * self._window)[:, : self._last_bin]
        power = np.square(spectra.real) + np.square(spectra.imag)
        return np.maximum(np.add.reduceat(power, self._first_bins, axis=1), np.float32(FLOOR))

    def _add_powers(self, power: FloatArray) -> None:
        # There is no frame before the first one, so the first one is not an onset.
        before = power[:1] if self._last_power is None else self._last_power
        power = np.concatenate((before, power))
        self._last_power = power[-1:].copy()
        in_db = np.maximum(np.diff(10 * np.log10(power), axis=0), 0).mean(axis=1)
        in_amplitude = np.maximum(np.diff(np.sqrt(power[:, : self._n_body]), axis=0), 0)
        rows = (in_db, in_amplitude.sum(axis=1), in_amplitude[:, : self._n_bass].sum(axis=1))
        self._rises.frombytes(np.stack(rows, axis=1).astype(np.float32).tobytes())


def _band_bins(sample_rate_hz: float, n_fft: int) -> tuple[NDArray[np.intp], int]:
    """Return the bin with which each band begins, and the bin after the last band."""
    highest = min(HIGHEST_HZ, sample_rate_hz / 2)
    mels = np.linspace(_mel(LOWEST_HZ), _mel(highest), BANDS + 1)
    edges_hz = 700 * (10 ** (mels / 2595) - 1)
    bins = np.unique(np.round(edges_hz * n_fft / sample_rate_hz).astype(np.intp))
    bins = bins[bins >= 1]
    return bins[:-1], int(bins[-1])


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))
