"""Preset `original`: the method that this project began with, exactly as librosa computes it."""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np

from worker.engine.errors import TrackTooLongError, TrackTooShortError
from worker.engine.interface import EngineDescription, FloatArray, Progress, Source
from worker.engine.repetition.description import DESCRIPTION, ORIGINAL_MAX_SECONDS

N_FFT = 2048
HOP_LENGTH = 512
WIDTH_SECONDS = 2
MARGIN_ACCOMPANIMENT = 3
MARGIN_VOCALS = 11
POWER = 3
BLOCK_SAMPLES = 1 << 18


class OriginalEngine:
    """The post's method: each channel by itself, at the song's own rate, the whole song in memory."""

    @property
    def description(self) -> EngineDescription:
        """What the engine tells of itself."""
        return DESCRIPTION

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""
        return DESCRIPTION.stems

    def check(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        """Raise an `EngineError` if a track of this shape cannot be separated."""
        del channels
        n_frames = 1 + n_samples // HOP_LENGTH
        needed_frames = 2 * _width_frames(sample_rate_hz) + 3
        if n_frames < needed_frames:
            needed_seconds = (needed_frames - 1) * HOP_LENGTH / sample_rate_hz
            raise TrackTooShortError(f"Preset original needs at least {needed_seconds:.1f} s of audio.")
        if n_samples > ORIGINAL_MAX_SECONDS * sample_rate_hz:
            raise TrackTooLongError(
                f"Preset original takes at most {ORIGINAL_MAX_SECONDS / 60:.0f} minutes; "
                "preset default takes any length."
            )

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:
        """An upper bound of the memory that `separate` allocates for a track of this shape."""
        del sample_rate_hz
        n_frames = 1 + n_samples // HOP_LENGTH
        return 40 * (N_FFT // 2 + 1) * n_frames + 8 * n_frames**2 + 12 * channels * n_samples

    def separate(
        self,
        source: Source,
        *,
        start: int = 0,
        stop: int | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[FloatArray]:
        """Yield the stems of samples `start` to `stop`; what both masks drop is in neither of them."""
        del threads
        self.check(sample_rate_hz=source.sample_rate_hz, channels=source.channels, n_samples=source.n_samples)
        stop = source.n_samples if stop is None else stop
        y = source.read(0, source.n_samples)
        stems = np.empty((2, *y.shape), np.float32)
        for channel in range(source.channels):
            stems[:, channel] = _separate_channel(y[channel], source.sample_rate_hz)
            if progress is not None:
                progress((channel + 1) / source.channels)
        for first in range(start, stop, BLOCK_SAMPLES):
            yield np.ascontiguousarray(stems[:, :, first : min(stop, first + BLOCK_SAMPLES)])


def _width_frames(sample_rate_hz: int) -> int:
    return int(WIDTH_SECONDS * sample_rate_hz // HOP_LENGTH)


def _separate_channel(y: FloatArray, sr: int) -> FloatArray:
    D = librosa.stft(y, n_fft=N_FFT, hop_length=HOP_LENGTH)
    S, phase = librosa.magphase(D)
    S_filter = librosa.decompose.nn_filter(S, aggregate=np.median, metric="cosine", width=_width_frames(sr))
    S_filter = np.minimum(S, S_filter)
    mask_accompaniment = librosa.util.softmask(S_filter, MARGIN_ACCOMPANIMENT * (S - S_filter), power=POWER)
    mask_vocals = librosa.util.softmask(S - S_filter, MARGIN_VOCALS * S_filter, power=POWER)
    stems = [
        librosa.istft(mask * S * phase, hop_length=HOP_LENGTH, length=len(y))
        for mask in (mask_vocals, mask_accompaniment)
    ]
    return np.stack(stems)
