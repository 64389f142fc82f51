"""Finds out what a file claims to be before it is decoded: container, codec, sample rate, channels, length.

One ffmpeg process reads the header and walks over the packets without decoding them, within a few seconds. The header
may be wrong, so its claims are used only to refuse files early; the result of decoding is what counts (`decoding`). The
same process writes the tags as text, for `tags`: another ffmpeg process would take a tenth of a short song's time.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
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
from worker.audio_files.headers.encryption import is_encrypted
from worker.audio_files.headers.opening import Opening, behind_id3v2_tag, plan_opening
from worker.audio_files.headers.probe_log import (
    OPENED,
    AttachedPicture,
    AudioStream,
    LoggedFile,
    channels_of_layout,
    parse_log,
)
from worker.audio_files.headers.stream_choice import StreamChoice, choose_stream
from worker.run_support.workspace import Workspace

# How long the walk may take. More time counts the packets of longer files, but a refusal is promised within 5 s.
PROBE_SECONDS = 4.0

# If ffmpeg has not even opened the file by then, and has had less processor time than this, the machine is too busy;
# the file is not the reason. ffmpeg may then take this much longer.
STARVED_PROCESSOR_SECONDS = 1.0
STARVED_SECONDS = 25.0

# How much of ffmpeg's log is read. A file with a thousand tags prints all of them before its streams.
MAX_LOG_BYTES = 4 << 20

# What ffmpeg calls a picture of the type 3.
FRONT_COVER = "Cover (front)"

# No packet of any codec holds more sound than this; a longer time between two packets is a pause.
LONGEST_PACKET_SECONDS = 10.0

# What ffmpeg writes for the time of a packet that has none (AV_NOPTS_VALUE).
NO_TIME = -(1 << 63)

# A walk that ends this much later than the header says has met a timestamp that is wrong.
WALK_TOLERANCE_SECONDS = 60.0

MIN_SAMPLE_RATE_HZ = 4_000
MAX_SAMPLE_RATE_HZ = 768_000
MAX_CHANNELS = 8

# Audio of higher rates is converted while it is decoded: PCM by a power of two, DSD to twice the rate of CDs.
MAX_DECODED_RATE_HZ = 192_000
# ffmpeg counts eight bits of DSD as a sample, so this is DSD256 of the family of 48 kHz.
MAX_DSD_RATE_HZ = 1_536_000
DSD_BITS = 8


@dataclass(frozen=True)
class Probe:
    """What a file claims; None for claims that it does not make.

    `declared_seconds` is the length in the header, unless that is a guess from the bitrate. `walked_seconds` is where
    the last packet ends, if the walk got that far; `longest_seconds` is the longest claim. `sample_rate_hz` is that of
    the file; DSD counts in bits. `audio_stream` is the number of the chosen stream, `joined_stream` that of the right
    channel if two mono streams are joined; both count the audio streams from 1. `pictures` are the attached pictures,
    the front cover first.
    """

    container: str
    codec: str
    sample_rate_hz: int | None
    channel_layout: str | None
    bits_per_sample: int | None
    bitrate_kbps: int | None
    declared_seconds: float | None
    walked_seconds: float | None
    longest_seconds: float | None
    has_video: bool
    file_start_seconds: float
    streams: tuple[AudioStream, ...]
    audio_stream: int
    joined_stream: int | None
    pictures: tuple[AttachedPicture, ...]
    opening: Opening
    ffmpeg_version: str

    @property
    def channels(self) -> int | None:
        """Return the number of channels, if the name of the layout says it."""
        return channels_of_layout(self.channel_layout)

    @property
    def audio_streams(self) -> int:
        """Return how many audio streams the file has."""
        return len(self.streams)

    @property
    def expected_seconds(self) -> float | None:
        """Return the best estimate of the length before decoding."""
        return self.walked_seconds or self.declared_seconds

    @property
    def decoded_rate_hz(self) -> int | None:
        """Return the sample rate at which the audio is decoded and separated."""
        return None if self.sample_rate_hz is None else _decoded_rate(self.codec, self.sample_rate_hz)

    @property
    def stream_indexes(self) -> tuple[int, ...]:
        """Return ffmpeg's numbers of the streams that are decoded: one, or two that are joined."""
        numbers = (self.audio_stream, self.joined_stream)
        return tuple(self.streams[number - 1].index for number in numbers if number is not None)

    @property
    def late_seconds(self) -> float:
        """Return how much later than the file its chosen audio begins, by its header."""
        start = self.streams[self.audio_stream - 1].start_seconds
        return 0.0 if start is None else max(0.0, start - self.file_start_seconds)

    @property
    def end_seconds(self) -> float | None:
        """Return where the audio ends at the latest, if the walk got that far."""
        return None if self.walked_seconds is None else self.walked_seconds + self.late_seconds

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the report."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in NOT_REPORTED}
        return {
            **values,
            "audio_streams": self.audio_streams,
            "streams": [_describe_stream(number, s) for number, s in enumerate(self.streams[:MAX_REPORTED_STREAMS], 1)],
            "channels": self.channels,
            "duration_seconds": self.expected_seconds,
        }


