"""The songs that jobs are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 44_100


@dataclass
class Songs:
    """One of six seconds, and one that is long enough to be in the middle of."""

    short: Path
    long: Path


def write_song(path: Path, seconds: int) -> Path:
    """Write a beat under a tone that glides, three seconds at a time."""
    t = np.arange(3 * RATE_HZ) / RATE_HZ
    beat = np.sin(2 * np.pi * 110 * t) * np.exp(-6 * (t % 0.5))
    voice = 0.3 * np.sin(2 * np.pi * (440 * t + 30 * np.sin(2 * np.pi * t / 3)))
    block = (0.5 * np.stack([beat + voice, beat - voice], axis=1)).astype(np.float32)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2) as file:
        for _ in range(seconds // 3):
            file.write(block)
    return path
