"""Sends webhooks (Standard Webhooks): signs them, retries for hours, follows no redirects.

It runs in the API's processes because workers have no access to other networks; any number of processes share the work.
A slow receiver delays only itself: each attempt has a deadline, and each process limits its deliveries to one owner's
receivers and to one host.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus

import structlog

from api.contract.errors import UrlFetchError, UrlRefusedError
from api.contract.webhook_messages import batch_message, job_message
from api.outgoing_http.exchange import exchange
from api.webhooks.delivery_slots import DeliverySlots
from api.webhooks.outbox import Message, WebhookStore
from shared.batches.item_status import BatchItems
from shared.batches.store import BatchStore
from shared.counters import Counters
from shared.errors import BatchNotFoundError, JobNotFoundError, TransientError
from shared.logs import Trouble
from shared.settings import Settings, split_names
from shared.telemetry import tracing

log = structlog.get_logger(__name__)

THREADS = 32
"""Concurrent deliveries of each process; a thread that waits for a receiver costs little."""

MAX_PER_OWNER, MAX_PER_HOST = 12, 2
"""Concurrent deliveries of one owner, and to one host and port: six slow hosts of an owner delay its other hosts."""

DELIVERY_SECONDS = 15.0
"""The deadline of an attempt, shorter than a message's lease. Raising it lets slow receivers occupy threads longer."""

POLL_SECONDS = 1.0
"""How often an idle process looks for due messages. Raising it delays webhooks."""

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of secrets, not a secret


class Webhooks:
    """The webhook deliveries of one process."""

    def __init__(
        self, settings: Settings, items: BatchItems, batches: BatchStore, messages: WebhookStore, counters: Counters
    ) -> None:
        self._settings = settings
        self._items = items
        self._batches = batches
        self._messages = messages
        self._counters = counters
        self._secrets = [decode_secret(secret) for secret in split_names(settings.webhook_secrets)]
        self._pauses = [float(seconds) for seconds in split_names(settings.webhook_retry_seconds)]
        self._slots = DeliverySlots(MAX_PER_OWNER, MAX_PER_HOST)
        # One thread takes messages at a time, so that no other thread changes the slots in between, and idle threads do
        # not poll Redis.
        self._taking = threading.Lock()
        self._trouble = Trouble()

    @property
    def are_sent(self) -> bool:
        """Whether this server sends webhooks."""
        return bool(self._secrets)

    def start_threads(self, stopping: Callable[[], bool]) -> None:
        """Start the delivery threads of this process; they end when it stops."""
        if self.are_sent:
            for number in range(THREADS):
                threading.Thread(
                    target=self._deliver_messages, args=(stopping,), name=f"webhooks-{number}", daemon=True
                ).start()

    def deliver_one(self) -> bool:
        """Attempt to deliver one due message; return False if there is none. Raises StoreUnavailableError."""
        with self._taking:
            message = self._take_message()
        if message is None:
            return False
        self._deliver(message)
        return True

    def _take_message(self) -> Message | None:
        busy = self._slots.find_busy()
        message = self._messages.take_due_message(busy_owners=busy.owners, busy_hosts=busy.hosts)
        if message is not None:
            self._slots.start_delivery(message.owner, message.host)
        return message

    def _deliver(self, message: Message) -> None:
        try:
            self._attempt(message)
        finally:
            self._slots.end_delivery(message.owner, message.host)

    def _attempt(self, message: Message) -> None:
        try:
            url, body, trace = self._content(message)
        except (JobNotFoundError, BatchNotFoundError):
            self._messages.record_attempt(message, {}, retry_in_seconds=None)
            return
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            # It may begin with a name and a password.
            "server.address": message.host.rpartition("@")[2],
            "stemqueue.webhook.type": message.type,
            "stemqueue.webhook.attempt": message.tries + 1,
        }
        with tracing.span("webhook", attributes, kind="client", parent=trace) as span:
            self._send(message, url, body, tracing.headers(trace), span)

    def _send(self, message: Message, url: str, body: bytes, trace: tracing.Headers, span: tracing.Span) -> None:
        begun = time.monotonic()
        status, fault = self._post(message, url, body, trace)
        if status is not None:
            span.set({"http.response.status_code": status})
        outcome, pause = self._outcome(message, status)
        if outcome != "delivered":
            span.fail(str(status or "not_sent"))
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
        self._messages.record_attempt(message, entry, retry_in_seconds=pause)
        self._counters.add("webhook_attempts_total", outcome=outcome)
        self._counters.flush()
        log.info("webhook attempt", job=message.job_id, attempt=message.tries + 1, status=status, outcome=outcome)

    def _deliver_messages(self, stopping: Callable[[], bool]) -> None:
        while not stopping():
            with self._taking:
                message = self._wait_for_message(stopping)
            if message is None:
                return
            try:
                self._deliver(message)
            except Exception as error:
                # A failure must not end the thread. The message's lease expires and it is attempted again.
                log.warning(
                    "webhook delivery failed", job=message.job_id, exc_info=not isinstance(error, TransientError)
                )
                time.sleep(POLL_SECONDS)

    def _wait_for_message(self, stopping: Callable[[], bool]) -> Message | None:
        """Wait for a message that may be delivered; return None when the process stops."""
        while not stopping():
            try:
                message = self._take_message()
                self._trouble.clear()
                if message is not None:
                    return message
            except TransientError as error:
                if self._trouble.should_log():
                    log.warning("webhooks delayed, Redis or storage unavailable", error=error.message)
            except Exception:
                log.exception("webhook delivery failed")
            self._slots.wait_for_end(POLL_SECONDS)
        return None

    def _content(self, message: Message) -> tuple[str, bytes, tracing.Headers]:
        root = self._settings.api_public_path
        if message.type.startswith("batch."):
            batch = self._batches.read_batch(message.job_id)
            body = batch_message(message.type, message.at, batch, root)
            return batch.request.webhook_url or "", body, batch.request.trace
        job = self._items.read_job(message.job_id)
        return job.request.webhook_url or "", job_message(message.type, message.at, job, root), job.request.trace

    def _post(self, message: Message, url: str, body: bytes, trace: tracing.Headers) -> tuple[int | None, str | None]:
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._secrets, message.id, now, body),
            **trace,
        }
        try:
            # The response body is not read: only the status matters, and the body may be endless.
            with exchange("POST", url, self._settings, seconds=DELIVERY_SECONDS, headers=headers, body=body) as answer:
                return answer.status, None
        except (UrlRefusedError, UrlFetchError) as error:
            return None, error.message

    def _outcome(self, message: Message, status: int | None) -> tuple[str, float | None]:
        if status is not None and 200 <= status < 300:
            return "delivered", None
        if status == HTTPStatus.GONE:
            return "unwanted", None
        if message.tries >= len(self._pauses):
            return "given_up", None
        # Jitter, so that messages that failed together are not retried together.
        return "failed", self._pauses[message.tries] * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret


def sign(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature per secret: while a secret is being replaced, receivers may know either."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = [hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def decode_secret(text: str) -> bytes:
    """Return a secret's bytes. Raises ValueError with a message that does not contain the secret."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not text.startswith(SECRET_PREFIX) or not 24 <= len(secret) <= 64:
        raise ValueError("WEBHOOK_SECRETS: each secret must be whsec_ followed by the base64 of 24 to 64 random bytes")
    return secret
