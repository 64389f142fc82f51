"""Short-time Fourier transforms (STFT) in pieces: what all engines share of framing and windowing.

A track is cut into overlapping frames of `n_fft` samples. Frame `t` covers the samples from
`(t - n_fft / hop_length + 1) * hop_length` up to `(t + 1) * hop_length`: frame 0 is the first frame that touches the
track, and every sample lies under the same number of frames, the first and the last sample too. Squared Hann windows
that overlap at least four times add up to a constant, so the overlap-add needs no division by a sum of windows, and
any run of frames can be analysed and synthesised without its neighbours.

`FrameGrid`, `analyse` and `synthesise` are the STFT of the engine `repetition`, with four frames over each sample.
`hann_window`, `frames_of` and `add_overlapping` are the steps from which every STFT of the worker is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from worker.engines.interface import AudioSource, FloatArray

ComplexArray = NDArray[np.complex64]

OVERLAP = 4
"""Number of frames over each sample in `FrameGrid`. Squared Hann windows need at least 4 to add up to a constant."""

_WINDOW_SUM = OVERLAP * 3 / 8
"""The sum of the squared Hann windows over any sample."""


@cache
def hann_window(n_fft: int, scale: float = 1.0) -> FloatArray:
    """Return the periodic Hann window times `scale`, shape (n_fft,), float32, read-only."""
    window = ((0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)) * scale).astype(np.float32)
    window.flags.writeable = False
    return window


def frames_of(y: FloatArray, n_fft: int, hop_length: int) -> FloatArray:
    """Return all whole frames of `y` as a read-only view.

    Parameters
    ----------
    y : ndarray, shape (..., n_samples), float32
    n_fft, hop_length
        The length of a frame, and the samples from one frame to the next.

    Returns
    -------
    ndarray, shape (..., (n_samples - n_fft) // hop_length + 1, n_fft), float32
        Raises ValueError if `y` is shorter than a frame.
    """
    every_start = np.lib.stride_tricks.sliding_window_view(y, n_fft, axis=-1)
    return every_start[..., ::hop_length, :]


def add_overlapping(hops: FloatArray, frames: FloatArray, first: int = 0) -> None:
    """Add consecutive frames to a signal, each one hop after the frame before it (overlap-add).

    Parameters
    ----------
    hops : ndarray, shape (..., n_hops, hop_length), float32
        The signal, cut into hops. Changed in place.
    frames : ndarray, shape (..., n, n_fft), float32
        `n_fft` is a multiple of `hop_length`.
    first
        The hop with which the first frame begins.
    """
    hop_length = hops.shape[-1]
    *leading, n_frames, n_fft = frames.shape
    pieces = frames.reshape(*leading, n_frames, n_fft // hop_length, hop_length)
    for i in range(n_fft // hop_length):
        hops[..., first + i : first + i + n_frames, :] += pieces[..., i, :]


@dataclass(frozen=True)
class FrameGrid:
    """Where the frames of a track lie.

    `n_fft` is the length of a frame, a multiple of 4. `n_samples` is the length of the track.
    """

    n_fft: int
    n_samples: int

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return self.n_fft // OVERLAP

    @property
    def n_bins(self) -> int:
        """Number of frequency bins of a frame."""
        return self.n_fft // 2 + 1

    @property
    def n_frames(self) -> int:
        """Number of frames that touch a sample of the track."""
        return -(-self.n_samples // self.hop_length) + OVERLAP - 1

    def read_frames(self, source: AudioSource, first: int, stop: int) -> FloatArray:
        """Return the samples under the frames `first` to `stop`, with zeros where a frame leaves the track.

        Parameters
        ----------
        source
            The mixture, `n_samples` long.
        first, stop
            The range of frames. It may reach beyond the grid on both sides.

        Returns
        -------
        ndarray, shape (channels, (stop - first + 3) * hop_length), float32
        """
        start_sample = (first - OVERLAP + 1) * self.hop_length
        y = np.zeros((source.channels, (stop - first + OVERLAP - 1) * self.hop_length), np.float32)
        low = min(max(start_sample, 0), self.n_samples)
        high = min(max(start_sample + y.shape[1], low), self.n_samples)
        y[:, low - start_sample : high - start_sample] = source.read_samples(low, high)
        return y


def n_fft_near(seconds: float, sample_rate_hz: int) -> int:
    """Return the power of two that is nearest to `seconds` on a logarithmic scale, in samples; at least 64."""
    return 1 << max(6, round(math.log2(seconds * sample_rate_hz)))


def analyse(y: FloatArray, n_fft: int) -> ComplexArray:
    """Return the spectra of all whole frames in `y`. A sine of amplitude 1 has the magnitude 0.5.

    Parameters
    ----------
    y : ndarray, shape (channels, (n + 3) * n_fft / 4), float32
        Samples as `FrameGrid.read_frames` returns them for `n` frames.
    n_fft
        The length of a frame.

    Returns
    -------
    ndarray, shape (channels, n, n_fft / 2 + 1), complex64
        The FFT works on several frames at once, so a frame's last bits depend on the shape of `y`. Callers therefore
        cut a track at fixed frames, whatever range was asked for.
    """
    window = hann_window(n_fft) * np.float32(2 / n_fft)
    D: ComplexArray = scipy.fft.rfft(frames_of(y, n_fft, n_fft // OVERLAP) * window, axis=-1, overwrite_x=True)
    return D


def synthesise(D: ComplexArray, n_fft: int) -> FloatArray:
    """Return the overlap-added signal of consecutive frames. `D` is overwritten.

    Parameters
    ----------
    D : ndarray, shape (channels, n, n_fft / 2 + 1), complex64
        Spectra in the scale of `analyse`.
    n_fft
        The length of a frame.

    Returns
    -------
    ndarray, shape (channels, (n + 3) * n_fft / 4), float32
        The first and the last `3 * n_fft / 4` samples lack the frames before and after these.
    """
    channels, n_frames, _ = D.shape
    frames = scipy.fft.irfft(D, n=n_fft, axis=-1, overwrite_x=True)
    frames *= hann_window(n_fft) * np.float32(n_fft / 2 / _WINDOW_SUM)
    hops = np.zeros((channels, n_frames + OVERLAP - 1, n_fft // OVERLAP), np.float32)
    add_overlapping(hops, frames)
    return hops.reshape(channels, -1)
