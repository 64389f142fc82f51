"""The part of the decoded audio that a run is about: the whole, or an excerpt with the song around it.

Owns the arithmetic between seconds in the song and samples in the decoded file.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import AudioTooShortError, RequestInvalidError
from worker.decoded_audio import DecodedAudio


@dataclass(frozen=True)
class Excerpt:
    """A part of a song in seconds; `duration_seconds` None means to its end."""

    start_seconds: float = 0.0
    duration_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no part of anything."""
        if not 0 <= self.start_seconds < float("inf"):
            raise RequestInvalidError("An excerpt starts at 0 s or later.")
        if self.duration_seconds is not None and not 0 < self.duration_seconds < float("inf"):
            raise RequestInvalidError("An excerpt is longer than 0 s.")

    @property
    def whole(self) -> bool:
        """Return whether this is all of the song."""
        return self.start_seconds == 0 and self.duration_seconds is None

    def check_begins_before(self, end_seconds: float | None) -> None:
        """Raise AudioTooShortError if the audio ends before this begins, where its end is known."""
        if end_seconds is not None and self.start_seconds >= end_seconds:
            raise AudioTooShortError(
                f"The excerpt begins at {self.start_seconds:g} s, but the audio ends at {end_seconds:.2f} s."
            )

    def span_seconds(self, *, context_seconds: float) -> tuple[float, float | None]:
        """Return the part of the song to decode, so that an engine finds `context_seconds` to each side."""
        start = max(0.0, self.start_seconds - context_seconds)
        if self.duration_seconds is None:
            return start, None
        return start, self.start_seconds + self.duration_seconds + context_seconds


@dataclass(frozen=True)
class Track:
    """Decoded audio, and which of its samples are wanted."""

    audio: DecodedAudio
    start: int
    stop: int

    @property
    def n_samples(self) -> int:
        """Return the number of wanted samples per channel."""
        return self.stop - self.start

    @property
    def duration_seconds(self) -> float:
        """Return how long the wanted part plays."""
        return self.n_samples / self.audio.sample_rate_hz


def cut(audio: DecodedAudio, excerpt: Excerpt) -> Track:
    """Return the wanted part of the audio; an excerpt that passes the end is cut there.

    Raises AudioTooShortError if the audio ends before the excerpt begins.
    """
    rate = audio.sample_rate_hz
    excerpt.check_begins_before((audio.first_sample + audio.n_samples) / rate)
    start = min(round(excerpt.start_seconds * rate) - audio.first_sample, audio.n_samples - 1)
    stop = audio.n_samples
    if excerpt.duration_seconds is not None:
        stop = min(stop, start + max(1, round(excerpt.duration_seconds * rate)))
    return Track(audio, start, stop)
