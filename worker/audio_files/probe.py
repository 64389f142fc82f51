"""Finds out what a file claims to be before it is decoded: container, codec, sample rate, channels, length.

One ffmpeg process reads the header and walks over the packets without decoding them, within a few seconds. The header
may be wrong, so its claims are used only to refuse files early; the result of decoding is what counts (`decoding`). The
same process writes the tags as text, for `tags`: another ffmpeg process would take a tenth of a short song's time.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.errors import (
    AudioEmptyError,
    AudioTooLongError,
    AudioUnreadableError,
    AudioUnsupportedError,
    SeparationFailedError,
)
from worker.audio_files import ffmpeg
from worker.run_support.workspace import Workspace

# How long the walk may take. More time counts the packets of longer files, but a refusal is promised within 5 s.
PROBE_SECONDS = 4.0

# If ffmpeg has not even opened the file by then, and has had less processor time than this, the machine is too busy;
# the file is not the reason. ffmpeg may then take this much longer.
STARVED_PROCESSOR_SECONDS = 1.0
STARVED_SECONDS = 25.0

# How much of ffmpeg's log is read. A file with a thousand tags prints all of them before its streams.
MAX_LOG_BYTES = 4 << 20

# What ffmpeg logs when it has opened its input.
OPENED = re.compile(r"^Input #0, (\S+), from 'fd:':$", re.MULTILINE)

MIN_SAMPLE_RATE_HZ = 4_000
MAX_SAMPLE_RATE_HZ = 192_000
MAX_CHANNELS = 8


@dataclass(frozen=True)
class Probe:
    """What a file claims; None for claims that it does not make.

    `declared_seconds` is the length in the header, unless that is a guess from the bitrate. `walked_seconds` is where
    the last packet ends, if the walk got that far. `cover_stream` is the number of an attached JPEG or PNG.
    """

    container: str
    codec: str
    sample_rate_hz: int | None
    channel_layout: str | None
    bits_per_sample: int | None
    bitrate_kbps: int | None
    declared_seconds: float | None
    walked_seconds: float | None
    audio_streams: int
    cover_stream: int | None
    ffmpeg_version: str

    @property
    def channels(self) -> int | None:
        """Return the number of channels, if the name of the layout says it."""
        return _channels(self.channel_layout)

    @property
    def expected_seconds(self) -> float | None:
        """Return the best estimate of the length before decoding."""
        return self.walked_seconds or self.declared_seconds

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the report."""
        return {**asdict(self), "channels": self.channels, "duration_seconds": self.expected_seconds}


def walked_tags_path(workspace: Workspace) -> Path:
    """Return the path of the tags that a finished walk has written, as ffmetadata: of the container and the stream."""
    return workspace.path("tags.txt")


def probe_file(path: Path, *, workspace: Workspace, ffmpeg_path: str | None, max_seconds: float) -> Probe:
    """Return what the file claims to be.

    Raises AudioEmptyError, AudioUnreadableError, AudioUnsupportedError or AudioTooLongError, and SeparationFailedError
    if the machine is too busy or ffmpeg cannot be run.
    """
    if path.stat().st_size == 0:
        raise AudioEmptyError("The file is empty.")
    log, walked_seconds, finished = _walk_packets(path, workspace=workspace, ffmpeg_path=ffmpeg_path)
    found = _parse_log(log, walked_seconds if finished else None)
    _refuse_unsupported(found)
    # A finished walk is better evidence than the header. An unfinished one still shows how far the file goes at least.
    longest = walked_seconds if finished else max(walked_seconds or 0.0, found.declared_seconds or 0.0)
    if longest is not None and longest > max_seconds:
        raise AudioTooLongError(f"The audio is {longest:,.0f} s long; the limit is {max_seconds:,.0f} s.")
    expected_bytes = 4 * (longest or 0.0) * (found.sample_rate_hz or 0) * (found.channels or 1)
    if expected_bytes > workspace.max_bytes:
        raise AudioTooLongError(
            f"The decoded audio has {expected_bytes / 1e9:.1f} GB; one job may use {workspace.max_bytes / 1e9:.1f} GB."
        )
    return found


def _walk_packets(path: Path, *, workspace: Workspace, ffmpeg_path: str | None) -> tuple[str, float | None, bool]:
    """Return ffmpeg's log, where the last packet that it saw ends in seconds, and whether that was the file's last."""
    log_path, progress_path = workspace.path("probe.log"), workspace.path("probe.progress")
    with (
        path.open("rb") as source,
        log_path.open("wb") as log,
        progress_path.open("wb") as progress,
        walked_tags_path(workspace).open("wb") as tags,
    ):
        process = ffmpeg.start(
            [
                *("-v", "info", "-nostats", "-progress", "pipe:1", *ffmpeg.untrusted_input()),
                # The log lists each output's tags. This output has none, so they are not listed twice.
                *("-map", "0:a:0", "-c", "copy", "-map_metadata", "-1", "-f", "null", "-"),
                *("-f", "ffmetadata", f"pipe:{tags.fileno()}"),
                *("-map_metadata", "0:s:a:0", "-f", "ffmetadata", f"pipe:{tags.fileno()}"),
            ],
            ffmpeg_path=ffmpeg_path,
            confinement=ffmpeg.Confinement(cpu_seconds=10, file_bytes=MAX_LOG_BYTES),
            stdin=source,
            stdout=progress,
            stderr=log,
            # ffmpeg may open no file, so the descriptor for the tags is handed to it.
            further=[tags.fileno()],
        )
        try:
            ended = _wait_for_walk(process, log_path)
            ffmpeg.demand_not_killed(process.returncode)
            finished = ended and process.returncode == 0
        finally:
            process.kill()
            process.wait()
    ends = re.findall(r"^out_time_us=(\d+)$", progress_path.read_text("ascii", "replace"), re.MULTILINE)
    with log_path.open("rb") as log:
        text = log.read(MAX_LOG_BYTES).decode("utf-8", "replace")
    return text, int(ends[-1]) / 1e6 if ends else None, finished


