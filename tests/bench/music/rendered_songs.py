"""How often tempo, beats and key are right of music that people wrote: MIDI files, played by FluidSynth.

    apt install fluidsynth fluid-soundfont-gm mma openttd-openmsx planetblupi-music-midi
    python -m tests.bench.music.rendered_songs [--each songs.jsonl] [--rendered FOLDER] [NAME=FOLDER_OF_MIDI_FILES ...]

The sets are the accompaniments of MMA (a band in the style of each of its grooves, over chords, tempo and key that are
drawn here), the music of two games, and the folders that are named. Every second groove and every second file of the
named folders is left to `fit_tempo.py`, and not counted here. A MIDI file tells its beats and bars. What its key
signature tells is believed unless it is C major, which files have that tell nothing. Beside `001.mid` of POP909 lie
`001.beat_midi.txt` and `001.key_audio.txt`, if they were copied there; then these are believed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.bench.music.midi_files import MidiTruth, read_midi
from tests.bench.music.tempo import SAME_BEAT_SECONDS, SAME_TEMPO, name_of
from tests.fixtures.sounds.made_up_music import RATE_HZ
from worker.engines.interface import FloatArray
from worker.measurements.music.key import MINOR_NAMES, NAMES

SOUND_FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
GROOVES = Path("/usr/share/mma/lib/stdlib")
GAMES = {
    "OpenTTD": Path("/usr/share/games/openttd/baseset/openmsx"),
    "Planet Blupi": Path("/usr/share/planetblupi/music"),
}
COUNTED, FITTED = 0, 1
"""The halves of the sets."""

SECONDS = 120
"""So much of each piece is played."""

LEAST_SECONDS, LEAST_BEATS = 20, 24

PROGRESSIONS = {
    "major": ("I vi IV V", "I V vi IV", "I IV V I", "ii V I vi", "I I IV I V IV I V", "vi IV I V I I IV V"),
    "minor": ("i iv V i", "i VI III VII", "i VII VI V", "i iv i V", "i i iv iv V V i i"),
}
DEGREES = {"I": 0, "ii": 2, "iii": 4, "IV": 5, "V": 7, "vi": 9, "i": 0, "iv": 5, "III": 3, "VI": 8, "VII": 10}
SPELLED = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")

RATIOS = {"right": 1.0, "half": 0.5, "double": 2.0, "a third, or two thirds": 2 / 3, "three halves, or three": 1.5}


@dataclass(frozen=True)
class Song:
    """One piece and the truth about it."""

    kind: str
    path: Path
    truth: MidiTruth


@dataclass(frozen=True)
class Judgement:
    """What was found of a piece, beside what is true."""

    kind: str
    name: str
    tempo: str
    key: str
    beats_f: float | None
    bpm: float
    found_bpm: float | None
    found_key: str | None
    tempo_confidence: float | None
    key_confidence: float | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of all sets; with `--each` also a line for each piece."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=Path)
    parser.add_argument("--rendered", type=Path, help="keeps the WAV files, for another run")
    parser.add_argument("folders", nargs="*", metavar="NAME=FOLDER")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        found = list[Judgement]()
        for song in songs(Path(scratch), chosen.folders, COUNTED):
            found.append(_judge(song, play(song, chosen.rendered or Path(scratch))))
            if chosen.each:
                with chosen.each.open("a") as lines:
                    lines.write(json.dumps(asdict(found[-1])) + "\n")
    for row in rows_of(found):
        print(json.dumps(row))


def rows_of(found: Sequence[Judgement]) -> Iterator[dict[str, Any]]:
    """Yield how often each set was right."""
    for kind in dict.fromkeys(judgement.kind for judgement in found):
        of_kind = [judgement for judgement in found if judgement.kind == kind]
        f_measures = [j.beats_f for j in of_kind if j.beats_f is not None]
        yield {
            "songs": kind,
            "tempo": dict(Counter(j.tempo for j in of_kind)),
            "key": dict(Counter(j.key for j in of_kind if j.key != "unknown")),
            "beats F": round(float(np.mean(f_measures)), 2) if f_measures else None,
        }


def songs(scratch: Path, folders: Sequence[str], half: int) -> Iterator[Song]:
    """Yield one half of the sets; `folders` are written NAME=FOLDER. The music of the games is only counted."""
    for groove in sorted(GROOVES.glob("*.mma"))[half::2]:
        yield from _with_groove(groove, scratch)
    files = {kind: sorted(folder.glob("*.mid")) for kind, folder in GAMES.items() if half == COUNTED}
    for kind, folder in (named.split("=", 1) for named in folders):
        files[kind] = sorted(Path(folder).glob("*.mid"))[half::2]
    for kind, paths in files.items():
        for path in paths:
            try:
                truth = _annotated(path) or _without_default_key(read_midi(path))
            except (ValueError, IndexError) as error:
                print(f"{path}: {error}")
                continue
            if len(truth.beats) >= LEAST_BEATS and truth.beats[-1] >= LEAST_SECONDS:
                yield Song(kind if truth.is_steady else f"{kind}, changing tempo", path, truth)


def _without_default_key(truth: MidiTruth) -> MidiTruth:
    return replace(truth, keys=frozenset()) if truth.keys == {(0, "major")} else truth


def _with_groove(groove: Path, scratch: Path) -> Iterator[Song]:
    """Yield the accompaniment in the style of two grooves of a file, over chords that are drawn by its name."""
    draw = random.Random(groove.name)
    words = (line.split() for line in groove.read_text("utf-8", "replace").splitlines())
    names = [line[1] for line in words if len(line) > 1 and line[0].lower() == "defgroove"]
    names = [name for name in names if not name.lower().endswith(("intro", "end", "fill"))]
    for name in draw.sample(names, min(2, len(names))):
        mode = draw.choice(("major", "minor"))
        tonic, bpm = draw.randrange(12), draw.randint(70, 180)
        chords = [_chord(tonic, degree) for degree in (draw.choice(PROGRESSIONS[mode]) + " ").split()]
        bars = "\n".join((chords * 24)[:48])
        source, path = scratch / f"{name}.mma", scratch / f"{name}.mid"
        source.write_text(f"Tempo {bpm}\nGroove {name}\n{bars}\n")
        done = subprocess.run(["mma", "-f", path, source], capture_output=True, check=False)
        if done.returncode:
            print(f"{name}: {done.stdout.decode(errors='replace').strip()[-100:]}")
            continue
        told = read_midi(path)
        yield Song("MMA", path, MidiTruth(told.beats, told.downbeats, frozenset({(tonic, mode)})))


def _chord(tonic: int, degree: str) -> str:
    root = SPELLED[(tonic + DEGREES[degree]) % 12]
    return root + ("m" if degree.islower() else "")


def _annotated(path: Path) -> MidiTruth | None:
    """Return what the files of POP909 beside a MIDI file tell."""
    beats = path.with_suffix(".beat_midi.txt")
    if not beats.exists():
        return None
    times, *_, bars = np.loadtxt(beats, ndmin=2).T
    keys = set[tuple[int, str]]()
    for line in path.with_suffix(".key_audio.txt").read_text().splitlines():
        tonic, mode = line.split()[2].split(":")
        number = ("CDEFGAB".index(tonic[0]) * 2 - (tonic[0] in "FGAB")) + tonic.count("#") - tonic.count("b")
        keys.add((number % 12, mode + "or"))
    return MidiTruth(times, times[bars > 0], frozenset(keys))


def play(song: Song, folder: Path) -> FloatArray:
    """Return the beginning of a piece as FluidSynth plays it, shape (2, n)."""
    wav = folder / f"{song.kind} {song.path.stem}.wav"
    if not wav.exists():
        command = ["fluidsynth", "-ni", "-g", "0.4", "-r", str(RATE_HZ), "-T", "wav", "-F"]
        subprocess.run([*command, wav, SOUND_FONT, song.path], capture_output=True, check=True)
    with soundfile.SoundFile(wav) as file:
        y: FloatArray = file.read(SECONDS * RATE_HZ, dtype="float32", always_2d=True).T
    return np.ascontiguousarray(y)


def _judge(song: Song, y: FloatArray) -> Judgement:
    from tests.bench.music.tempo import find

    found = find(y)
    tempo = _judge_tempo(found.tempo_bpm, song.truth.bpm)
    true_beats = song.truth.beats[song.truth.beats < SECONDS]
    return Judgement(
        kind=song.kind,
        name=song.path.stem,
        tempo=tempo,
        key=_judge_key(found.key, song.truth.keys),
        beats_f=_f_measure(found.beats, true_beats) if tempo == "right" else None,
        bpm=round(song.truth.bpm, 1),
        found_bpm=found.tempo_bpm,
        found_key=found.key,
        tempo_confidence=found.tempo_confidence,
        key_confidence=found.key_confidence,
    )


def _judge_tempo(found: float | None, bpm: float) -> str:
    if found is None:
        return "left out"
    return next((name for name, ratio in RATIOS.items() if abs(found / bpm / ratio - 1) < SAME_TEMPO), "wrong")


def _judge_key(found: str | None, keys: frozenset[tuple[int, str]]) -> str:
    if len(keys) != 1:
        return "unknown"
    ((tonic, mode),) = keys
    if found is None:
        return "left out"
    if found == name_of(tonic, mode):
        return "right"
    relative = name_of((tonic + 9) % 12, "minor") if mode == "major" else name_of((tonic + 3) % 12, "major")
    near = {relative: "relative", **{name_of((tonic + step) % 12, mode): "fifth" for step in (5, 7)}}
    parallel = (NAMES if mode == "minor" else MINOR_NAMES)[tonic]
    return near.get(found, "parallel" if found.split()[0] == parallel else "wrong")


def _f_measure(found: FloatArray, true: FloatArray) -> float:
    near = np.abs(found[:, np.newaxis] - true) < SAME_BEAT_SECONDS
    precision, recall = float(near.any(axis=1).mean()), float(near.any(axis=0).mean())
    return 2 * precision * recall / max(1e-9, precision + recall)


if __name__ == "__main__":
    main()
