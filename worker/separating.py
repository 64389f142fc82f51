"""An engine at work on a track: its blocks are checked, measured and handed on.

Owns what the pipeline demands of any engine; the engine owns the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from threadpoolctl import ThreadpoolController

from shared.errors import SeparationFailedError
from worker.crew import Crew
from worker.engine.interface import Engine, FloatArray, WorksAhead
from worker.measuring import Measures, Task
from worker.track import Track


def stem_blocks(
    engine: Engine, track: Track, *, threads: int, progress: Callable[[float], None]
) -> Iterator[tuple[int, FloatArray]]:
    """Yield where in the track each block begins, and its stems (stems, channels, n).

    Raises EngineError from the engine, and SeparationFailedError if its blocks do not add up to the track.
    """
    audio, position = track.audio, track.start
    shape = (len(engine.stems), audio.channels)
    for stems in engine.separate(audio, start=track.start, stop=track.stop, threads=threads, progress=progress):
        if stems.shape[:2] != shape or position + stems.shape[2] > track.stop:
            raise SeparationFailedError(f"The engine gave a block of shape {stems.shape} at {position}.")
        yield position, stems
        position += stems.shape[2]
        # Engines that tell no progress of their own are followed by what they give.
        progress((position - track.start) / track.n_samples)
    if position != track.stop:
        raise SeparationFailedError(f"The engine stopped {track.stop - position} samples before the end.")


def separate(
    engine: Engine,
    track: Track,
    *,
    wanted: Sequence[int],
    threads: int,
    crew: Crew,
    progress: Callable[[float], None],
    consume: Callable[[FloatArray], None],
) -> Measures:
    """Run the engine once, give `consume` the wanted stems block by block, and return what was measured.

    An engine rests while its block is measured, so the crew has the job's cores meanwhile.
    """
    audio = track.audio
    measures = Measures(wanted, sample_rate_hz=audio.sample_rate_hz, channels=audio.channels, n_samples=track.n_samples)
    libraries = ThreadpoolController()
    for position, stems in stem_blocks(engine, track, threads=threads, progress=progress):
        mixture = audio.read(position, position + stems.shape[2])
        tasks: list[Task] = [partial(consume, select(stems, wanted)), *measures.tasks(mixture, stems)]
        # Large sums would else be split among threads of the library's own.
        with libraries.limit(limits=1):
            crew.run(tasks)
    return measures


def crew_between_blocks(engine: Engine, crew: Crew) -> Crew:
    """Return who may work while the engine waits for its next turn: the caller alone where its threads go on."""
    return Crew(1) if isinstance(engine, WorksAhead) else crew


def select(stems: FloatArray, wanted: Sequence[int]) -> FloatArray:
    """Return the wanted stems of a block, without a copy where all are."""
    return stems if list(wanted) == list(range(len(stems))) else stems[list(wanted)]
