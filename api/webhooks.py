"""Tells clients' servers of their jobs' ends, as Standard Webhooks: signed, tried again for hours, never redirected.

Owns the message's form, its signature, and when a try is followed by another. It runs in the API's processes, since
workers have no way out of their network; any number of processes share the work.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import requests
import structlog

from api.errors import UrlRefusedError, UrlUnreachableError
from api.outgoing import open_session, outgoing_faults
from shared.batch import Batch, ItemState
from shared.batch_items import BatchItems
from shared.batch_store import BatchStore
from shared.errors import BatchNotFoundError, JobNotFoundError, PassingError
from shared.job import Job
from shared.logs import Trouble
from shared.settings import Settings, split_names
from shared.webhook_store import Message, WebhookStore

log = structlog.get_logger(__name__)

THREADS = 2
"""Deliveries under way at once in each process; a receiver that is slow holds one for 15 s at most."""

LOOK_SECONDS = 1.0
"""How often an idle thread looks for messages that are due; raising it tells ends later."""

SECRET_PREFIX = "whsec_"  # noqa: S105 - what begins a secret, not one


class Webhooks:
    """The deliveries of one process."""

    def __init__(self, settings: Settings, items: BatchItems, batches: BatchStore, messages: WebhookStore) -> None:
        self._settings = settings
        self._items = items
        self._batches = batches
        self._messages = messages
        self._secrets = [decode_secret(secret) for secret in split_names(settings.webhook_secrets)]
        self._pauses = [float(seconds) for seconds in split_names(settings.webhook_retry_seconds)]

    @property
    def are_sent(self) -> bool:
        """Whether this server sends any."""
        return bool(self._secrets)

    def start(self, stopping: Callable[[], bool]) -> None:
        """Deliver from threads of this process until it stops."""
        if self.are_sent:
            for number in range(THREADS):
                threading.Thread(target=self._work, args=(stopping,), name=f"webhooks-{number}", daemon=True).start()

    def deliver_one(self) -> bool:
        """Try to deliver one message that is due; False when there is none. Raises StoreUnavailableError."""
        message = self._messages.take()
        if message is None:
            return False
        try:
            url, body = self._told(message)
        except (JobNotFoundError, BatchNotFoundError):
            self._messages.settle(message, {}, retry_in_seconds=None)
            return True
        begun = time.monotonic()
        status, fault = self._send(message, url, body)
        outcome, pause = self._judge(message, status)
        entry = {
            "message_id": message.id,
            "type": message.type,
            "attempt": message.tries + 1,
            "at": datetime.now(UTC).isoformat(),
            "milliseconds": round(1000 * (time.monotonic() - begun)),
            "status": status,
            "error": fault,
            "outcome": outcome,
            "next_attempt_in_seconds": None if pause is None else round(pause, 1),
        }
        self._messages.settle(message, entry, retry_in_seconds=pause)
        log.info("webhook tried", job=message.job_id, attempt=message.tries + 1, status=status, outcome=outcome)
        return True

    def _work(self, stopping: Callable[[], bool]) -> None:
        trouble = Trouble()
        while not stopping():
            try:
                delivered = self.deliver_one()
                trouble.over()
                if delivered:
                    continue
            except PassingError as error:
                if trouble.is_news():
                    log.warning("webhooks wait", error=error.message)
            except Exception:
                # One message's trouble must not end the thread that tells all others.
                log.exception("telling broke")
            time.sleep(LOOK_SECONDS)

    def _told(self, message: Message) -> tuple[str, bytes]:
        if message.type.startswith("batch."):
            batch = self._batches.read(message.job_id)
            return batch.request.webhook_url or "", batch_payload(message, batch)
        job = self._items.read_job(message.job_id)
        return job.request.webhook_url or "", payload(message, job)

    def _send(self, message: Message, url: str, body: bytes) -> tuple[int | None, str | None]:
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._secrets, message.id, now, body),
        }
        try:
            with (
                open_session(self._settings, redirects=False) as session,
                outgoing_faults(),
                # The answer's body is not read: its status says all, and it may be endless.
                session.post(url, data=body, headers=headers, stream=True) as answer,
            ):
                return answer.status_code, None
        except (UrlRefusedError, UrlUnreachableError) as error:
            return None, error.message

    def _judge(self, message: Message, status: int | None) -> tuple[str, float | None]:
        if status is not None and 200 <= status < 300:
            return "delivered", None
        if status == requests.codes.gone:
            return "unwanted", None
        if message.tries >= len(self._pauses):
            return "given_up", None
        # Jitter, so that what failed together does not come back together.
        return "failed", self._pauses[message.tries] * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def payload(message: Message, job: Job) -> bytes:
    """Return what is sent: what happened to which job, and where to read more."""
    data: dict[str, Any] = {
        "id": job.id,
        "state": message.type.removeprefix("job."),
        "error": job.error,
        "metadata": job.request.metadata,
        "url": f"/v1/jobs/{job.id}",
    }
    return _body(message, data)


def batch_payload(message: Message, batch: Batch) -> bytes:
    """Return what is sent: which batch has ended, and how its items did."""
    data = {
        "id": batch.id,
        "name": batch.request.name,
        "state": batch.state,
        "total": batch.total,
        "counts": {state.value: batch.counts[state] for state in ItemState},
        "url": f"/v1/batches/{batch.id}",
    }
    return _body(message, data)


def _body(message: Message, data: Mapping[str, Any]) -> bytes:
    told = {"type": message.type, "timestamp": datetime.fromtimestamp(message.at, UTC).isoformat(), "data": data}
    return json.dumps(told, separators=(",", ":")).encode()


def sign(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return a signature by each secret: while one is replaced, receivers may know either."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = [hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def decode_secret(text: str) -> bytes:
    """Return a secret's bytes. Raises ValueError, without a word of it."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not text.startswith(SECRET_PREFIX) or not 24 <= len(secret) <= 64:
        raise ValueError("WEBHOOK_SECRETS: each is whsec_ and the base64 of 24 to 64 random bytes")
    return secret
