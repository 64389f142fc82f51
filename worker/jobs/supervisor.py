"""Runs claimed jobs: answers them from the result cache, or separates them in a child, and decides how they end.

It runs in the process that holds the credentials; the signal processing runs in a child that has none. The parts of a
run are in attempt.py, the ways in which it can end in attempt_end.py.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event

import structlog

from shared.counters import Counters
from shared.errors import SeparationFailedError, StemqueueError, StorageUnavailableError, StoreUnavailableError
from shared.jobs.claims import Claim
from shared.jobs.model import Job
from shared.jobs.store import JobStore
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from shared.telemetry import tracing
from worker.child.pool import ChildPool
from worker.jobs.attempt import Attempt, AttemptFailedError, BetterElsewhereError, ClaimLostError, WorkerStoppingError
from worker.jobs.attempt_end import EXPECTED, SUCCEEDED, WAITS_FOR_SAME, AttemptEnd
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.result_cache import ResultCache
from worker.jobs.storage_watch import StorageWatch
from worker.run_messages import Outcome

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Supervisor:
    """One for each worker process; its methods run in the threads of its slots."""

    settings: Settings
    store: JobStore
    storage: ObjectStorage
    children: ChildPool
    counters: Counters
    stopping: Event
    scratch_folder: Path
    result_cache: ResultCache
    watch: StorageWatch
    worker_folder: Path

    @cached_property
    def _end(self) -> AttemptEnd:
        return AttemptEnd(
            self.settings, self.store, self.storage, self.counters, self.stopping, self.watch, self.worker_folder
        )

    def run_job(self, claim: Claim) -> None:
        """Run the claimed job to the end of this attempt. Raises nothing that the job can cause."""
        job = claim.job
        folder = self.scratch_folder / f"{job.id}-{claim.fence}"
        _record_wait(job)
        with (
            tracing.span(
                "attempt",
                {
                    **tracing.message_attributes(job.id, "process"),
                    "stemqueue.attempt": job.attempt,
                    "stemqueue.engine": job.request.engine,
                },
                kind="consumer",
                parent=job.request.trace,
            ) as span,
            structlog.contextvars.bound_contextvars(job=job.id, attempt=job.attempt, request_id=job.request.request_id),
            Heartbeat(self.store, claim, self.settings.heartbeat_seconds) as heartbeat,
        ):
            log.info("attempt begins", engine=job.request.engine)
            if job.attempt == 1 and job.started_at is not None:
                # One that was retried by hand, or handed back, has not been in the queue since its submission.
                queued_at = job.created_at if job.queued_at is None else job.queued_at
                waited = max(0.0, job.started_at - queued_at)
                self.counters.observe("job_wait_seconds", waited, priority=job.request.priority)
            attempt = Attempt(
                claim,
                self.settings,
                folder=folder,
                heartbeat=heartbeat,
                stopping=self.stopping,
                real_time_factor=None if _mixes_outputs(job) else self._real_time_factor_of(job.request.engine),
            )
            try:
                outcome = self._run_attempt(attempt)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            self.counters.add("attempts_total", engine=job.request.engine, outcome=outcome)
            span.set({"stemqueue.outcome": outcome})
            if outcome not in EXPECTED:
                span.fail(outcome)
            write = log.info if outcome in EXPECTED else log.warning
            write("attempt ended", outcome=outcome)

    def _real_time_factor_of(self, engine: str) -> float | None:
        descriptions = {d["name"]: d for d in self.result_cache.engines()}
        factor = descriptions.get(engine, {}).get("real_time_factor")
        return None if factor is None else float(factor)

    def _run_attempt(self, attempt: Attempt) -> str:
        """Return the attempt's outcome, whatever happens in it."""
        try:
            return self._answer_job(attempt)
        except ClaimLostError:
            return self._end.lose_claim(attempt)
        except (WorkerStoppingError, BetterElsewhereError, StoreUnavailableError):
            return self._end.hand_back(attempt)
        except StorageUnavailableError as error:
            return self._end_without_storage(attempt, error)
        except (AttemptFailedError, StemqueueError) as error:
            return self._end.fail(attempt, error.code, error.message, retryable=error.retryable)
        except Exception:
            log.exception("attempt failed with an internal error")
            message = "The worker stopped with an internal error."
            return self._end.fail(attempt, SeparationFailedError.code, message, retryable=True)

    def _answer_job(self, attempt: Attempt) -> str:
        job = attempt.claim.job
        # Those of an earlier attempt may be of an older version of the engine.
        cache_keys = self.result_cache.cache_keys_of(job) or job.cache_keys
        if (outcome := self._answer_from_cache(attempt, cache_keys)) is not None:
            return outcome
        if _mixes_outputs(job):
            with tracing.span("fetch"):
                attempt.fetch_outputs(self.storage)
            self.watch.report_success()
            return self._succeed(attempt, attempt.separate(self.children))
        with tracing.span("fetch"):
            sha256 = attempt.fetch(self.storage)
        if not job.request.source.bucket:
            self.watch.report_success()
        if not cache_keys:
            # The mixture's hash, which the cache keys need, is known only now.
            cache_keys = self.result_cache.cache_keys_of(job, sha256)
            if (outcome := self._answer_from_cache(attempt, cache_keys)) is not None:
                return outcome
        return self._succeed(attempt, attempt.separate(self.children))

    def _answer_from_cache(self, attempt: Attempt, cache_keys: Sequence[str]) -> str | None:
        """Return the outcome if an earlier job has made, or is making, the same result; None if this job must make it.

        Copies of the earlier outputs are committed. If the earlier job still runs, this job waits for it in Redis.
        """
        attempt.cache_keys = cache_keys
        claim = attempt.claim
        if not cache_keys or claim.job.request.no_cache:
            return None
        reservation = self.result_cache.reserve(claim, cache_keys)
        if reservation.answer == "waits":
            return WAITS_FOR_SAME
        if reservation.answer == "lost":
            raise ClaimLostError
        if reservation.known_job_id is None:
            return None
        earlier = self.result_cache.find_earlier_job(reservation.known_job_id, claim.job)
        if earlier is None:
            return None
        attempt.has_stored = True
        with tracing.span("copy earlier outputs"):
            outputs = self.result_cache.copy_outputs(earlier, claim, attempt.check_may_continue)
        if outputs is None:
            return None
        log.info("answered from an earlier job", earlier=earlier.id)
        return self._end.succeed(attempt, outputs, earlier.probed or {}, earlier.report or {}, cached=True)

    def _succeed(self, attempt: Attempt, outcome: Outcome) -> str:
        # A separation may have taken an hour: its result is kept until the storage takes it.
        with tracing.span("upload"):
            outputs = self.watch.repeat_until_served(
                lambda: attempt.upload(self.storage, outcome), attempt.check_may_continue
            )
        attempt.cache_keys = self.result_cache.cache_keys_of_result(
            attempt.claim.job, attempt.input_sha256, outcome.report
        )
        course = attempt.course(outcome)
        end = self._end.succeed(attempt, outputs, outcome.source, outcome.report, course=course)
        if end == SUCCEEDED and not _mixes_outputs(attempt.claim.job):
            self._count_separation(attempt.claim.job, outcome)
        return end

    def _end_without_storage(self, attempt: Attempt, error: StorageUnavailableError) -> str:
        """Hand the job back uncharged. Only if a bucket of S3_SOURCE_BUCKETS refuses the mixture, the attempt fails.

        An object that cannot be read is not its job's fault: a storage that has lost a part of its disks still serves
        the other objects. Such a job waits longer each time, and shows why. A refusal by a source bucket is final:
        after some retries the job fails, since the object would be refused tomorrow too.
        """
        source = attempt.claim.job.request.source
        # Outputs of another job are in the service's own bucket, wherever the mixture is.
        bucket = None if source.outputs else source.bucket
        self.counters.add("faults_total", part="storage")
        log.warning("storage does not serve the job", error=error.message)
        if self.watch.report_failure(error, attempt.claim.job.id if bucket is None else None):
            return self._end.hand_back(attempt)
        if bucket and error.is_refusal and self.storage.is_answering(bucket):
            return self._end.fail(attempt, error.code, error.message, retryable=True)
        return self._end.hand_back(attempt, error.message)

    def _count_separation(self, job: Job, outcome: Outcome) -> None:
        seconds: Mapping[str, float] = outcome.report.get("seconds", {})
        for stage, taken in seconds.items():
            if stage != "total":
                self.counters.add_stage(stage, taken)
        audio = float(outcome.source.get("duration_seconds") or 0.0)
        self.counters.add("audio_seconds_total", audio, engine=job.request.engine)
        self.counters.add("separation_seconds_total", seconds.get("total", 0.0), engine=job.request.engine)


def _record_wait(job: Job) -> None:
    """Record how long the job was in the queue before this attempt."""
    if job.queued_at is not None and job.started_at is not None:
        # Both times are Redis's, whose clock may differ from this machine's.
        now = time.time()
        tracing.record_span("queue", now - (job.started_at - job.queued_at), now, parent=job.request.trace)


def _mixes_outputs(job: Job) -> bool:
    """Return whether the job mixes outputs of another one, and separates nothing."""
    return bool(job.request.source.outputs)
