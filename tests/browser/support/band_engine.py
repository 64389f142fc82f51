"""STAND-IN for an engine with more stems than two: four constant parts of the mixture. Its sound means nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from tests.fixtures.stand_ins.engines import Share
from worker.engines.interface import AudioSource, EngineDescription, FloatArray, Progress

PARTS = {"vocals": 0.4, "drums": 0.3, "bass": 0.2, "other": 0.1}


class Band(Share):
    """Gives each of the four its part of every sample."""

    @property
    def description(self) -> EngineDescription:
        """What the engine tells of itself."""
        return replace(super().description, name="band", title="Stand-in for a band", stems=tuple(PARTS))

    def separate(
        self,
        source: AudioSource,
        *,
        start: int = 0,
        stop: int | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[FloatArray]:
        """Yield the four parts."""
        parts = np.array([*PARTS.values()], dtype=np.float32)[:, None, None]
        for whole in super().separate(source, start=start, stop=stop, threads=threads, progress=progress):
            yield whole.sum(axis=0, keepdims=True) * parts


DESCRIPTION = Band().description


def create(preset: str | None, parameters: Mapping[str, object]) -> Band:
    """Return the engine, for a child that names this module among its extra engines."""
    del preset, parameters
    return Band()
