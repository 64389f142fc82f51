"""Measures the mixture and each stem while they stream by, in one pass over the samples. No samples are kept.

Loudness, spectrogram and waveform are modules of their own. They need nothing of each other, so the work that each does
with a block is a separate task, which any thread may do.
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
from worker.audio_files.mixing import MixFactors
from worker.engines.interface import FloatArray
from worker.measurements.loudness import LoudnessMeter, decibels
from worker.measurements.spectrogram import SpectrogramView
from worker.measurements.waveform import WaveformOutline

# A stem whose peak is below this is called silent: at any volume it is below the noise of a quiet room.
SILENT_PEAK_DB = -60.0

Task = Callable[[], None]


@dataclass(frozen=True)
class Levels:
    """How loud a signal is.

    `peak_db` is None for digital silence, `loudness_lufs` is None where nothing is loud enough to be measured.
    """

    peak_db: float | None
    loudness_lufs: float | None
    silent: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return asdict(self)


class SignalMeter:
    """Level and waveform of one signal."""

    def __init__(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        self._loudness = LoudnessMeter(sample_rate_hz=sample_rate_hz, channels=channels)
        self.outline = WaveformOutline(n_samples=n_samples)

    @property
    def peak(self) -> float:
        """The largest absolute sample so far; 1 is full scale."""
        return self._loudness.peak

    def measuring_tasks(self, block: FloatArray) -> Sequence[Task]:
        """Return the tasks that measure the next samples, shape (channels, n), the longest task first."""
        return [partial(meter.add_block, block) for meter in (self._loudness, self.outline)]

    def levels(self, gain: float = 1.0) -> Levels:
        """Return peak and loudness as they are after the signal is multiplied by `gain`."""
        peak_db = decibels(self.peak * gain)
        loudness_lufs = self._loudness.integrated_lufs()
        if loudness_lufs is not None:
            loudness_lufs = round(loudness_lufs + 20 * math.log10(gain), 2)
        return Levels(peak_db, loudness_lufs, silent=peak_db is None or peak_db < SILENT_PEAK_DB)


class PicturedSignalMeter(SignalMeter):
    """All measurements of one signal: also its spectrogram."""

    def __init__(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        super().__init__(sample_rate_hz=sample_rate_hz, channels=channels, n_samples=n_samples)
        self.view = SpectrogramView(sample_rate_hz=sample_rate_hz, n_samples=n_samples)

    def measuring_tasks(self, block: FloatArray) -> Sequence[Task]:
        """Return the tasks that measure the next samples, shape (channels, n), the longest task first."""
        return [partial(self.view.add_block, block), *super().measuring_tasks(block)]


class ResidualMeter:
    """Measures the residual: the mixture minus all stems."""

    def __init__(self) -> None:
        self._mixture_energy = 0.0
        self._residual_energy = 0.0

    def add_block(self, mixture: FloatArray, stems: FloatArray) -> None:
        """Add the same samples of the mixture, shape (channels, n), and of all stems, shape (stems, channels, n).

        Raises SeparationFailedError if a stem has a sample that is not finite.
        """
        with np.errstate(invalid="ignore"):
            residual = mixture - stems.sum(axis=0)
        energy = float(np.vdot(residual, residual))
        # The mixture is finite. So if the energy is not, a stem is not.
        if not math.isfinite(energy):
            raise SeparationFailedError("The engine returned samples that are not finite.")
        self._mixture_energy += float(np.vdot(mixture, mixture))
        self._residual_energy += energy

    def relative_db(self) -> float | None:
        """Return the residual's energy relative to the mixture's, in dB; None if either is zero."""
        if not self._residual_energy or not self._mixture_energy:
            return None
        return round(10 * math.log10(self._residual_energy / self._mixture_energy), 2)


class TrackMeters:
    """The measurements of the mixture, of the wanted stems and mixes, and of the residual."""

    def __init__(
        self,
        wanted: Sequence[int],
        *,
        sample_rate_hz: int,
        channels: int,
        n_samples: int,
        mixes: Sequence[MixFactors] = (),
    ) -> None:
        shape = {"sample_rate_hz": sample_rate_hz, "channels": channels, "n_samples": n_samples}
        self.mixture = PicturedSignalMeter(**shape)
        self.stems = {index: PicturedSignalMeter(**shape) for index in wanted}
        self._mixes = mixes
        self.mixes = {mix.name: SignalMeter(**shape) for mix in mixes}
        self.residual = ResidualMeter()

    def measuring_tasks(self, mixture: FloatArray, stems: FloatArray, *, n_engine_stems: int) -> Sequence[Task]:
        """Return the tasks that measure the same samples of the mixture, shape (channels, n), and of all stems.

        The residual is what the first `n_engine_stems` stems leave of the mixture; derived stems come after them.
        All of these must have ended before a task of the next block begins. The first task raises
        SeparationFailedError if a stem has a sample that is not finite.
        """
        of_signals = [
            self.mixture.measuring_tasks(mixture),
            *(meter.measuring_tasks(stems[index]) for index, meter in self.stems.items()),
        ]
        # The longest tasks of all signals come first, so no thread starts one when the other threads have finished.
        longest_first = itertools.chain(*zip(*of_signals, strict=True))
        of_mixes = [partial(self._measure_mix, mix, mixture, stems) for mix in self._mixes]
        return [partial(self.residual.add_block, mixture, stems[:n_engine_stems]), *of_mixes, *longest_first]

    def _measure_mix(self, mix: MixFactors, mixture: FloatArray, stems: FloatArray) -> None:
        for task in self.mixes[mix.name].measuring_tasks(mix.mix_block(mixture, stems.__getitem__)):
            task()

    @property
    def peak(self) -> float:
        """The largest absolute sample of all wanted stems and mixes."""
        return max(meter.peak for meter in (*self.stems.values(), *self.mixes.values()))
