"""The songs that the engine `repetition` is measured on, and the methods it is compared with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import soundfile

from worker.engines.interface import FloatArray

AUDIO = Path(os.environ.get("STEMQUEUE_AUDIO", Path(__file__).parents[4] / "shared" / "audio"))

EXCERPTS = {"hydrogen_full": (40, 100), "lithium_60s": (0, 60), "sodium_30s": (0, 30), "caesium_30s": (0, 30)}
"""Seconds of each labelled song that are scored: what librosa's methods get through in a few minutes."""


@dataclass(frozen=True)
class Song:
    """A mixture and the voice in it, shape (channels, samples)."""

    name: str
    sample_rate_hz: int
    mixture: FloatArray
    vocals: FloatArray


def labelled_songs() -> list[Song]:
    """Return the excerpts whose voice is known; none where the audio is missing."""
    songs = []
    for name, (start, stop) in EXCERPTS.items():
        folder = AUDIO / "songs" / name
        if folder.is_dir():
            mixture, sr = read(folder / "mixture.flac", start, stop)
            songs.append(Song(name, sr, mixture, read(folder / "vocals.flac", start, stop)[0]))
    return songs


def read(path: Path, start_seconds: float = 0, stop_seconds: float = 1e6) -> tuple[FloatArray, int]:
    """Return a part of a file, shape (channels, samples), and its rate."""
    with soundfile.SoundFile(path) as file:
        first, stop = (min(int(s * file.samplerate), file.frames) for s in (start_seconds, stop_seconds))
        file.seek(first)
        return np.ascontiguousarray(file.read(stop - first, "float32", always_2d=True).T), file.samplerate


def post_by_librosa(y: FloatArray, sr: int) -> FloatArray:
    """Return vocals and accompaniment of one channel as the blog post has librosa compute them."""
    S, phase = librosa.magphase(librosa.stft(y))
    width = int(librosa.time_to_frames(2, sr=sr))
    S_filter = np.minimum(S, librosa.decompose.nn_filter(S, aggregate=np.median, metric="cosine", width=width))
    masks = (
        librosa.util.softmask(S - S_filter, 11 * S_filter, power=3),
        librosa.util.softmask(S_filter, 3 * (S - S_filter), power=3),
    )
    return np.stack([librosa.istft(mask * S * phase, length=y.size) for mask in masks])


def two_stage_hpss(y: FloatArray) -> FloatArray:
    """Return vocals and accompaniment of one channel: what is sustained goes first, then what is struck."""
    _, moving = librosa.decompose.hpss(librosa.stft(y, n_fft=8192))
    rest = librosa.istft(moving, length=y.size)
    voiced, _ = librosa.decompose.hpss(librosa.stft(rest, n_fft=1024))
    vocals = librosa.istft(voiced, length=y.size)
    return np.stack([vocals, y - vocals])
