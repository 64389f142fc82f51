"""Chooses which audio of a file is separated, if it has more than one stream."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import RequestInvalidError
from worker.audio_files.headers.probe_log import AudioStream

LEFT, RIGHT = re.compile(r"\b(?:left|l|fl|ch(?:annel)?\s*1)\b"), re.compile(r"\b(?:right|r|fr|ch(?:annel)?\s*2)\b")


@dataclass(frozen=True)
class StreamChoice:
    """The stream that is separated, and the mono stream that is joined to it as the right channel, if there is one.

    `number` counts the audio streams of the file from 1.
    """

    number: int
    stream: AudioStream
    right: AudioStream | None = None
    right_number: int | None = None


def choose_stream(streams: Sequence[AudioStream], wanted: int | None) -> StreamChoice:
    """Return the stream with the number `wanted`, or the one that a player would choose.

    That is the default stream among those that can be decoded, else the first of them that is not marked as special.
    Two mono streams that are the left and right channel of one recording are joined. `streams` is not empty. Raises
    RequestInvalidError if the file has no stream with this number.
    """
    if wanted is not None:
        if not 1 <= wanted <= len(streams):
            raise RequestInvalidError(
                f"audio_stream is {wanted}, but the file has {len(streams)} audio "
                f"stream{'s' if len(streams) > 1 else ''}, counted from 1."
            )
        return StreamChoice(wanted, streams[wanted - 1])
    usable = [s for s in streams if s.can_decode] or list(streams)
    if len(usable) == len(streams) and (pair := _stereo_pair(streams)):
        left, right = pair
        return StreamChoice(streams.index(left) + 1, left, right, streams.index(right) + 1)
    # `min` returns the first of several.
    chosen = min(usable, key=lambda s: (not s.is_default, s.is_special))
    return StreamChoice(streams.index(chosen) + 1, chosen)


def _stereo_pair(streams: Sequence[AudioStream]) -> tuple[AudioStream, AudioStream] | None:
    """Return the left and right channel, if the file holds them as two mono streams of the same kind.

    The first two are a pair if their titles say so. Without that, recorders and cameras write an even number of mono
    streams, of which the first two are left and right. Streams that differ in language, or of which one is marked as
    special, or whose titles name two different things, are no pair: they may be speakers, dubs or comments.
    """
    if len(streams) < 2 or any(s.channels != 1 for s in streams) or any(s.is_special for s in streams[:2]):
        return None
    first, second = streams[:2]
    if (first.codec, first.sample_rate_hz, first.language) != (second.codec, second.sample_rate_hz, second.language):
        return None
    names = [f"{s.channel_layout or ''} {s.tags.get('title', '')}".lower() for s in (first, second)]
    if RIGHT.search(names[0]) and LEFT.search(names[1]):
        return second, first
    if LEFT.search(names[0]) and RIGHT.search(names[1]):
        return first, second
    titles = {s.tags.get("title", "") for s in (first, second)}
    if len(streams) == 2 and len(titles) == 1:
        return first, second
    return _of_a_camera(first, second) if len(streams) % 2 == 0 else None


def _of_a_camera(first: AudioStream, second: AudioStream) -> tuple[AudioStream, AudioStream] | None:
    """Return the first two of several mono streams if they are plain PCM without titles, as cameras write them."""
    is_plain = first.codec.startswith("pcm_") and not first.tags.get("title") and not second.tags.get("title")
    return (first, second) if is_plain else None
