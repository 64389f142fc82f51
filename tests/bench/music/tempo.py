"""Rows for `make bench FAMILIES=tempo`: how often tempo, beats and key of made-up songs are right, and what they cost.

There are two kinds of songs. Those of `made_up_music` share their sounds and some patterns with the songs on which the
weights were fitted (`fit_tempo.py`); a part of the voice is left in their accompaniment. Those of
`other_made_up_music` share nothing with them. Real songs are harder than both.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from tests.fixtures.sounds.made_up_music import RATE_HZ, STYLES, MadeUpMusic, make_music, without_music
from tests.fixtures.sounds.other_made_up_music import make_other_music
from worker.engines.interface import FloatArray
from worker.measurements.music.key import MINOR_NAMES, NAMES
from worker.measurements.music.meter import MusicFindings, MusicMeter

Row = dict[str, str | float]

SEEDS = (7, 8)
OTHER_SONGS = range(1_000, 1_120)
"""The thresholds were chosen on the other songs of the seeds below 320."""
TEMPOS_PER_STYLE = 12
LEAK = 0.15
"""How much of the voice stays in the accompaniment: 16 dB below it."""

SAME_TEMPO = 0.04
SAME_BEAT_SECONDS = 0.07

RATIOS = {1.0: "right", 0.5: "half", 2.0: "double"}


def rows() -> list[Row]:
    """Return how many songs were right, half, double, wrong and left out, and the processor time of four minutes."""
    told = Counter[str]()
    for kind in ("silence", "noise", "speech", "rain", "free_time"):
        for seed in range(8):
            nothing = find(without_music(kind, seed=10 * SEEDS[0] + seed))
            told["tempo"] += nothing.tempo_bpm is not None
            told["key"] += nothing.key is not None
    return [
        *_counts("seven styles", _songs()),
        *_counts("other songs", map(make_other_music, OTHER_SONGS)),
        *({"what": f"{what} told of sound without one", "value": told[what], "unit": "of 40"} for what in told),
        {"what": "processor time of 4 min, mono at 22 kHz", "value": round(_seconds_of_four_minutes(), 3), "unit": "s"},
    ]


def _counts(kind: str, songs: Iterable[MadeUpMusic]) -> Iterator[Row]:
    """Yield how many tempos and keys of these songs were right, wrong and left out, and how good their beats are."""
    tempos, keys, beats = Counter[str](), Counter[str](), list[float]()
    for song in songs:
        found = find(song.accompaniment + LEAK * song.vocals, song.vocals * (1 - LEAK))
        tempo = judge_tempo(found, song)
        tempos[tempo] += 1
        keys[judge_key(found, song)] += 1
        if tempo == "right":
            beats.append(beats_f_measure(found, song))
    for what, judged in (("tempo", tempos), ("key", keys)):
        for name in sorted(judged):
            yield {"what": f"{kind}, {what}: {name}", "value": judged[name], "unit": f"of {judged.total()}"}
    value = round(float(np.mean(beats)), 3)
    yield {"what": f"{kind}, beats within 70 ms, where the tempo is right", "value": value, "unit": "F"}


def find(accompaniment: FloatArray, vocals: FloatArray | None = None) -> MusicFindings:
    """Return what is found in stems, shape (2, n), that come in blocks of uneven lengths."""
    voice = np.zeros_like(accompaniment) if vocals is None else vocals
    n = accompaniment.shape[1]
    meter = MusicMeter(("vocals", "accompaniment"), sample_rate_hz=RATE_HZ, channels=2, n_samples=n)
    for start in range(0, n, 100_003):
        part = slice(start, start + 100_003)
        stems = np.stack([voice[:, part], accompaniment[:, part]])
        for task in meter.measuring_tasks(stems.sum(axis=0), stems):
            task()
    return meter.findings(start_seconds=0.0)


def judge_tempo(found: MusicFindings, song: MadeUpMusic) -> str:
    """Return `right`, `half`, `double`, `wrong` or `left out`."""
    if found.tempo_bpm is None:
        return "left out"
    ratio = found.tempo_bpm / song.bpm
    return next((name for factor, name in RATIOS.items() if abs(ratio / factor - 1) < SAME_TEMPO), "wrong")


def judge_key(found: MusicFindings, song: MadeUpMusic) -> str:
    """Return `right`, `relative`, `fifth`, `wrong` or `left out`."""
    if found.key is None:
        return "left out"
    if found.key == name_of(song.tonic, song.mode):
        return "right"
    third = 9 if song.mode == "major" else 3
    if found.key == name_of((song.tonic + third) % 12, "minor" if song.mode == "major" else "major"):
        return "relative"
    return "fifth" if found.key in {name_of((song.tonic + step) % 12, song.mode) for step in (5, 7)} else "wrong"


def name_of(tonic: int, mode: str) -> str:
    """Return the name of a key."""
    return f"{(NAMES if mode == 'major' else MINOR_NAMES)[tonic]} {mode}"


def beats_f_measure(found: MusicFindings, song: MadeUpMusic) -> float:
    """Return the F-measure of the beats: those within 70 ms of a true one, as MIREX counts them."""
    if not len(found.beats):
        return 0.0
    near = np.abs(found.beats[:, np.newaxis] - song.beats) < SAME_BEAT_SECONDS
    precision, recall = float(near.any(axis=1).mean()), float(near.any(axis=0).mean())
    return 2 * precision * recall / max(1e-9, precision + recall)


def _songs() -> Iterator[MadeUpMusic]:
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        for style in STYLES:
            for number, bpm in enumerate(np.linspace(60, 200, TEMPOS_PER_STYLE)):
                yield make_music(
                    float(np.clip(bpm + random.uniform(-6, 6), 60, 200)),
                    style,
                    tonic=int(random.integers(12)),
                    mode=("major", "minor")[number % 2],
                    swing=float(number % 3 == 1),
                    drift=0.08 * float(random.choice((-1, 1))) if number % 3 == 2 else 0.0,
                    cents=float(random.uniform(-30, 30)),
                    seed=seed * 1000 + int(random.integers(1000)),
                )


def _seconds_of_four_minutes() -> float:
    song = make_music(seconds=60)
    four_minutes = np.tile(song.accompaniment, 4)
    began = time.process_time()
    find(four_minutes)
    return time.process_time() - began
