"""Wakes the threads that wait for a change of a job: one Redis subscription per process, any number of waiters.

A waiter reads the job itself after it is woken. A lost message only delays it, since every waiter also wakes after a
few seconds, and sooner while the subscription is down.
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

SUBSCRIBED_SECONDS, POLLING_SECONDS = 2.5, 1.0
"""The longest sleep of a waiter, with and without a subscription. Queue positions change without a message, so raising
the first delays their updates, and the end of waits whose API key was revoked."""

LISTEN_SECONDS = 1.0
"""How often the listener checks whether the server is stopping."""

IDLE_SECONDS = 10.0
"""How long the subscription is kept when there are no waiters."""


class Follower:
    """One waiter. `is_server_stopping` is true once the server is stopping, when all waiting must end."""

    def __init__(self, changes: JobChanges) -> None:
        self._changes = changes
        self._woken = threading.Event()

    @property
    def is_server_stopping(self) -> bool:
        """Whether the server is stopping."""
        return self._changes.is_server_stopping

    def wait_for_change(self, seconds: float) -> None:
        """Return when the job may have changed, or after a few seconds."""
        self._woken.wait(max(0.0, min(seconds, self._changes.patience_seconds)))
        self._woken.clear()

    def wake(self) -> None:
        """End the wait."""
        self._woken.set()


class JobChanges:
    """The waiters of one process, at most `max_followers`."""

    def __init__(self, settings: Settings, *, max_followers: int) -> None:
        self.is_server_stopping = False
        self._settings = settings
        self._max_followers = max_followers
        self._stopping: Callable[[], bool] = lambda: False
        self._lock = threading.Lock()
        self._followers: dict[str, set[Follower]] = defaultdict(set)
        self._number = 0
        self._listener: threading.Thread | None = None
        self._is_subscribed = False

    @property
    def patience_seconds(self) -> float:
        """The longest sleep of a waiter."""
        return SUBSCRIBED_SECONDS if self._is_subscribed else POLLING_SECONDS

    def end_when(self, stopping: Callable[[], bool]) -> None:
        """Set the function that returns whether the server is stopping."""
        self._stopping = stopping

    @contextmanager
    def follow(self, job_id: str) -> Iterator[Follower | None]:
        """Yield a waiter for a job's changes, or None at the limit of waiters. Read the job after this, not before."""
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
                    self._is_subscribed = True
                    trouble.clear()
                    # Changes until now were missed.
                    self._wake(None)
                    if self._receive(subscription):
                        return
            except redis.RedisError as error:
                self._is_subscribed = False
                if trouble.should_log():
                    log.warning("job changes polled, no Redis subscription", error=type(error).__name__)
                time.sleep(POLLING_SECONDS)
            except Exception:
                # The thread must not end: the waiters rely on it to subscribe again.
                self._is_subscribed = False
                log.exception("job change listener failed")
                time.sleep(POLLING_SECONDS)

    def _receive(self, subscription: redis.client.PubSub) -> bool:
        """Wake waiters at each message until the listener is no longer needed."""
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
            self.is_server_stopping = True
            self._wake(None)
            return True
        with self._lock:
            if idle and not self._number:
                self._listener, self._is_subscribed = None, False
                return True
        return False

    def _wake(self, job_id: str | None) -> None:
        with self._lock:
            chosen = self._followers.values() if job_id is None else [self._followers.get(job_id, set())]
            woken = [follower for followers in chosen for follower in followers]
        for follower in woken:
            follower.wake()
