"""Decoded samples in a file on the scratch disk, readable at any place: the `Source` that engines read.

Owns that file's form, a WAV of 32-bit floats as ffmpeg writes it, and what is done to samples that are no sound.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.errors import AudioUnreadableError
from worker.engine.interface import FloatArray

# Bytes looked at together when the samples are checked: fits the second-level cache.
CHECK_BYTES = 1 << 20


@dataclass(frozen=True)
class DecodedAudio:
    """The mixture as float32 samples in a file.

    `first_sample` is the place in the track of the first sample here (above 0 only for an excerpt).
    `repaired_samples` counts those that were not finite, or absurd, and are now 0; `lost_packets` those
    that the decoder could make nothing of (counted up to some hundreds). `broke_off` says that there is more in the
    file, which cannot be read.
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

    @property
    def duration_seconds(self) -> float:
        """Return how long these samples play."""
        return self.n_samples / self.sample_rate_hz

    def read(self, start: int, stop: int) -> FloatArray:
        """Return samples `start` to `stop` as a new C-contiguous array (channels, stop - start).

        Raises ValueError unless 0 <= start <= stop <= n_samples.
        """
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"samples {start} to {stop} are not within 0 to {self.n_samples}")
        frame_bytes = 4 * self.channels
        interleaved = np.empty((stop - start, self.channels), dtype=np.float32)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset_bytes + start * frame_bytes)
            _read_fully(file.fileno(), interleaved.data.cast("B") if interleaved.size else memoryview(b""))
        return np.ascontiguousarray(interleaved.T)


def read_header(path: Path) -> tuple[int, int, int]:
    """Return rate, channels and the place of the first sample from the WAV header that ffmpeg wrote."""
    with path.open("rb") as file:
        header = file.read(4096)
    position, rate, channels = 12, 0, 0
    while position + 8 <= len(header):
        name, size = struct.unpack_from("<4sI", header, position)
        if name == b"data":
            return rate, channels, position + 8
        if name == b"fmt ":
            channels, rate = struct.unpack_from("<HI", header, position + 10)
        position += 8 + size + size % 2
    raise AudioUnreadableError("The audio cannot be decoded.")


def repair(path: Path, offset_bytes: int, n_values: int, *, bound: float) -> int:
    """Set samples that are not finite, or beyond `bound`, to 0, and return how many there were."""
    repaired = 0
    buffer = np.empty(CHECK_BYTES // 4, dtype=np.float32)
    with path.open("r+b", buffering=0) as file:
        for start in range(0, n_values, buffer.size):
            values = buffer[: min(buffer.size, n_values - start)]
            file.seek(offset_bytes + 4 * start)
            _read_fully(file.fileno(), values.data.cast("B"))
            # A NaN makes both comparisons false, so one look at the extremes finds every kind of damage.
            if -bound <= values.min() and values.max() <= bound:
                continue
            bad = ~(np.abs(values) <= bound)
            repaired += int(bad.sum())
            values[bad] = 0.0
            file.seek(offset_bytes + 4 * start)
            file.write(values.tobytes())
    return repaired


def _read_fully(descriptor: int, view: memoryview) -> None:
    """Fill the view; one call may give less than asked for."""
    while view:
        n_read = os.readv(descriptor, [view])
        if n_read == 0:
            raise EOFError("the decoded audio is shorter than its header says")
        view = view[n_read:]
