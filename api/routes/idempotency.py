"""Idempotency-Key: a POST that is sent again, because its answer got lost, does nothing again.

Owns what makes two requests the same, and which are remembered: those that did something. A refused request may be
corrected and sent under the same key. A key's request makes things under ids that are kept with the key, so that even
after a crash between doing and answering a repetition finds what was done.

Kept are the status and the id of what was made or changed, and no answer: clients can rely on both. A repetition shows
it as it is now, or says that it was deleted since.
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

from api.access.authentication import caller, demand_key
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
"""Answers a repetition: takes the id of what the first request made or changed, and its status."""


class AnsweredBeforeError(Exception):
    """Ends a view whose request was answered before; carries how."""

    def __init__(self, answered: Answered) -> None:
        super().__init__()
        self.answered = answered


class Exchange:
    """One request that may be sent again; without a key, every method does nothing.

    `resource_id` is the id for what it makes; a view that makes or changes something of another id says so in
    `made_id`. Where `replays` is true nothing may be stored: the body is read only to be compared.
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
            self._reserve(key)

    def renewing(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the blocks of a body and hold on to the key meanwhile."""
        for block in blocks:
            if self._name and not self.replays and time.monotonic() > self._renew_at:
                self._renew_at = time.monotonic() + LEASE_SECONDS / 4
                self._store.reserve(self._name, caller().owner, self._token, self.resource_id)
            yield block

    def seal(self, asked: Mapping[str, Any]) -> None:
        """Say what the body asks for, before anything is done.

        Raises KeyReusedError when the key was used for something else, AnsweredBeforeError when it was for this, and
        KeyInvalidError when the API key was revoked while the body came.
        """
        demand_key()
        if self._name is None:
            return
        wanted = json.dumps([request.method, request.full_path, asked], sort_keys=True)
        fingerprint = hashlib.sha256(wanted.encode()).hexdigest()
        if self._answered is None:
            same = self._store.seal(self._name, fingerprint)
        else:
            same = self._answered.fingerprint == fingerprint
        if not same:
            raise KeyReusedError("This Idempotency-Key was used for another request.")
        if self._answered is not None:
            raise AnsweredBeforeError(self._answered)

    def keep(self, response: Response) -> None:
        """Remember the answer. What it tells of is done: a Redis that dies now must not turn it into an error."""
        if self._name is None or self._kept:
            return
        self._kept = True
        try:
            self._store.answer(self._name, response.status_code, self.made_id or self.resource_id)
        except StoreUnavailableError as error:
            log.warning("answer not kept for repetitions", error=error.message)

    def give_up(self, *, forget: bool) -> None:
        """Let a request go that ends in an error; `forget` when it is certain that nothing was done."""
        if self._name is None or self.replays:
            return
        try:
            self._store.release(self._name, caller().owner, self._token, forget=forget)
        except StoreUnavailableError as error:
            log.warning("idempotency key held until its lease ends", error=error.message)

    def _reserve(self, key: str) -> None:
        if not key.isascii() or not key.isprintable() or not 0 < len(key) <= MAX_KEY_CHARACTERS:
            message = f"must be 1 to {MAX_KEY_CHARACTERS} printable ASCII characters"
            raise FieldsInvalidError([{"field": HEADER, "message": message}])
        # Hashed: a client's key has any length, and may be a secret of its own.
        name = hashlib.sha256(f"{caller().owner} {key}".encode()).hexdigest()
        reserved = self._store.reserve(name, caller().owner, self._token, self.resource_id)
        if reserved is None:
            raise KeyInUseError("A request with this Idempotency-Key is still being served.")
        self._name = name
        if isinstance(reserved, Answered):
            self._answered, self.replays = reserved, True
        else:
            self.resource_id = reserved.resource_id


def repeatable(answer_again: AnswerAgain) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Give a view an Exchange as its first argument, and remember what it did; `answer_again` answers repetitions."""

    def wrapped(view: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(view)
        def served(**arguments: Any) -> Response:
            exchange = Exchange(services().idempotency, request.headers.get(HEADER))
            try:
                response = view(exchange, **arguments)
            except AnsweredBeforeError as before:
                return _answer_again(before.answered, answer_again)
            except StemqueueError as error:
                # With Redis or storage away nobody knows what was done; and another's key is not ours to forget.
                exchange.give_up(forget=not isinstance(error, TransientError | KeyReusedError))
                raise
            except BaseException:
                exchange.give_up(forget=False)
                raise
            exchange.keep(response)
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
            message = f"This request was answered before; what it was about, {answered.made_id}, was deleted since."
            raise RepeatedTooLateError(message) from error
    response.headers[REPLAYED] = "true"
    return response


def _unpack(answer: str) -> Response:
    """Read an answer as versions before this one kept it, whole."""
    status, headers, body = json.loads(zlib.decompress(base64.b64decode(answer)))
    return Response(body, status=status, headers=headers)
