"""Which frames and chunks of a track a range of samples needs.

The grid begins at the track's first sample, whatever range is asked for. So an excerpt falls into the same frames and
chunks as the whole song and sounds the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.engines.unet.model_manifest import MaskManifest


@dataclass(frozen=True)
class ChunkGrid:
    """The frames of an STFT, grouped into chunks of `chunk_frames`.

    Frame f covers the samples from `f * hop_length - lead_samples` up to `(f + 1) * hop_length`, as `stft_frames.py`
    describes: frame 0 is the first that touches the track, and each sample lies in the same number of frames.
    """

    n_fft: int
    hop_length: int
    chunk_frames: int

    @classmethod
    def from_manifest(cls, manifest: MaskManifest) -> ChunkGrid:
        """Return the grid that a network was made for."""
        return cls(manifest.n_fft, manifest.hop_length, manifest.chunk_frames)

    @property
    def lead_samples(self) -> int:
        """Number of samples that a frame covers before its own hop."""
        return self.n_fft - self.hop_length

    @property
    def step_samples(self) -> int:
        """Samples from one chunk to the next."""
        return self.chunk_frames * self.hop_length

    @property
    def chunk_samples(self) -> int:
        """Number of samples that the frames of one chunk cover."""
        return self.step_samples + self.lead_samples

    def first_sample(self, chunk: int) -> int:
        """Return the first sample that a chunk covers; negative for the first chunk."""
        return chunk * self.step_samples - self.lead_samples

    def chunks_touching(self, samples: range) -> range:
        """Return the chunks whose frames cover any of these samples; at least one chunk."""
        last_sample = max(samples.start, samples.stop - 1)
        return range(samples.start // self.step_samples, (last_sample + self.lead_samples) // self.step_samples + 1)
