"""Rows for `make bench`: how time and memory of `repetition` grow with the length of the track.

Each length runs in a process of its own, which reads a song over and over from its file and drops the stems, so that
its peak is the engine's with its imports. Run with a length in seconds and a preset it is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from tests.bench.peak import peak_mebibytes
from tests.bench.separation.repetition_songs import AUDIO
from worker.engines.interface import FloatArray
from worker.engines.repetition import create, warm_up

LENGTHS_SECONDS = {"default": (60, 300, 1800, 10_800), "original": (60, 300, 600)}

Row = dict[str, str | float]


class RepeatedSong:
    """A `Source` that plays a file end to end until its length is reached."""

    def __init__(self, path: Path, seconds: int) -> None:
        self._file = soundfile.SoundFile(path)
        self.sample_rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.n_samples = seconds * self.sample_rate_hz

    def read_samples(self, start: int, stop: int) -> FloatArray:
        parts = list(self._parts(start, stop))
        return np.ascontiguousarray(np.concatenate([np.zeros((0, self.channels), np.float32), *parts]).T)

    def _parts(self, start: int, stop: int) -> Iterator[FloatArray]:
        while start < stop:
            self._file.seek(start % self._file.frames)
            part = self._file.read(min(stop - start, self._file.frames - self._file.tell()), "float32", always_2d=True)
            start += len(part)
            yield part


def rows() -> list[Row]:
    """Return for each preset and length the seconds a minute takes, and the peak memory."""
    song = _song()
    if song is None:
        return [{"what": "left out: no audio", "value": 0, "unit": ""}]
    measured: list[Row] = []
    for preset, lengths in LENGTHS_SECONDS.items():
        for seconds in lengths:
            command = [sys.executable, "-m", __name__, str(seconds), preset]
            figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            measured.append({"what": f"{preset}, {seconds / 60:g} min", **figures})
    return measured


def _song() -> Path | None:
    # FLAC, since a seek in Ogg Vorbis costs more than the engine.
    path = AUDIO / "songs" / "hydrogen_full" / "mixture.flac"
    return path if path.exists() else None


def main() -> None:
    """Separate one track and print what it cost."""
    seconds, preset = int(sys.argv[1]), sys.argv[2]
    song = _song()
    assert song is not None
    warm_up()
    began, processor_began = time.perf_counter(), time.process_time()
    for _ in create(preset, {}).separate(RepeatedSong(song, seconds), threads=2):
        pass
    wall, processor = time.perf_counter() - began, time.process_time() - processor_began
    print(
        json.dumps(
            {
                "value": round(wall / seconds * 60, 3),
                "unit": "s a minute",
                "x_real_time": round(seconds / wall, 1),
                "processor_seconds_a_minute": round(processor / seconds * 60, 3),
                "peak_mib": peak_mebibytes(),
            }
        )
    )


if __name__ == "__main__":
    main()
