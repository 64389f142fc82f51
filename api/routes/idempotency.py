"""Idempotency-Key: a POST that is repeated because its response was lost does not take effect twice.

This module decides which requests are the same and which are recorded: only those that took effect, so that a refused
request can be corrected and sent with the same key. The id of the new job, batch or upload is stored with the key
before it is created, so that a repetition finds it even after a crash.

Only the status and the id are stored, not the response. A repetition gets the current state, or an error if it has
been deleted since. api/idempotency_records.py stores the records.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

import structlog
from flask import Response, request

from api.access.authentication import caller, check_key
from api.contract.errors import KeyInUseError, KeyReusedError, RepeatedTooLateError
from api.idempotency_records import LEASE_SECONDS, Answered, IdempotencyStore
from api.services import services
from shared.errors import (
    BatchNotFoundError,
    FieldsInvalidError,
    JobNotFoundError,
    SourceMissingError,
    StemqueueError,
    StoreUnavailableError,
    TransientError,
)
from shared.jobs.store import new_id

log = structlog.get_logger(__name__)

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"

MAX_KEY_CHARACTERS = 255


AnswerAgain = Callable[[str, int], Response]
"""Responds to a repetition: takes the id of what the first request created or changed, and its status."""


class AnsweredBeforeError(Exception):
    """Leaves a view whose request was answered before; carries the record of that answer."""

    def __init__(self, answered: Answered) -> None:
        super().__init__()
        self.answered = answered


class Exchange:
    """One request that may be repeated. Without an Idempotency-Key every method does nothing.

    `resource_id` is the id of what the request creates. A view that creates or changes something under another id sets
    `made_id`. If `replays` is true, nothing may be stored: the body is only read to compare it.
    """

    def __init__(self, store: IdempotencyStore, key: str | None) -> None:
        self.resource_id = new_id()
        self.made_id: str | None = None
        self.replays = False
        self._store = store
        self._token = secrets.token_hex(8)
        self._name: str | None = None
        self._answered: Answered | None = None
        self._kept = False
        self._renew_at = time.monotonic() + LEASE_SECONDS / 4
        if key is not None:
            self._reserve_key(key)

    def renewing(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the blocks of a body, and renew the lease of the key meanwhile."""
        for block in blocks:
            if self._name and not self.replays and time.monotonic() > self._renew_at:
                self._renew_at = time.monotonic() + LEASE_SECONDS / 4
                self._store.reserve_key(self._name, caller().owner, self._token, self.resource_id)
            yield block

    def record_request(self, asked: Mapping[str, Any]) -> None:
        """Record what the request asks for. Call it before anything takes effect.

        Raises KeyReusedError if the key was used with another request, AnsweredBeforeError if this request was answered
        before, KeyInvalidError if the API key was revoked while the body arrived.
        """
        check_key()
        if self._name is None:
            return
        wanted = json.dumps([request.method, request.full_path, asked], sort_keys=True)
        fingerprint = hashlib.sha256(wanted.encode()).hexdigest()
        if self._answered is None:
            same = self._store.record_request(self._name, fingerprint)
        else:
            same = self._answered.fingerprint == fingerprint
        if not same:
            raise KeyReusedError("This Idempotency-Key was used with a different request. Use a new key.")
        if self._answered is not None:
            raise AnsweredBeforeError(self._answered)

    def record_response(self, response: Response) -> None:
        """Store the response's status and id. The request took effect, so a failure to store them is not an error."""
        if self._name is None or self._kept:
            return
        self._kept = True
        try:
            self._store.record_answer(self._name, response.status_code, self.made_id or self.resource_id)
        except StoreUnavailableError as error:
            log.warning("idempotency answer not stored", error=error.message)

    def release_key(self, *, forget: bool) -> None:
        """Release the key of a request that failed; `forget` it if the request certainly had no effect."""
        if self._name is None or self.replays:
            return
        try:
            self._store.release_key(self._name, caller().owner, self._token, forget=forget)
        except StoreUnavailableError as error:
            log.warning("idempotency key not released before its lease ends", error=error.message)

    def _reserve_key(self, key: str) -> None:
        if not key.isascii() or not key.isprintable() or not 0 < len(key) <= MAX_KEY_CHARACTERS:
            message = f"must be 1 to {MAX_KEY_CHARACTERS} printable ASCII characters"
            raise FieldsInvalidError([{"field": HEADER, "message": message}])
        # Hashed, since a client's key may be long, and may be a secret.
        name = hashlib.sha256(f"{caller().owner} {key}".encode()).hexdigest()
        reserved = self._store.reserve_key(name, caller().owner, self._token, self.resource_id)
        if reserved is None:
            raise KeyInUseError("A request with this Idempotency-Key is still in progress. Try again shortly.")
        self._name = name
        if isinstance(reserved, Answered):
            self._answered, self.replays = reserved, True
        else:
            self.resource_id = reserved.resource_id


def repeatable(answer_again: AnswerAgain) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Pass a view an Exchange as its first argument and record its response; `answer_again` responds to repetitions."""

    def wrapped(view: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(view)
        def served(**arguments: Any) -> Response:
            exchange = Exchange(services().idempotency, request.headers.get(HEADER))
            try:
                response = view(exchange, **arguments)
            except AnsweredBeforeError as before:
                return _answer_again(before.answered, answer_again)
            except StemqueueError as error:
                # After an outage the request may have taken effect; and a reused key belongs to another request.
                exchange.release_key(forget=not isinstance(error, TransientError | KeyReusedError))
                raise
            except BaseException:
                exchange.release_key(forget=False)
                raise
            exchange.record_response(response)
            return response

        return served

    return wrapped


def _answer_again(answered: Answered, answer_again: AnswerAgain) -> Response:
    if answered.whole:
        response = _unpack(answered.whole)
    else:
        try:
            response = answer_again(answered.made_id, answered.status)
        except (JobNotFoundError, BatchNotFoundError, SourceMissingError) as error:
            message = f"This request was answered before, and {answered.made_id} has been deleted since."
            raise RepeatedTooLateError(message) from error
    response.headers[REPLAYED] = "true"
    return response


def _unpack(answer: str) -> Response:
    """Return a response that an earlier version of this program stored whole."""
    status, headers, body = json.loads(zlib.decompress(base64.b64decode(answer)))
    return Response(body, status=status, headers=headers)
