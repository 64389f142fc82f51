"""The STFT of HT-Demucs, with the reference's conventions.

Frames of 4096 samples under a periodic Hann window, every 1024 samples; the first frame begins 1536 samples before the
segment, and reflections of the segment stand before and after it. There is one frame for each whole or begun hop. The
spectrum is divided by the square root of the frame's length, and its highest bin is left out.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from worker.engines.interface import FloatArray
from worker.engines.stft_frames import add_overlapping, frames_of, hann_window

N_FFT = 4096
HOP_LENGTH = N_FFT // 4
BINS = N_FFT // 2
CHANNELS = 2

FRAMES_AT_ONCE = 16
"""Frames per step, so that windowed samples and spectra stay in the processor's cache."""

_BEFORE = 3 * HOP_LENGTH // 2
_SCALE = N_FFT**0.5
_WINDOW_SUM = 1.5
"""The sum of the squared windows over any sample. The reference counts frames of zeros around the segment, so this
holds at its ends too."""


class SegmentSpectrum:
    """Analysis and synthesis of segments of one length.

    Parameters
    ----------
    n_samples
        The samples of a segment; at least 2560, so that there is enough to reflect.
    """

    def __init__(self, n_samples: int) -> None:
        self._n_samples = n_samples
        self.frames = -(-n_samples // HOP_LENGTH)
        self._analysis_window = hann_window(N_FFT, 1 / _SCALE)
        self._synthesis_window = hann_window(N_FFT, _SCALE / _WINDOW_SUM)

    def analyse(self, y: FloatArray) -> FloatArray:
        """Return the spectrum of a segment.

        Parameters
        ----------
        y : ndarray, shape (2, n_samples), float32

        Returns
        -------
        ndarray, shape (frames, 2048, 4), float32
            Real and imaginary part of the left channel, then of the right one.
        """
        after = _BEFORE + self.frames * HOP_LENGTH - self._n_samples
        frames = frames_of(np.pad(y, ((0, 0), (_BEFORE, after)), mode="reflect"), N_FFT, HOP_LENGTH)
        D = np.empty((self.frames, BINS, CHANNELS), np.complex64)
        for first in range(0, self.frames, FRAMES_AT_ONCE):
            part = slice(first, first + FRAMES_AT_ONCE)
            spectrum = scipy.fft.rfft(frames[:, part] * self._analysis_window, axis=-1, overwrite_x=True)
            D[part] = spectrum[..., :BINS].transpose(1, 2, 0)
        return D.view(np.float32)

    def synthesise(self, spectra: FloatArray, scale: float, shift: float) -> FloatArray:
        """Return the samples of the spectra of several stems.

        Parameters
        ----------
        spectra : ndarray, shape (frames, 2048, 4 * n_stems), float32
            In the format of `analyse`, one stem after the other.
        scale, shift
            Every number of the spectra is multiplied by `scale`, and `shift` is added.

        Returns
        -------
        ndarray, shape (n_stems, 2, n_samples), float32
        """
        rows = spectra.shape[2] // 2
        hops = np.zeros((rows, self.frames + N_FFT // HOP_LENGTH - 1, HOP_LENGTH), np.float32)
        for first in range(0, self.frames, FRAMES_AT_ONCE):
            part = spectra[first : first + FRAMES_AT_ONCE] * np.float32(scale) + np.float32(shift)
            D = np.ascontiguousarray(part.view(np.complex64).transpose(2, 0, 1))
            # irfft treats the missing bin as 0.
            frames = scipy.fft.irfft(D, n=N_FFT, axis=-1, overwrite_x=True)
            frames *= self._synthesis_window
            add_overlapping(hops, frames, first)
        y = hops.reshape(rows // CHANNELS, CHANNELS, -1)
        return y[..., _BEFORE : _BEFORE + self._n_samples]
