"""The grid of frames and segments over a track: which of them a range of samples needs.

Owns the arithmetic alone. The grid begins at the track's first sample, whatever part of it is wanted, so that
an excerpt is cut into the same segments as the whole song and sounds the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.engine.interface import FloatArray
from worker.engine.unet.manifest import Manifest


@dataclass(frozen=True)
class SegmentGrid:
    """Frames of an STFT in overlapping segments.

    Frame f reads the samples from `f * hop_length - lead_samples` up to `(f + 1) * hop_length`, so frame
    0 is the first that touches the track and each sample lies in the same number of frames. Segment k
    holds `segment_frames` frames from frame `k * step_frames`.
    """

    n_fft: int
    hop_length: int
    segment_frames: int
    overlap_frames: int

    @classmethod
    def of(cls, manifest: Manifest) -> SegmentGrid:
        """Return the grid that a network was made for."""
        return cls(manifest.n_fft, manifest.hop_length, manifest.segment_frames, manifest.overlap_frames)

    @property
    def lead_samples(self) -> int:
        """How many samples a frame reads before its own hop."""
        return self.n_fft - self.hop_length

    @property
    def step_frames(self) -> int:
        """Frames from one segment to the next."""
        return self.segment_frames - self.overlap_frames

    @property
    def segment_samples(self) -> int:
        """How many samples the frames of one segment read."""
        return self.segment_frames * self.hop_length + self.lead_samples

    def first_sample(self, segment: int) -> int:
        """Return the first sample that a segment reads; negative for the first segment."""
        return segment * self.step_frames * self.hop_length - self.lead_samples

    def segments(self, start: int, stop: int, n_samples: int) -> range:
        """Return the segments, one at least, that samples `start` to `stop` of `n_samples` depend on."""
        first_frame = start // self.hop_length
        first = max(0, -(-(first_frame - self.segment_frames + 1) // self.step_frames))
        last = min(self._last_frame(stop) // self.step_frames, self._last_segment(n_samples))
        return range(first, max(first, last) + 1)

    def crossfade(self) -> FloatArray:
        """Return weights for a segment's first `overlap_frames` frames, shape (overlap_frames, 1).

        They rise linearly and leave out both ends, where one of two segments would count for nothing.
        """
        steps = np.arange(1, self.overlap_frames + 1, dtype=np.float32) / np.float32(self.overlap_frames + 1)
        return np.ascontiguousarray(steps[:, None], dtype=np.float32)

    def _last_frame(self, stop: int) -> int:
        return (max(stop, 1) - 1 + self.lead_samples) // self.hop_length

    def _last_segment(self, n_samples: int) -> int:
        """Return the last segment of a track: the first that reaches its last frame."""
        beyond = self._last_frame(n_samples) + 1 - self.segment_frames
        return max(0, -(-beyond // self.step_frames))
