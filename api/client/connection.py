"""A connection to one server, which retries as the server asks.

It retries requests that the server deferred, and requests that did not reach it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from api.client.errors import ApiError, ClientError, ConnectionFailedError

DEFERRED = frozenset({429, 502, 503, 504})
"""The statuses of requests that may succeed later."""

MAX_PAUSE_SECONDS = 60.0
"""The longest pause between two tries, even if the server asks for a longer one."""

FIRST_CONTACT_SECONDS = 10.0
"""How long to try to connect to a server that has never answered; after its first answer `patience_seconds` applies."""

KEY_IN_USE = "idempotency_key_in_use"

T = TypeVar("T")


class Connection:
    """Sends requests to `url`, and retries each for up to `patience_seconds`. Raises ClientError for an invalid URL."""

    def __init__(self, url: str, *, api_key: str | None, patience_seconds: float, timeout_seconds: float) -> None:
        _check_address(url, api_key)
        self.url = url
        self.patience_seconds = patience_seconds
        self._has_answered = False
        self.trouble: str | None = None
        """While a request is being retried: its last error, as one sentence. None after a response."""
        self.http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx2.Timeout(timeout_seconds, connect=5.0),
        )

    def path_of(self, link: str) -> str:
        """Return a link from an answer as a path below `url`.

        A server below a path of its host puts that path before its links, if its setting API_PUBLIC_PATH says so.
        Raises ClientError for a link to another server, which would get the key.
        """
        if not link.startswith("/"):
            raise ClientError(f"The server at {self.url} sent a link that does not lead to itself.")
        root = urlsplit(self.url).path.rstrip("/")
        return link[len(root) :] if root and link.startswith(f"{root}/") else link

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Send a GET request, without the query members that are None."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self.send_with_retries(lambda: self.http.get(path, params=given, headers=headers), repeatable=True)

    def send(self, method: str, path: str, body: object = None, *, key: str | None = None) -> httpx2.Response:
        """Send a request that changes something. With an idempotency key it is retried in all cases."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.send_with_retries(
            lambda: self.http.request(method, path, json=body, headers=headers), repeatable=key is not None
        )

    def parse_json(self, response: httpx2.Response, parse: Callable[[Any], T]) -> T:
        """Parse the JSON of a response. Raises ClientError if it is not a response of stemqueue."""
        try:
            return parse(response.json())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ClientError(f"The server at {self.url} is not a stemqueue server.") from error

    def send_with_retries(self, send: Callable[[], httpx2.Response], *, repeatable: bool) -> httpx2.Response:
        """Send a request until it is answered, for up to `patience_seconds`.

        A request that is not `repeatable` is sent again only if it certainly had no effect: the server deferred it, or
        there was no connection. Raises ApiError, ConnectionFailedError.
        """
        begun, tries = time.monotonic(), 0
        deadline = begun + self.patience_seconds
        while True:
            tries += 1
            pause = min(5.0, 0.25 * 2 ** min(tries, 5)) * random.uniform(0.7, 1.3)  # noqa: S311 - not a secret
            try:
                response = send()
            except httpx2.TransportError as error:
                is_unreached = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                if is_unreached and not self._has_answered:
                    deadline = min(deadline, begun + FIRST_CONTACT_SECONDS)
                if not (repeatable or is_unreached) or time.monotonic() + pause > deadline:
                    raise ConnectionFailedError(_describe(self.url, error)) from error
                self.trouble = _describe(self.url, error)
            else:
                self._has_answered = True
                if response.has_redirect_location:
                    # By a proxy. Sending the request on could lose its body, and would send the key elsewhere.
                    raise ClientError(f"{self.url} leads to {response.headers['Location']}: use that server's URL.")
                if response.status_code < httpx2.codes.BAD_REQUEST:
                    self.trouble = None
                    return response
                pause = retry_after_seconds(response) or pause
                is_deferred = response.status_code in DEFERRED or _problem(response).get("code") == KEY_IN_USE
                if not is_deferred or time.monotonic() + pause > deadline:
                    raise ApiError(response.status_code, _problem(response))
                self.trouble = ApiError(response.status_code, _problem(response)).detail
            time.sleep(pause)


def retry_after_seconds(response: httpx2.Response) -> float | None:
    """Return the response's Retry-After, at most MAX_PAUSE_SECONDS; None if there is none."""
    try:
        return min(MAX_PAUSE_SECONDS, max(0.1, float(response.headers["Retry-After"])))
    except (KeyError, ValueError):
        return None


def _check_address(url: str, api_key: str | None) -> None:
    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ClientError(f"{url} is not a valid server URL ({error}).") from error
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise ClientError(f"{url} is not a valid server URL: it must begin with http:// or https:// and name a host.")
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise ClientError("The API key contains characters that no key has.")


def _problem(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _describe(url: str, error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return f"No server answers at {url}."
    if isinstance(error, httpx2.TimeoutException):
        return f"The server at {url} stopped answering."
    return f"The connection to {url} broke ({type(error).__name__})."
