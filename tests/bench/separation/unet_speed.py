"""Rows for `make bench`: `unet` in each form beside a plain onnxruntime graph of the same weights, in one run.

The plain graph has what most people run: transposed convolutions as they are, default options, segments of 512 frames
one after the other. It is given its magnitudes and does nothing else, while the engine reads, transforms both ways and
writes; so the ratio is the engine's least advantage.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.bench.separation.unet_memory import MINUTE, RATE_HZ, Noise
from tests.fixtures.stand_ins.plain_spleeter import plain_session
from worker.engines.unet import MaskEngine, create
from worker.engines.unet.model_manifest import read_manifest
from worker.model_setup.unet import spleeter
from worker.model_setup.unet.checkpoint import read_checkpoint
from worker.model_setup.unet.setup import set_up
from worker.model_setup.unet.weights import find_weights

SEGMENT_FRAMES = 512
ROUNDS = 3
"""The machine's speed wanders: of so many rounds, each with all variants, the best of each counts."""

LONG_SECONDS = 1_800

Row = dict[str, str | float]


def rows() -> list[Row]:
    """Return speed and memory of the engine, and of the plain graph beside it."""
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        fastest, _ = set_up(Path(cache) / "auto")
        set_up_seconds = time.perf_counter() - began
        chosen = read_manifest(fastest).precision
        folders = {chosen: fastest}
        if chosen != "float32":
            folders["float32"], _ = set_up(Path(cache) / "float32", "float32")
        best = _best(_variants(folders))
        return [
            {"what": f"set-up of the model, which chose {chosen}", "value": round(set_up_seconds, 1), "unit": "s"},
            *(
                {
                    "what": name,
                    "value": round(MINUTE / wall, 1),
                    "unit": "x real time",
                    "processor_seconds_a_minute": round(processor, 2),
                }
                for name, (wall, processor) in best.items()
            ),
            *(row for precision, folder in folders.items() for row in _memory(precision, folder)),
        ]


def _variants(folders: dict[str, Path]) -> dict[str, Callable[[], object]]:
    noise = Noise(MINUTE)
    weights = find_weights(spleeter.DISTRIBUTION, spleeter.CHECKPOINTS, spleeter.DIGESTS)
    plain = [plain_session(read_checkpoint(path), SEGMENT_FRAMES, 2) for path in weights.values()]
    S = np.abs(np.random.default_rng(0).standard_normal((1, 2, SEGMENT_FRAMES, 1024))).astype(np.float32)
    segments = round(MINUTE * RATE_HZ / 1024 / SEGMENT_FRAMES)

    def run_plain() -> None:
        for _ in range(segments):
            for session in plain:
                session.run(["gains"], {"magnitudes": S})

    def run(engine: MaskEngine, threads: int) -> None:
        for _ in engine.separate(noise, threads=threads):
            pass

    variants: dict[str, Callable[[], object]] = {"plain graph alone, onnxruntime, 2 threads": run_plain}
    for precision, folder in folders.items():
        engine = create(None, {}, model_folder=folder)
        for threads in (2, 1):
            name = f"unet with its transforms, {precision}, {threads} thread{'s' * (threads > 1)}"
            variants[name] = partial(run, engine, threads)
    return variants


def _best(variants: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Return the least wall time and the least processor time of each variant, in seconds."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for run in variants.values():
        run()
    for _ in range(ROUNDS):
        for name, run in variants.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            measured[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {name: tuple(map(min, zip(*pairs, strict=True))) for name, pairs in measured.items()}


def _memory(precision: str, folder: Path) -> list[Row]:
    """Measure the peak of a process that separates a short track, and of one with a long track."""
    found: list[Row] = []
    for seconds in (180, LONG_SECONDS):
        command = [sys.executable, "-m", "tests.bench.separation.unet_memory", str(folder), str(seconds)]
        mebibytes = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        found.append({"what": f"peak memory, {precision}, {seconds} s, 2 threads", "value": mebibytes, "unit": "MiB"})
    return found


if __name__ == "__main__":
    for row in rows():
        processor = row.get("processor_seconds_a_minute", "")
        print(f"{row['what']:55s} {row['value']:8} {row['unit']:12s} {processor}")
