"""The short-time Fourier transform in pieces: any run of frames can be analysed and put back by itself.

Owns the frame grid, the window and the overlap-add; knows nothing of what is done to the spectrum. Frame
`t` covers samples `(t - 3) * hop_length` to `(t + 1) * hop_length`, so that every sample of a track lies
under exactly four frames, the first and the last one too: squared Hann windows a quarter apart then add up
to a constant, and no sample needs a division by a window sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from worker.engine.interface import FloatArray, Source

ComplexArray = NDArray[np.complex64]

OVERLAP = 4
"""Frames over each sample. Less than 4 does not rebuild the signal from squared Hann windows."""

_WINDOW_SUM = OVERLAP * 3 / 8


@dataclass(frozen=True)
class FrameGrid:
    """Where the frames of a track lie.

    `n_fft` is the length of a frame, a multiple of 4, and `n_samples` the length of the track.
    """

    n_fft: int
    n_samples: int

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return self.n_fft // OVERLAP

    @property
    def n_bins(self) -> int:
        """Frequencies in a frame."""
        return self.n_fft // 2 + 1

    @property
    def n_frames(self) -> int:
        """Frames that touch a sample of the track."""
        return -(-self.n_samples // self.hop_length) + OVERLAP - 1

    def read(self, source: Source, first: int, stop: int) -> FloatArray:
        """Return the samples under the frames `first` to `stop`, with zeros outside of the track.

        Parameters
        ----------
        source
            The mixture, `n_samples` long.
        first, stop
            The wanted frames; may lie outside of the grid.

        Returns
        -------
        ndarray, shape (channels, (stop - first + 3) * hop_length), float32
        """
        start_sample = (first - OVERLAP + 1) * self.hop_length
        y = np.zeros((source.channels, (stop - first + OVERLAP - 1) * self.hop_length), np.float32)
        low = min(max(start_sample, 0), self.n_samples)
        high = min(max(start_sample + y.shape[1], low), self.n_samples)
        y[:, low - start_sample : high - start_sample] = source.read(low, high)
        return y


def n_fft_near(seconds: float, sample_rate_hz: int) -> int:
    """Return the power of two whose length is nearest to `seconds` on a logarithmic scale, 64 at least."""
    return 1 << max(6, round(math.log2(seconds * sample_rate_hz)))


@cache
def hann(n_fft: int) -> FloatArray:
    """Return the periodic Hann window, shape (n_fft,), float32, read-only."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    window.flags.writeable = False
    return window


def analyse(y: FloatArray, n_fft: int) -> ComplexArray:
    """Return the spectra of all whole frames in `y`, scaled so that a sine of amplitude 1 has magnitude 0.5.

    Parameters
    ----------
    y : ndarray, shape (channels, (n + 3) * n_fft / 4), float32
        Samples as `FrameGrid.read` returns them for `n` frames.
    n_fft
        The length of a frame.

    Returns
    -------
    ndarray, shape (channels, n, n_fft / 2 + 1), complex64
        The same for a frame whatever other frames are in `y` only if `y` has the same shape:
        the FFT works on several frames at once. Callers cut tracks at fixed frames.
    """
    frames = np.lib.stride_tricks.sliding_window_view(y, n_fft, axis=1)[:, :: n_fft // OVERLAP]
    D: ComplexArray = scipy.fft.rfft(frames * (hann(n_fft) * np.float32(2 / n_fft)), axis=-1, overwrite_x=True)
    return D


def synthesise(D: ComplexArray, n_fft: int) -> FloatArray:
    """Return the overlap-added signal of consecutive frames; `D` is overwritten.

    Parameters
    ----------
    D : ndarray, shape (channels, n, n_fft / 2 + 1), complex64
        Spectra in the scale of `analyse`.
    n_fft
        The length of a frame.

    Returns
    -------
    ndarray, shape (channels, (n + 3) * n_fft / 4), float32
        The first and the last `3 * n_fft / 4` samples lack the frames beside these.
    """
    channels, n_frames, _ = D.shape
    hop_length = n_fft // OVERLAP
    frames = scipy.fft.irfft(D, n=n_fft, axis=-1, overwrite_x=True)
    frames *= hann(n_fft) * np.float32(n_fft / 2 / _WINDOW_SUM)
    quarters = frames.reshape(channels, n_frames, OVERLAP, hop_length)
    y = np.zeros((channels, n_frames + OVERLAP - 1, hop_length), np.float32)
    for i in range(OVERLAP):
        y[:, i : i + n_frames] += quarters[:, :, i]
    return y.reshape(channels, -1)
