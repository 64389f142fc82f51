"""Measures how fast an engine is on this machine, for the engine's description."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from worker.engines.interface import FloatArray
from worker.engines.unet import create

SECONDS = 30
"""Long enough that loading does not matter, short enough to wait for."""


class _Noise:
    """Half a minute of noise in stereo."""

    sample_rate_hz = 44_100
    channels = 2
    n_samples = SECONDS * sample_rate_hz

    def __init__(self) -> None:
        shape = (self.channels, self.n_samples)
        self._y = np.random.default_rng(0).uniform(-0.3, 0.3, shape).astype(np.float32)

    def read_samples(self, start: int, stop: int) -> FloatArray:
        """Return the samples `start` to `stop`."""
        return self._y[:, start:stop].copy()


def measure_real_time_factor(model_folder: Path) -> float:
    """Return how many seconds of stereo the engine separates in one second, with one or two processors to itself."""
    engine = create(None, {}, model_folder=model_folder)
    noise, threads = _Noise(), min(2, os.cpu_count() or 1)
    for _ in engine.separate(noise, stop=1, threads=threads):
        pass  # Loads the networks.
    # Processor time, because whatever else runs during set-up says nothing about the machine.
    started = time.process_time()
    for _ in engine.separate(noise, threads=threads):
        pass
    return round(SECONDS * threads / (time.process_time() - started), 1)
