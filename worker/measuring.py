"""What is measured of the mixture and of each stem while they stream by, in one pass over the samples.

Owns how the measures are fed together; each is a module of its own. Nothing here keeps samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shared.errors import SeparationFailedError
from worker.engine.interface import FloatArray
from worker.loudness import LoudnessMeter, decibels
from worker.spectrogram_view import SpectrogramView
from worker.waveform import WaveformOutline

# A stem whose highest peak lies below this is called silent: it is below the noise of a quiet room at any volume.
SILENT_PEAK_DB = -60.0


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

    def feed(self, block: FloatArray) -> None:
        """Take the next samples, shape (channels, n)."""
        self._loudness.feed(block)
        self.outline.feed(block)
        self.view.feed(block)

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
        """Take the same samples of the mixture (channels, n) and of all stems (stems, channels, n)."""
        rest = mixture - stems.sum(axis=0)
        self._mixture_energy += float(np.vdot(mixture, mixture))
        self._residual_energy += float(np.vdot(rest, rest))

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

    def feed(self, mixture: FloatArray, stems: FloatArray) -> None:
        """Take the same samples of the mixture (channels, n) and of all stems (stems, channels, n).

        Raises SeparationFailedError if a stem holds a sample that is not finite.
        """
        if not np.isfinite(stems.sum(dtype=np.float64)):
            raise SeparationFailedError("The engine gave samples that are not finite.")
        self.mixture.feed(mixture)
        for index, measure in self.stems.items():
            measure.feed(stems[index])
        self.residual.feed(mixture, stems)

    @property
    def peak(self) -> float:
        """The largest absolute sample of all wanted stems."""
        return max(measure.peak for measure in self.stems.values())
