"""Chunks on their way through the networks: analysis, gains, masks, synthesis.

Owns what happens to the channels, between the stems, and above the bins that the networks model. Knows no
track.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from worker.engine.interface import FloatArray
from worker.engine.unet.manifest import Manifest
from worker.engine.unet.network import Model, States
from worker.engine.unet.spectrum import ComplexArray, ShortTimeFourier

TOP_BINS = 32
"""Above the modelled range a mask is the mean of so many bins below it. Fewer let single partials decide."""

POWER_FLOOR = np.float32(1e-10)
"""Spleeter's: keeps the shares defined in silence, and equal there."""


@dataclass
class Chunk:
    """A chunk of a track under way; each part is there once its step is done.

    `gains`, by stem, belong to the frames of the chunk that came `delay_frames` before.
    """

    D: ComplexArray = field(init=False)
    S: FloatArray = field(init=False)
    gains: list[FloatArray] = field(init=False)


class ChunkMasker:
    """Separates the chunks of one track, which must pass every step in order.

    Different steps may run on different threads at once.

    Parameters
    ----------
    manifest
        Describes the networks.
    model
        The loaded networks.
    channels
        Channels of the track.
    """

    def __init__(self, manifest: Manifest, model: Model, channels: int) -> None:
        self._manifest = manifest
        self._model = model
        groups = -(-channels // manifest.channels)
        # Each group has states of its own, since a network may change them in place.
        self._states: list[list[States]] = [
            [states, *(deepcopy(states) for _ in range(1, groups))] for states in model.initial_states()
        ]
        # Networks see bins, not Hz: at a higher rate than their own everything moves up by the same ratio.
        end_bin = round(manifest.taper_end_hz / manifest.sample_rate_hz * manifest.n_fft)
        n_taper = max(0, min(end_bin, manifest.n_fft // 2 + 1) - manifest.bins)
        self._taper = np.linspace(1, 0, n_taper, endpoint=False, dtype=np.float32)
        self._fourier = ShortTimeFourier(manifest.n_fft, manifest.hop_length, manifest.bins + n_taper)

    def analyse(self, chunk: Chunk, y: FloatArray) -> None:
        """Compute a chunk's spectrum and magnitudes from its samples."""
        chunk.D, chunk.S = self._fourier.analyse(y, self._manifest.bins)
        chunk.gains = [chunk.S[:0]] * len(self._manifest.stems)

    def infer(self, chunk: Chunk, stem: int) -> None:
        """Compute the gains of a stem, a group of channels at a time."""
        width = self._manifest.channels
        network, states, groups = self._model.networks[stem], self._states[stem], []
        for group, first in enumerate(range(0, len(chunk.S), width)):
            S = chunk.S[first : first + width]
            present, missing = len(S), width - len(S)
            if missing:
                S = np.concatenate([S, *[S[-1:]] * missing])
            gains, states[group] = network.step(S, states[group])
            if missing:
                gains[present - 1] = gains[present - 1 :].mean(axis=0)
            groups.append(gains[:present])
        chunk.gains[stem] = groups[0] if len(groups) == 1 else np.concatenate(groups)

    def synthesise(self, chunk: Chunk, later: Chunk) -> FloatArray:
        """Return what the frames of a chunk add to the masked stems.

        Parameters
        ----------
        chunk
            An analysed chunk.
        later
            The chunk whose gains belong to it.

        Returns
        -------
        ndarray, shape (masked stems, channels, chunk_samples), float32
            To be added up with its neighbours', which overlap by `lead_samples`.
        """
        y = self._fourier.synthesise(
            chunk.D,
            len(self._manifest.masked_stems),
            lambda frames: self._masks(chunk.S[:, frames], [gains[:, frames] for gains in later.gains]),
        )
        later.gains.clear()  # They would else stay as long as the chunk that came with them.
        return y

    def _masks(self, S: FloatArray, gains: list[FloatArray]) -> FloatArray:
        """Return the masked stems' shares of the power, shape (masked stems, channels, frames, bins and taper)."""
        bins, stems = S.shape[2], self._manifest.stems
        powers = [np.square(S * gain) for gain in gains]
        total = sum(powers[1:], start=powers[0] + POWER_FLOOR)
        masks = np.empty((len(self._manifest.masked_stems), *S.shape[:2], bins + len(self._taper)), np.float32)
        for mask, stem in zip(masks, self._manifest.masked_stems, strict=True):
            power = powers[stems.index(stem)]
            power += POWER_FLOOR / len(stems)
            np.divide(power, total, out=mask[..., :bins])
            top = mask[..., bins - TOP_BINS : bins].mean(axis=-1, keepdims=True)
            np.multiply(top, self._taper, out=mask[..., bins:])
        return masks
