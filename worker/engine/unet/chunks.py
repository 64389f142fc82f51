"""Chunks on their way through the networks: analysis, gains, masks, synthesis.

Owns what happens to the channels. Knows no track, and of the masks no more than that they come of the gains.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from worker.engine.interface import FloatArray
from worker.engine.unet.manifest import Manifest
from worker.engine.unet.masks import MaskRule
from worker.engine.unet.network import Model, States
from worker.engine.unet.spectrum import ComplexArray, ShortTimeFourier


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
        self._rule = MaskRule.of(manifest)
        self._fourier = ShortTimeFourier(manifest.n_fft, manifest.hop_length, manifest.bins + len(self._rule.taper))

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
            lambda frames: self._rule.masks(chunk.S[:, frames], [gains[:, frames] for gains in later.gains]),
        )
        later.gains.clear()  # They would else stay as long as the chunk that came with them.
        return y
