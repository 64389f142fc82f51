"""Runs one claimed job to its end: fetch, child, upload, publish; and settles it whatever happens.

Owns the credentials' side of a job and all its bounds (time, memory, cancel, shutdown). The signal processing runs in a
child that sees neither Redis nor storage. Exactly one of succeed, fail, hand back or let go ends each run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import structlog

from shared.errors import (
    OutOfMemoryError,
    SeparationFailedError,
    SeparationTimeoutError,
    StemqueueError,
    StorageUnavailableError,
    StoreUnavailableError,
)
from shared.job import Job, JobState, Output
from shared.job_document import write_document
from shared.job_store import Claim, JobStore
from shared.object_storage import ObjectStorage, job_prefix, output_key
from shared.settings import Settings, split_names
from worker.child_process import ChildGoneError, ChildProcess
from worker.children import Children
from worker.heartbeat import Heartbeat
from worker.retries import retry_pause_seconds
from worker.threads import threads_per_job
from worker.work import Limits, Outcome, Work

log = structlog.get_logger(__name__)

LISTEN_SECONDS = 0.1
"""How long the supervisor listens to the child before it looks at the clock, the memory and the signals again."""

MEMORY_PAUSE_SECONDS = 0.5
"""How often the child's memory is looked at; a child can overshoot its limit for this long."""

FETCHED, SEPARATED = 0.03, 0.95
"""Where on the bar the fetch ends and the upload begins."""