NOT_REPORTED = {"streams", "opening", "pictures", "has_video", "file_start_seconds", "longest_seconds"}
MAX_REPORTED_STREAMS = 32


def _describe_stream(number: int, stream: AudioStream) -> dict[str, Any]:
    return {
        "number": number,
        "codec": stream.codec,
        "channels": stream.channels,
        "language": stream.language,
        "title": stream.tags.get("title"),
        "default": stream.is_default,
    }


def _is_dsd(codec: str) -> bool:
    return codec.startswith("dsd") or codec == "dst"


def _decoded_rate(codec: str, rate: int) -> int:
    """Return the rate at which audio is decoded; `rate` is that of the file, in bits for DSD."""
    if _is_dsd(codec):
        return 88_200 if rate % 44_100 == 0 else 96_000
    while rate > MAX_DECODED_RATE_HZ and rate % 2 == 0:
        rate //= 2
    return min(rate, MAX_DECODED_RATE_HZ)


def walked_tags_path(workspace: Workspace) -> Path:
    """Return the path of the tags that a finished walk has written, as ffmetadata: of the container and the stream."""
    return workspace.path("tags.txt")


def probe_file(
    path: Path, *, workspace: Workspace, ffmpeg_path: str | None, max_seconds: float, audio_stream: int | None = None
) -> Probe:
    """Return what the file claims to be. `audio_stream` is the number of the wanted stream, counted from 1.

    Raises AudioEmptyError, AudioUnreadableError, AudioUnsupportedError, AudioTooLongError or RequestInvalidError, and
    SeparationFailedError if the machine is too busy or ffmpeg cannot be run.
    """
    if path.stat().st_size == 0:
        raise AudioEmptyError("The file is empty.")
    walker = _Walker(path, workspace, ffmpeg_path)
    walk, logged = walker.open_and_walk()
    if is_encrypted(path, walk.log, logged):
        raise AudioUnsupportedError("The audio is encrypted (DRM), so it cannot be decoded.")
    choice = choose_stream(logged.audio, audio_stream)
    if choice.stream is not logged.audio[0]:
        walk = walker.walk(choice.stream.index)
    seconds = _length(walker, walk, logged.declared_seconds, choice, max_seconds=max_seconds)
    if logged.has_video and choice.stream.start_seconds is not None:
        logged = replace(logged, start_seconds=min(logged.start_seconds, walker.picture_start(choice.stream)))
    found = _make_probe(walk, logged, choice, walker.opening, walked_seconds=seconds)
    _refuse_unsupported(found)
    expected_bytes = 4 * (found.expected_seconds or 0.0) * (found.decoded_rate_hz or 0) * (found.channels or 1)
    if expected_bytes > workspace.max_bytes:
        raise AudioTooLongError(
            f"The decoded audio has {expected_bytes / 1e9:.1f} GB; one job may use {workspace.max_bytes / 1e9:.1f} GB."
        )
    return found


