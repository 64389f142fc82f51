"""Rows for `make bench`: the same songs through one slot with two threads, and through two slots with one thread each.

What two slots gain in songs an hour, and what a single song then waits longer: what the defaults of WORKER_SLOTS and
THREADS_PER_JOB weigh against each other.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

from tests.bench.separation.pipeline_speed import ENGINES
from tests.bench.separation.repetition_songs import AUDIO
from tests.bench.separation.warm_child import Measured, WarmChild, warm_child
from worker.model_setup.unet.setup import set_up

SONG = AUDIO / "unlabelled" / "fishin_singing_133s.ogg"
JOBS = 4
ROUNDS = 3
ARRANGEMENTS = ((1, 2), (2, 1))
"""Slots, and the threads of each."""

Row = dict[str, str | float]


def rows() -> list[Row]:
    """Return for each engine and arrangement the throughput, the wait for one song, and the memory of all slots."""
    if not SONG.exists():
        return [{"what": "left out: no audio", "value": 0, "unit": ""}]
    measured: list[Row] = []
    with tempfile.TemporaryDirectory() as models:
        set_up(Path(models))
        for engine in ENGINES:
            with ExitStack() as stack:
                children = {
                    (slots, threads): [
                        stack.enter_context(warm_child(threads=threads, model_folder=Path(models)))
                        for _ in range(slots)
                    ]
                    for slots, threads in ARRANGEMENTS
                }
                measured += _engine_rows(engine, children)
    return measured


def _engine_rows(engine: str, children: dict[tuple[int, int], list[WarmChild]]) -> list[Row]:
    alone = {arrangement: float("inf") for arrangement in children}
    together = dict(alone)
    peaks = dict.fromkeys(children, 0)
    # The machine's speed wanders: of some rounds, each with both arrangements, the best of each counts.
    for number in range(ROUNDS + 1):
        for arrangement, slots in children.items():
            # The first round warms up and watches memory, which costs time.
            runs, seconds = _all_jobs(engine, slots, sampled=number == 0)
            if number == 0:
                peaks[arrangement] = len(slots) * max(run.tree_bytes for run in runs)
                continue
            together[arrangement] = min(together[arrangement], seconds)
            alone[arrangement] = min(alone[arrangement], slots[0].separate(SONG, engine, sampled=False).wall_seconds)
    return [
        {
            "what": f"{engine}, {slots} x {threads} threads",
            "value": round(3600 * JOBS / together[slots, threads]),
            "unit": "songs an hour",
            "one_song_alone_seconds": round(alone[slots, threads], 2),
            "memory_of_all_slots_mb": round(peaks[slots, threads] / 1e6),
        }
        for slots, threads in children
    ]


def _all_jobs(engine: str, slots: list[WarmChild], *, sampled: bool) -> tuple[list[Measured], float]:
    began = perf_counter()
    with ThreadPoolExecutor(len(slots)) as pool:
        shares = pool.map(
            lambda slot: [slot.separate(SONG, engine, sampled=sampled) for _ in range(JOBS // len(slots))], slots
        )
        runs = [run for share in shares for run in share]
    return runs, perf_counter() - began
