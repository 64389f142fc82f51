"""The speed that set-up measures is told for two processors, whatever the machine has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from worker.engines.interface import AudioSource, FloatArray
from worker.model_setup import speed


class Instant:
    """STAND-IN for an engine: its processor time comes from the test."""

    def separate(self, source: AudioSource, *, stop: int | None = None, threads: int) -> Iterator[FloatArray]:
        assert 1 <= threads <= 2
        yield np.zeros((2, source.channels, stop or source.n_samples), np.float32)


@pytest.mark.parametrize("processors", [None, 1, 2, 64])
def test_the_speed_is_that_with_two_processors(monkeypatch: pytest.MonkeyPatch, processors: int | None) -> None:
    times = iter([100.0, 110.0])
    monkeypatch.setattr(speed.os, "cpu_count", lambda: processors)
    monkeypatch.setattr(speed.time, "process_time", lambda: next(times))
    engine: Any = Instant()
    # 30 s of sound in 10 s of processor time; two processors have that in 5 s.
    assert speed.measure_engine(engine, seconds=30.0).real_time_factor == 6.0
