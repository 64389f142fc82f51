"""Requests to addresses that clients name: the one way out, which reaches no private network.

Owns the guard (requests-hardened: the address that was checked is the one that is connected to, at every redirect) and
what it says when it refuses. Proxies and netrc of the environment are for others: a proxy would do the resolving.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
import urllib3
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter import InvalidIPAddress

from api.errors import UrlRefusedError, UrlUnreachableError
from shared.settings import Settings

CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 10.0
"""How long the other side may take to answer a connection, and between two pieces of its answer."""

MAX_REDIRECTS = 3

USER_AGENT = "stemqueue"


def open_session(settings: Settings, *, redirects: bool) -> requests.Session:
    """Return a session that only reaches public addresses; close it after use."""
    session: requests.Session = HTTPSession(
        Config(
            ip_filter_enable=True,
            ip_filter_allow_loopback_ips=settings.outgoing_to_loopback,
            never_redirect=not redirects,
            default_timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
            user_agent_override=USER_AGENT,
        )
    )
    session.trust_env = False
    session.max_redirects = MAX_REDIRECTS
    return session


def check_url(url: str) -> str:
    """Return the URL if it could be one of the web's; where it leads is found out when it is followed.

    Raises UrlRefusedError.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.isprintable() or parts.username is not None:
        raise UrlRefusedError("A URL begins with http:// or https://, has a host, and no user name in it.")
    return url


@contextmanager
def outgoing_faults() -> Iterator[None]:
    """Turn what can go wrong with requests within into UrlRefusedError or UrlUnreachableError."""
    try:
        yield
    except InvalidIPAddress as error:
        raise UrlRefusedError("The URL leads to an address that is not public.") from error
    except requests.TooManyRedirects as error:
        raise UrlRefusedError(f"The URL redirects more than {MAX_REDIRECTS} times.") from error
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as error:
        raise UrlRefusedError("The URL leads to something that is no web address.") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise UrlUnreachableError(f"The URL's server does not answer ({type(error).__name__}).") from error
