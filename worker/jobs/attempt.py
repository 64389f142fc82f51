"""One run of a claimed job, up to outputs that lie in storage: fetch, separate in a child, upload.

Owns what bounds a run: the claim, the worker's stop, time, memory. Settles nothing: whatever ends a run comes out
as an error, and supervisor.py writes the end.
"""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from shared.errors import OutOfMemoryError, SeparationFailedError, SeparationTimeoutError
from shared.jobs.model import Output
from shared.jobs.store import Claim, Course
from shared.settings import Settings, split_names
from shared.storage.object_storage import ObjectStorage, output_key
from worker.child.pool import Children
from worker.child.process import ChildGoneError, ChildProcess
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.oom_kills import oom_kills
from worker.run_messages import STAGE_SHARES, Limits, Outcome, OutputFile, Work, overall_progress, threads_per_job

LISTEN_SECONDS = 0.1
"""How long a run listens to its child before it looks at the clock, the memory and the signals again."""

MEMORY_PAUSE_SECONDS = 0.5
"""How often the child's memory is looked at; a child can overshoot its limit for twice as long, since one reading
does not count: whenever a child starts a program, its memory shows twice for an instant."""

UPLOADS_AT_ONCE = 4
"""How many of a job's outputs are on their way to the storage together. Most are small, and the storage's answers are
what takes the time; raising it holds a part of each more in memory (24 MB, of those that are as large)."""

FETCHED, SEPARATED = 0.03, 0.95
"""Where on the bar the fetch ends and the upload begins."""


def course_of(stage_seconds: Mapping[str, float], busy_seconds: float, spent_seconds: float) -> Course:
    """Return how a run went whose stages took so long, of the seconds that it held a child, and of all that it took."""
    course, before = list[tuple[float, float]](), busy_seconds - sum(stage_seconds.get(s, 0.0) for s in STAGE_SHARES)
    for stage in STAGE_SHARES:
        before += stage_seconds.get(stage, 0.0)
        done = FETCHED + (SEPARATED - FETCHED) * overall_progress(stage, 1.0)
        course.append((done, min(1.0, max(0.0, before / max(spent_seconds, 0.001)))))
    return course


