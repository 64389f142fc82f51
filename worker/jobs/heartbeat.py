"""Renews the lease of a claim while its job runs, and notices when the claim is lost.

It runs in a thread of its own, so that a slow transfer cannot cost the lease. While Redis is unavailable the job
continues: the next heartbeat that Redis answers tells whether the claim was lost, and the fence guards the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import structlog

from shared.errors import StoreUnavailableError
from shared.jobs.claims import Claim
from shared.jobs.store import JobStore
from shared.logs import Trouble

log = structlog.get_logger(__name__)


class Heartbeat:
    """A context manager: heartbeats are sent from entry to exit. `lost` is set once the claim is no longer held.

    `better_elsewhere` is updated while the job waits for a slot: whether another worker had a free one at the last
    heartbeat.
    """

    def __init__(self, store: JobStore, claim: Claim, every_seconds: float) -> None:
        self.lost = threading.Event()
        self._store = store
        self._claim = claim
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self.better_elsewhere = False
        self._stage = "fetch"
        self._progress = 0.0
        self._probed: Mapping[str, Any] | None = None
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{claim.job.id[:8]}", daemon=True)

    def report(self, stage: str, progress: float, probed: Mapping[str, Any] | None = None) -> None:
        """Set the progress (0 to 1) that the next heartbeat sends; `probed` is what was found out about the mixture."""
        self._stage, self._progress = stage, progress
        self._probed = probed or self._probed

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        trouble = Trouble()
        while not self._stopped.wait(self._every_seconds):
            try:
                held = self._store.claims.renew(
                    self._claim, stage=self._stage, progress=self._progress, probed=self._probed
                )
                self.better_elsewhere = self._stage == "fetch" and self._store.claims.is_better_elsewhere(self._claim)
            except StoreUnavailableError as error:
                if trouble.should_log():
                    log.warning("heartbeat not sent: redis unavailable", job=self._claim.job.id, error=error.message)
                continue
            trouble.clear()
            if not held:
                self.lost.set()
                return
