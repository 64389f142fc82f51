"""Rows for `make bench`: the speed of `repetition` beside the post's method in librosa, on the same minute of a song.

Each engine is given two threads, and librosa what it takes. Of three rounds of the engines the best counts, since the
machine's speed wanders; librosa runs once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import librosa
import numpy as np

from tests.bench.separation.repetition_songs import AUDIO, post_by_librosa, read
from tests.unit.worker.engines.array_source import ArraySource
from worker.engines.interface import FloatArray
from worker.engines.repetition import create, warm_up
from worker.engines.stft_frames import FrameGrid, analyse, synthesise

SECONDS = 60
ROUNDS = 3

Row = dict[str, str | float]


def rows() -> list[Row]:
    """Return how many times faster than real time each method is, and the ratios."""
    path = AUDIO / "unlabelled" / "fishin_singing_133s.ogg"
    if not path.exists():
        return [{"what": "left out: no audio", "value": 0, "unit": ""}]
    y, sr = read(path, 0, SECONDS)
    warm_up()
    librosa_stems, librosa_seconds = _timed(lambda: np.stack([post_by_librosa(channel, sr) for channel in y], axis=1))
    mono = librosa.resample(y.mean(axis=0), orig_sr=sr, target_sr=22_050)
    _, as_it_stands_seconds = _timed(lambda: post_by_librosa(mono, 22_050))
    stems: dict[str, FloatArray] = {}
    best = {"default": np.inf, "original": np.inf}
    floor_seconds = np.inf
    for _ in range(ROUNDS):
        floor_seconds = min(floor_seconds, _timed(lambda: _transforms(y))[1])
        for preset, seconds in best.items():
            stems[preset], latest = _timed(partial(_separate, preset, y, sr))
            best[preset] = min(seconds, latest)
    error = np.linalg.norm(stems["original"] - librosa_stems) / np.linalg.norm(librosa_stems)
    return [
        _speed("the post by librosa, each channel at 44.1 kHz", librosa_seconds),
        _speed("the post by librosa as it stands, mono at 22.05 kHz", as_it_stands_seconds),
        _speed("STFT and two inverse STFTs, one thread", floor_seconds),
        *(_speed(preset, seconds) for preset, seconds in best.items()),
        _ratio("default over the post, each channel", librosa_seconds / best["default"]),
        _ratio("default over the post as it stands", as_it_stands_seconds / best["default"]),
        _ratio("original over librosa", librosa_seconds / best["original"]),
        {"what": "original: difference from librosa", "value": round(float(20 * np.log10(error)), 1), "unit": "dB"},
    ]


def _separate(preset: str, y: FloatArray, sr: int) -> FloatArray:
    return np.concatenate(list(create(preset, {}).separate(ArraySource(y, sr), threads=2)), axis=-1)


def _transforms(y: FloatArray) -> None:
    grid = FrameGrid(4096, y.shape[1])
    source = ArraySource(y, 44_100)
    for first in range(0, grid.n_frames, 64):
        D = analyse(grid.read_frames(source, first, first + 64), grid.n_fft)
        synthesise(D.copy(), grid.n_fft)
        synthesise(D, grid.n_fft)


def _timed(work: Callable[[], FloatArray | None]) -> tuple[FloatArray, float]:
    began = time.perf_counter()
    result = work()
    return np.zeros(0) if result is None else result, time.perf_counter() - began


def _speed(what: str, seconds: float) -> Row:
    return {"what": what, "value": round(SECONDS / seconds, 1), "unit": "x real time", "seconds": round(seconds, 2)}


def _ratio(what: str, value: float) -> Row:
    return {"what": what, "value": round(value, 1), "unit": "times faster"}
