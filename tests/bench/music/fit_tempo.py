"""Fits the weights of the tempo's estimate, and prints them. Takes some minutes, and with folders half an hour.

    python -m tests.bench.music.fit_tempo [NAME=FOLDER_OF_MIDI_FILES ...]

The songs are made of drum, bass and chord patterns that are drawn by chance. Their tempos are drawn half of the time
evenly from 60 to 200 BPM, and half of the time around 118 BPM, because that is how usual they are. A conditional logit
with a small penalty on large weights chooses among the tempos that are compared. A fourfold cross-validation is printed
too: how many of these songs were right and wrong among those at least so sure.

With folders, the changes of these weights for music without drums are fitted after them, on the same songs and on the
half of the MIDI files that `rendered_songs.py` does not count.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.optimize

from tests.bench.music.rendered_songs import FITTED, play, songs
from tests.bench.music.tempo import LEAK, SAME_TEMPO
from tests.fixtures.sounds.made_up_music import RATE_HZ, STYLES, MadeUpMusic, Style, every, make_music
from worker.engines.interface import FloatArray
from worker.measurements.music.meter import MusicMeter
from worker.measurements.music.tempo import Curve, softness, tempo_candidates

SONGS = 600
PENALTY = 1.0
PENALTY_OF_TEMPO = 0.1
PENALTY_OF_CHANGES = 3
"""How many times larger the penalties on the changes without drums are."""

BACKBEAT = ((1, 1), (3, 1))
KICKS = (
    ((0, 1), (2, 1)),
    ((0, 1), (2, 1), (2.5, 0.7)),
    ((0, 1), (1.5, 0.7), (2, 0.9)),
    ((0, 1), (0.75, 0.6), (2.5, 1)),
    every(1),
    ((0, 1), (0.5, 0.8), (2, 1), (2.5, 0.8)),
    ((0, 1), (2.5, 0.9)),
    ((2, 1),),
    ((0, 1), (1.75, 0.5), (2, 1), (3.5, 0.6)),
)
SNARES = (BACKBEAT, BACKBEAT, BACKBEAT, (*BACKBEAT, (3.75, 0.4)), ((1, 0.7), (3, 0.7)), (), ((2, 1),))
OFF_BEATS = ((0.5, 1), (1.5, 1), (2.5, 1), (3.5, 1))
SHUFFLE = ((0, 1), (1, 0.9), (1.667, 0.6), (2, 1), (3, 0.9), (3.667, 0.6))
HATS = (every(0.5), every(0.5), every(0.25, weak=0.5), every(1), (), OFF_BEATS, SHUFFLE)
BASSES = (
    ((0, 1),),
    ((0, 1), (2, 0.8)),
    every(1),
    every(0.5),
    ((0, 1), (1.5, 0.8), (2, 0.9), (3.5, 0.7)),
    OFF_BEATS,
    (),
)
CHORDS = (
    ((0, 1),),
    ((0, 1), (2, 0.8)),
    every(1),
    every(0.5),
    every(0.5, weak=0.9),
    ((0, 1), (1.5, 0.6), (3, 0.6)),
    OFF_BEATS,
    ((0.5, 1), (2.5, 1)),
)


def song(seed: int) -> MadeUpMusic:
    """Return a song whose pattern, tempo, key and drums are drawn by chance."""
    random = np.random.default_rng(seed)
    bpm = float(np.clip(random.normal(118, 28), 62, 200)) if random.random() < 0.5 else float(random.uniform(60, 200))
    made = make_music(
        bpm,
        _style(random),
        tonic=int(random.integers(12)),
        mode=("major", "minor")[int(random.integers(2))],
        swing=float(random.choice((0, 0, 0.5, 1))),
        drift=float(random.choice((0, 0, 0.08, -0.08))),
        seed=seed,
    )
    # Louder and quieter drums.
    made.accompaniment[:] += float(random.choice((0, 0, 0.5, -0.7))) * made.drums
    return made


def _style(random: np.random.Generator) -> Style | str:
    if random.random() < 0.25:
        return list(STYLES)[int(random.integers(len(STYLES)))]
    kick, snare, hat, bass, chords = (
        part[int(random.integers(len(part)))] for part in (KICKS, SNARES, HATS, BASSES, CHORDS)
    )
    if random.random() < 0.75:
        return Style(kick, snare, hat, bass, chords)
    # Without drums something must be played on the beat.
    return Style((), (), (), bass or BASSES[0], chords)


@dataclass(frozen=True)
class Example:
    """A song: the features of the tempos that are compared, which of them is right, and how soft its onsets are."""

    features: Curve
    right: int
    soft: float


def main(folders: Sequence[str]) -> None:
    """Fit the weights and print them."""
    made = [example for seed in range(SONGS) if (example := _made_up(seed))]
    print(f"the tempo is among those compared in {len(made)} of {SONGS} songs")
    sure = []
    for fold in range(4):
        weights = fit([example for n, example in enumerate(made) if n % 4 != fold])
        sure += [_choice(example, weights) for n, example in enumerate(made) if n % 4 == fold]
    for least in (0.0, 0.6, 0.7, 0.75, 0.8, 0.9):
        right = sum(is_right for is_right, confidence in sure if confidence >= least)
        print(f"at least {least}: {right} right, {sum(c >= least for _, c in sure) - right} wrong")
    weights = np.round(fit(made), 2)
    print(f"WEIGHTS = {tuple(weights[:-2].tolist())}\nWEIGHTS_OF_TEMPO = {tuple(weights[-2:].tolist())}")
    if folders:
        with tempfile.TemporaryDirectory() as scratch:
            played = [
                _example(play(song, Path(scratch)), None, song.truth.bpm)
                for song in songs(Path(scratch), folders, FITTED)
            ]
        print(f"CHANGES_WITHOUT_DRUMS = {tuple(np.round(fit([*made, *filter(None, played)], weights), 2).tolist())}")


def _made_up(seed: int) -> Example | None:
    made = song(seed)
    return _example(made.accompaniment + LEAK * made.vocals, made.vocals * (1 - LEAK), made.bpm)


def _example(accompaniment: FloatArray, vocals: FloatArray | None, bpm: float) -> Example | None:
    """Return what the weights see of stems, shape (2, n); None if the right tempo is not among those compared."""
    stems = np.stack([np.zeros_like(accompaniment) if vocals is None else vocals, accompaniment])
    n = stems.shape[2]
    meter = MusicMeter(("vocals", "accompaniment"), sample_rate_hz=RATE_HZ, channels=2, n_samples=n)
    for task in meter.measuring_tasks(stems.sum(axis=0), stems):
        task()
    rises, frame_rate_hz = meter.onsets()
    candidates = tempo_candidates(rises, frame_rate_hz)
    if candidates is None:
        return None
    distances = np.abs(candidates.bpm / bpm - 1)
    if distances.min() >= SAME_TEMPO:
        return None
    return Example(candidates.features, int(np.argmin(distances)), softness(rises))


def fit(examples: Sequence[Example], hard: Curve | None = None) -> Curve:
    """Return the weights under which the right tempos are the most probable.

    With the weights `hard` of music with drums, return what music without drums adds to them.
    """
    n = examples[0].features.shape[1]
    penalties = np.full(n, PENALTY)
    penalties[-2:] = PENALTY_OF_TEMPO
    if hard is not None:
        penalties *= PENALTY_OF_CHANGES
    base = np.zeros(n) if hard is None else hard
    scales = [1.0 if hard is None else example.soft for example in examples]

    def loss(weights: Curve) -> tuple[float, Curve]:
        total, gradient = float(penalties @ np.square(weights)), 2 * penalties * weights
        for example, scale in zip(examples, scales, strict=True):
            features, right = example.features, example.right
            shares = _shares(features @ (base + scale * weights))
            total -= float(np.log(shares[right] + 1e-12))
            gradient -= scale * (features[right] - shares @ features)
        return total, gradient

    return np.asarray(scipy.optimize.minimize(loss, np.zeros(n), jac=True, method="L-BFGS-B").x, dtype=np.float64)


def _shares(utilities: Curve) -> Curve:
    shares = np.exp(utilities - utilities.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _choice(example: Example, weights: Curve) -> tuple[bool, float]:
    """Return whether the best tempo is right, and how sure it is."""
    shares = _shares(example.features @ weights)
    return int(np.argmax(shares)) == example.right, float(shares.max())


if __name__ == "__main__":
    main(sys.argv[1:])
