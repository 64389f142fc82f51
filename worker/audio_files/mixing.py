"""Mixes stems block by block, while they are measured and again while they are encoded. No mix is ever stored raw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.audio.mixes import Mix
from worker.audio_files.stem_files import StemBlock
from worker.engines.interface import FloatArray


@dataclass(frozen=True)
class MixFactors:
    """A mix as a sum: the song times `song`, plus each stem, by its index, times its factor."""

    name: str
    song: float
    stems: Mapping[int, float]

    def mix_block(self, song: FloatArray, stem: Callable[[int], FloatArray]) -> FloatArray:
        """Return the mix of a block, shape (channels, n). `stem` returns the samples of the stem with an index."""
        mixed = song * np.float32(self.song) if self.song else np.zeros_like(song)
        for index, factor in self.stems.items():
            mixed += np.float32(factor) * stem(index)
        return mixed


def factors_of(mix: Mix, stems: Sequence[str]) -> MixFactors:
    """Return a mix's factors; `stems` are the names of all stems, at their indexes.

    The song has the gain of the rest, and each named stem is the difference to that. So a mix in which every gain is
    equal is the song itself, and the residual, which is in no stem, is not lost.
    """
    rest = amplitude(mix.rest_db)
    factors = {stems.index(name): amplitude(gain_db) - rest for name, gain_db in mix.gains_db.items()}
    return MixFactors(mix.name, rest, {index: factor for index, factor in sorted(factors.items()) if factor})


def amplitude(gain_db: float | None) -> float:
    """Return the factor of a gain in dB; 0 for None."""
    return 0.0 if gain_db is None else float(10 ** (gain_db / 20))


class MixedBlock:
    """A block of stems, followed by the mixes of it. It reads only the stems that are asked for, on any thread.

    `block` has the stems with the indexes `indexes`; of these, the block shows those in `wanted`.
    """

    def __init__(
        self,
        song: FloatArray,
        block: StemBlock,
        *,
        indexes: Sequence[int],
        wanted: Sequence[int],
        mixes: Sequence[MixFactors],
    ) -> None:
        self._song, self._block, self._mixes, self._wanted = song, block, mixes, wanted
        self._places = {index: place for place, index in enumerate(indexes)}
        self.shape = (len(wanted) + len(mixes), *block.shape[1:])

    def __getitem__(self, place: int) -> FloatArray:
        """Return the samples of a stem or mix, shape (channels, n)."""
        if place < len(self._wanted):
            return self._stem(self._wanted[place])
        return self._mixes[place - len(self._wanted)].mix_block(self._song, self._stem)

    def _stem(self, index: int) -> FloatArray:
        return self._block[self._places[index]]
