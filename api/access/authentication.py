"""Who makes a request, and whether they may: API keys and their scopes over HTTP.

Owns which calls need what, and that a revoked key is told nothing more: whoever waits or sends for long asks again
whether it is good. A route without a description is for operators alone, so that a call that somebody forgot
to think about is closed rather than open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from flask import Flask, Response, g, request
from werkzeug.wsgi import ClosingIterator

from api.access.host_and_origin import listens_on_loopback
from api.contract.errors import KeyInvalidError, KeyMissingError, ScopeMissingError
from api.contract.openapi import ATTRIBUTE, Operation
from shared.api_keys import ApiKey, ApiKeys
from shared.settings import Settings

LOCAL_OWNER = "local"
"""Who owns jobs that are made without a key; `stemqueue-admin keys create` makes keys for the same owner unless told
otherwise, so that a server that is opened later keeps its jobs."""

PAGE_BLUEPRINTS = frozenset({"web", "documentation"})
"""The page and the documents: they hold nothing of anybody's, and the page must be there to ask for a key."""


@dataclass(frozen=True)
class Caller:
    """Who asks. `key_id` is None for those who need no key: programs of this machine."""

    owner: str
    scopes: frozenset[str]
    key_id: str | None = None

    def may(self, scope: str) -> bool:
        """Return whether the caller has a scope."""
        return scope in self.scopes or "admin" in self.scopes

    def may_see(self, owner: str) -> bool:
        """Return whether what this owner has is the caller's too."""
        return owner == self.owner or "admin" in self.scopes


OPERATE = "operate"
"""What calls need that concern the whole server; keys have it by `admin`, and programs of this machine as they are."""

LOCAL = Caller(LOCAL_OWNER, frozenset({"submit", "read", OPERATE}))


def keys_required(settings: Settings) -> bool:
    """Return whether every call needs a key: unless told otherwise, where others than this machine can call."""
    if settings.api_keys_required is not None:
        return settings.api_keys_required
    return not listens_on_loopback(settings)


def register_callers(app: Flask, settings: Settings, keys: ApiKeys) -> None:
    """Find out who makes each request, and refuse what they may not. Register it after the check of Host and Origin."""
    required = keys_required(settings)

    @cache
    def scope_of(endpoint: str | None, method: str) -> str | None:
        blueprint = endpoint.rpartition(".")[0] if endpoint else None
        return needed_scope(app.view_functions.get(endpoint or ""), blueprint, method)

    @app.before_request
    def identify() -> None:
        scope = scope_of(request.endpoint, request.method)
        if scope is None:
            return
        found = _caller(keys, required=required)
        if not found.may(scope):
            raise ScopeMissingError(f"This key has not the scope {scope!r} that this call needs.")
        g.caller = found

    @app.after_request
    def watch(response: Response) -> Response:
        # What is sent piece by piece, a file or a report, breaks off once its reader's key is revoked.
        if response.is_streamed and "key_check" in g:
            blocks = response.response
            close = getattr(blocks, "close", None)
            response.response = ClosingIterator(_checked(blocks, g.key_check), [close] if close else None)
        return response


def needed_scope(view: Callable[..., Any] | None, blueprint: str | None, method: str) -> str | None:
    """Return the scope that a call needs; None where none is asked for: of pages, and of addresses that are none."""
    if view is None or blueprint in PAGE_BLUEPRINTS or method == "OPTIONS":
        return None
    operation: Operation | None = getattr(view, ATTRIBUTE, None)
    return operation.needed_scope(method) if operation else OPERATE


def caller() -> Caller:
    """Return who makes this request."""
    return cast(Caller, g.caller)


def demand_key() -> None:
    """Raise KeyInvalidError if the caller's key was revoked since the request came. May raise StoreUnavailableError."""
    key_check()()


def key_check() -> Callable[[], None]:
    """Return `demand_key` for this request's caller, to be called while the answer goes out."""
    check: Callable[[], None] = g.get("key_check", _needs_none)
    return check


def _needs_none() -> None:
    pass


def _checked(blocks: Iterable[Any], check: Callable[[], None]) -> Iterator[Any]:
    for block in blocks:
        check()
        yield block


def _known_key(keys: ApiKeys, text: str) -> ApiKey:
    key = keys.find(text)
    if key is None:
        raise KeyInvalidError("This server knows no such API key; it may have been revoked.")
    return key


def _caller(keys: ApiKeys, *, required: bool) -> Caller:
    given = request.environ.get("HTTP_AUTHORIZATION")
    if given is None:
        if required:
            raise KeyMissingError("This server wants an API key: Authorization: Bearer <key>.")
        return LOCAL
    kind, _, text = given.partition(" ")
    text = text.strip() if kind.lower() == "bearer" else ""
    key = _known_key(keys, text)
    g.key_check = lambda: _known_key(keys, text)
    return Caller(key.owner, key.scopes, key.id)
