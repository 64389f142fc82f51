"""A song that comes apart well: a bar that repeats to the sample, and over it a voice-like tone that never does."""

from __future__ import annotations

import numpy as np

from worker.engines.interface import FloatArray

RATE_HZ = 44_100


def song_with_a_voice(seconds: float) -> FloatArray:
    """Return samples of shape (2, n), alike on each call; both stems of it are loud."""
    random = np.random.default_rng(7)
    t = np.arange(RATE_HZ) / RATE_HZ
    bar = random.normal(0, 0.3, t.size) * np.exp(-8 * (t % 0.25)) + 0.2 * np.sin(2 * np.pi * 110 * t)
    music = np.tile(bar, int(seconds) + 1)[: round(seconds * RATE_HZ)]
    pitches = np.repeat(random.uniform(400, 900, int(seconds * 3) + 1), RATE_HZ // 3 + 1)[: music.size]
    phase = 2 * np.pi * np.cumsum(pitches) / RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in (1, 2, 3, 4))
    song = 0.25 * music + 0.2 * voice
    return np.stack((song, 0.8 * song)).astype(np.float32)
