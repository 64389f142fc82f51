"""A small spectrogram of a long signal, collected while the signal streams by.

A track of any length becomes at most `MAX_COLUMNS` columns of logarithmically spaced bands. Each column holds the
maximum of a few short-time spectra within it. So an hour takes no more memory than a minute, and hardly more time.
`spectrogram_image` draws the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.engines.stft_frames import frames_of, hann_window

# The width of the page's pictures. More would have more detail than screens do.
MAX_COLUMNS = 1_200

# Bands between the lowest and the highest frequency: 27 per octave at 44.1 kHz.
BANDS = 256

# Spectra per column at most. More would catch every transient of an hour's song, and take time in proportion.
FRAMES_PER_COLUMN = 4

# The note C1. Below it the bins of the spectrum are wider than an octave.
LOWEST_HZ = 32.703

# 2048 samples at 44.1 kHz, as in the blog post that the project began with.
WINDOW_SECONDS = 0.0464

# Frames that are transformed together. Bounds the memory of `add_block`.
FRAMES_AT_ONCE = 256


class SpectrogramView:
    """Takes blocks of samples of shape (channels, n) of a signal whose length is known.

    The powers of the channels are averaged. Averages of the samples would show nothing where channels are out of phase.
    """

    def __init__(self, *, sample_rate_hz: int, n_samples: int) -> None:
        self.n_fft = scipy.fft.next_fast_len(round(WINDOW_SECONDS * sample_rate_hz), real=True)
        self.hop_length = max(self.n_fft // 4, -(-n_samples // (MAX_COLUMNS * FRAMES_PER_COLUMN)))
        self._n_frames = max(1, -(-n_samples // self.hop_length))
        self._n_columns = min(MAX_COLUMNS, self._n_frames)
        self._window = hann_window(self.n_fft)
        self.edges_hz = np.geomspace(LOWEST_HZ, sample_rate_hz / 2, BANDS + 1)
        # Narrow bands at the bottom share a bin. `reduceat` then takes that one bin for each of them.
        self._first_bins = np.floor(self.edges_hz[:-1] * self.n_fft / sample_rate_hz).astype(np.intp)
        self._power = np.zeros((self._n_columns, BANDS), dtype=np.float32)
        self._rest: FloatArray = np.empty((1, 0), dtype=np.float32)
        # Samples to skip before the next frame begins, where frames lie further apart than they are long.
        self._skip = 0
        self._next_frame = 0

    def add_block(self, block: FloatArray) -> None:
        """Add the next samples, shape (channels, n)."""
        if self._rest.shape[1] == 0 and len(self._rest) != len(block):
            self._rest = np.empty((len(block), 0), dtype=np.float32)
        self._add_samples(block)

    def magnitudes(self) -> FloatArray:
        """Return the spectrogram, shape (BANDS, columns), in units of full scale, low frequencies first.

        Call it once, after the last block. The last frame is completed with zeros.
        """
        while self._next_frame < self._n_frames:
            self._add_samples(np.zeros((len(self._rest), self.hop_length + self.n_fft), dtype=np.float32))
        # Under a Hann window a sine at full scale has the magnitude n_fft / 4.
        return np.sqrt(self._power.T) * np.float32(4 / self.n_fft)

    def _add_samples(self, block: FloatArray) -> None:
        """Cut the samples, shape (channels, n), into frames, together with what was left of the samples before."""
        n_new = block.shape[1]
        if self._skip >= n_new:
            self._skip -= n_new
            return
        samples = np.concatenate((self._rest, block[:, self._skip :]), axis=1)
        self._skip = 0
        size = samples.shape[1]
        n_ready = (size - self.n_fft) // self.hop_length + 1 if size >= self.n_fft else 0
        n_ready = min(n_ready, self._n_frames - self._next_frame)
        if n_ready:
            frames = [frames_of(channel, self.n_fft, self.hop_length) for channel in samples]
            for start in range(0, n_ready, FRAMES_AT_ONCE):
                self._add_frames([f[start : min(start + FRAMES_AT_ONCE, n_ready)] for f in frames])
        used = n_ready * self.hop_length
        self._skip = max(0, used - size)
        self._rest = samples[:, used:].copy()

    def _add_frames(self, channels: Sequence[FloatArray]) -> None:
        """Reduce consecutive frames of each channel to bands, and bands to the maximum in each column."""
        n_frames = len(channels[0])
        power = np.zeros((n_frames, self.n_fft // 2 + 1), dtype=np.float32)
        for frames in channels:
            spectra = scipy.fft.rfft(frames * self._window)
            power += np.square(spectra.real)
            power += np.square(spectra.imag)
        power *= np.float32(1 / len(channels))
        bands = np.maximum.reduceat(power, self._first_bins, axis=1)
        numbers = np.arange(self._next_frame, self._next_frame + n_frames)
        columns, first_frames = np.unique(numbers * self._n_columns // self._n_frames, return_index=True)
        strongest = np.maximum.reduceat(bands, first_frames, axis=0)
        # The first column may have begun with earlier frames.
        self._power[columns] = np.maximum(self._power[columns], strongest)
        self._next_frame += n_frames


def decibels_below(magnitudes: NDArray[np.float32], peak: float, *, range_db: float) -> NDArray[np.float32]:
    """Return magnitudes in dB relative to `peak`, limited to `-range_db`."""
    floor = peak * 10 ** (-range_db / 20)
    if floor == 0:
        return np.full(magnitudes.shape, -range_db, dtype=np.float32)
    return (20 * np.log10(np.maximum(magnitudes, floor) / peak)).astype(np.float32)
