"""Runs claimed jobs and writes their ends: exactly one of succeed, fail, hand back or let go closes each attempt.

Owns the settling. What happens within an attempt is attempt.py's; it runs where the credentials are, and the signal
processing in a child that sees none of them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import structlog

from shared.counters import Counters
from shared.errors import SeparationFailedError, StemqueueError, StorageUnavailableError, StoreUnavailableError
from shared.jobs.archive import write_document
from shared.jobs.model import Job, JobState, Output
from shared.jobs.store import Claim, Course, JobStore
from shared.logs import Trouble
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage, job_prefix
from worker.child.pool import Children
from worker.jobs.attempt import Attempt, AttemptFailedError, BetterElsewhereError, ClaimLostError, WorkerStoppingError
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.result_cache import EarlierResults
from worker.jobs.retry_policy import retry_pause_seconds
from worker.jobs.storage_watch import StorageWatch
from worker.run_messages import Outcome

log = structlog.get_logger(__name__)

STOP_PATIENCE_SECONDS = 3.0
"""How long a worker that stops waits for a Redis that is away, to hand its jobs back. Raising it makes a stop slower:
Docker kills a container that takes longer than 10 s. What was not handed back is rescued."""

HANDED_BACK = "handed back"
CLAIM_LOST = "claim lost"
WAITS = "waits for a job that asks for the same"
WAITS_FOR_STORAGE = "waits for the storage"
UNKNOWN = "not written: redis is away"
WELL = frozenset({"succeeded", "cached", HANDED_BACK, CLAIM_LOST, WAITS})


@dataclass(frozen=True)
class Supervisor:
    """Works for one worker process; its methods run in the threads of its slots."""

    settings: Settings
    store: JobStore
    storage: ObjectStorage
    children: Children
    counters: Counters
    stopping: Event
    scratch_folder: Path
    earlier_results: EarlierResults
    watch: StorageWatch

    def run(self, claim: Claim) -> None:
        """Run the claimed job and settle it."""
        job = claim.job
        folder = self.scratch_folder / f"{job.id}-{claim.fence}"
        with (
            structlog.contextvars.bound_contextvars(job=job.id, attempt=job.attempt, request_id=job.request.request_id),
            Heartbeat(self.store, claim, self.settings.heartbeat_seconds) as heartbeat,
        ):
            log.info("attempt begins", engine=job.request.engine)
            attempt = Attempt(claim, self.settings, folder=folder, heartbeat=heartbeat, stopping=self.stopping)
            try:
                end = self._settle(attempt)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            self.counters.add("attempts_total", engine=job.request.engine, outcome=end)
            write = log.info if end in WELL else log.warning
            write("attempt ended", outcome=end)

    def _settle(self, attempt: Attempt) -> str:
        try:
            return self._work(attempt)
        except ClaimLostError:
            return self._let_go(attempt)
        except (WorkerStoppingError, BetterElsewhereError, StoreUnavailableError):
            return self._hand_back(attempt)
        except StorageUnavailableError as error:
            return self._wait_for_storage(attempt, error)
        except (AttemptFailedError, StemqueueError) as error:
            return self._fail(attempt, error.code, error.message, retryable=error.retryable)
        except Exception:
            log.exception("attempt broke")
            message = "The worker stopped with an internal error."
            return self._fail(attempt, SeparationFailedError.code, message, retryable=True)

    def _work(self, attempt: Attempt) -> str:
        job = attempt.claim.job
        contents = job.contents or self.earlier_results.contents_of(job)
        if (end := self._answer_from_earlier(attempt, contents)) is not None:
            return end
        sha256 = attempt.fetch(self.storage)
        if not job.request.source.bucket:
            self.watch.worked()
        if not contents:
            # Now that the mixture is here it can be told.
            contents = self.earlier_results.contents_of(job, sha256)
            if (end := self._answer_from_earlier(attempt, contents)) is not None:
                return end
        outcome = attempt.separate(self.children)
        return self._succeed(attempt, outcome)

    def _answer_from_earlier(self, attempt: Attempt, contents: Sequence[str]) -> str | None:
        """Commit copies of an earlier job's outputs, or wait for one that is at it; None where there is no such job."""
        attempt.contents = contents
        if not contents or attempt.claim.job.request.no_cache:
            return None
        reserved = self.earlier_results.contents.reserve(attempt.claim, contents)
        if reserved.answer == "waits":
            return WAITS
        if reserved.answer == "lost":
            raise ClaimLostError
        known = reserved.known_job_id
        earlier = self.earlier_results.read(known, attempt.claim.job) if known else None
        attempt.has_stored = earlier is not None
        outputs = self.earlier_results.copy(earlier, attempt.claim, attempt.check) if earlier else None
        if earlier is None or outputs is None:
            return None
        log.info("answered from an earlier job", earlier=earlier.id)
        refusal = self._commit(attempt, outputs, earlier.probed or {}, earlier.report or {}, cached=True)
        return refusal or "cached"

    def _succeed(self, attempt: Attempt, outcome: Outcome) -> str:
        # What took an hour to separate is not thrown away because the storage is away.
        outputs = self.watch.insist(lambda: attempt.upload(self.storage, outcome), attempt.check)
        course = attempt.course(outcome)
        if refusal := self._commit(attempt, outputs, outcome.source, outcome.report, course=course):
            return refusal
        self._count(attempt.claim.job, outcome)
        return "succeeded"

    def _commit(
        self,
        attempt: Attempt,
        outputs: Sequence[Output],
        probed: Mapping[str, Any],
        report: Mapping[str, Any],
        *,
        course: Course = (),
        cached: bool = False,
    ) -> str | None:
        """Write the result; return how the attempt ended instead if it was not taken."""
        claim = attempt.claim
        if attempt.input_sha256:
            probed = {**probed, "sha256": attempt.input_sha256}

        def document() -> None:
            write_document(
                self.storage, claim, JobState.SUCCEEDED, outputs=outputs, probed=probed, report=report, cached=cached
            )

        self.watch.insist(document, attempt.check)
        taken = self._persist(
            lambda: self.store.succeed(
                claim,
                outputs=outputs,
                probed=probed,
                report=report,
                busy_seconds=attempt.busy_seconds,
                course=course,
                audio_seconds=_audio_seconds(outputs),
                contents=attempt.contents,
                cached=cached,
            )
        )
        if taken:
            return None
        return self._let_go(attempt) if taken is False else UNKNOWN

    def _hand_back(self, attempt: Attempt, reason: str | None = None) -> str:
        """Return the job to its line, uncharged; with a reason it waits there for the storage to serve it."""
        # First of all: a worker that stops has little time, and Redis may be stopping too.
        taken = self._persist(lambda: self.store.hand_back(attempt.claim, reason=reason))
        if not taken:
            return self._let_go(attempt) if taken is False else UNKNOWN
        self._discard(attempt)
        return WAITS_FOR_STORAGE if reason else HANDED_BACK

    def _wait_for_storage(self, attempt: Attempt, error: StorageUnavailableError) -> str:
        """Give the job back uncharged, unless the storage, which serves others, refuses an object of somebody else's.

        One object that cannot be read is not its job's fault: a storage that has lost a part of its disks serves the
        others. The job waits longer and longer, and shows why. Only a refusal by another bucket that answers is told to
        the client after some retries: that object will be refused tomorrow too.
        """
        bucket = attempt.claim.job.request.source.bucket
        self.counters.add("faults_total", part="storage")
        log.warning("the storage does not serve a job", error=error.message)
        if self.watch.failed(error, attempt.claim.job.id if bucket is None else None):
            return self._hand_back(attempt)
        if bucket and error.is_refusal and self._answers(bucket):
            return self._fail(attempt, error.code, error.message, retryable=True)
        return self._hand_back(attempt, error.message)

    def _answers(self, bucket: str) -> bool:
        try:
            self.storage.ping(bucket)
        except StorageUnavailableError:
            return False
        return True

    def _let_go(self, attempt: Attempt) -> str:
        self._discard(attempt)
        self.counters.add("leases_lost_total")
        return CLAIM_LOST

    def _fail(self, attempt: Attempt, code: str, message: str, *, retryable: bool) -> str:
        job = attempt.claim.job
        self._discard(attempt)
        pause = retry_pause_seconds(job, code, retryable=retryable, settings=self.settings)
        error = {"code": code, "message": message, "retryable": retryable, "attempt": job.attempt}
        if pause is None:
            self._remember_failure(attempt.claim, error)
        taken = self._persist(lambda: self.store.fail(attempt.claim, error, retry_in_seconds=pause))
        if not taken:
            return self._let_go(attempt) if taken is False else UNKNOWN
        if pause is None:
            return f"failed: {code}"
        self.counters.add("retries_total", code=code)
        return f"retries after {code}"

    def _remember_failure(self, claim: Claim, error: Mapping[str, Any]) -> None:
        try:
            write_document(self.storage, claim, JobState.FAILED, error=error)
        except StemqueueError as away:
            log.warning("failure not told to the storage", error=away.message)

    def _persist(self, write: Callable[[], bool]) -> bool | None:
        """Write the end of an attempt, waiting for Redis if it is away; a worker that stops waits a little only.

        None means that nobody knows whether it was taken: then nothing may be discarded, and the rescuer decides.
        """
        trouble, give_up_at = Trouble(), float("inf")
        while True:
            try:
                return write()
            except StoreUnavailableError as error:
                if trouble.is_news():
                    log.warning("end of an attempt not taken yet", error=error.message)
                if self.stopping.is_set():
                    give_up_at = min(give_up_at, time.monotonic() + STOP_PATIENCE_SECONDS)
                    time.sleep(0.2)
                else:
                    self.stopping.wait(1.0)
                if time.monotonic() > give_up_at:
                    log.warning("end of an attempt not written: redis is away", error=error.message)
                    return None

    def _discard(self, attempt: Attempt) -> None:
        """Remove what this attempt stored; what cannot be removed now is the collector's."""
        if not attempt.has_stored or self.watch.fault:
            return
        claim = attempt.claim
        try:
            self.storage.delete_below(f"{job_prefix(claim.job.id)}{claim.fence}/")
        except StemqueueError as error:
            log.warning("outputs left for the collector", error=error.message)

    def _count(self, job: Job, outcome: Outcome) -> None:
        seconds: Mapping[str, float] = outcome.report.get("seconds", {})
        for stage, taken in seconds.items():
            if stage != "total":
                self.counters.add_stage(stage, taken)
        audio = float(outcome.source.get("duration_seconds") or 0.0)
        self.counters.add("audio_seconds_total", audio, engine=job.request.engine)
        self.counters.add("separation_seconds_total", seconds.get("total", 0.0), engine=job.request.engine)


def _audio_seconds(outputs: Sequence[Output]) -> float:
    """Return how much was separated: what the longest stem holds."""
    return max((float(o.details.get("duration_seconds", 0.0)) for o in outputs if o.kind == "stem"), default=0.0)
