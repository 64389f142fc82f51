"""The part of the decoded audio that a run separates: the whole song, or an excerpt within its context.

Converts between seconds in the song and samples in the decoded file.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import AudioTooShortError, RequestInvalidError
from worker.audio_files.decoded_audio import DecodedAudio


@dataclass(frozen=True)
class TrackExcerpt:
    """A part of a song in seconds. `duration_seconds` None means up to the end."""

    start_seconds: float = 0.0
    duration_seconds: float | None = None

    def __post_init__(self) -> None:
        """Raise RequestInvalidError if this cannot be a part of any song."""
        if not 0 <= self.start_seconds < float("inf"):
            raise RequestInvalidError("An excerpt must start at 0 s or later.")
        if self.duration_seconds is not None and not 0 < self.duration_seconds < float("inf"):
            raise RequestInvalidError("An excerpt must be longer than 0 s.")

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole song."""
        return self.start_seconds == 0 and self.duration_seconds is None

    def check_starts_before(self, end_seconds: float | None) -> None:
        """Raise AudioTooShortError if the audio ends before the excerpt starts. None: the end is not known."""
        if end_seconds is not None and self.start_seconds >= end_seconds:
            raise AudioTooShortError(
                f"The excerpt begins at {self.start_seconds:g} s, but the audio ends at {end_seconds:.2f} s."
            )

    def span_seconds(self, *, context_seconds: float) -> tuple[float, float | None]:
        """Return the part of the song to decode, so that the engine has `context_seconds` on each side."""
        start = max(0.0, self.start_seconds - context_seconds)
        if self.duration_seconds is None:
            return start, None
        return start, self.start_seconds + self.duration_seconds + context_seconds


@dataclass(frozen=True)
class Track:
    """Decoded audio, and which of its samples are to be separated."""

    audio: DecodedAudio
    start: int
    stop: int

    @property
    def n_samples(self) -> int:
        """Return the number of samples per channel to be separated."""
        return self.stop - self.start

    @property
    def duration_seconds(self) -> float:
        """Return the playing time of the part to be separated."""
        return self.n_samples / self.audio.sample_rate_hz

    @property
    def start_seconds(self) -> float:
        """Return where the part to be separated begins on the song's timeline."""
        return (self.audio.first_sample + self.start) / self.audio.sample_rate_hz


def cut_excerpt(audio: DecodedAudio, excerpt: TrackExcerpt) -> Track:
    """Return the part of the audio that the excerpt names. It is shortened if it reaches beyond the end.

    Raises AudioTooShortError if the audio ends before the excerpt starts.
    """
    rate = audio.sample_rate_hz
    excerpt.check_starts_before((audio.first_sample + audio.n_samples) / rate)
    start = min(round(excerpt.start_seconds * rate) - audio.first_sample, audio.n_samples - 1)
    stop = audio.n_samples
    if excerpt.duration_seconds is not None:
        stop = min(stop, start + max(1, round(excerpt.duration_seconds * rate)))
    return Track(audio, start, stop)
