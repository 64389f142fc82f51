"""Decodes a file of any format into samples on the scratch disk.

ffmpeg decodes into a WAV of 32-bit floats, whose header has the true sample rate and channels; both stay those of the
source. This module then checks the result: length, shape, finite samples. `ffmpeg` confines the process; `probing`
reads what the file declares before it is decoded.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import (
    AudioEmptyError,
    AudioTooLongError,
    AudioTooShortError,
    AudioUnreadableError,
    ScratchFullError,
    SeparationFailedError,
)
from worker.audio_files import ffmpeg
from worker.audio_files.decoded_audio import DecodedAudio, read_wav_header, repair_samples
from worker.audio_files.probe import Probe, check_shape
from worker.run_support.workspace import Workspace

# Wall time for the decoder: a fixed part, and a part for each second of audio. (The slowest known codec runs 60 times
# faster than real time on one busy core.) Higher values allow slower machines to decode longer files.
DECODE_SECONDS_BASE = 15.0
DECODE_SECONDS_PER_AUDIO_SECOND = 1 / 30

# If the decoder has had less than half of that as processor time, the machine is too busy; the file is not the reason.
# The decoder may then take this many times longer.
STARVED_TIMES = 10.0

# Samples beyond this are damage, not music. Files of floats may have any scale, as long as squares do not overflow. In
# other codecs, samples 24 dB above full scale come from flipped bits.
MAX_ABSOLUTE_SAMPLE = 1e6
MAX_ABSOLUTE_SAMPLE_CODED = 16.0

# Anything shorter is a click or a broken header, and no engine can use it.
MIN_AUDIO_SECONDS = 0.01

# What ffmpeg logs once for each packet that gave no samples.
PACKET_LOST = ("Error submitting packet to decoder", "Decoding error")

# What ffmpeg logs once when it cannot read on although there is more, as in Ogg streams that change their channels.
BROKE_OFF = "Error during demuxing"

# The last packet of ALAC in CAF is already as short as it should be. The container also says what to leave out of it,
# and ffmpeg would cut off the same samples twice.
TRUST_THE_PACKETS = ("-flags2", "+skip_manual")

DECODED_NAME = "mixture.wav"


def decode_file(
    path: Path,
    found: Probe,
    *,
    workspace: Workspace,
    ffmpeg_path: str | None,
    max_seconds: float,
    span_seconds: tuple[float, float | None] | None = None,
    progress: Callable[[float], None],
) -> DecodedAudio:
    """Decode the first audio stream, or only the part from `span_seconds[0]` to `span_seconds[1]`.

    Raises AudioEmptyError, AudioUnreadableError, AudioUnsupportedError, AudioTooLongError or ScratchFullError, and
    SeparationFailedError if the machine is too busy.
    """
    target = workspace.path(DECODED_NAME)
    first_sample, end_sample = _in_samples(span_seconds or (0.0, None), found.sample_rate_hz or 0)
    complaints = _run_decoder(
        path,
        target,
        found=found,
        trim=None if span_seconds is None else (first_sample, end_sample),
        workspace=workspace,
        ffmpeg_path=ffmpeg_path,
        max_seconds=max_seconds,
        progress=progress,
    )
    sample_rate_hz, channels, offset_bytes = read_wav_header(target)
    check_shape(sample_rate_hz=sample_rate_hz, channels=channels)
    n_samples = (target.stat().st_size - offset_bytes) // (4 * channels)
    _check_length(n_samples, sample_rate_hz, is_excerpt=first_sample > 0, max_seconds=max_seconds)
    stores_floats = found.codec.startswith("pcm_f") or found.codec == "wavpack"
    bound = MAX_ABSOLUTE_SAMPLE if stores_floats else MAX_ABSOLUTE_SAMPLE_CODED
    repaired, level = repair_samples(target, offset_bytes, n_samples, channels, bound=bound)
    return DecodedAudio(
        target,
        sample_rate_hz,
        channels,
        n_samples,
        offset_bytes,
        first_sample,
        repaired_samples=repaired,
        lost_packets=complaints.lost_packets,
        broke_off=complaints.broke_off,
        song_level=level,
    )


def _check_length(n_samples: int, sample_rate_hz: int, *, is_excerpt: bool, max_seconds: float) -> None:
    if n_samples == 0 and is_excerpt:
        raise AudioTooShortError("The audio ends before the excerpt begins.")
    if n_samples == 0:
        raise AudioEmptyError("The file contains no samples.")
    if n_samples < MIN_AUDIO_SECONDS * sample_rate_hz:
        raise AudioTooShortError(
            f"The audio is {1000 * n_samples / sample_rate_hz:.1f} ms long; "
            f"the minimum is {1000 * MIN_AUDIO_SECONDS:.0f} ms."
        )
    if n_samples > max_seconds * sample_rate_hz:
        raise AudioTooLongError(f"The audio is longer than the limit of {max_seconds:,.0f} s.")


@dataclass(frozen=True)
class DecoderComplaints:
    """What the decoder logged about the file: packets that it could not decode, and whether it had to stop early."""

    lost_packets: int
    broke_off: bool


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
) -> DecoderComplaints:
    """Let ffmpeg write the samples into `target`, within limits of time and size; return its complaints."""
    expected_seconds = min(found.expected_seconds or max_seconds, max_seconds)
    limit_seconds = DECODE_SECONDS_BASE + expected_seconds * DECODE_SECONDS_PER_AUDIO_SECOND
    log_path = workspace.path("decode.log")
    decoder_options = TRUST_THE_PACKETS if (found.container, found.codec) == ("caf", "alac") else ()
    with path.open("rb") as source, target.open("wb") as output, log_path.open("wb") as log:
        process = ffmpeg.start(
            [
                *("-v", "error", *decoder_options, *ffmpeg.untrusted_input(), "-map", "0:a:0", "-vn", "-sn", "-dn"),
                *("-map_metadata", "-1", "-fflags", "+bitexact", "-t", f"{max_seconds + 1:.3f}"),
                *(*_trim_filter(trim), "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"),
            ],
            ffmpeg_path=ffmpeg_path,
            confinement=ffmpeg.Confinement(cpu_seconds=int(limit_seconds) + 1, file_bytes=workspace.free_bytes()),
            stdin=source,
            stdout=output,
            stderr=log,
        )
        try:
            _wait_for_decoder(process, target, found=found, seconds=limit_seconds, progress=progress)
        finally:
            process.kill()
            process.wait()
    return _read_complaints(process.returncode, log_path, target)


def _in_samples(span_seconds: tuple[float, float | None], rate: int) -> tuple[int, int | None]:
    start, stop = span_seconds
    return round(start * rate), None if stop is None else round(stop * rate)


def _trim_filter(trim: tuple[int, int | None] | None) -> Sequence[str]:
    """Return the options that keep only these samples.

    The filter counts decoded samples. Seeking would be faster but not exact: it lands on packets, and decoders need a
    few packets before they are right.
    """
    if trim is None:
        return ()
    end = "" if trim[1] is None else f":end_sample={trim[1]}"
    return ("-af", f"atrim=start_sample={trim[0]}{end}")


def _wait_for_decoder(
    process: subprocess.Popen[bytes],
    target: Path,
    *,
    found: Probe,
    seconds: float,
    progress: Callable[[float], None],
) -> None:
    """Wait for the decoder, and report progress by the bytes that it has written.

    Raises AudioUnreadableError after this many seconds, or SeparationFailedError if the machine was too busy meanwhile.
    """
    expected_bytes = 4 * (found.channels or 2) * (found.expected_seconds or 0.0) * (found.sample_rate_hz or 0)
    deadline = time.monotonic() + seconds
    while True:
        if ffmpeg.wait(process, seconds=0.2):
            return
        if time.monotonic() > deadline:
            if ffmpeg.processor_seconds(process) > seconds / 2:
                raise AudioUnreadableError(f"The audio took more than {seconds:.0f} s to decode.")
            if time.monotonic() > deadline + seconds * (STARVED_TIMES - 1):
                raise SeparationFailedError("The machine was too busy to decode the audio.")
        if expected_bytes:
            progress(min(0.99, target.stat().st_size / expected_bytes))


def _read_complaints(returncode: int, log_path: Path, target: Path) -> DecoderComplaints:
    """Return what the decoder complained about, or raise the error that it ended with.

    A damaged file may end in an error and still give minutes of music. Then the report says what is missing.
    """
    ffmpeg.demand_not_killed(returncode)
    with log_path.open("rb") as log:
        text = log.read(1 << 16).decode("utf-8", "replace")
    if returncode == -signal.SIGXFSZ or "File too large" in text:
        raise AudioTooLongError("The decoded audio has more bytes than one job may use.")
    if "No space left on device" in text:
        raise ScratchFullError("The worker's scratch disk is full.")
    if target.stat().st_size == 0:
        raise AudioUnreadableError("The audio cannot be decoded.")
    return DecoderComplaints(sum(text.count(words) for words in PACKET_LOST), BROKE_OFF in text)