class AttemptFailedError(Exception):
    """The child reports an error; code and text are the pipeline's."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code, self.message, self.retryable = code, message, retryable


class ClaimLostError(Exception):
    """The job was canceled, or another worker holds it: nothing more may be written."""


class WorkerStoppingError(Exception):
    """The worker was asked to stop: the job goes back to its line."""


@dataclass
class Attempt:
    """One run of one job: what must not happen while it lasts."""

    claim: Claim
    folder: Path
    heartbeat: Heartbeat
    stopping: Event
    deadline: float = field(default=float("inf"))

    def check(self) -> None:
        """Raise if the run must end now: the claim is lost, the worker stops, time is up."""
        if self.heartbeat.lost.is_set():
            raise ClaimLostError
        if self.stopping.is_set():
            raise WorkerStoppingError
        if time.monotonic() > self.deadline:
            raise SeparationTimeoutError("The separation took longer than the track's length allows.")


class Supervisor:
    """Works for one worker process; its methods run in the threads of its slots."""

    def __init__(
        self, settings: Settings, store: JobStore, storage: ObjectStorage, children: Children, stopping: Event
    ) -> None:
        self._settings = settings
        self._store = store
        self._storage = storage
        self._children = children
        self._stopping = stopping

    def run(self, claim: Claim) -> None:
        """Run the claimed job and settle it."""
        folder = self._settings.scratch_folder.resolve() / f"{claim.job.id}-{claim.fence}"
        bound = log.bind(job=claim.job.id, attempt=claim.job.attempt, request_id=claim.job.request.request_id)
        with Heartbeat(self._store, claim, self._settings.heartbeat_seconds) as heartbeat:
            attempt = Attempt(claim, folder, heartbeat, self._stopping)
            try:
                settled = self._settle(attempt)
                bound.info("attempt ended", outcome=settled)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _settle(self, attempt: Attempt) -> str:
        try:
            outcome, outputs = self._attempt(attempt)
            write_document(
                self._storage,
                attempt.claim,
                JobState.SUCCEEDED,
                outputs=outputs,
                probed=outcome.source,
                report=outcome.report,
            )
            won = self._persist(
                attempt,
                lambda: self._store.succeed(
                    attempt.claim, outputs=outputs, probed=outcome.source, report=outcome.report
                ),
            )
            if not won:
                self._discard(attempt.claim)
        except ClaimLostError:
            self._discard(attempt.claim)
            return "claim lost"
        except WorkerStoppingError:
            self._discard(attempt.claim)
            self._persist(attempt, lambda: self._store.hand_back(attempt.claim))
            return "handed back"
        except (AttemptFailedError, StemqueueError) as error:
            return self._fail(attempt, error.code, error.message, retryable=error.retryable)
        except Exception:
            log.exception("attempt failed", job=attempt.claim.job.id)
            message = "The worker stopped with an internal error."
            return self._fail(attempt, SeparationFailedError.code, message, retryable=True)
        return "succeeded" if won else "claim lost"

    def _attempt(self, attempt: Attempt) -> tuple[Outcome, list[Output]]:
        source = attempt.folder / "source"
        (attempt.folder / "out").mkdir(parents=True)
        self._fetch(attempt, source)
        outcome = self._separate(attempt, source)
        return outcome, self._upload(attempt, outcome)

    def _fetch(self, attempt: Attempt, path: Path) -> None:
        source = attempt.claim.job.request.source

        def on_bytes(done: int) -> None:
            attempt.check()
            attempt.heartbeat.tell("fetch", FETCHED * done / max(1, source.size_bytes))

        self._storage.fetch(source.key, path, etag=source.etag, on_bytes=on_bytes)

    def _separate(self, attempt: Attempt, source: Path) -> Outcome:
        work = self._work(attempt, source)
        with self._children.lend() as child:
            try:
                child.give(work)
                outcome = self._listen(attempt, child)
            except AttemptFailedError:
                # The child said so itself: it is sound and stays.
                child.jobs_done += 1
                raise
            except BaseException:
                child.end()
                raise
            child.jobs_done += 1
        return outcome

    def _listen(self, attempt: Attempt, child: ChildProcess) -> Outcome:
        attempt.deadline = time.monotonic() + self._settings.job_seconds_base
        look_at_memory = 0.0
        while True:
            try:
                event = child.hear(LISTEN_SECONDS)
            except ChildGoneError as gone:
                message = f"The separation ended without a word (status {gone.return_code})."
                raise SeparationFailedError(message) from gone
            attempt.check()
            if time.monotonic() > look_at_memory:
                look_at_memory = time.monotonic() + MEMORY_PAUSE_SECONDS
                if child.memory_bytes() > self._settings.max_child_bytes:
                    raise OutOfMemoryError("The separation took more memory than a job may.")
            if event and (outcome := self._hear(attempt, event)):
                return outcome

    def _hear(self, attempt: Attempt, event: Mapping[str, Any]) -> Outcome | None:
        if event["event"] == "progress":
            attempt.heartbeat.tell(event["stage"], FETCHED + (SEPARATED - FETCHED) * event["progress"])
        elif event["event"] == "probed":
            source = event["source"]
            attempt.heartbeat.tell("decode", FETCHED, source)
            attempt.deadline += self._settings.job_seconds_per_audio_second * (source.get("duration_seconds") or 0.0)
        elif event["event"] == "error":
            raise AttemptFailedError(event["code"], event["message"], retryable=event["retryable"])
        elif event["event"] == "done":
            return Outcome.from_json(event["outcome"])
        return None

    def _upload(self, attempt: Attempt, outcome: Outcome) -> list[Output]:
        attempt.deadline = float("inf")
        job, fence = attempt.claim.job, attempt.claim.fence
        total = sum(f.size_bytes for f in outcome.outputs) or 1
        outputs, done = [], 0
        for file in outcome.outputs:
            attempt.heartbeat.tell("upload", SEPARATED + (1 - SEPARATED) * done / total)
            key = output_key(job.id, fence, file.filename)
            path = attempt.folder / "out" / file.filename
            stored = self._storage.put_file(path, key, file.content_type, attempt.check)
            if (stored.size_bytes, stored.sha256) != (file.size_bytes, file.sha256):
                raise StorageUnavailableError("An output changed on its way to the storage.")
            done += file.size_bytes
            outputs.append(
                Output(
                    name=file.name,
                    kind=file.kind,
                    key=key,
                    filename=file.filename,
                    content_type=file.content_type,
                    size_bytes=file.size_bytes,
                    sha256=file.sha256,
                    details=file.details,
                )
            )
        return outputs

    def _work(self, attempt: Attempt, source: Path) -> Work:
        request, settings = attempt.claim.job.request, self._settings
        return Work(
            input_path=str(source),
            output_folder=str(attempt.folder / "out"),
            scratch_folder=str(attempt.folder / "scratch"),
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

    def _fail(self, attempt: Attempt, code: str, message: str, *, retryable: bool) -> str:
        job: Job = attempt.claim.job
        self._discard(attempt.claim)
        pause = retry_pause_seconds(job, code, retryable=retryable, settings=self._settings)
        error = {"code": code, "message": message, "retryable": retryable, "attempt": job.attempt}
        if pause is None:
            self._remember_failure(attempt.claim, error)
        self._persist(attempt, lambda: self._store.fail(attempt.claim, error, retry_in_seconds=pause))
        return f"failed: {code}" if pause is None else f"retries after {code}"

    def _remember_failure(self, claim: Claim, error: Mapping[str, Any]) -> None:
        try:
            write_document(self._storage, claim, JobState.FAILED, error=error)
        except StemqueueError as away:
            log.warning("failure not told to the storage", job=claim.job.id, error=away.message)

    def _persist(self, attempt: Attempt, write: Callable[[], bool]) -> bool:
        """Write the end of an attempt, waiting for Redis if it is away; a worker that stops waits no longer."""
        while True:
            try:
                return write()
            except StoreUnavailableError as error:
                log.warning("end of an attempt not taken yet", job=attempt.claim.job.id, error=error.message)
                if attempt.heartbeat.lost.is_set() or self._stopping.wait(1.0):
                    return False

    def _discard(self, claim: Claim) -> None:
        """Remove what this attempt stored; what cannot be removed now is the collector's."""
        try:
            self._storage.delete_below(f"{job_prefix(claim.job.id)}{claim.fence}/")
        except StemqueueError as error:
            log.warning("outputs left for the collector", job=claim.job.id, error=error.message)
