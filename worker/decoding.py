"""A file of any format into samples on the scratch disk.

ffmpeg decodes (see ffmpeg.py for how it is confined) into a WAV of 32-bit floats whose header tells the
true rate and channels; rate and channels stay the source's own. Owns the checks of what came out: length,
shape, finite samples. What the file claimed before is probing.py's.
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
from worker import ffmpeg
from worker.decoded_audio import DecodedAudio, read_header, repair
from worker.probing import Probe, check_shape
from worker.workspace import Workspace

# Wall time for the decoder: a fixed part, and a part per second of audio (the slowest codec met runs 60 times
# faster than the audio plays on one busy core). Raising them lets slower machines decode longer files.
DECODE_SECONDS_BASE = 15.0
DECODE_SECONDS_PER_AUDIO_SECOND = 1 / 30

# Where the decoder has had less than half of that as processor time, it is the machine that is too busy, not the file
# that is too odd: it may take so many times longer.
STARVED_TIMES = 10.0

# Samples further out than this are damage, not music. Files of floats may hold any scale, up to where squares
# overflow; what a codec of music gives 24 dB over full scale comes from flipped bits.
MAX_ABSOLUTE_SAMPLE = 1e6
MAX_ABSOLUTE_SAMPLE_CODED = 16.0

# Shorter than this is a click or a broken header; no engine has anything to hold on to.
MIN_AUDIO_SECONDS = 0.01

# What ffmpeg says once for each packet that gave no samples.
PACKET_LOST = ("Error submitting packet to decoder", "Decoding error")

# What it says once when it cannot go on reading, though there is more: Ogg streams that change their channels.
BROKE_OFF = "Error during demuxing"

# The last packet of ALAC in CAF is as short as it should be, and the container's word for what to leave out of it,
# which ffmpeg obeys, cuts the same samples off once more.
TRUST_THE_PACKETS = ("-flags2", "+skip_manual")

DECODED_NAME = "mixture.wav"


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

    Raises AudioEmptyError, AudioUnreadableError, AudioUnsupportedError, AudioTooLongError or ScratchFullError;
    SeparationFailedError where the machine is too busy.
    """
    target = workspace.path(DECODED_NAME)
    first_sample, end_sample = _in_samples(span_seconds or (0.0, None), found.sample_rate_hz or 0)
    damage = _run_decoder(
        path,
        target,
        found=found,
        trim=None if span_seconds is None else (first_sample, end_sample),
        workspace=workspace,
        ffmpeg_path=ffmpeg_path,
        max_seconds=max_seconds,
        progress=progress,
    )
    sample_rate_hz, channels, offset_bytes = read_header(target)
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
    repaired = repair(target, offset_bytes, n_samples * channels, bound=bound)
    return DecodedAudio(
        target,
        sample_rate_hz,
        channels,
        n_samples,
        offset_bytes,
        first_sample,
        repaired_samples=repaired,
        lost_packets=damage.lost_packets,
        broke_off=damage.broke_off,
    )


@dataclass(frozen=True)
class Damage:
    """What the decoder complained of."""

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
) -> Damage:
    """Let ffmpeg write the samples into `target`, within time and bytes; return what was lost."""
    expected_seconds = min(found.expected_seconds or max_seconds, max_seconds)
    patience_seconds = DECODE_SECONDS_BASE + expected_seconds * DECODE_SECONDS_PER_AUDIO_SECOND
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
            if ffmpeg.processor_seconds(process) > seconds / 2:
                raise AudioUnreadableError(f"The audio took more than {seconds:.0f} s to decode.")
            if time.monotonic() > deadline + seconds * (STARVED_TIMES - 1):
                raise SeparationFailedError("The machine was too busy to decode the audio.")
        if expected_bytes:
            progress(min(0.99, target.stat().st_size / expected_bytes))


def _explain(returncode: int, log_path: Path, target: Path) -> Damage:
    """Return what was lost; raise what the decoder's end means, unless it left usable samples.

    A damaged file may end in an error and still have given minutes of music; the report tells what is short.
    """
    ffmpeg.demand_not_killed(returncode)
    with log_path.open("rb") as log:
        text = log.read(1 << 16).decode("utf-8", "replace")
    if returncode == -signal.SIGXFSZ or "File too large" in text:
        raise AudioTooLongError("The audio decodes to more bytes than one job may use.")
    if "No space left on device" in text:
        raise ScratchFullError("The worker's scratch disk is full.")
    if target.stat().st_size == 0:
        raise AudioUnreadableError("The audio cannot be decoded.")
    return Damage(sum(text.count(words) for words in PACKET_LOST), BROKE_OFF in text)
