"""STAND-IN for a separation engine: halves the mixture, and takes the time and memory that a test asks for.

Only for tests of the life cycle, where it matters that a job lasts and not what it sounds like. It runs in the
real child, through the real pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import numpy as np

from worker.engines.interface import (
    AudioSource,
    EngineDescription,
    FloatArray,
    Parameter,
    Preset,
    Progress,
    SeparationEngine,
)

DESCRIPTION = EngineDescription(
    name="slow",
    version="1",
    title="Stand-in that sleeps",
    summary="For tests of the life cycle.",
    stems=("vocals", "accompaniment"),
    presets=(Preset("default", "Sleeps", {"seconds": 2.0, "grow_bytes": 0}),),
    default_preset="default",
    parameters=(
        Parameter("seconds", "number", "How long a job lasts", 0, 3600),
        Parameter("grow_bytes", "integer", "Memory to take", 0, 2**40),
    ),
)

STEPS = 40


class SlowEngine:
    """Sleeps in forty steps, so that progress moves."""

    description = DESCRIPTION
    stems = DESCRIPTION.stems

    def __init__(self, seconds: float, grow_bytes: int) -> None:
        self._seconds = seconds
        self._grow_bytes = grow_bytes

    def check_track(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        """Take everything."""

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:
        """Tell the truth, which the supervisor does not rely on."""
        return self._grow_bytes + 8 * channels * n_samples

    def release_memory(self) -> None:
        """Do nothing: the engine keeps nothing between tracks."""

    def separate(
        self,
        source: AudioSource,
        *,
        start: int = 0,
        stop: int | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[FloatArray]:
        """Yield halves of the mixture, slowly."""
        stop = source.n_samples if stop is None else stop
        taken = []
        bounds = np.linspace(start, stop, STEPS + 1).astype(int)
        for step in range(STEPS):
            time.sleep(self._seconds / STEPS)
            taken.append(np.ones(self._grow_bytes // STEPS, dtype=np.uint8))
            half = source.read_samples(int(bounds[step]), int(bounds[step + 1])) / 2
            if progress:
                progress((step + 1) / STEPS)
            yield np.stack([half, half])


def create(preset: str | None, parameters: Mapping[str, object]) -> SeparationEngine:  # noqa: ARG001 - there is one preset
    """Return the engine; see DESCRIPTION for its parameters."""
    values = {"seconds": 2.0, "grow_bytes": 0, **parameters}
    return SlowEngine(float(str(values["seconds"])), int(str(values["grow_bytes"])))
