"""Authenticates requests by API key and checks the key's scope.

A key that is revoked stops long requests too: waits, event streams, uploads and downloads check it again while they
run. A route without an OpenAPI description is open to operators only, so a route that somebody forgot is closed.
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
"""The owner of jobs that are submitted without a key. `stemqueue-admin keys create` makes keys for this owner by
default, so that they see the jobs from before."""

PAGE_BLUEPRINTS = frozenset({"web", "documentation"})
"""The web page and the documentation. They contain no owner's data, and the page must load to ask for a key."""


@dataclass(frozen=True)
class Caller:
    """Who makes a request. `key_id` is None for programs of this machine, which need no key."""

    owner: str
    scopes: frozenset[str]
    key_id: str | None = None

    def may(self, scope: str) -> bool:
        """Return whether the caller has a scope."""
        return scope in self.scopes or "admin" in self.scopes

    def may_see(self, owner: str) -> bool:
        """Return whether the caller may see what belongs to this owner."""
        return owner == self.owner or "admin" in self.scopes


OPERATE = "operate"
"""The scope of endpoints about the whole server. Keys with `admin` have it, and so do programs of this machine."""

LOCAL = Caller(LOCAL_OWNER, frozenset({"submit", "read", "metrics", OPERATE}))

SCOPE_ATTRIBUTE = "_stemqueue_scope"
"""Attribute of a view without an OpenAPI description: the scope that it needs."""


def keys_required(settings: Settings) -> bool:
    """Return whether every request needs a key. By default it does if other machines can reach the API."""
    if settings.api_keys_required is not None:
        return settings.api_keys_required
    return not listens_on_loopback(settings)


def register_authentication(app: Flask, settings: Settings, keys: ApiKeys) -> None:
    """Authenticate each request and check its scope. Register it after the check of Host and Origin."""
    required = keys_required(settings)

    @cache
    def scope_of(endpoint: str | None, method: str) -> str | None:
        blueprint = endpoint.rpartition(".")[0] if endpoint else None
        return needed_scope(app.view_functions.get(endpoint or ""), blueprint, method)

    @app.before_request
    def authenticate() -> None:
        scope = scope_of(request.endpoint, request.method)
        if scope is None:
            return
        found = _caller(keys, required=required)
        if not found.may(scope):
            raise ScopeMissingError(f"This API key lacks the scope {scope!r}.")
        g.caller = found

    @app.after_request
    def check_key_while_streaming(response: Response) -> Response:
        # A streamed response, such as a file or a report, is aborted once the key is revoked.
        if response.is_streamed and "key_check" in g:
            blocks = response.response
            close = getattr(blocks, "close", None)
            response.response = ClosingIterator(_checked(blocks, g.key_check), [close] if close else None)
        return response


def needs_scope(scope: str) -> Callable[[Callable[[], Response]], Callable[[], Response]]:
    """Return a decorator that names the scope of a view without an OpenAPI description."""

    def mark(view: Callable[[], Response]) -> Callable[[], Response]:
        setattr(view, SCOPE_ATTRIBUTE, scope)
        return view

    return mark


def needed_scope(view: Callable[..., Any] | None, blueprint: str | None, method: str) -> str | None:
    """Return the scope that a request needs; None for web pages and for unknown addresses."""
    if view is None or blueprint in PAGE_BLUEPRINTS or method == "OPTIONS":
        return None
    operation: Operation | None = getattr(view, ATTRIBUTE, None)
    scope: str = getattr(view, SCOPE_ATTRIBUTE, OPERATE)
    return operation.needed_scope(method) if operation else scope


def caller() -> Caller:
    """Return who makes this request."""
    return cast(Caller, g.caller)


def check_key() -> None:
    """Raise KeyInvalidError if the caller's key was revoked meanwhile. May raise StoreUnavailableError."""
    key_check()()


def key_check() -> Callable[[], None]:
    """Return `check_key` for this request's caller, which can be called while the response is sent."""
    check: Callable[[], None] = g.get("key_check", _no_key_to_check)
    return check


def _no_key_to_check() -> None:
    pass


def _checked(blocks: Iterable[Any], check: Callable[[], None]) -> Iterator[Any]:
    for block in blocks:
        check()
        yield block


def _known_key(keys: ApiKeys, text: str) -> ApiKey:
    key = keys.find(text)
    if key is None:
        raise KeyInvalidError("The API key is unknown or has been revoked.")
    return key


def _caller(keys: ApiKeys, *, required: bool) -> Caller:
    given = request.environ.get("HTTP_AUTHORIZATION")
    if given is None:
        if required:
            raise KeyMissingError("An API key is required. Send it as `Authorization: Bearer <key>`.")
        return LOCAL
    kind, _, text = given.partition(" ")
    text = text.strip() if kind.lower() == "bearer" else ""
    key = _known_key(keys, text)
    g.key_check = lambda: _known_key(keys, text)
    return Caller(key.owner, key.scopes, key.id)
