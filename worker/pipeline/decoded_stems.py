"""Finished stems of an earlier run, decoded to the scratch disk, and what is unusual about them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.audio.formats import Encoding
from worker.audio_files.decoded_audio import DecodedAudio
from worker.audio_files.excerpt import Track
from worker.audio_files.probe import Probe
from worker.engines.interface import FloatArray
from worker.run_messages import Work

BLOCK_SAMPLES = 1 << 18

LOSSLESS_CODECS = frozenset({"flac", "alac", "wavpack"})
"""Beside the kinds of PCM."""


@dataclass(frozen=True)
class DecodedStems:
    """The stems' samples, of equal length, and what their files claim to be. `track` is the first of them."""

    audio: Sequence[DecodedAudio]
    probes: Sequence[Probe]
    n_samples: int

    @property
    def track(self) -> Track:
        """The first stem, cut to the length of the shortest."""
        return Track(self.audio[0], 0, self.n_samples)

    def blocks(self) -> Iterator[DecodedBlock]:
        """Yield the samples of all stems, block by block."""
        for start in range(0, self.n_samples, BLOCK_SAMPLES):
            yield DecodedBlock(self.audio, start, min(start + BLOCK_SAMPLES, self.n_samples))

    def source(self, work: Work) -> dict[str, Any]:
        """Return what the job's record says about its source."""
        return {
            "filename": work.source_filename,
            "duration_seconds": round(self.track.duration_seconds, 6),
            "sample_rate_hz": self.audio[0].sample_rate_hz,
            "channels": self.audio[0].channels,
        }

    def notes(self, encoding: Encoding, gain: float) -> Iterator[str]:
        """Yield a sentence for everything unusual that the user should know."""
        yield "The mixes were made of the finished stems of an earlier job; nothing was separated."
        if lossy := sorted({p.codec for p in self.probes if not _is_lossless(p.codec)}):
            yield f"The stems are in a lossy format ({', '.join(lossy)}), so the mixes have its losses too."
        if gain != 1:
            reduction_db = -20 * math.log10(gain)
            yield f"All mixes were made {reduction_db:.2f} dB quieter, because the loudest one would have clipped."
        rate = self.audio[0].sample_rate_hz
        if encoding.sample_rate_hz != rate:
            yield f"{encoding.format.name} does not support {rate} Hz: the mixes were resampled."


class DecodedBlock:
    """The same samples of all stems, each read when it is needed, on any thread."""

    def __init__(self, audio: Sequence[DecodedAudio], start: int, stop: int) -> None:
        self._audio, self._start, self._stop = audio, start, stop
        self.shape = (len(audio), audio[0].channels, stop - start)

    def __getitem__(self, stem: int) -> FloatArray:
        """Return the samples of a stem, shape (channels, n)."""
        return self._audio[stem].read_samples(self._start, self._stop)


def _is_lossless(codec: str) -> bool:
    return codec.startswith("pcm_") or codec in LOSSLESS_CODECS
