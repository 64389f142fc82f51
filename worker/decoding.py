"""A file of any format into samples on the scratch disk, readable at any place.

ffmpeg decodes (see ffmpeg.py for how it is confined) into a WAV of 32-bit floats whose header tells the
true rate and channels; rate and channels stay the source's own. Owns the checks of what came out: length,
shape, finite samples. What the file claimed before is probing.py's.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.errors import (
    AudioEmptyError,
    AudioTooLongError,
    AudioTooShortError,
    AudioUnreadableError,
    ScratchFullError,
)
from worker import ffmpeg
from worker.engine.interface import FloatArray
from worker.probing import Probe, check_shape
from worker.workspace import Workspace

# Wall time for the decoder: a fixed part, and a part per second of audio (the slowest codec met runs 60 times
# faster than the audio plays on one busy core). Raising them lets slower machines decode longer files.
DECODE_SECONDS_BASE = 15.0
DECODE_SECONDS_PER_AUDIO_SECOND = 1 / 30

# Samples further out than this are damage, not music. Files of floats may hold any scale, up to where squares
# overflow; what a codec of music gives 24 dB over full scale comes from flipped bits.
MAX_ABSOLUTE_SAMPLE = 1e6
MAX_ABSOLUTE_SAMPLE_CODED = 16.0

# Bytes looked at together when the samples are checked: fits the second-level cache.
CHECK_BYTES = 1 << 20

# Shorter than this is a click or a broken header; no engine has anything to hold on to.
MIN_AUDIO_SECONDS = 0.01

# What ffmpeg says once for each packet that gave no samples.
PACKET_LOST = ("Error submitting packet to decoder", "Decoding error")

DECODED_NAME = "mixture.wav"


@dataclass(frozen=True)
class DecodedAudio:
    """The mixture as float32 samples in a file: the `Source` that engines read.

    `first_sample` is the place in the track of the first sample here (above 0 only for an excerpt).
    `repaired_samples` counts those that were not finite, or absurd, and are now 0; `lost_packets` those
    that the decoder could make nothing of (counted up to some hundreds).
    """

    path: Path
    sample_rate_hz: int
    channels: int
    n_samples: int
    offset_bytes: int
    first_sample: int = 0
    repaired_samples: int = 0
    lost_packets: int = 0

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


def decode(
    path: Path,
    found: Probe,
    *,
    workspace: Workspace,
    ffmpeg_path: str | None,
    max_seconds: float,
    span_seconds: tuple[float, float | None] | None = None,
    progress: Callable[[float], None],
) -> DecodedAudio:
    """Decode the first audio stream, or the part of it that `span_seconds` (start, stop) names.

    Raises AudioEmptyError, AudioUnreadableError, AudioUnsupportedError, AudioTooLongError or ScratchFullError.
    """
    target = workspace.path(DECODED_NAME)
    first_sample, end_sample = _in_samples(span_seconds or (0.0, None), found.sample_rate_hz or 0)
    lost_packets = _run_decoder(
        path,
        target,
        found=found,
        trim=None if span_seconds is None else (first_sample, end_sample),
        workspace=workspace,
        ffmpeg_path=ffmpeg_path,
        max_seconds=max_seconds,
        progress=progress,
    )
    sample_rate_hz, channels, offset_bytes = _read_header(target)
    check_shape(sample_rate_hz=sample_rate_hz, channels=channels)
    n_samples = (target.stat().st_size - offset_bytes) // (4 * channels)
    if n_samples == 0 and first_sample > 0:
        raise AudioTooShortError("The audio ends before the excerpt begins.")
    if n_samples == 0:
        raise AudioEmptyError("The file decodes to no samples.")
    if n_samples < MIN_AUDIO_SECONDS * sample_rate_hz:
        raise AudioTooShortError(
            f"The audio is {1000 * n_samples / sample_rate_hz:.1f} ms long; "
            f"at least {1000 * MIN_AUDIO_SECONDS:.0f} ms are needed."
        )
    if n_samples > max_seconds * sample_rate_hz:
        raise AudioTooLongError(f"The audio is longer than the {max_seconds:,.0f} s that are taken.")
    stores_floats = found.codec.startswith("pcm_f") or found.codec == "wavpack"
    bound = MAX_ABSOLUTE_SAMPLE if stores_floats else MAX_ABSOLUTE_SAMPLE_CODED
    repaired = _repair(target, offset_bytes, n_samples * channels, bound=bound)
    return DecodedAudio(target, sample_rate_hz, channels, n_samples, offset_bytes, first_sample, repaired, lost_packets)


def _run_decoder(
    path: Path,
    target: Path,
    *,
    found: Probe,
    trim: tuple[int, int | None] | None,
    workspace: Workspace,
    ffmpeg_path: str | None,
    max_seconds: float,
    progress: Callable[[float], None],
) -> int:
    """Let ffmpeg write the samples into `target`, within time and bytes; return how many packets were lost."""
    expected_seconds = min(found.expected_seconds or max_seconds, max_seconds)
    patience_seconds = DECODE_SECONDS_BASE + expected_seconds * DECODE_SECONDS_PER_AUDIO_SECOND
    log_path = workspace.path("decode.log")
    with path.open("rb") as source, target.open("wb") as output, log_path.open("wb") as log:
        process = ffmpeg.start(
            [
                *("-v", "error", *ffmpeg.untrusted_input(), "-map", "0:a:0", "-vn", "-sn", "-dn"),
                *("-map_metadata", "-1", "-fflags", "+bitexact", "-t", f"{max_seconds + 1:.3f}"),
                *(*_trim_filter(trim), "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"),
            ],
            ffmpeg_path=ffmpeg_path,
            confinement=ffmpeg.Confinement(cpu_seconds=int(patience_seconds) + 1, file_bytes=workspace.free_bytes()),
            stdin=source,
            stdout=output,
            stderr=log,
        )
        try:
            _wait(process, target, found=found, seconds=patience_seconds, progress=progress)
        finally:
            process.kill()
            process.wait()
    return _explain(process.returncode, log_path, target)


def _in_samples(span_seconds: tuple[float, float | None], rate: int) -> tuple[int, int | None]:
    start, stop = span_seconds
    return round(start * rate), None if stop is None else round(stop * rate)


def _trim_filter(trim: tuple[int, int | None] | None) -> Sequence[str]:
    """Return the options that keep these samples, by counting decoded ones.

    Seeking would be faster, but lands on packets, and decoders need a run-up: it is not exact.
    """
    if trim is None:
        return ()
    end = "" if trim[1] is None else f":end_sample={trim[1]}"
    return ("-af", f"atrim=start_sample={trim[0]}{end}")


def _wait(
    process: subprocess.Popen[bytes],
    target: Path,
    *,
    found: Probe,
    seconds: float,
    progress: Callable[[float], None],
) -> None:
    """Wait for the decoder and tell how far it is, by the bytes that it wrote."""
    expected_bytes = 4 * (found.channels or 2) * (found.expected_seconds or 0.0) * (found.sample_rate_hz or 0)
    deadline = time.monotonic() + seconds
    while True:
        if ffmpeg.wait(process, seconds=0.2):
            return
        if time.monotonic() > deadline:
            raise AudioUnreadableError(f"The audio took more than {seconds:.0f} s to decode.")
        if expected_bytes:
            progress(min(0.99, target.stat().st_size / expected_bytes))


def _explain(returncode: int, log_path: Path, target: Path) -> int:
    """Return how many packets were lost; raise what the decoder's end means, unless it left usable samples.

    A damaged file may end in an error and still have given minutes of music; the report tells what is short.
    """
    with log_path.open("rb") as log:
        text = log.read(1 << 16).decode("utf-8", "replace")
    if returncode == -signal.SIGXFSZ or "File too large" in text:
        raise AudioTooLongError("The audio decodes to more bytes than one job may use.")
    if "No space left on device" in text:
        raise ScratchFullError("The worker's scratch disk is full.")
    if target.stat().st_size == 0:
        raise AudioUnreadableError("The audio cannot be decoded.")
    return sum(text.count(words) for words in PACKET_LOST)


def _read_header(path: Path) -> tuple[int, int, int]:
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


def _repair(path: Path, offset_bytes: int, n_values: int, *, bound: float) -> int:
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
