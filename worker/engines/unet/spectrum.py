"""The STFT of a chunk and its inverse, with any hop length that divides the frame at least four times.

Works on a few frames at a time, so that windowed samples and spectra stay in the processor's cache: over a whole chunk
the same steps take more than twice as long.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft

from worker.engines.interface import FloatArray
from worker.engines.stft_frames import ComplexArray, add_overlapping, frames_of, hann_window

FRAMES_AT_ONCE = 16
"""Frames per step: 16 stereo frames of 4096 samples are 0.5 MB. More than about 64 do not fit into the cache."""

LOUDEST_MAGNITUDE = np.float32(1e6)
"""Largest magnitude that networks see: far above any real sound, and its square, which masks need, still fits
float32."""


class ShortTimeFourier:
    """Analysis and synthesis by short-time Fourier transform, with a periodic Hann window for both.

    Parameters
    ----------
    n_fft
        Samples per frame.
    hop_length
        Samples from one frame to the next. It divides `n_fft`, at least four times.
    bins
        How many bins are kept, from the lowest. Synthesis treats the others as 0.
    """

    def __init__(self, n_fft: int, hop_length: int, bins: int) -> None:
        self._n_fft = n_fft
        self._hop_length = hop_length
        self._bins = bins
        self._window = hann_window(n_fft)
        # Squared Hann windows that overlap `n_fft / hop_length` times add up to 3/8 of that number everywhere.
        self._synthesis_window = hann_window(n_fft, 8 / 3 * hop_length / n_fft)

    def analyse(self, y: FloatArray, magnitude_bins: int, gain: float = 1.0) -> tuple[ComplexArray, FloatArray]:
        """Return spectrum and magnitudes of consecutive frames.

        Parameters
        ----------
        y : ndarray, shape (channels, (n_frames - 1) * hop_length + n_fft), float32
            The samples.
        magnitude_bins
            How many bins of the magnitudes are wanted, from the lowest.
        gain
            The factor of the magnitudes.

        Returns
        -------
        D : ndarray, shape (channels, n_frames, bins), complex64
            The spectrum, without normalisation.
        S : ndarray, shape (channels, n_frames, magnitude_bins), float32
            Its magnitudes times `gain`, limited to `LOUDEST_MAGNITUDE`.
        """
        frames = frames_of(y, self._n_fft, self._hop_length)
        channels, n_frames = frames.shape[:2]
        D = np.empty((channels, n_frames, self._bins), np.complex64)
        S = np.empty((channels, n_frames, magnitude_bins), np.float32)
        for first in range(0, n_frames, FRAMES_AT_ONCE):
            part = slice(first, first + FRAMES_AT_ONCE)
            spectrum = scipy.fft.rfft(frames[:, part] * self._window, axis=-1, overwrite_x=True)
            D[:, part] = spectrum[..., : self._bins]
            np.abs(spectrum[..., :magnitude_bins], out=S[:, part])
        if gain != 1:
            S *= np.float32(gain)
        np.minimum(S, LOUDEST_MAGNITUDE, out=S)
        return D, S

    def synthesise(self, D: ComplexArray, n_stems: int, masks_of: Callable[[slice], FloatArray]) -> FloatArray:
        """Return the overlap-added samples of masked frames.

        Parameters
        ----------
        D : ndarray, shape (channels, n_frames, bins), complex64
            The spectrum. Unchanged.
        n_stems
            How many masks there are.
        masks_of
            Returns the masks of a slice of frames, shape (n_stems, channels, frames, bins), float32.

        Returns
        -------
        ndarray, shape (n_stems, channels, (n_frames - 1) * hop_length + n_fft), float32
            The first and the last `n_fft - hop_length` samples lack the frames before and after these.
        """
        channels, n_frames, _ = D.shape
        overlap = self._n_fft // self._hop_length
        hops = np.zeros((n_stems, channels, n_frames + overlap - 1, self._hop_length), np.float32)
        for first in range(0, n_frames, FRAMES_AT_ONCE):
            part = slice(first, min(first + FRAMES_AT_ONCE, n_frames))
            # irfft treats the missing bins as 0.
            frames = scipy.fft.irfft(D[:, part] * masks_of(part), n=self._n_fft, axis=-1, overwrite_x=True)
            frames *= self._synthesis_window
            add_overlapping(hops, frames, first)
        return hops.reshape(n_stems, channels, -1)
