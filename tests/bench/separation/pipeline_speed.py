"""Rows for `make bench`: the whole pipeline in a warm child, from a file to encoded stems, report and pictures.

Beside it in the same run the floor that no separation can get below (decode, STFT, two inverse STFTs, encode, on as
many threads), and the post's method in librosa on each channel, without reading or writing. The machine's speed
wanders: of some rounds, each with all variants, the best of each counts.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.audio.formats import resolve
from tests.bench.separation.repetition_songs import AUDIO, post_by_librosa, read
from tests.bench.separation.warm_child import Measured, WarmChild, warm_child
from worker.audio_files.channel_layouts import change_layout, source_layout
from worker.audio_files.decode import DecodedAudio, decode_file
from worker.audio_files.probe import probe_file
from worker.audio_files.stem_files import StemFiles
from worker.child.process import NICE
from worker.engines.interface import FloatArray
from worker.engines.stft_frames import FrameGrid, analyse, synthesise
from worker.model_setup.unet.setup import set_up
from worker.run_support.task_pool import TaskPool
from worker.run_support.workspace import open_workspace

SONGS = ("unlabelled/singing_11s.mp3", "unlabelled/fishin_singing_133s.ogg", "songs/hydrogen_full/mixture.flac")
ENGINES = ("unet", "repetition")
THREADS = 2
ROUNDS = 3

POST_SECONDS = 140
"""The post's method is measured on songs up to this length: its time grows faster than the song."""

N_FFT = 4096
CHUNK_FRAMES = 64

Row = dict[str, str | float]


@dataclass(frozen=True, order=True)
class Cost:
    """Wall time, and the processor time of a process and of those that it started and saw end."""

    wall_seconds: float
    processor_seconds: float

    @classmethod
    def now(cls) -> Cost:
        """Return this process's clocks."""
        times = os.times()
        return cls(times.elapsed, sum(times[:4]))

    def until_now(self) -> Cost:
        """Return what has passed on the clocks."""
        now = Cost.now()
        return Cost(now.wall_seconds - self.wall_seconds, now.processor_seconds - self.processor_seconds)


def rows() -> list[Row]:
    """Return for each song and engine how many times faster than real time the pipeline is, and the ratios."""
    # The child yields to everything else; what it is compared with shall yield alike.
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    songs = [path for name in SONGS if (path := AUDIO / name).exists()]
    if not songs:
        return [{"what": "left out: no audio", "value": 0, "unit": ""}]
    with ExitStack() as stack:
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        set_up(models)
        # A child for each engine: what one has imported shall not count as the other's memory.
        children = {name: stack.enter_context(warm_child(threads=THREADS, model_folder=models)) for name in ENGINES}
        return [row for song in songs for row in _song_rows(song, children)]


def _song_rows(song: Path, children: dict[str, WarmChild]) -> Iterator[Row]:
    best: dict[str, Measured] = {}
    floor = Cost(np.inf, np.inf)
    for number in range(ROUNDS + 1):
        floor = min(floor, _floor(song))
        for name, child in children.items():
            # The first round warms up. Watching memory costs time, so only that round is watched.
            measured = child.separate(song, name, sampled=number == 0)
            if number == 0:
                peak = measured
                yield _memory(song, name, peak)
            elif name not in best or measured.wall_seconds < best[name].wall_seconds:
                best[name] = measured
    seconds = next(iter(best.values())).audio_seconds
    yield _speed(f"{song.name}: floor", seconds, floor)
    post = _post(song) if seconds <= POST_SECONDS else None
    for name, measured in best.items():
        cost = Cost(measured.wall_seconds, measured.processor_seconds)
        yield {
            **_speed(f"{song.name}: {name}", seconds, cost),
            **{stage: round(taken, 2) for stage, taken in measured.stages.items()},
        }
        yield _ratio(f"{song.name}: {name} over the floor", cost, floor, "times its time")
        if post:
            yield _ratio(f"{song.name}: the post over {name}", post, cost, "times its time")


def _memory(song: Path, engine: str, measured: Measured) -> Row:
    return {
        "what": f"{song.name}: {engine}, peak of the child",
        "value": round(measured.peak_bytes / 1e6),
        "unit": "MB",
        "tree_mb": round(measured.tree_bytes / 1e6),
        "scratch_mb": round(measured.scratch_bytes / 1e6),
    }


def _speed(what: str, audio_seconds: float, cost: Cost) -> Row:
    return {
        "what": what,
        "value": round(audio_seconds / cost.wall_seconds, 1),
        "unit": "x real time",
        "seconds": round(cost.wall_seconds, 2),
        "processor_seconds_a_minute": round(cost.processor_seconds / audio_seconds * 60, 2),
    }


def _ratio(what: str, cost: Cost, other: Cost, unit: str) -> Row:
    return {
        "what": what,
        "value": round(cost.wall_seconds / other.wall_seconds, 2),
        "unit": unit,
        "in_processor_time": round(cost.processor_seconds / other.processor_seconds, 2),
    }


def _floor(song: Path) -> Cost:
    """Return what any separation by masks must do, with the pipeline's own parts."""
    with tempfile.TemporaryDirectory() as folder, open_workspace(Path(folder), max_bytes=1 << 40) as workspace:
        found = probe_file(song, workspace=workspace, ffmpeg_path=None, max_seconds=1e5)
        began = Cost.now()
        audio = decode_file(
            song, found, workspace=workspace, ffmpeg_path=None, max_seconds=1e5, progress=lambda _: None
        )
        encoding = resolve("flac", {}, sample_rate_hz=audio.sample_rate_hz, channels=audio.channels)
        with (
            ThreadPoolExecutor(THREADS) as pool,
            TaskPool(THREADS) as task_pool,
            StemFiles(
                Path(folder),
                ("vocals", "accompaniment"),
                encoding,
                source_rate_hz=audio.sample_rate_hz,
                layout=change_layout("flac", source_layout(audio.channel_mask, audio.channels)),
                n_samples=audio.n_samples,
                pool=task_pool,
                ffmpeg_path=None,
            ) as files,
        ):
            for block in _transformed(audio, pool):
                files.write_block(block)
        return began.until_now()


def _transformed(audio: DecodedAudio, pool: ThreadPoolExecutor) -> Iterator[FloatArray]:
    """Yield two stems of the mixture itself, through one STFT and two inverse ones."""
    grid = FrameGrid(N_FFT, audio.n_samples)
    hop_samples = CHUNK_FRAMES * grid.hop_length

    def transform(y: FloatArray) -> FloatArray:
        D = analyse(y, grid.n_fft)
        return np.stack([synthesise(D.copy(), grid.n_fft), synthesise(D, grid.n_fft)])[:, :, :hop_samples] / 2

    starts = range(0, grid.n_frames, CHUNK_FRAMES)
    for first in range(0, len(starts), 2 * THREADS):
        read = [grid.read_frames(audio, start, start + CHUNK_FRAMES) for start in starts[first : first + 2 * THREADS]]
        yield from pool.map(transform, read)


def _post(song: Path) -> Cost:
    y, sr = read(song)
    began = Cost.now()
    for channel in y:
        post_by_librosa(channel, sr)
    return began.until_now()
