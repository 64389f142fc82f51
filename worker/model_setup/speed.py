"""Measures how fast an engine is on this machine, and how much memory it takes, for the engine's description."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np
import psutil

from worker.engines.interface import FloatArray, SeparationEngine
from worker.model_setup.errors import ModelSetupError
from worker.run_support.process_memory import give_memory_back, peak_memory_bytes, reset_peak_memory

SECONDS = 30.0
"""Long enough that loading does not matter, short enough to wait for."""


class _Noise:
    """Noise in stereo."""

    sample_rate_hz = 44_100
    channels = 2

    def __init__(self, n_samples: int) -> None:
        self.n_samples = n_samples
        self._y = np.random.default_rng(0).uniform(-0.3, 0.3, (self.channels, n_samples)).astype(np.float32)

    def read_samples(self, start: int, stop: int) -> FloatArray:
        """Return the samples `start` to `stop`."""
        return self._y[:, start:stop].copy()


TOLD_THREADS = 2
"""The number of processors for which a speed is given, even on a machine with one."""


@dataclass(frozen=True)
class Measured:
    """How many seconds of stereo an engine separates in one second with two processors to itself, and by how many bytes
    the process grows at most meanwhile, networks included. On a machine with one processor the speed is doubled."""

    real_time_factor: float
    peak_bytes: int


def measure_engine(engine: SeparationEngine, *, seconds: float = SECONDS) -> Measured:
    """Let an engine separate some seconds of noise, and measure it.

    Raises ModelSetupError if the stems are not finite.
    """
    noise, threads = _Noise(round(seconds * _Noise.sample_rate_hz)), min(TOLD_THREADS, os.cpu_count() or 1)
    give_memory_back()
    reset_peak_memory()
    before = psutil.Process().memory_info().rss
    for _ in engine.separate(noise, stop=1, threads=threads):
        pass  # Loads the networks.
    # Processor time, because whatever else runs during set-up says nothing about the machine.
    started = time.process_time()
    finite = all(np.isfinite(block).all() for block in engine.separate(noise, threads=threads))
    used = time.process_time() - started
    if not finite:
        raise ModelSetupError("The network returns values that are not finite.")
    return Measured(round(seconds * TOLD_THREADS / used, 2), max(0, peak_memory_bytes() - before))
