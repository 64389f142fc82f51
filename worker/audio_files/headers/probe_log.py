"""Parses the lines in which ffmpeg describes its input: container, length, and what kind of stream each one is.

These lines begin with two spaces; tags are indented further, so no text of a tag can pass for one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

# What ffmpeg logs when it has opened its input.
OPENED = re.compile(r"^Input #0, (.+), from '(?:fd:|subfile,.*)':$", re.MULTILINE)

STREAM = re.compile(r"^  Stream #0:(\d+)(.*?): (Audio|Video): (.*)$")
TAG = re.compile(r"^ {4,}(\S[^:]*?) *: (.*)$")

# ffmpeg names a sample format as soon as it has a decoder for the stream.
SAMPLE_FORMAT = re.compile(r", (?:u8|s16|s32|s64|flt|dbl)p?(?=,| |$)")

# How ffmpeg marks streams that are not the song itself: comments, versions for people with impairments, karaoke.
SPECIAL = re.compile(r" \((?:comment|hearing impaired|visual impaired|descriptions|karaoke|lyrics)\)")

NAMED_LAYOUTS = {
    "mono": 1,
    "stereo": 2,
    "downmix": 2,
    "binaural": 2,
    "quad": 4,
    "hexagonal": 6,
    "octagonal": 8,
    "cube": 8,
}


@dataclass(frozen=True)
class AudioStream:
    """An audio stream as the header describes it. `index` is ffmpeg's number for it among all streams of the file.

    `start_seconds` is where it begins, if ffmpeg says so. `can_decode`: the worker has a decoder for its codec.
    `is_special`: the file marks it as a comment, as made for people with impairments, or as karaoke.
    """

    index: int
    codec: str
    codec_tag: str | None
    sample_rate_hz: int | None
    channel_layout: str | None
    bits_per_sample: int | None
    bitrate_kbps: int | None
    start_seconds: float | None
    can_decode: bool
    is_default: bool
    is_special: bool = False
    language: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> int | None:
        """Return the number of channels, if the name of the layout says it."""
        return channels_of_layout(self.channel_layout)


@dataclass(frozen=True)
class AttachedPicture:
    """A picture that the file carries as a stream. `description` is what the file says it shows."""

    index: int
    description: str


@dataclass(frozen=True)
class LoggedFile:
    """What ffmpeg's log says of a file. `declared_seconds` is None if it was only estimated from the bitrate."""

    container: str
    declared_seconds: float | None
    start_seconds: float
    audio: Sequence[AudioStream]
    pictures: Sequence[AttachedPicture]
    has_video: bool


def parse_log(log: str) -> LoggedFile | None:
    """Return what ffmpeg logged about its input; None if it could not open it."""
    opened = OPENED.search(log)
    if opened is None:
        return None
    # Further down the log describes the output's streams in the same words.
    described = log[opened.start() :].partition("\nStream mapping:")[0]
    audio, pictures, has_video = [], [], False
    for index, words, kind, text, tags in _streams(described):
        if kind == "Audio":
            audio.append(_audio_stream(index, words, text, tags))
        elif not text.endswith("(attached pic)"):
            has_video = True
        elif text.startswith(("mjpeg", "png", "webp", "gif", "bmp")):
            pictures.append(AttachedPicture(index, tags.get("comment", "")))
    start = re.search(r"^  Duration: \S+ start: (-?[\d.]+)", described, re.MULTILINE)
    return LoggedFile(
        container=opened[1],
        declared_seconds=_declared_seconds(log),
        start_seconds=float(start[1]) if start else 0.0,
        audio=audio,
        pictures=pictures,
        has_video=has_video,
    )


def _streams(text: str) -> Iterator[tuple[int, str, str, str, Mapping[str, str]]]:
    """Yield each stream of audio and video: number, what follows the number, kind, description and tags."""
    found: tuple[int, str, str, str, dict[str, str]] | None = None
    for line in text.split("\n"):
        if line.startswith("  ") and line[2:3] not in {" ", ""}:
            if found:
                yield found
            match = STREAM.match(line)
            found = (int(match[1]), match[2], match[3], match[4], {}) if match else None
        elif found and (tag := TAG.match(line)):
            found[4].setdefault(tag[1].lower(), tag[2])
    if found:
        yield found


def _audio_stream(index: int, words: str, text: str, tags: Mapping[str, str]) -> AudioStream:
    rate = re.search(r", (\d+) Hz(?:, ([^,]+))?", text)
    bits = re.search(r"\((\d+) bit\)", text) or re.search(r"pcm_[suf](\d+)", text) or re.search(r", s(16)p?\b", text)
    bitrate = re.search(r", (\d+) kb/s", text)
    tag = re.search(r"\((\S{4}) / 0x[0-9A-Fa-f]+\)", text)
    start = re.search(r", start (-?[\d.]+)", text)
    language = re.search(r"\((\w+)\)$", words)
    return AudioStream(
        index=index,
        codec=re.split(r"[ ,]", text, maxsplit=1)[0],
        codec_tag=tag[1] if tag else None,
        sample_rate_hz=int(rate[1]) if rate else None,
        channel_layout=rate[2] if rate else None,
        bits_per_sample=int(bits[1]) if bits else None,
        bitrate_kbps=int(bitrate[1]) if bitrate else None,
        start_seconds=float(start[1]) if start else None,
        can_decode=bool(SAMPLE_FORMAT.search(text)),
        is_default="(default)" in text,
        is_special=bool(SPECIAL.search(text)),
        language=language[1] if language and language[1] != "und" else None,
        tags=tags,
    )


def _declared_seconds(log: str) -> float | None:
    duration = re.search(r"^  Duration: (\d+):(\d\d):(\d\d\.\d+),", log, re.MULTILINE)
    if duration is None or "Estimating duration from bitrate" in log:
        return None
    return int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])


def channels_of_layout(layout: str | None) -> int | None:
    """Return the number of channels of a layout by ffmpeg's name for it; None for rare names."""
    if layout is None or layout.partition("(")[0] in NAMED_LAYOUTS:
        return NAMED_LAYOUTS.get((layout or "").partition("(")[0])
    if counted := re.match(r"(\d+) channels", layout):
        return int(counted[1])
    # 5.1, 7.1(wide), 7.1.4: at ear level, low frequencies, height.
    parts = re.match(r"\d+(?:\.\d+)+", layout)
    return sum(int(n) for n in parts[0].split(".")) if parts else None
