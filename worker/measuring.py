"""What is measured of the mixture and of each stem while they stream by, in one pass over the samples.

Owns how the measures are fed together; each is a module of its own. Nothing here keeps samples. What one measure does
with a block needs nothing of the others, so each is a task that any thread may do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from shared.errors import SeparationFailedError
from worker.engine.interface import FloatArray
from worker.loudness import LoudnessMeter, decibels
from worker.spectrogram_view import SpectrogramView
from worker.waveform import WaveformOutline

# A stem whose highest peak lies below this is called silent: it is below the noise of a quiet room at any volume.
SILENT_PEAK_DB = -60.0

Task = Callable[[], None]


@dataclass(frozen=True)
class Levels:
    """How loud a signal is. `peak_db` is None for digital silence, `loudness_lufs` where nothing is loud enough."""

    peak_db: float | None
    loudness_lufs: float | None
    silent: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return asdict(self)


class SignalMeasure:
    """All measures of one signal."""

    def __init__(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        self._loudness = LoudnessMeter(sample_rate_hz=sample_rate_hz, channels=channels)
        self.outline = WaveformOutline(n_samples=n_samples)
        self.view = SpectrogramView(sample_rate_hz=sample_rate_hz, n_samples=n_samples)

    @property
    def peak(self) -> float:
        """The largest absolute sample so far; 1 is full scale."""
        return self._loudness.peak

    def tasks(self, block: FloatArray) -> Sequence[Task]:
        """Return what is to be done with the next samples, shape (channels, n), the longest first."""
        return [partial(measure.feed, block) for measure in (self.view, self._loudness, self.outline)]

    def levels(self, gain: float = 1.0) -> Levels:
        """Return peak and loudness as they are after `gain`."""
        peak_db = decibels(self.peak * gain)
        loudness_lufs = self._loudness.integrated_lufs()
        if loudness_lufs is not None:
            loudness_lufs = round(loudness_lufs + 20 * math.log10(gain), 2)
        return Levels(peak_db, loudness_lufs, silent=peak_db is None or peak_db < SILENT_PEAK_DB)


class Residual:
    """How much of the mixture is in no stem."""

    def __init__(self) -> None:
        self._mixture_energy = 0.0
        self._residual_energy = 0.0

    def feed(self, mixture: FloatArray, stems: FloatArray) -> None:
        """Take the same samples of the mixture (channels, n) and of all stems (stems, channels, n).

        Raises SeparationFailedError if a stem holds a sample that is not finite.
        """
        with np.errstate(invalid="ignore"):
            rest = mixture - stems.sum(axis=0)
        energy = float(np.vdot(rest, rest))
        # The mixture is finite, so this is not where any stem is not.
        if not math.isfinite(energy):
            raise SeparationFailedError("The engine gave samples that are not finite.")
        self._mixture_energy += float(np.vdot(mixture, mixture))
        self._residual_energy += energy

    def relative_db(self) -> float | None:
        """Return the residual's energy in dB of the mixture's; None where either is zero."""
        if not self._residual_energy or not self._mixture_energy:
            return None
        return round(10 * math.log10(self._residual_energy / self._mixture_energy), 2)


class Measures:
    """The measures of the mixture, of the wanted stems, and of what is in none."""

    def __init__(self, wanted: Sequence[int], *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        def measure() -> SignalMeasure:
            return SignalMeasure(sample_rate_hz=sample_rate_hz, channels=channels, n_samples=n_samples)

        self.mixture = measure()
        self.stems = {index: measure() for index in wanted}
        self.residual = Residual()

    def tasks(self, mixture: FloatArray, stems: FloatArray) -> Sequence[Task]:
        """Return what is to be done with the same samples of the mixture (channels, n) and of all stems.

        Those of the next block may begin when all of these have ended. The first raises SeparationFailedError if a stem
        holds a sample that is not finite.
        """
        each = [self.mixture.tasks(mixture), *(m.tasks(stems[index]) for index, m in self.stems.items())]
        # Then the longest, so that no thread begins with one when all others have ended.
        return [partial(self.residual.feed, mixture, stems), *itertools.chain(*zip(*each, strict=True))]

    @property
    def peak(self) -> float:
        """The largest absolute sample of all wanted stems."""
        return max(measure.peak for measure in self.stems.values())
