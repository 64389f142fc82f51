"""Writes how an attempt ended, to the job's record in Redis and to storage.

Every attempt ends in exactly one way: its job succeeds, fails (for good or until a retry), is handed back to the queue
uncharged, or is left alone because the claim was lost. Each method returns the outcome, as logs and metrics name it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import structlog

from shared.counters import Counters
from shared.errors import StemqueueError, StoreUnavailableError
from shared.jobs.archive import write_document
from shared.jobs.claims import Claim, Course
from shared.jobs.model import JobState, Output, separated_seconds
from shared.jobs.store import JobStore
from shared.logs import Trouble
from shared.settings import Settings
from shared.storage.object_keys import job_prefix
from shared.storage.object_storage import ObjectStorage
from shared.telemetry import tracing
from worker.jobs.attempt import Attempt
from worker.jobs.retry_policy import retry_pause_seconds
from worker.jobs.storage_watch import StorageWatch
from worker.jobs.unreturned_claims import note_unreturned

log = structlog.get_logger(__name__)

STOP_PATIENCE_SECONDS = 3.0
"""How long a stopping worker waits for an unavailable Redis to take its jobs back. Raising it makes a stop slower:
Docker kills a container that takes longer than 10 s. Jobs that were not handed back are rescued."""

SUCCEEDED = "succeeded"
CACHED = "cached"
HANDED_BACK = "handed back"
CLAIM_LOST = "claim lost"
WAITS_FOR_SAME = "waits for a job that asks for the same"
WAITS_FOR_STORAGE = "waits for the storage"
UNKNOWN = "not written: redis is away"
EXPECTED = frozenset({SUCCEEDED, CACHED, HANDED_BACK, CLAIM_LOST, WAITS_FOR_SAME})
"""Outcomes that are no reason for a warning."""


@dataclass(frozen=True)
class AttemptEnd:
    """One for each worker process. Every method may be called from any thread, once for each attempt."""

    settings: Settings
    store: JobStore
    storage: ObjectStorage
    counters: Counters
    stopping: Event
    watch: StorageWatch
    worker_folder: Path

    def succeed(
        self,
        attempt: Attempt,
        outputs: Sequence[Output],
        probed: Mapping[str, Any],
        report: Mapping[str, Any],
        *,
        course: Course = (),
        cached: bool = False,
    ) -> str:
        """Write the result; wait for the storage and for Redis as long as it takes."""
        claim = attempt.claim
        if attempt.input_sha256:
            probed = {**probed, "sha256": attempt.input_sha256}

        def store_document() -> None:
            write_document(
                self.storage, claim, JobState.SUCCEEDED, outputs=outputs, probed=probed, report=report, cached=cached
            )

        mixed_only = bool(claim.job.request.source.outputs)
        with tracing.span("commit"):
            self.watch.repeat_until_served(store_document, attempt.check_may_continue)
            taken = self._persist(
                lambda: self.store.claims.succeed(
                    claim,
                    outputs=outputs,
                    probed=probed,
                    report=report,
                    busy_seconds=attempt.busy_seconds,
                    course=course,
                    audio_seconds=0.0 if mixed_only else separated_seconds(outputs),
                    cache_keys=attempt.cache_keys,
                    cached=cached,
                )
            )
        if not taken:
            return self._refused(attempt, taken)
        return CACHED if cached else SUCCEEDED

    def hand_back(self, attempt: Attempt, reason: str | None = None) -> str:
        """Return the job to its queue without charging the attempt.

        With a `reason` why the storage does not serve this job, the job waits before it is published again.
        """
        # This comes first: a stopping worker has little time, and Redis may be stopping too.
        taken = self._persist(lambda: self.store.claims.hand_back(attempt.claim, reason=reason))
        if not taken:
            return self._refused(attempt, taken)
        self._discard_outputs(attempt)
        return WAITS_FOR_STORAGE if reason else HANDED_BACK

    def fail(self, attempt: Attempt, code: str, message: str, *, retryable: bool) -> str:
        """Record the error; the job is tried again later or has failed for good, as the retry policy decides."""
        job = attempt.claim.job
        self._discard_outputs(attempt)
        pause = retry_pause_seconds(job, code, retryable=retryable, settings=self.settings)
        error = {"code": code, "message": message, "retryable": retryable, "attempt": job.attempt}
        if pause is None:
            self._store_failure(attempt.claim, error)
        taken = self._persist(lambda: self.store.claims.fail(attempt.claim, error, retry_in_seconds=pause))
        if not taken:
            return self._refused(attempt, taken)
        if pause is None:
            return f"failed: {code}"
        self.counters.add("retries_total", code=code)
        return f"retries after {code}"

    def lose_claim(self, attempt: Attempt) -> str:
        """Write nothing: the job was canceled, or another worker has it."""
        self._discard_outputs(attempt)
        self.counters.add("leases_lost_total")
        return CLAIM_LOST

    def _refused(self, attempt: Attempt, taken: bool | None) -> str:
        if taken is False:
            return self.lose_claim(attempt)
        note_unreturned(self.worker_folder, attempt.claim.job.id, attempt.claim.token or "")
        return UNKNOWN

    def _store_failure(self, claim: Claim, error: Mapping[str, Any]) -> None:
        try:
            write_document(self.storage, claim, JobState.FAILED, error=error)
        except StemqueueError as storage_error:
            log.warning("failure not written to storage", error=storage_error.message)

    def _persist(self, write: Callable[[], bool]) -> bool | None:
        """Record the end of an attempt. Waits for an unavailable Redis; a stopping worker waits only for a short time.

        Returns None if it is unknown whether Redis has the end. Then nothing may be discarded, and the next worker or
        the rescuer returns the job to its queue.
        """
        trouble, give_up_at = Trouble(), float("inf")
        while True:
            try:
                return write()
            except StoreUnavailableError as error:
                if trouble.should_log():
                    log.warning("attempt's end not recorded yet: redis unavailable", error=error.message)
                if self.stopping.is_set():
                    give_up_at = min(give_up_at, time.monotonic() + STOP_PATIENCE_SECONDS)
                    time.sleep(0.2)
                else:
                    self.stopping.wait(1.0)
                if time.monotonic() > give_up_at:
                    log.warning("attempt's end not recorded: redis unavailable", error=error.message)
                    return None

    def _discard_outputs(self, attempt: Attempt) -> None:
        """Delete the outputs that this attempt stored. The garbage collector deletes what cannot be deleted now."""
        if not attempt.has_stored or self.watch.fault:
            return
        claim = attempt.claim
        try:
            self.storage.delete_below(f"{job_prefix(claim.job.id)}{claim.fence}/")
        except StemqueueError as error:
            log.warning("outputs left for the garbage collector", error=error.message)