def _wait_for_walk(process: subprocess.Popen[bytes], log_path: Path) -> bool:
    """Return whether the walk ended in time. Raises SeparationFailedError if the machine was too busy to start it."""
    if ffmpeg.wait(process, seconds=PROBE_SECONDS):
        return True
    if not _is_starved(process, log_path):
        return False
    if ffmpeg.wait(process, seconds=STARVED_SECONDS):
        return True
    if _is_starved(process, log_path):
        raise SeparationFailedError("The machine was too busy to examine the file.")
    return False


def _is_starved(process: subprocess.Popen[bytes], log_path: Path) -> bool:
    """Return whether ffmpeg has not had the processor time to open its input."""
    if OPENED.search(log_path.read_bytes().decode("utf-8", "replace")):
        return False
    return ffmpeg.processor_seconds(process) < STARVED_PROCESSOR_SECONDS


def _parse_log(log: str, walked_seconds: float | None) -> Probe:
    """Parse the lines in which ffmpeg describes its input. They begin with two spaces; tags are indented further."""
    version = re.search(r"^ffmpeg version (\S+)", log)
    if version is None:
        # Not even ffmpeg's own first line: it never ran, so the file is not the reason.
        raise SeparationFailedError("The decoder cannot be started on this worker.")
    opened = OPENED.search(log)
    # Further down the log describes the output's streams in the same words.
    described, _, _ = log.partition("\nStream mapping:")
    streams = re.findall(r"^  Stream #0:\d+.*?: Audio: (.*)$", described, re.MULTILINE)
    if opened is None:
        raise AudioUnreadableError("The file cannot be read as audio.")
    if not streams:
        raise AudioUnreadableError("The file contains no audio.")
    stream = streams[0]
    rate = re.search(r", (\d+) Hz(?:, ([^,]+))?", stream)
    bits = (
        re.search(r"\((\d+) bit\)", stream) or re.search(r"pcm_[suf](\d+)", stream) or re.search(r", s(16)p?\b", stream)
    )
    bitrate = re.search(r", (\d+) kb/s", stream)
    cover = re.search(r"^  Stream #0:(\d+).*?: Video: (?:mjpeg|png)\b.*\(attached pic\)$", log, re.MULTILINE)
    return Probe(
        container=opened[1].rstrip(","),
        codec=re.split(r"[ ,]", stream, maxsplit=1)[0],
        sample_rate_hz=int(rate[1]) if rate else None,
        channel_layout=rate[2] if rate else None,
        bits_per_sample=int(bits[1]) if bits else None,
        bitrate_kbps=int(bitrate[1]) if bitrate else None,
        declared_seconds=_declared_seconds(log),
        walked_seconds=walked_seconds,
        audio_streams=len(streams),
        cover_stream=int(cover[1]) if cover else None,
        ffmpeg_version=version[1],
    )


def _declared_seconds(log: str) -> float | None:
    duration = re.search(r"^  Duration: (\d+):(\d\d):(\d\d\.\d+),", log, re.MULTILINE)
    if duration is None or "Estimating duration from bitrate" in log:
        return None
    return int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])


def _refuse_unsupported(found: Probe) -> None:
    if found.codec == "none":
        raise AudioUnsupportedError("The codec of the audio is not supported.")
    check_shape(sample_rate_hz=found.sample_rate_hz, channels=found.channels)


def _channels(layout: str | None) -> int | None:
    """Return the number of channels of a layout by ffmpeg's name for it; None for rare names."""
    named = {"mono": 1, "stereo": 2, "downmix": 2, "quad": 4, "hexagonal": 6, "octagonal": 8}
    if layout is None or layout in named:
        return named.get(layout or "")
    if counted := re.match(r"(\d+) channels", layout):
        return int(counted[1])
    # 5.1, 7.1(wide), 7.1.4: at ear level, low frequencies, height.
    parts = re.match(r"\d+(?:\.\d+)+", layout)
    return sum(int(n) for n in parts[0].split(".")) if parts else None


def check_shape(*, sample_rate_hz: int | None, channels: int | None) -> None:
    """Raise AudioUnsupportedError if the sample rate or the number of channels is known and out of range."""
    if sample_rate_hz is not None and not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise AudioUnsupportedError(
            f"The sample rate is {sample_rate_hz} Hz; {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz are supported."
        )
    if channels is not None and not 1 <= channels <= MAX_CHANNELS:
        raise AudioUnsupportedError(f"The audio has {channels} channels; 1 to {MAX_CHANNELS} are supported.")
