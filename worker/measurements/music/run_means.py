"""Lowers the sample rate of a signal that streams by, by taking the mean of each run of samples.

This is the plainest low-pass. What folds back is far quieter than what onsets and pitches are found in, and the spectra
after it take a fraction of the time.
"""

from __future__ import annotations

import numpy as np

from worker.engines.interface import FloatArray


class RunMeans:
    """Takes blocks of samples of one channel, shape (n,), and returns the means of whole runs of `length` samples."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._weights = np.full(length, 1 / length, dtype=np.float32)
        self._rest: FloatArray = np.empty(0, dtype=np.float32)

    def of_block(self, block: FloatArray) -> FloatArray:
        """Return the means of the runs that end in this block, shape (n // length,) or one more."""
        if self._length == 1:
            return block
        samples = np.concatenate((self._rest, block)) if self._rest.size else block
        whole = samples.size // self._length * self._length
        self._rest = samples[whole:].copy()
        return samples[:whole].reshape(-1, self._length) @ self._weights
