"""The grid of frames and chunks over a track: which of them a range of samples needs.

Owns the arithmetic alone. The grid begins at the track's first sample, whatever part of it is wanted, so
that an excerpt falls into the same frames and chunks as the whole song and sounds the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.engine.unet.manifest import Manifest


@dataclass(frozen=True)
class FrameGrid:
    """Frames of an STFT, in chunks of `chunk_frames`.

    Frame f reads the samples from `f * hop_length - lead_samples` up to `(f + 1) * hop_length`, so frame
    0 is the first that touches the track and each sample lies in the same number of frames.
    """

    n_fft: int
    hop_length: int
    chunk_frames: int

    @classmethod
    def of(cls, manifest: Manifest) -> FrameGrid:
        """Return the grid that a network was made for."""
        return cls(manifest.n_fft, manifest.hop_length, manifest.chunk_frames)

    @property
    def lead_samples(self) -> int:
        """How many samples a frame reads before its own hop."""
        return self.n_fft - self.hop_length

    @property
    def step_samples(self) -> int:
        """Samples from one chunk to the next."""
        return self.chunk_frames * self.hop_length

    @property
    def chunk_samples(self) -> int:
        """How many samples the frames of one chunk read."""
        return self.step_samples + self.lead_samples

    def first_sample(self, chunk: int) -> int:
        """Return the first sample that a chunk reads and changes; negative for the first chunk."""
        return chunk * self.step_samples - self.lead_samples

    def chunks(self, samples: range) -> range:
        """Return the chunks whose frames touch these samples; one at least."""
        last_sample = max(samples.start, samples.stop - 1)
        return range(samples.start // self.step_samples, (last_sample + self.lead_samples) // self.step_samples + 1)
