"""Prints the peak memory, in MiB, of a process that separates so many seconds of noise with a model folder.

A process of its own, which imports no more than a worker does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests.bench.peak import peak_mebibytes
from worker.engines.unet import create
from worker.run_support.process_memory import use_one_heap

RATE_HZ = 44_100
MINUTE = 60


class Noise:
    """Stereo noise of any length, the same minute again and again."""

    sample_rate_hz = RATE_HZ
    channels = 2

    def __init__(self, seconds: int) -> None:
        self.n_samples = seconds * RATE_HZ
        rng = np.random.default_rng(0)
        self._y = rng.uniform(-0.3, 0.3, (2, MINUTE * RATE_HZ)).astype(np.float32)

    def read_samples(self, start: int, stop: int) -> np.ndarray:
        return np.take(self._y, np.arange(start, stop), axis=1, mode="wrap")


def main(folder: Path, seconds: int) -> None:
    use_one_heap()
    for _ in create(None, {}, model_folder=folder).separate(Noise(seconds), threads=2):
        pass
    print(peak_mebibytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
