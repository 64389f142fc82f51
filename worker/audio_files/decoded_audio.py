"""Decoded samples in a file on the scratch disk, with random access: the `AudioSource` that engines read.

The file is a WAV of 32-bit floats as ffmpeg writes it. Damaged samples are repaired in place, and the level is measured
in the same pass.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shared.errors import AudioUnreadableError
from worker.audio_files.timeline import Timeline
from worker.engines.interface import FloatArray
from worker.engines.level import LevelMeter, SongLevel

# Bytes that are checked together: they fit into the second-level cache.
CHECK_BYTES = 1 << 20


@dataclass(frozen=True)
class DecodedAudio:
    """The mixture as float32 samples in a file.

    `first_sample` is where the file begins in the track; it is above 0 only for an excerpt. `repaired_samples` counts
    samples that were not finite or far out of range, and are now 0. `lost_packets` counts packets that could not be
    decoded, up to some hundreds. `broke_off` means that the source continues, but the rest cannot be read;
    `stopped_at_change` that its sample rate or channels change there. `converted_parts` means that they changed, and
    that all parts were converted to those of the first. `song_level` is the level of all samples in the file.
    `timeline` says where the samples of the file belong; None: they follow each other without gaps. `channel_mask`
    names the loudspeakers of the channels as WAV does; 0 if they are not known. `rate_ratio` is the rate of the samples
    divided by that of the source, below 1 if the decoder has converted it.
    """

    path: Path
    sample_rate_hz: int
    channels: int
    n_samples: int
    offset_bytes: int
    first_sample: int = 0
    repaired_samples: int = 0
    lost_packets: int = 0
    broke_off: bool = False
    stopped_at_change: bool = False
    converted_parts: bool = False
    song_level: SongLevel = field(default_factory=SongLevel)
    timeline: Timeline | None = None
    channel_mask: int = 0
    rate_ratio: float = 1.0

    @property
    def duration_seconds(self) -> float:
        """Return the playing time of these samples."""
        return self.n_samples / self.sample_rate_hz

    def read_samples(self, start: int, stop: int) -> FloatArray:
        """Return the samples `start` to `stop` as a new C-contiguous array of shape (channels, stop - start).

        Raises ValueError unless 0 <= start <= stop <= n_samples.
        """
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"samples {start} to {stop} are not within 0 to {self.n_samples}")
        interleaved = np.zeros((stop - start, self.channels), dtype=np.float32)
        frame_bytes = 4 * self.channels
        pieces = self.timeline.pieces(start, stop) if self.timeline else [(0, start, stop - start)]
        with self.path.open("rb", buffering=0) as file:
            for place, first, n in pieces:
                file.seek(self.offset_bytes + first * frame_bytes)
                values = interleaved[place : place + n]
                _read_exactly(file.fileno(), values.data.cast("B") if values.size else memoryview(b""))
        return np.ascontiguousarray(interleaved.T)


@dataclass(frozen=True)
class WavHeader:
    """The shape of a WAV file that ffmpeg wrote, and where its first sample is. `channel_mask`: 0 if there is none."""

    sample_rate_hz: int
    channels: int
    channel_mask: int
    offset_bytes: int


def read_wav_header(path: Path) -> WavHeader:
    """Return what the header of a WAV file by ffmpeg says. Raises AudioUnreadableError if there is none."""
    with path.open("rb") as file:
        header = file.read(4096)
    position, rate, channels, mask = 12, 0, 0, 0
    while position + 8 <= len(header):
        name, size = struct.unpack_from("<4sI", header, position)
        if name == b"data":
            return WavHeader(rate, channels, mask, position + 8)
        if name == b"fmt ":
            channels, rate = struct.unpack_from("<HI", header, position + 10)
            # Only the extensible format has a mask.
            mask = struct.unpack_from("<I", header, position + 28)[0] if size >= 40 else 0
        position += 8 + size + size % 2
    raise AudioUnreadableError("The audio cannot be decoded.")


def repair_samples(
    path: Path, offset_bytes: int, n_samples: int, channels: int, *, bound: float
) -> tuple[int, SongLevel]:
    """Set samples to 0 that are not finite or beyond `bound`; return how many there were, and the level of all."""
    repaired, meter = 0, LevelMeter()
    buffer = np.empty((CHECK_BYTES // (4 * channels), channels), dtype=np.float32)
    with path.open("r+b", buffering=0) as file:
        for start in range(0, n_samples, len(buffer)):
            values = buffer[: min(len(buffer), n_samples - start)]
            file.seek(offset_bytes + 4 * channels * start)
            _read_exactly(file.fileno(), values.data.cast("B"))
            # NaN makes both comparisons false, so the two extremes reveal every kind of damage.
            if not (-bound <= values.min() and values.max() <= bound):
                bad = ~(np.abs(values) <= bound)
                repaired += int(bad.sum())
                values[bad] = 0.0
                file.seek(offset_bytes + 4 * channels * start)
                file.write(values.tobytes())
            meter.add_block(values.T)
    return repaired, meter.level()


def _read_exactly(descriptor: int, view: memoryview) -> None:
    """Fill the view. A single read may return less than requested."""
    while view:
        n_read = os.readv(descriptor, [view])
        if n_read == 0:
            raise EOFError("the decoded audio is shorter than its header says")
        view = view[n_read:]
