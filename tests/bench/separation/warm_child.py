"""A worker's warm child, given songs as its supervisor would, its whole process tree watched meanwhile.

Owns how a run is measured: wall time from handing over the work to the last word, processor time of the tree, and the
highest proportional memory (PSS) of the tree, which counts what processes share once.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

from tests.fixtures.loops import prepared
from worker.child.process import ChildProcess
from worker.run_messages import Limits, Work

SAMPLE_SECONDS = 0.02
"""How often memory is looked at. More often costs the measured run: each look is 1 ms of the kernel's time."""


@dataclass(frozen=True)
class Measured:
    """What one run took. `peak_bytes` is the report's (the child alone), `tree_bytes` the sampled tree's."""

    wall_seconds: float
    processor_seconds: float
    peak_bytes: int
    tree_bytes: int
    scratch_bytes: int
    stages: dict[str, float]
    audio_seconds: float


class WarmChild:
    """A child that is ready; `folder` is its scratch."""

    def __init__(self, folder: Path, threads: int, model_folder: Path | None) -> None:
        self._threads = threads
        self._model_folder = model_folder
        self._child = ChildProcess(
            threads=threads, scratch_folder=folder, model_folder=model_folder, prepared=prepared()
        )
        self._process = psutil.Process(self._child.pid)
        self._await("ready")

    def separate(self, song: Path, engine: str, preset: str | None = None, *, sampled: bool = True) -> Measured:
        """Run the whole pipeline on a song with all defaults; the stems are dropped."""
        job = self._child.jobs_folder
        out, scratch, source = job / "out", job / "scratch", shutil.copyfile(song, job / "source")
        work = Work(
            input_path=str(source),
            output_folder=str(out),
            scratch_folder=str(scratch),
            source_filename=song.name,
            engine=engine,
            preset=preset,
            limits=Limits(threads=self._threads),
            model_folder=None if self._model_folder is None else str(self._model_folder),
        )
        began, processor_began = perf_counter(), self._processor_seconds()
        with _watching(self._process, scratch) if sampled else contextlib.nullcontext(Peaks()) as peaks:
            self._child.send_work(work)
            report = self._await("done")["outcome"]["report"]
            wall = perf_counter() - began
        shutil.rmtree(out)
        return Measured(
            wall_seconds=wall,
            processor_seconds=self._processor_seconds() - processor_began,
            peak_bytes=report["peak_memory_bytes"],
            tree_bytes=peaks.tree_bytes,
            scratch_bytes=peaks.scratch_bytes,
            stages=report["seconds"],
            audio_seconds=report["source"]["duration_seconds"],
        )

    def end(self) -> None:
        """End the child."""
        self._child.end()

    def _processor_seconds(self) -> float:
        return float(sum(self._process.cpu_times()[:4]))

    def _await(self, wanted: str) -> dict[str, dict[str, dict[str, object]]]:
        while True:
            event = self._child.read_event(240)
            if event and event["event"] == "error":
                raise RuntimeError(event["message"])
            if event and event["event"] == wanted:
                return dict(event)


@contextmanager
def warm_child(*, threads: int, model_folder: Path | None = None) -> Iterator[WarmChild]:
    """Start a child in a folder of its own, and end both."""
    with tempfile.TemporaryDirectory(prefix="stemqueue-bench-") as folder:
        child = WarmChild(Path(folder), threads, model_folder)
        try:
            yield child
        finally:
            child.end()


@dataclass
class Peaks:
    """The highest values seen."""

    tree_bytes: int = 0
    scratch_bytes: int = 0


@contextmanager
def _watching(process: psutil.Process, scratch: Path) -> Iterator[Peaks]:
    peaks, ended = Peaks(), threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.NoSuchProcess):
                tree = [process, *process.children(recursive=True)]
                peaks.tree_bytes = max(peaks.tree_bytes, sum(_proportional_bytes(p) for p in tree))
            with contextlib.suppress(FileNotFoundError):
                used = sum(file.stat().st_size for file in scratch.iterdir())
                peaks.scratch_bytes = max(peaks.scratch_bytes, used)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()


def _proportional_bytes(process: psutil.Process) -> int:
    # An ffmpeg may have ended, or be another user's by now: its memory is gone either way.
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(process.memory_full_info().pss)
    return 0
