"""Every odd and hostile file through one real worker, one after the other, with a real engine: none harms the next."""

from __future__ import annotations

import io
import itertools
import json
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil
import pytest
import soundfile

from tests.fault.support.deployment import ANEW, TERMINAL, Deployment, wait_until
from tests.fault.support.invariants import check
from tests.fixtures.sounds.audio import make_song, write_wav
from tests.fixtures.sounds.odd_audio import EITHER, make_odd_files
from tests.integration.worker.audio_files.test_hostile_audio import (
    MAX_AUDIO_SECONDS,
    MAX_MEMORY_BYTES,
    MAX_PROCESSOR_SECONDS,
    PATIENCE_SECONDS,
    REFUSALS,
    WITHOUT_SAMPLES,
)

REAL = {"engine": "repetition", "format": "wav", "bit_depth": "32"}
"""An engine that computes, and a format that would pass on whatever it gives, NaN and infinity too."""

SETTINGS = {
    # An hour of sound is honest work that takes longer than this test may: the limit refuses it.
    "MAX_AUDIO_SECONDS": str(MAX_AUDIO_SECONDS),
    # One child for all, so that what a file leaves behind is there for the next.
    "CHILD_JOBS": "1000",
    # This machine is busy with tests beside this one; nobody is to be taken for dead.
    "LEASE_SECONDS": "60",
    "WORKER_ALIVE_SECONDS": "60",
    "UNCLAIMED_SECONDS": "600",
}

ID_LENGTH = 32

AT_THE_DOOR = {"not_audio", "audio_empty"}
"""With which the API refuses the file itself."""

LOOKS_A_POLL = 10
"""How many times the memory is looked at, twenty times a second, before the jobs are polled again."""

KEPT_BYTES = 64 << 20
"""How much more either may hold after all files, 200 jobs, than after the first ones: allocators keep some."""


@dataclass(frozen=True)
class End:
    """How a file ended: with a code, or with so many seconds of sound. `job` is None where the API refused it."""

    name: str
    code: str | None
    seconds: float | None
    job: dict[str, Any] | None


class Bench:
    """One deployment with one worker and its one child, and what it did with each file."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.highest_bytes = 0

    @property
    def child(self) -> psutil.Process:
        """The worker's child."""
        [child] = psutil.Process(self.deployment.workers[0].pid).children()
        return child

    def memory_bytes(self) -> dict[str, int]:
        """Return what the worker and its child hold between jobs."""
        worker = psutil.Process(self.deployment.workers[0].pid)
        return {"worker": worker.memory_info().rss, "child": self.child.memory_info().rss}

    def separate(self, paths: list[Path]) -> list[End]:
        """Submit all and return how they ended, watching the memory meanwhile."""
        answers = [self._submit(path) for path in paths]
        waiting = [answer for _, answer in answers if len(answer) == ID_LENGTH]
        looks = itertools.count()

        def ended() -> bool:
            nonlocal waiting
            self._look_at_memory()
            # To read the records of so many jobs costs more than to look at the memory of three processes.
            if waiting and next(looks) % LOOKS_A_POLL == 0:
                jobs = self.deployment.store.read_jobs(waiting)
                waiting = [job.id for job in jobs if job.state not in TERMINAL]
            return not waiting

        wait_until(ended, PATIENCE_SECONDS + 4 * len(paths), f"{len(paths)} files to end")
        return [self._end(name, answer) for name, answer in answers]

    def songs(self, path: Path, times: int) -> None:
        """Separate a good song."""
        for end in self.separate([path] * times):
            assert end.code is None, end

    def _submit(self, path: Path) -> tuple[str, str]:
        """Return the job's id, or the code with which the API refused the file itself."""
        with path.open("rb") as file:
            answer = self.deployment.client.post("/v1/jobs", files={"file": (path.name, file)}, data={**ANEW, **REAL})
        if answer.status_code == 415:
            return path.name, answer.json()["code"]
        assert answer.status_code == 202, answer.text
        self.deployment.accepted.append(answer.json()["id"])
        return path.name, answer.json()["id"]

    def _end(self, name: str, answer: str) -> End:
        if len(answer) != ID_LENGTH:
            return End(name, answer, None, None)
        job = self.deployment.job(answer)
        code = job["error"]["code"] if job["state"] == "failed" else None
        return End(name, code, None if code else job["source"]["duration_seconds"], job)

    def _look_at_memory(self) -> None:
        total = sum(map(_resident_bytes, _descendants(self.deployment.workers[0].pid)))
        self.highest_bytes = max(self.highest_bytes, total)


