"""The STFT and its inverse.

Works through a few frames at a time, so that windowed samples and spectra stay in the processor's cache: over
whole chunks the same steps take more than twice as long. Owns no grid and no masks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from worker.engine.interface import FloatArray

ComplexArray = NDArray[np.complex64]

FRAMES_AT_ONCE = 16
"""Frames per step: 16 of 4096 samples in stereo are 0.5 MB. Above about 64 the cache no longer holds them."""

LOUDEST_MAGNITUDE = np.float32(1e6)
"""What networks see at most: far above any real sound, and its square still fits float32, as masks need
it."""


class ShortTimeFourier:
    """Short-time Fourier analysis and synthesis with a periodic Hann window on both sides.

    Parameters
    ----------
    n_fft
        Samples per frame.
    hop_length
        Samples from frame to frame; divides `n_fft` at least four times.
    bins
        How many bins are kept, from the lowest. Synthesis takes the others as 0.
    """

    def __init__(self, n_fft: int, hop_length: int, bins: int) -> None:
        self._n_fft = n_fft
        self._hop = hop_length
        self._bins = bins
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        self._window = window.astype(np.float32)
        # Squared Hann windows that overlap by n_fft / hop add up to 3/8 of that ratio, everywhere.
        self._synthesis_window = (window * (8 / 3 * hop_length / n_fft)).astype(np.float32)

    def analyse(self, y: FloatArray, magnitude_bins: int) -> tuple[ComplexArray, FloatArray]:
        """Return spectrum and magnitudes of consecutive frames.

        Parameters
        ----------
        y, shape (channels, (n_frames - 1) * hop_length + n_fft), float32
            The samples.
        magnitude_bins
            How many bins of the magnitudes are wanted, from the lowest.

        Returns
        -------
        D, shape (channels, n_frames, bins), complex64
            The spectrum.
        S, shape (channels, n_frames, magnitude_bins), float32
            Its magnitudes, limited to `LOUDEST_MAGNITUDE`.
        """
        frames = np.lib.stride_tricks.sliding_window_view(y, self._n_fft, axis=1)[:, :: self._hop]
        channels, n_frames = frames.shape[:2]
        D = np.empty((channels, n_frames, self._bins), np.complex64)
        S = np.empty((channels, n_frames, magnitude_bins), np.float32)
        for at in range(0, n_frames, FRAMES_AT_ONCE):
            part = slice(at, at + FRAMES_AT_ONCE)
            spectrum = scipy.fft.rfft(frames[:, part] * self._window, axis=-1, overwrite_x=True)
            D[:, part] = spectrum[..., : self._bins]
            np.abs(spectrum[..., :magnitude_bins], out=S[:, part])
        np.minimum(S, LOUDEST_MAGNITUDE, out=S)
        return D, S

    def synthesise(self, D: ComplexArray, n_stems: int, masks: Callable[[slice], FloatArray]) -> FloatArray:
        """Return the samples of masked frames, overlapped and added.

        Parameters
        ----------
        D, shape (channels, n_frames, bins), complex64
            The spectrum.
        n_stems
            How many masks there are.
        masks
            Gives the masks of a slice of frames, shape (n_stems, channels, frames, bins), float32.

        Returns
        -------
        ndarray, shape (n_stems, channels, (n_frames - 1) * hop_length + n_fft), float32
            The samples. The first and the last `n_fft - hop_length` lack what neighbouring frames add.
        """
        channels, n_frames, _ = D.shape
        overlap = self._n_fft // self._hop
        hops = np.zeros((n_stems, channels, n_frames + overlap - 1, self._hop), np.float32)
        for at in range(0, n_frames, FRAMES_AT_ONCE):
            end = min(at + FRAMES_AT_ONCE, n_frames)
            # irfft takes the missing bins as 0.
            y = scipy.fft.irfft(D[:, at:end] * masks(slice(at, end)), n=self._n_fft, axis=-1, overwrite_x=True)
            y *= self._synthesis_window
            y = y.reshape(n_stems, channels, end - at, overlap, self._hop)
            for shift in range(overlap):
                hops[:, :, at + shift : end + shift] += y[:, :, :, shift]
        return hops.reshape(n_stems, channels, -1)
