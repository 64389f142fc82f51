"""The STFT of MDX-Net.

Its conventions are those of torch.stft: a periodic Hann window, reflection at both ends, no scaling.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from worker.engines.interface import FloatArray
from worker.engines.stft_frames import frames_of, hann_window

FRAMES_AT_ONCE = 16
"""Frames per step, so that windowed samples and spectra stay in the processor's cache."""

LOWEST_BIN = 3
"""The bins below this one are 0 for the network."""


class ChunkSpectrum:
    """Analysis and synthesis of a chunk of samples, for a network that takes real and imaginary parts as channels.

    Parameters
    ----------
    n_fft
        Samples per frame; even.
    hop_length
        Samples from one frame to the next; at most half a frame.
    dim_f
        How many bins the network takes, from the lowest.
    dim_t
        How many frames it takes. A chunk has `(dim_t - 1) * hop_length` samples.
    """

    def __init__(self, n_fft: int, hop_length: int, dim_f: int, dim_t: int) -> None:
        self._n_fft = n_fft
        self._hop_length = hop_length
        self._dim_f = dim_f
        self._dim_t = dim_t
        self._window = hann_window(n_fft)
        weights = np.zeros((dim_t - 1) * hop_length + n_fft, np.float32)
        for frame in range(dim_t):
            weights[frame * hop_length : frame * hop_length + n_fft] += np.square(self._window)
        inner = slice(n_fft // 2, len(weights) - n_fft // 2)
        self._inner = inner
        self._weights = weights[inner]

    def analyse(self, y: FloatArray) -> FloatArray:
        """Return the spectrum of a chunk as the network takes it.

        Parameters
        ----------
        y : ndarray, shape (channels, (dim_t - 1) * hop_length), float32

        Returns
        -------
        ndarray, shape (1, 2 * channels, dim_f, dim_t), float32
            Real and imaginary part of each channel in turn. The lowest bins are 0.
        """
        padded = np.pad(y, ((0, 0), (self._n_fft // 2, self._n_fft // 2)), mode="reflect")
        frames = frames_of(padded, self._n_fft, self._hop_length)
        D = np.empty((len(y), 2, self._dim_f, self._dim_t), np.float32)
        for first in range(0, self._dim_t, FRAMES_AT_ONCE):
            part = slice(first, first + FRAMES_AT_ONCE)
            spectrum = scipy.fft.rfft(frames[:, part] * self._window, axis=-1, overwrite_x=True)
            spectrum = spectrum[..., : self._dim_f].swapaxes(1, 2)
            D[:, 0, :, part], D[:, 1, :, part] = spectrum.real, spectrum.imag
        D[:, :, :LOWEST_BIN] = 0
        return D.reshape(1, 2 * len(y), self._dim_f, self._dim_t)

    def synthesise(self, D: FloatArray) -> FloatArray:
        """Return the samples of a spectrum in the format of `analyse`, shape (channels, (dim_t - 1) * hop_length).

        The bins from `dim_f` on are taken as 0. The first and the last `n_fft / 2` samples lie under fewer frames, and
        are less exact.
        """
        parts = D.reshape(-1, 2, self._dim_f, self._dim_t)
        y = np.zeros((len(parts), (self._dim_t - 1) * self._hop_length + self._n_fft), np.float32)
        for first in range(0, self._dim_t, FRAMES_AT_ONCE):
            some = parts[..., first : first + FRAMES_AT_ONCE]
            spectrum = np.empty((len(parts), some.shape[-1], self._dim_f), np.complex64)
            spectrum.real, spectrum.imag = some[:, 0].swapaxes(1, 2), some[:, 1].swapaxes(1, 2)
            # irfft treats the missing bins as 0.
            frames = scipy.fft.irfft(spectrum, n=self._n_fft, axis=-1, overwrite_x=True)
            frames *= self._window
            for number in range(frames.shape[1]):
                start = (first + number) * self._hop_length
                y[:, start : start + self._n_fft] += frames[:, number]
        samples: FloatArray = y[:, self._inner] / self._weights
        return samples
