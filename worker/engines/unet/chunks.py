"""What happens to a chunk of a track on its way through the networks: analysis, gains, masks, synthesis.

Handles groups of channels where a track has more channels than the networks. Knows nothing of the track around a chunk.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from worker.engines.interface import FloatArray
from worker.engines.stft_frames import ComplexArray
from worker.engines.unet.masks import MaskRule
from worker.engines.unet.model_manifest import MaskManifest
from worker.engines.unet.network import Model, States
from worker.engines.unet.spectrum import ShortTimeFourier


@dataclass
class Chunk:
    """A chunk on its way through the networks. Each attribute exists once its step is done.

    `D` is the spectrum, shape (channels, frames, bins), and `S` its magnitudes in the networks' bins. `gains` holds one
    array like `S` for each stem; they belong to the chunk that came `delay_frames` before, by which networks lag.
    """

    D: ComplexArray = field(init=False)
    S: FloatArray = field(init=False)
    gains: list[FloatArray] = field(init=False)


class ChunkMasker:
    """Separates the chunks of one track. The chunks must pass each step in order.

    Different steps may run at once on different threads.

    Parameters
    ----------
    manifest
        Describes the networks.
    model
        The loaded networks.
    channels
        Channels of the track.
    gain
        What brings the track's magnitudes to the level that the networks know. The stems keep the track's level.
    """

    def __init__(self, manifest: MaskManifest, model: Model, channels: int, gain: float = 1.0) -> None:
        self._manifest = manifest
        self._model = model
        self._gain = gain
        groups = -(-channels // manifest.channels)
        # Each group needs states of its own, because a network may change them in place.
        self._states: list[list[States]] = [
            [states, *(deepcopy(states) for _ in range(1, groups))] for states in model.initial_states.take_states()
        ]
        self._rule = MaskRule.from_manifest(manifest)
        self._fourier = ShortTimeFourier(manifest.n_fft, manifest.hop_length, manifest.bins + len(self._rule.taper))

    def analyse(self, chunk: Chunk, y: FloatArray) -> None:
        """Compute the spectrum and magnitudes of a chunk from its samples, shape (channels, chunk_samples)."""
        chunk.D, chunk.S = self._fourier.analyse(y, self._manifest.bins, self._gain)
        chunk.gains = [chunk.S[:0]] * len(self._manifest.stems)

    def infer_gains(self, chunk: Chunk, stem: int) -> None:
        """Compute the gains of a stem, one group of channels after another."""
        width = self._manifest.channels
        network, states, gains_of_groups = self._model.networks[stem], self._states[stem], []
        for group, first in enumerate(range(0, len(chunk.S), width)):
            S = chunk.S[first : first + width]
            present, missing = len(S), width - len(S)
            if missing:
                # Repeat the last channel, and take the mean of the gains of its copies.
                S = np.concatenate([S, *[S[-1:]] * missing])
            gains, states[group] = network.step(S, states[group])
            if missing:
                gains[present - 1] = gains[present - 1 :].mean(axis=0)
            gains_of_groups.append(gains[:present])
        chunk.gains[stem] = gains_of_groups[0] if len(gains_of_groups) == 1 else np.concatenate(gains_of_groups)

    def synthesise(self, chunk: Chunk, later: Chunk) -> FloatArray:
        """Return what the frames of a chunk add to the masked stems.

        Parameters
        ----------
        chunk
            An analysed chunk.
        later
            The chunk that holds the gains of `chunk`. They are deleted.

        Returns
        -------
        ndarray, shape (masked stems, channels, chunk_samples), float32
            To be added to those of the neighbouring chunks, which overlap by `lead_samples`.
        """

        def masks_of(frames: slice) -> FloatArray:
            return self._rule.compute_masks(chunk.S[:, frames], [gains[:, frames] for gains in later.gains])

        y = self._fourier.synthesise(chunk.D, len(self._manifest.estimated_stems), masks_of)
        # Otherwise the gains would stay in memory as long as the chunk that they came with.
        later.gains.clear()
        return y
