"""Rows for `make bench`: how near the stems of both engines come to the truth, beside older methods.

The measure is the SDR of BSS Eval v4, the median over frames of 1 s in which neither source is silent. For an estimate
of the whole image it is the plain ratio of the source's energy to the error's, so that no 512-tap filters are needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import librosa
import numpy as np

from tests.bench.separation.repetition_songs import AUDIO, Song, labelled_songs, read, two_stage_hpss
from tests.unit.worker.engines.array_source import ArraySource
from worker.engines import unet
from worker.engines.interface import FloatArray, SeparationEngine
from worker.engines.repetition import DESCRIPTION, create
from worker.model_setup.unet.setup import set_up

Row = dict[str, str | float]
Method = Callable[[FloatArray, int], FloatArray]


def rows() -> list[Row]:
    """Return the median scores of each method, with each song's as notes, and levels where nothing should be heard."""
    songs = labelled_songs()
    with _unet() as in_each_form:
        methods = {**_methods(), **in_each_form}
        scored = [row for name, method in methods.items() for row in _score(name, method, songs)] if songs else []
    return [*scored, *_levels()]


def _methods() -> dict[str, Method]:
    presets = {preset.name: _by_preset(preset.name) for preset in DESCRIPTION.presets}
    return {
        "mixture untouched": lambda y, _: np.stack([y, y]),
        "the post, mono at 22.05 kHz": _post_at_22_khz,
        "two-stage HPSS": lambda y, _: np.stack([two_stage_hpss(channel) for channel in y], axis=1),
        **presets,
    }


def _by_preset(preset: str) -> Method:
    return lambda y, sr: _separate(create(preset, {}), y, sr)


@contextmanager
def _unet() -> Iterator[dict[str, Method]]:
    """Give the network in float32, and in the form that is fastest here."""
    with tempfile.TemporaryDirectory() as cache:
        folders = [set_up(Path(cache) / precision, precision)[0] for precision in ("float32", "auto")]
        yield {f"unet, {unet.describe(folder).precision}": _by_model(folder) for folder in folders}


def _by_model(folder: Path) -> Method:
    return lambda y, sr: _separate(unet.create(None, {}, model_folder=folder), y, sr)


def _separate(engine: SeparationEngine, y: FloatArray, sr: int) -> FloatArray:
    return np.concatenate(list(engine.separate(ArraySource(y, sr), threads=2)), axis=-1)


def _post_at_22_khz(y: FloatArray, sr: int) -> FloatArray:
    mono = librosa.resample(y.mean(axis=0), orig_sr=sr, target_sr=22_050)[np.newaxis]
    stems = librosa.resample(_by_preset("original")(mono, 22_050), orig_sr=22_050, target_sr=sr)
    return np.repeat(librosa.util.fix_length(stems, size=y.shape[1]), y.shape[0], axis=1)


def _score(name: str, method: Method, songs: list[Song]) -> list[Row]:
    scores: dict[str, dict[str, float]] = {"vocals": {}, "accompaniment": {}}
    for song in songs:
        vocals, accompaniment = method(song.mixture, song.sample_rate_hz)
        truth = song.mixture - song.vocals
        heard = _energy(song.vocals, song) * _energy(truth, song) > 0
        for stem, true, estimate in (
            ("vocals", song.vocals, vocals),
            ("accompaniment", truth, accompaniment),
        ):
            error = np.maximum(_energy(estimate - true, song)[heard], 1e-20)
            scores[stem][song.name] = round(float(np.median(10 * np.log10(_energy(true, song)[heard] / error))), 2)
    return [
        {"what": f"{name}: {stem}", "value": round(median(by_song.values()), 2), "unit": "dB SDR", **by_song}
        for stem, by_song in scores.items()
    ]


def _energy(y: FloatArray, song: Song) -> FloatArray:
    """Return the energy of each whole second."""
    n_seconds = y.shape[1] // song.sample_rate_hz
    seconds = y[:, : n_seconds * song.sample_rate_hz].reshape(y.shape[0], n_seconds, -1)
    return np.asarray((seconds.astype(np.float64) ** 2).sum(axis=(0, 2)))


def _levels() -> list[Row]:
    """Return how loud the stem is that should be silent, under the mixture."""
    measured: list[Row] = []
    for name, stem in (("instrumental_61s.ogg", 0), ("solo_voice_9s.wav", 1)):
        if (path := AUDIO / "unlabelled" / name).exists():
            y, sr = read(path)
            for preset in ("default", "original"):
                level = np.linalg.norm(_by_preset(preset)(y, sr)[stem]) / np.linalg.norm(y)
                what = f"{preset}: {DESCRIPTION.stems[stem]} of {path.stem}"
                measured.append({"what": what, "value": round(float(20 * np.log10(level)), 1), "unit": "dB"})
    return measured