def _descendants(pid: int) -> Iterator[int]:
    """Return the processes that a process has started, and those that they have: the child, and its ffmpeg.

    psutil reads all processes of the machine for that, and here somebody asks many times a second.
    """
    for list_of_a_thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = list_of_a_thread.read_text().split()
        except OSError:  # gone meanwhile
            continue
        for child in map(int, found):
            yield child
            yield from _descendants(child)


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:  # gone meanwhile
        return 0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    deployment = Deployment(tmp_path / "deployment", **SETTINGS)
    try:
        deployment.start_api()
        deployment.start_worker()
        yield Bench(deployment)
    finally:
        deployment.close()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """A good song."""
    return write_wav(tmp_path / "song.wav", make_song(6.0), subtype="PCM_16")


# A minute alone; the child is nice to others, so on a busy machine it takes longer.
@pytest.mark.timeout(2400)
def test_no_file_harms_the_worker_or_the_next_job(bench: Bench, shared_audio: Path, tmp_path: Path, song: Path) -> None:
    folder = shared_audio / "hostile"
    expectations = {e["file"]: e["expect"] for e in json.loads((folder / "expectations.json").read_text())}
    odd = make_odd_files(tmp_path / "odd")
    bench.songs(song, 3)
    # Some files that are handled again below: memory that a process takes once and keeps is not a leak.
    bench.separate([*(file.path for file in odd[:10]), max(folder.iterdir(), key=lambda path: path.stat().st_size)])
    pid, before = bench.child.pid, bench.memory_bytes()

    given = bench.separate([folder / name for name in expectations])
    made = bench.separate([file.path for file in odd])

    # One by one they are held to MAX_PROCESSOR_SECONDS by test_hostile_audio.py.
    assert sum(bench.child.cpu_times()[:4]) < MAX_PROCESSOR_SECONDS * len([*given, *made]) / 10
    for end in [*given, *made]:
        _check_end(bench.deployment, end)
    ends = zip([*expectations.values(), *(file.seconds for file in odd)], [*given, *made], strict=True)
    assert [(end.name, wanted, end.code or end.seconds) for wanted, end in ends if not _as_expected(wanted, end)] == []
    bench.songs(song, 2)
    assert bench.child.pid == pid, "the child was replaced"
    assert 0 < bench.highest_bytes < MAX_MEMORY_BYTES
    for process, held in bench.memory_bytes().items():
        assert held < before[process] + KEPT_BYTES, process
    check(bench.deployment)


def _check_end(deployment: Deployment, end: End) -> None:
    """Check that a file ended in time, in its first attempt, with a stable code or with sound stems."""
    if end.code:
        assert end.code in {*REFUSALS, *AT_THE_DOOR}, end
    if end.job is None:
        return
    times = end.job["times"]
    assert end.job["attempt"] == 1, end
    assert _seconds(times["finished_at"]) - _seconds(times["started_at"]) < PATIENCE_SECONDS, end
    if end.code:
        assert not end.job["error"]["retryable"], end
        assert "\n" not in end.job["error"]["message"], end
    for output in deployment.store.read_job(end.job["id"]).outputs:
        content = b"".join(deployment.storage.open(output.key).chunks())
        if output.kind == "stem":
            samples, _ = soundfile.read(io.BytesIO(content), always_2d=True)
            assert np.isfinite(samples).all(), end
            assert len(samples) == output.details["n_samples"], end
        elif output.content_type == "application/json":
            json.loads(content, parse_constant=_refuse_constant)


def _as_expected(wanted: str | tuple[float, float] | None, end: End) -> bool:
    if isinstance(wanted, str):
        free = "EITHER" in wanted or " or " in wanted or end.name in WITHOUT_SAMPLES
        return free or (end.code is not None) == wanted.startswith("REJECT")
    if end.seconds is None:
        return wanted is None or wanted == EITHER
    return wanted is not None and wanted[0] - 1e-6 <= end.seconds <= wanted[1] + 1e-6


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _refuse_constant(word: str) -> NoReturn:
    raise AssertionError(f"{word} in a document")
