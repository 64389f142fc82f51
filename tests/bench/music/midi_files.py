"""Reads from MIDI files what is true of their music: beats, bars and the key signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x51, 0x58, 0x59


@dataclass(frozen=True)
class MidiTruth:
    """The beats and bars of a piece in seconds, its tempo, and its keys as (semitones above C, `major` or `minor`)."""

    beats: NDArray[np.float64]
    downbeats: NDArray[np.float64]
    keys: frozenset[tuple[int, str]]

    @property
    def bpm(self) -> float:
        """The median tempo."""
        return 60 / float(np.median(np.diff(self.beats)))

    @property
    def is_steady(self) -> bool:
        """Whether eight of ten beats are within 8 percent of the median tempo."""
        tempos = 60 / np.diff(self.beats)
        slow, fast = np.quantile(tempos, (0.1, 0.9))
        return bool(fast / self.bpm < 1.08 and slow / self.bpm > 1 / 1.08)


@dataclass
class _Score:
    """What the tracks of a file say; all positions are ticks."""

    ticks_per_quarter: int
    tempos: dict[int, int] = field(default_factory=lambda: {0: 500_000})
    meters: dict[int, tuple[int, int]] = field(default_factory=lambda: {0: (4, 4)})
    keys: set[tuple[int, str]] = field(default_factory=set)
    notes: list[int] = field(default_factory=list)


def read_midi(path: Path) -> MidiTruth:
    """Return what a file says. In 6/8, 9/8 and 12/8 a beat has three eighths. Raises ValueError."""
    score = _read_score(path.read_bytes())
    if not score.notes:
        raise ValueError("there are no notes")
    ticks, bars = _beat_ticks(score)
    starts = sorted(score.tempos)
    micros = np.array([score.tempos[tick] for tick in starts]) / score.ticks_per_quarter
    times = np.concatenate([[0.0], np.cumsum(np.diff(starts) * micros[:-1])])

    def seconds(at: list[float]) -> NDArray[np.float64]:
        part = np.searchsorted(starts, at, side="right") - 1
        found: NDArray[np.float64] = (times[part] + (np.array(at) - np.array(starts)[part]) * micros[part]) / 1e6
        return found

    return MidiTruth(seconds(ticks), seconds(bars), frozenset(score.keys))


def _beat_ticks(score: _Score) -> tuple[list[float], list[float]]:
    """Return the ticks of the beats from the first note to the last, and of the first beats of bars."""
    first, last = min(score.notes), max(score.notes)
    starts = sorted(score.meters)
    beats, bars = list[float](), list[float]()
    for start, end in zip(starts, [*starts[1:], last + 1], strict=True):
        numerator, denominator = score.meters[start]
        is_compound = denominator == 8 and numerator > 3 and numerator % 3 == 0
        step = score.ticks_per_quarter * 4 / denominator * (3 if is_compound else 1)
        in_bar = numerator // 3 if is_compound else numerator
        for number in range(int(np.ceil((end - start) / step))):
            tick = start + number * step
            if first - step / 2 < tick <= last:
                beats.append(tick)
                if number % in_bar == 0:
                    bars.append(tick)
    return beats, bars


def _read_score(data: bytes) -> _Score:
    if data[:4] != b"MThd" or data[12] & 0x80:
        raise ValueError("this is not a MIDI file that counts ticks in quarters")
    score = _Score(int.from_bytes(data[12:14], "big"))
    position = 8 + int.from_bytes(data[4:8], "big")
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "big")
        if data[position : position + 4] == b"MTrk":
            for tick, kind, content in _events(data[position + 8 : position + 8 + length]):
                _note_event(score, tick, kind, content)
        position += 8 + length
    return score


def _note_event(score: _Score, tick: int, kind: int, content: bytes) -> None:
    if kind == TEMPO:
        score.tempos[tick] = int.from_bytes(content, "big")
    elif kind == TIME_SIGNATURE:
        score.meters[tick] = (content[0], 2 ** content[1])
    elif kind == KEY_SIGNATURE:
        sharps, is_minor = int.from_bytes(content[:1], "big", signed=True), content[1] == 1
        tonic = (7 * sharps + (9 if is_minor else 0)) % 12
        score.keys.add((tonic, "minor" if is_minor else "major"))
    elif kind & 0xF0 == 0x90 and content[1]:
        score.notes.append(tick)


def _events(track: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield tick, status (or the type of a meta event) and content of each event of a track."""
    position, tick, status = 0, 0, 0

    def number() -> int:
        nonlocal position
        value = 0
        while True:
            byte = track[position]
            position += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value

    while position < len(track):
        tick += number()
        if track[position] & 0x80:
            status = track[position]
            position += 1
        if status == 0xFF:
            kind = track[position]
            position += 1
            length = number()
        elif status in {0xF0, 0xF7}:
            kind, length = 0, number()
        else:
            kind, length = status, 1 if status & 0xF0 in {0xC0, 0xD0} else 2
        yield tick, kind, track[position : position + length]
        position += length
