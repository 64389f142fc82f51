"""Fits the weights of the tempo's estimate in some minutes, and prints them: `python -m tests.bench.music.fit_tempo`.

The songs are made of drum, bass and chord patterns that are drawn by chance. Their tempos are drawn half of the time
evenly from 60 to 200 BPM, and half of the time around 118 BPM, because that is how usual they are. A conditional logit
with a small penalty on large weights chooses among the tempos that are compared. A fourfold cross-validation is printed
too: how many of these songs were right and wrong among those at least so sure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.optimize

from tests.bench.music.tempo import LEAK, SAME_TEMPO
from tests.fixtures.sounds.made_up_music import RATE_HZ, STYLES, MadeUpMusic, Style, every, make_music
from worker.measurements.music.meter import MusicMeter
from worker.measurements.music.tempo import Curve, tempo_candidates

SONGS = 600
PENALTY = 1.0
PENALTY_OF_TEMPO = 0.1

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


def main() -> None:
    """Fit the weights and print them."""
    rows = list(filter(None, map(_row, range(SONGS))))
    print(f"the tempo is among those compared in {len(rows)} of {SONGS} songs")
    sure = []
    for fold in range(4):
        weights = fit([row for n, row in enumerate(rows) if n % 4 != fold])
        sure += [_choice(row, weights) for n, row in enumerate(rows) if n % 4 == fold]
    for least in (0.0, 0.6, 0.7, 0.75, 0.8, 0.9):
        right = sum(is_right for is_right, confidence in sure if confidence >= least)
        print(f"at least {least}: {right} right, {sum(c >= least for _, c in sure) - right} wrong")
    fitted = [round(float(weight), 2) for weight in fit(rows)]
    print(f"WEIGHTS = {tuple(fitted[:-2])}\nWEIGHTS_OF_TEMPO = {tuple(fitted[-2:])}")


Row = tuple[Curve, int]
"""The features of the tempos that are compared, and which of them is right."""


def _row(seed: int) -> Row | None:
    made = song(seed)
    stems = np.stack([made.vocals * (1 - LEAK), made.accompaniment + LEAK * made.vocals])
    n = stems.shape[2]
    meter = MusicMeter(("vocals", "accompaniment"), sample_rate_hz=RATE_HZ, channels=2, n_samples=n)
    for task in meter.measuring_tasks(stems.sum(axis=0), stems):
        task()
    rises, frame_rate_hz = meter.onsets()
    candidates = tempo_candidates(rises, frame_rate_hz)
    if candidates is None:
        return None
    distances = np.abs(candidates.bpm / made.bpm - 1)
    return (candidates.features, int(np.argmin(distances))) if distances.min() < SAME_TEMPO else None


def fit(rows: Sequence[Row]) -> Curve:
    """Return the weights under which the right tempos are the most probable."""
    n = rows[0][0].shape[1]
    penalties = np.full(n, PENALTY)
    penalties[-2:] = PENALTY_OF_TEMPO

    def loss(weights: Curve) -> tuple[float, Curve]:
        total, gradient = float(penalties @ np.square(weights)), 2 * penalties * weights
        for features, right in rows:
            shares = _shares(features @ weights)
            total -= float(np.log(shares[right] + 1e-12))
            gradient -= features[right] - shares @ features
        return total, gradient

    return np.asarray(scipy.optimize.minimize(loss, np.zeros(n), jac=True, method="L-BFGS-B").x, dtype=np.float64)


def _shares(utilities: Curve) -> Curve:
    shares = np.exp(utilities - utilities.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _choice(row: Row, weights: Curve) -> tuple[bool, float]:
    """Return whether the best tempo is right, and how sure it is."""
    features, right = row
    shares = _shares(features @ weights)
    return int(np.argmax(shares)) == right, float(shares.max())


if __name__ == "__main__":
    main()
