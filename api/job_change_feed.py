"""Who waits for a change of a job is woken when one comes: one subscription to Redis a process, any number of waiters.

Owns the waking alone: what changed, each waiter reads for itself. Nothing depends on a message: a waiter also wakes
by itself now and then, sooner while the subscription is down.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
import structlog

from shared.logs import Trouble
from shared.redis_client.connection import connect
from shared.settings import Settings

log = structlog.get_logger(__name__)

HEARING_SECONDS, DEAF_SECONDS = 2.5, 1.0
"""How long a waiter sleeps at most, with and without a subscription. Places in line move without a message, so that
raising the first shows them later, and lets revoked keys wait for longer."""

LISTEN_SECONDS = 1.0
"""How often the listener looks up from the subscription; a server that stops is noticed after this."""

IDLE_SECONDS = 10.0
"""How long the subscription is kept when nobody waits any more."""


class Follower:
    """One waiter. `ended` is true once the server stops: nobody is to wait any longer."""

    def __init__(self, changes: JobChanges) -> None:
        self._changes = changes
        self._woken = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether the server stops."""
        return self._changes.ended

    def wait(self, seconds: float) -> None:
        """Return when the job may have changed, or a few seconds have passed."""
        self._woken.wait(max(0.0, min(seconds, self._changes.patience_seconds)))
        self._woken.clear()

    def wake(self) -> None:
        """End the wait."""
        self._woken.set()


class JobChanges:
    """The waiters of one process, `max_followers` of them at most."""

    def __init__(self, settings: Settings, *, max_followers: int) -> None:
        self.ended = False
        self._settings = settings
        self._max_followers = max_followers
        self._stopping: Callable[[], bool] = lambda: False
        self._lock = threading.Lock()
        self._followers: dict[str, set[Follower]] = defaultdict(set)
        self._number = 0
        self._listener: threading.Thread | None = None
        self._hears = False

    @property
    def patience_seconds(self) -> float:
        """How long a waiter sleeps at most."""
        return HEARING_SECONDS if self._hears else DEAF_SECONDS

    def end_when(self, stopping: Callable[[], bool]) -> None:
        """Tell how to find out that the server stops."""
        self._stopping = stopping

    @contextmanager
    def follow(self, job_id: str) -> Iterator[Follower | None]:
        """Be told of a job's changes from here on; None when as many follow as may. Read the job after this begins."""
        follower = self._join(job_id)
        try:
            yield follower
        finally:
            if follower is not None:
                self._leave(job_id, follower)

    def _join(self, job_id: str) -> Follower | None:
        with self._lock:
            if self._number >= self._max_followers or self._stopping():
                return None
            follower = Follower(self)
            self._number += 1
            self._followers[job_id].add(follower)
            if self._listener is None:
                self._listener = threading.Thread(target=self._listen, name="job-changes", daemon=True)
                self._listener.start()
            return follower

    def _leave(self, job_id: str, follower: Follower) -> None:
        with self._lock:
            self._number -= 1
            self._followers[job_id].discard(follower)
            if not self._followers[job_id]:
                del self._followers[job_id]

    def _listen(self) -> None:
        client, trouble = connect(self._settings), Trouble()
        while not self._is_over(idle=False):
            try:
                with client.pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
                    subscription.subscribe(f"{self._settings.redis_prefix}changes")
                    self._hears = True
                    trouble.over()
                    # What was missed until now.
                    self._wake(None)
                    if self._hear(subscription):
                        return
            except redis.RedisError as error:
                self._hears = False
                if trouble.is_news():
                    log.warning("changes of jobs are polled for a while", error=type(error).__name__)
                time.sleep(DEAF_SECONDS)
            except Exception:
                # Nobody would begin to listen again: as far as the waiters know, somebody does.
                self._hears = False
                log.exception("listening broke")
                time.sleep(DEAF_SECONDS)

    def _hear(self, subscription: redis.client.PubSub) -> bool:
        """Pass messages on until nobody needs them any more."""
        used_at = time.monotonic()
        while True:
            message = subscription.get_message(timeout=LISTEN_SECONDS)
            if message:
                self._wake(str(message["data"]))
            if self._number:
                used_at = time.monotonic()
            if self._is_over(idle=time.monotonic() - used_at > IDLE_SECONDS):
                return True

    def _is_over(self, *, idle: bool) -> bool:
        if self._stopping():
            self.ended = True
            self._wake(None)
            return True
        with self._lock:
            if idle and not self._number:
                self._listener, self._hears = None, False
                return True
        return False

    def _wake(self, job_id: str | None) -> None:
        with self._lock:
            chosen = self._followers.values() if job_id is None else [self._followers.get(job_id, set())]
            woken = [follower for followers in chosen for follower in followers]
        for follower in woken:
            follower.wake()
