"""An `AudioSource` of an array, which checks that engines read only samples that exist."""

from __future__ import annotations

import numpy as np

from worker.engines.interface import FloatArray


class ArraySource:
    def __init__(self, y: FloatArray, sample_rate_hz: int) -> None:
        self._y = y
        self.sample_rate_hz = sample_rate_hz
        self.channels, self.n_samples = y.shape

    def read_samples(self, start: int, stop: int) -> FloatArray:
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"{start} to {stop} is not within {self.n_samples} samples")
        return np.ascontiguousarray(self._y[:, start:stop])
