"""Runs an engine on a track: checks its blocks, measures them and passes them on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from threadpoolctl import ThreadpoolController

from shared.errors import SeparationFailedError
from worker.audio_files.excerpt import Track
from worker.audio_files.mixing import MixFactors
from worker.engines.interface import VOCALS, FloatArray, SeparationEngine, WorksAhead
from worker.measurements.measure import Task, TrackMeters
from worker.measurements.music.meter import MusicMeter
from worker.run_support.task_pool import TaskPool


def stem_blocks(
    engine: SeparationEngine, track: Track, *, threads: int, progress: Callable[[float], None]
) -> Iterator[tuple[int, FloatArray]]:
    """Yield each block of the engine: where it begins in the track, and its stems, shape (stems, channels, n).

    Raises EngineError from the engine, and SeparationFailedError if the blocks do not add up to the track.
    """
    audio, position = track.audio, track.start
    shape = (len(engine.stems), audio.channels)
    for stems in engine.separate(audio, start=track.start, stop=track.stop, threads=threads, progress=progress):
        if stems.shape[:2] != shape or position + stems.shape[2] > track.stop:
            raise SeparationFailedError(f"The engine returned a block of shape {stems.shape} at sample {position}.")
        yield position, stems
        position += stems.shape[2]
        # For engines that report no progress of their own.
        progress((position - track.start) / track.n_samples)
    if position != track.stop:
        raise SeparationFailedError(f"The engine stopped {track.stop - position} samples before the end.")


def separate_and_measure(
    engine: SeparationEngine,
    track: Track,
    *,
    wanted: Sequence[int],
    needed: Sequence[int] | None = None,
    mixes: Sequence[MixFactors] = (),
    threads: int,
    pool: TaskPool,
    progress: Callable[[float], None],
    consume: Callable[[FloatArray], None] | None,
    music: MusicMeter | None = None,
) -> TrackMeters:
    """Run the engine once, pass the needed stems to `consume` block by block, and return the measurements.

    `wanted` are the stems that become files; `needed` are these and what the mixes are made of (None: the same).
    `music` gets all stems of the engine, wanted or not. The engine is idle while its block is measured, so `pool` may
    use the job's cores meanwhile.
    """
    needed = wanted if needed is None else needed
    audio = track.audio
    meters = TrackMeters(
        wanted, sample_rate_hz=audio.sample_rate_hz, channels=audio.channels, n_samples=track.n_samples, mixes=mixes
    )
    libraries = ThreadpoolController()
    for position, stems in stem_blocks(engine, track, threads=threads, progress=progress):
        mixture = audio.read_samples(position, position + stems.shape[2])
        offered = with_derived_stems(engine, mixture, stems, needed)
        tasks: list[Task] = [*meters.measuring_tasks(mixture, offered, n_engine_stems=len(stems))]
        if music is not None:
            tasks += music.measuring_tasks(mixture, stems)
        if consume is not None:
            tasks.insert(0, partial(consume, select_stems(offered, needed)))
        # BLAS would otherwise split large sums among threads of its own.
        with libraries.limit(limits=1):
            pool.run_tasks(tasks)
    return meters


def pool_between_blocks(engine: SeparationEngine, pool: TaskPool) -> TaskPool:
    """Return the threads that may work between two blocks: only the caller's, if the engine's keep working."""
    return TaskPool(1) if isinstance(engine, WorksAhead) else pool


def wanted_blocks(
    engine: SeparationEngine, track: Track, *, wanted: Sequence[int], threads: int
) -> Iterator[FloatArray]:
    """Run the engine and yield these stems of each block, without measuring anything."""
    for position, stems in stem_blocks(engine, track, threads=threads, progress=_ignore_progress):
        mixture = track.audio.read_samples(position, position + stems.shape[2])
        yield select_stems(with_derived_stems(engine, mixture, stems, wanted), wanted)


def with_derived_stems(
    engine: SeparationEngine, mixture: FloatArray, stems: FloatArray, wanted: Sequence[int]
) -> FloatArray:
    """Return the stems of a block, followed by the accompaniment if it is derived and wanted.

    The accompaniment is the mixture minus the vocals, so it needs no memory unless the job asks for it.
    """
    if max(wanted, default=0) < len(stems):
        return stems
    accompaniment = mixture - stems[engine.stems.index(VOCALS)]
    return np.concatenate([stems, accompaniment[None]])


def _ignore_progress(_fraction: float) -> None:
    """Do nothing: a second separation is part of encoding, which reports its own progress."""


def select_stems(stems: FloatArray, wanted: Sequence[int]) -> FloatArray:
    """Return the wanted stems of a block; without a copy if that is all of them."""
    return stems if list(wanted) == list(range(len(stems))) else stems[list(wanted)]