def _length(
    walker: _Walker, walk: Walk, declared: float | None, choice: StreamChoice, *, max_seconds: float
) -> float | None:
    """Return the length by a finished walk, None if it is not known. Raises AudioTooLongError.

    Timestamps are claims: the last one may have wrapped, and a short file may claim a pause of hours. So the audio is
    too long only if header, walk and the sound in the packets agree. Otherwise decoding decides, within its bounds.
    """
    if walk.finished and declared and walk.seconds and walk.seconds > declared + WALK_TOLERANCE_SECONDS:
        return None
    # An unfinished walk shows how far the file goes at least, and contradicts nobody.
    claims = [claim for claim in (declared, walk.seconds if walk.finished else None) if claim is not None]
    claims = claims or [walk.seconds or 0.0]
    if min(claims) <= max_seconds:
        return walk.seconds if walk.finished else None
    if not walk.finished or (sound := walker.sound_seconds(choice.stream.index, enough=max_seconds)) > max_seconds:
        raise AudioTooLongError(f"The audio is {max(claims):,.0f} s long; the limit is {max_seconds:,.0f} s.")
    return sound


@dataclass(frozen=True)
class Walk:
    """ffmpeg's log, where the last packet that it saw ends in seconds, and whether that was the file's last."""

    log: str
    seconds: float | None
    finished: bool


