"""Rows for `make bench`: how time, memory and scratch of the whole pipeline grow with the length of the track.

A song at 44.1 kHz repeated end to end as FLAC, in a warm child of their own for each engine. Processor time is what
counts: a machine is seldom quiet for the minutes that three hours of music take.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.separation.pipeline_speed import ENGINES, THREADS
from tests.bench.separation.repetition_songs import AUDIO
from tests.bench.separation.warm_child import warm_child
from worker.audio_files.ffmpeg import bundled_ffmpeg
from worker.model_setup.unet.setup import set_up

LENGTHS_SECONDS = (60, 300, 1_800, 10_800)

Row = dict[str, str | float]


def rows(engines: tuple[str, ...] = ENGINES, lengths: tuple[int, ...] = LENGTHS_SECONDS) -> list[Row]:
    """Return for each engine and length what a minute takes, and the peaks of memory and scratch."""
    song = AUDIO / "unlabelled" / "fishin_singing_133s.ogg"
    if not song.exists():
        return [{"what": "left out: no audio", "value": 0, "unit": ""}]
    with tempfile.TemporaryDirectory(prefix="stemqueue-bench-") as folder:
        set_up(Path(folder))
        measured = []
        for row in _measured(song, Path(folder), engines, lengths):
            # Hours may pass until the last.
            sys.stderr.write(f"{row}\n")
            measured.append(row)
        return measured


def _measured(song: Path, folder: Path, engines: tuple[str, ...], lengths: tuple[int, ...]) -> Iterator[Row]:
    for seconds in lengths:
        long_song = _repeated(song, folder / "song.flac", seconds)
        for engine in engines:
            with warm_child(threads=THREADS, model_folder=folder) as child:
                measured = child.separate(long_song, engine)
            yield {
                "what": f"{engine}, {seconds / 60:g} min",
                "value": round(measured.processor_seconds / seconds * 60, 2),
                "unit": "processor s/min",
                "wall_seconds_a_minute": round(measured.wall_seconds / seconds * 60, 2),
                "peak_of_the_child_mb": round(measured.peak_bytes / 1e6),
                "peak_of_the_tree_mb": round(measured.tree_bytes / 1e6),
                "scratch_mb_a_minute": round(measured.scratch_bytes / 1e6 / seconds * 60, 1),
            }


def _repeated(song: Path, path: Path, seconds: int) -> Path:
    """Write a song end to end, as long as wanted."""
    command = [bundled_ffmpeg(), "-v", "error", "-y", "-stream_loop", "-1", "-i", str(song)]
    subprocess.run([*command, "-t", str(seconds), "-compression_level", "0", str(path)], check=True)
    return path


if __name__ == "__main__":
    rows((sys.argv[1],), tuple(map(int, sys.argv[2:])))
