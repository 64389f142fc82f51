"""Finds out what a file claims to be before it is decoded: container, codec, sample rate, channels, length.

The header and the times of the packets (packet_walk.py) may be wrong. So these claims are used only to refuse files
early; the result of decoding is what counts (decode.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from shared.errors import (
    AudioEmptyError,
    AudioTooLongError,
    AudioUnsupportedError,
)
from worker.audio_files.headers.encryption import is_encrypted
from worker.audio_files.headers.opening import Opening
from worker.audio_files.headers.probe_log import AttachedPicture, AudioStream, LoggedFile, channels_of_layout
from worker.audio_files.headers.stream_choice import StreamChoice, choose_stream
from worker.audio_files.packet_walk import PacketWalker, Walk
from worker.run_support.workspace import Workspace

# What ffmpeg calls a picture of the type 3.
FRONT_COVER = "Cover (front)"

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


def probe_file(
    path: Path, *, workspace: Workspace, ffmpeg_path: str | None, max_seconds: float, audio_stream: int | None = None
) -> Probe:
    """Return what the file claims to be. `audio_stream` is the number of the wanted stream, counted from 1.

    Raises AudioEmptyError, AudioUnreadableError, AudioUnsupportedError, AudioTooLongError or RequestInvalidError, and
    SeparationFailedError if the machine is too busy or ffmpeg cannot be run.
    """
    if path.stat().st_size == 0:
        raise AudioEmptyError("The file is empty.")
    walker = PacketWalker(path, workspace, ffmpeg_path)
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
    if _decoded_bytes(found) > workspace.max_bytes and found.walked_seconds:
        # The last timestamp may have wrapped.
        sound = walker.sound_seconds(choice.stream.index, enough=found.walked_seconds)
        found = replace(found, walked_seconds=min(sound, found.walked_seconds))
    if _decoded_bytes(found) > workspace.max_bytes:
        raise AudioTooLongError(
            f"The decoded audio has {_decoded_bytes(found) / 1e9:.1f} GB; "
            f"one job may use {workspace.max_bytes / 1e9:.1f} GB."
        )
    return found


def _decoded_bytes(found: Probe) -> float:
    return 4 * (found.expected_seconds or 0.0) * (found.decoded_rate_hz or 0) * (found.channels or 1)


def _length(
    walker: PacketWalker, walk: Walk, declared: float | None, choice: StreamChoice, *, max_seconds: float
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


def _make_probe(
    walk: Walk, logged: LoggedFile, choice: StreamChoice, opening: Opening, *, walked_seconds: float | None
) -> Probe:
    version = re.search(r"^ffmpeg version (\S+)", walk.log)
    stream = choice.stream
    rate = stream.sample_rate_hz
    # The header counts the samples that it knows of.
    declared = (logged.declared_seconds or opening.claimed_seconds) if opening.end_bytes is None else None
    if logged.container == "ogg" and declared and walked_seconds:
        # Ogg has no length in its header: ffmpeg took the last page's time, also of a stream that began hours before.
        declared = min(declared, walked_seconds)
    return Probe(
        container=logged.container,
        codec=stream.codec,
        sample_rate_hz=rate * DSD_BITS if rate and _is_dsd(stream.codec) else rate,
        channel_layout="stereo" if choice.right else stream.channel_layout,
        bits_per_sample=stream.bits_per_sample,
        bitrate_kbps=stream.bitrate_kbps,
        declared_seconds=declared,
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