class _Walker:
    """Runs ffmpeg over the packets of one file without decoding them."""

    def __init__(self, path: Path, workspace: Workspace, ffmpeg_path: str | None) -> None:
        self._path = path
        self._workspace = workspace
        self._ffmpeg_path = ffmpeg_path
        self.opening = plan_opening(path)

    def open_and_walk(self) -> tuple[Walk, LoggedFile]:
        """Walk over the first audio stream. Raises AudioUnreadableError or SeparationFailedError."""
        walk = self.walk(None)
        logged = parse_log(walk.log)
        if logged is None and (opening := behind_id3v2_tag(self._path)):
            self.opening = opening
            walk = self.walk(None)
            logged = parse_log(walk.log)
        if not walk.log.startswith("ffmpeg version"):
            # Not even ffmpeg's own first line: it never ran, so the file is not the reason.
            raise SeparationFailedError("The decoder cannot be started on this worker.")
        if logged is None:
            raise AudioUnreadableError("The file cannot be read as audio.")
        if not logged.audio:
            raise AudioUnreadableError("The file contains no audio.")
        return walk, logged

    def walk(self, stream_index: int | None) -> Walk:
        """Walk over a stream, None for the first of audio, and write the tags of container and stream."""
        stream = "a:0" if stream_index is None else str(stream_index)
        with walked_tags_path(self._workspace).open("wb") as tags:
            # ffmpeg may open no file, so the descriptor for the tags is handed to it.
            written = ("-f", "ffmetadata", f"pipe:{tags.fileno()}")
            return self._run(
                # The log lists each output's tags. This output has none, so they are not listed twice.
                *("-map", f"0:{stream}", "-c", "copy", "-map_metadata", "-1", "-f", "null", "-"),
                *(*written, "-map_metadata", f"0:s:{stream}", *written),
                further=[tags.fileno()],
            )

    def picture_start(self, audio: AudioStream) -> float:
        """Return the time of the first packet of video, if that is earlier than the audio's start, else that start.

        ffmpeg has no decoders of video here, so it may not know where video begins.
        """
        start = audio.start_seconds or 0.0
        lines = self._packet_lines("-copyts", "-map", "0:v:0", "-frames:v", "1")
        first = first_packet_time(b"".join(lines))
        return start if first is None else min(start, first)

    def sound_seconds(self, stream_index: int, *, enough: float) -> float:
        """Return how much sound the packets hold, without pauses between them. Stops counting above `enough`."""
        total, previous, timebase = 0.0, 0, 1.0
        for line in self._packet_lines("-map", f"0:{stream_index}"):
            if line.startswith(b"#tb 0:"):
                numerator, denominator = line.split(b":")[1].split(b"/")
                timebase = int(numerator) / int(denominator)
            elif not line.startswith(b"#"):
                # Stream, decoding time, time, duration, bytes, checksum.
                _, at, _, duration = (int(n) for n in line.split(b",")[:4])
                total += min(timebase * (duration or max(0, at - previous)), LONGEST_PACKET_SECONDS)
                previous = at
            if total > enough:
                break
        return total

    def _packet_lines(self, *options: str) -> Iterator[bytes]:
        """Yield a line for each packet, for at most PROBE_SECONDS."""
        deadline = time.monotonic() + PROBE_SECONDS
        with self._path.open("rb") as source:
            process = ffmpeg.start(
                [
                    *("-v", "quiet", *ffmpeg.untrusted_input(self.opening), *options),
                    *("-c", "copy", "-map_metadata", "-1", "-f", "framecrc", "pipe:1"),
                ],
                ffmpeg_path=self._ffmpeg_path,
                confinement=ffmpeg.Confinement(cpu_seconds=10),
                stdin=source,
                stdout=subprocess.PIPE,
            )
            try:
                for line in process.stdout or ():
                    yield line
                    if time.monotonic() > deadline:
                        return
            finally:
                process.kill()
                process.communicate()

    def _run(self, *outputs: str, further: Sequence[int]) -> Walk:
        log_path, progress_path = self._workspace.path("probe.log"), self._workspace.path("probe.progress")
        with self._path.open("rb") as source, log_path.open("wb") as log, progress_path.open("wb") as progress:
            process = ffmpeg.start(
                ["-v", "info", "-nostats", "-progress", "pipe:1", *ffmpeg.untrusted_input(self.opening), *outputs],
                ffmpeg_path=self._ffmpeg_path,
                confinement=ffmpeg.Confinement(cpu_seconds=10, file_bytes=MAX_LOG_BYTES),
                stdin=source,
                stdout=progress,
                stderr=log,
                further=further,
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
        return Walk(text, int(ends[-1]) / 1e6 if ends else None, finished)


def first_packet_time(lines: bytes) -> float | None:
    """Return the time in seconds of the first packet in ffmpeg's list of them (framecrc); None if it has none."""
    first = re.search(rb"#tb 0: (\d+)/(\d+)\n(?:#.*\n)*0, *-?\d+, *(-?\d+),", lines)
    if first is None or int(first[3]) == NO_TIME:
        return None
    return int(first[3]) * int(first[1]) / int(first[2])


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


def _make_probe(
    walk: Walk, logged: LoggedFile, choice: StreamChoice, opening: Opening, *, walked_seconds: float | None
) -> Probe:
    version = re.search(r"^ffmpeg version (\S+)", walk.log)
    stream = choice.stream
    rate = stream.sample_rate_hz
    return Probe(
        container=logged.container,
        codec=stream.codec,
        sample_rate_hz=rate * DSD_BITS if rate and _is_dsd(stream.codec) else rate,
        channel_layout="stereo" if choice.right else stream.channel_layout,
        bits_per_sample=stream.bits_per_sample,
        bitrate_kbps=stream.bitrate_kbps,
        # The header counts the samples that it knows of.
        declared_seconds=logged.declared_seconds if opening.end_bytes is None else None,
        walked_seconds=walked_seconds,
        longest_seconds=max((s for s in (logged.declared_seconds, walk.seconds) if s is not None), default=None),
        has_video=logged.has_video,
        file_start_seconds=logged.start_seconds,
        streams=tuple(logged.audio),
        audio_stream=choice.number,
        joined_stream=choice.right_number,
        pictures=tuple(sorted(logged.pictures, key=lambda picture: picture.description != FRONT_COVER)),
        opening=opening,
        ffmpeg_version=version[1] if version else "",
    )


def _refuse_unsupported(found: Probe) -> None:
    if found.codec == "none":
        raise AudioUnsupportedError("The codec of the audio is not supported.")
    if found.sample_rate_hz and _is_dsd(found.codec) and found.sample_rate_hz <= DSD_BITS * MAX_DSD_RATE_HZ:
        check_shape(sample_rate_hz=None, channels=found.channels)
        return
    check_shape(sample_rate_hz=found.sample_rate_hz, channels=found.channels)


def check_shape(*, sample_rate_hz: int | None, channels: int | None) -> None:
    """Raise AudioUnsupportedError if the sample rate or the number of channels is known and out of range."""
    if sample_rate_hz is not None and not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise AudioUnsupportedError(
            f"The sample rate is {sample_rate_hz} Hz; {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz are supported."
        )
    if channels is not None and not 1 <= channels <= MAX_CHANNELS:
        raise AudioUnsupportedError(f"The audio has {channels} channels; 1 to {MAX_CHANNELS} are supported.")