class AttemptFailedError(Exception):
    """The child reports an error; code and text are the pipeline's."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code, self.message, self.retryable = code, message, retryable


class ClaimLostError(Exception):
    """The job was canceled, or another worker holds it: nothing more may be written."""


class WorkerStoppingError(Exception):
    """The worker was asked to stop: the job goes back to its line."""


class BetterElsewhereError(Exception):
    """Another worker has a slot for the job, and this one has not: it goes back to its line."""


class Attempt:
    """One run of one job; `folder` is its scratch folder, which the caller makes and removes.

    `busy_seconds` tells how long it held a child, `input_sha256` what it fetched, `contents` what it makes,
    `has_stored` whether anything of it may lie in storage.
    """

    def __init__(
        self, claim: Claim, settings: Settings, *, folder: Path, heartbeat: Heartbeat, stopping: Event
    ) -> None:
        self.claim = claim
        self.heartbeat = heartbeat
        self._settings = settings
        self._folder = folder
        self._output_folder = folder / "out"
        self._source_path = folder / "source"
        self._stopping = stopping
        self._deadline = float("inf")
        self.busy_seconds = 0.0
        self._begun_at = 0.0
        self._stored: dict[str, Output] = {}
        self.has_stored = False
        self.input_sha256: str | None = None
        self.contents: Sequence[str] = ()

    def check(self) -> None:
        """Raise if the run must end now: the claim is lost, the worker stops, time is up."""
        if self.heartbeat.lost.is_set():
            raise ClaimLostError
        if self._stopping.is_set():
            raise WorkerStoppingError
        if time.monotonic() > self._deadline:
            raise SeparationTimeoutError("The separation took longer than the track's length allows.")

    def fetch(self, storage: ObjectStorage) -> str:
        """Download the mixture, as it was when the job was made; return its SHA-256."""
        source = self.claim.job.request.source
        self._output_folder.mkdir(parents=True)

        def on_bytes(done: int) -> None:
            self.check()
            self.heartbeat.tell("fetch", FETCHED * done / max(1, source.size_bytes))

        digest = hashlib.sha256()
        storage.fetch(
            *(source.key, self._source_path),
            bucket=source.bucket,
            etag=source.etag,
            on_bytes=on_bytes,
            digest=digest,
        )
        self.input_sha256 = digest.hexdigest()
        return self.input_sha256

    def separate(self, children: Children) -> Outcome:
        """Have a child do the work; it is killed if the run must end before it does."""
        urgent = self.claim.job.request.priority == "interactive"
        with children.lend(urgent=urgent, check=self._check_turn) as child:
            self._begun_at = begun = time.monotonic()
            try:
                child.give(self._work())
                outcome = self._listen(child)
            except AttemptFailedError:
                # The child said so itself: it is sound and stays.
                child.jobs_done += 1
                raise
            except BaseException:
                child.end()
                raise
            child.jobs_done += 1
            self.busy_seconds = time.monotonic() - begun
        return outcome

    def _check_turn(self) -> None:
        self.check()
        if self.heartbeat.better_elsewhere:
            raise BetterElsewhereError

    def upload(self, storage: ObjectStorage, outcome: Outcome) -> list[Output]:
        """Store what the child made, under this claim's fence, and see that it arrived as it was made.

        Called again after a StorageUnavailableError, it stores what is missing.
        """
        self.has_stored = True
        total = sum(f.size_bytes for f in outcome.outputs) or 1
        with ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="upload") as pool:
            missing = [file for file in outcome.outputs if file.filename not in self._stored]
            under_way = [pool.submit(self._store, storage, file) for file in missing]
            try:
                for stored in under_way:
                    done = sum(output.size_bytes for output in list(self._stored.values()))
                    self.heartbeat.tell("upload", SEPARATED + (1 - SEPARATED) * done / total)
                    stored.result()
            except BaseException:
                # Whoever removes what was stored finds all of it: nothing more is begun, and what runs is waited for.
                pool.shutdown(cancel_futures=True)
                raise
        return [self._stored[file.filename] for file in outcome.outputs]

    def course(self, outcome: Outcome) -> Course:
        """Return how the run went until now, at its end."""
        seconds: Mapping[str, float] = outcome.report.get("seconds", {})
        return course_of(seconds, self.busy_seconds, time.monotonic() - self._begun_at)

    def _listen(self, child: ChildProcess) -> Outcome:
        self._deadline = time.monotonic() + self._settings.job_seconds_base
        look_at_memory, times_over, killed_before = 0.0, 0, oom_kills()
        while True:
            try:
                event = child.hear(LISTEN_SECONDS)
            except ChildGoneError as gone:
                if gone.return_code == -signal.SIGKILL and oom_kills() > killed_before:
                    raise OutOfMemoryError("The system killed the separation, since memory ran out.") from gone
                message = f"The separation ended without a word (status {gone.return_code})."
                raise SeparationFailedError(message) from gone
            self.check()
            if time.monotonic() > look_at_memory:
                look_at_memory = time.monotonic() + MEMORY_PAUSE_SECONDS
                times_over = times_over + 1 if child.memory_bytes() > self._settings.max_child_bytes else 0
                if times_over == 2:
                    raise OutOfMemoryError("The separation took more memory than a job may.")
            if event and (outcome := self._hear(event)):
                self._deadline = float("inf")
                return outcome

    def _hear(self, event: Mapping[str, Any]) -> Outcome | None:
        if event["event"] == "progress":
            self.heartbeat.tell(event["stage"], FETCHED + (SEPARATED - FETCHED) * event["progress"])
        elif event["event"] == "probed":
            source = event["source"]
            self.heartbeat.tell("decode", FETCHED, source)
            seconds = source.get("walked_seconds") or source.get("declared_seconds") or self._settings.max_audio_seconds
            seconds = min(seconds, self._settings.max_audio_seconds)
            self._deadline += self._settings.job_seconds_per_audio_second * seconds
        elif event["event"] == "error":
            raise AttemptFailedError(event["code"], event["message"], retryable=event["retryable"])
        elif event["event"] == "done":
            return Outcome.from_json(event["outcome"])
        return None

    def _store(self, storage: ObjectStorage, file: OutputFile) -> None:
        key = output_key(self.claim.job.id, self.claim.fence, file.filename)
        stored = storage.put_file(self._output_folder / file.filename, key, file.content_type, self.check)
        if (stored.size_bytes, stored.sha256) != (file.size_bytes, file.sha256):
            raise SeparationFailedError("An output changed on the scratch disk.")
        self._stored[file.filename] = Output(
            name=file.name,
            kind=file.kind,
            key=key,
            filename=file.filename,
            content_type=file.content_type,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            details=file.details,
        ).stored(key, stored.etag)

    def _work(self) -> Work:
        request, settings = self.claim.job.request, self._settings
        return Work(
            input_path=str(self._source_path),
            output_folder=str(self._output_folder),
            scratch_folder=str(self._folder / "scratch"),
            source_filename=request.source.filename,
            engine=request.engine,
            preset=request.preset,
            parameters=request.parameters,
            stems=request.stems,
            format=request.format,
            format_options=request.format_options,
            excerpt_start_seconds=request.excerpt_start_seconds,
            excerpt_duration_seconds=request.excerpt_duration_seconds,
            limits=Limits(
                max_audio_seconds=settings.max_audio_seconds,
                max_scratch_bytes=settings.max_scratch_bytes,
                threads=threads_per_job(settings),
            ),
            model_folder=str(settings.model_folder.resolve()),
            ffmpeg_path=settings.ffmpeg_path,
            extra_engines=split_names(settings.extra_engines),
        )
