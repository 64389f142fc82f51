"""Where Redis is and how one gets in, read from one URL: by password or ACL user, over TLS, through Sentinel.

    redis://user:password@host:6379/0
    rediss://…?ssl_ca_certs=/path/ca.pem                         TLS; the server's certificate is always checked
    sentinel://user:password@one:26379;sentinel://two:26379/0    ask these which server is the master
    sentinels://…                                                likewise, all of it over TLS

Owns the reading, and no connection (connection.py). Errors never repeat the URL: it holds a password.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "sentinels": 26379}
"""Each scheme that is understood, and its port where a URL names none."""

FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""Files of TLS that a URL's query may name, as redis-py and kombu both spell them."""


@dataclass(frozen=True)
class RedisAddress:
    """Servers, or Sentinels that know them, and what it takes to be let in."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    username: str | None
    password: str | None = field(repr=False)
    database: int
    tls: dict[str, Any] | None
    """Options of TLS in redis-py's words; None without TLS."""

    @property
    def has_sentinels(self) -> bool:
        """Whether the hosts are Sentinels."""
        return self.scheme.startswith("sentinel")

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Read a URL, or several with `;` between. Raises ValueError with a sentence that gives no secret away."""
        parts = [_split(piece.strip()) for piece in url.split(";") if piece.strip()]
        if not parts:
            raise ValueError("the URL is empty")
        first = parts[0]
        if len({p.scheme for p in parts}) > 1:
            raise ValueError("all its URLs begin alike")
        if len(parts) > 1 and not first.scheme.startswith("sentinel"):
            raise ValueError("only Sentinels can be several")
        # What is said once holds for all, wherever it is said.
        login = next((p for p in parts if p.username or p.password), first)
        query = {name: value for p in parts for name, value in parse_qsl(p.query)}
        return cls(
            scheme=first.scheme,
            hosts=tuple((p.hostname or "127.0.0.1", p.port or PORTS[p.scheme]) for p in parts),
            username=unquote(login.username) if login.username else None,
            password=unquote(login.password) if login.password else None,
            database=_database([p.path for p in parts]),
            tls=_tls(query, wanted=first.scheme in {"rediss", "sentinels"}),
        )

    def broker_url(self) -> str:
        """Return the URL for kombu, which wants the login and the database beside every host, and no option in it."""
        login = "".join(
            [quote(self.username or "", safe=""), f":{quote(self.password, safe='')}" if self.password else ""]
        )
        # TLS goes to kombu apart: its own reading of `rediss` checks no certificate.
        scheme = "sentinel" if self.has_sentinels else "redis"
        at = f"{login}@" if login else ""
        names = [f"[{host}]" if ":" in host else host for host, _ in self.hosts]
        ports = [port for _, port in self.hosts]
        return ";".join(f"{scheme}://{at}{n}:{p}/{self.database}" for n, p in zip(names, ports, strict=True))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("its host or port cannot be read; a password wants %-escapes") from None
    if parts.scheme not in PORTS:
        raise ValueError(f"it begins with {', '.join(f'{scheme}://' for scheme in PORTS)}")
    return parts


def _database(paths: list[str]) -> int:
    named = {path.strip("/") for path in paths} - {""}
    if not named:
        return 0
    if len(named) > 1 or not min(named).isdecimal():
        raise ValueError("its path is the number of one database")
    return int(min(named))


def _tls(query: dict[str, str], *, wanted: bool) -> dict[str, Any] | None:
    if unknown := sorted(query.keys() - {*FILES, "ssl_cert_reqs", "ssl_check_hostname"}):
        raise ValueError(f"it has the option {unknown[0]!r}, which is unknown")
    if not wanted:
        if query:
            raise ValueError("options of TLS want rediss:// or sentinels://")
        return None
    needs = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    checks = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
    if needs not in checks:
        raise ValueError("ssl_cert_reqs is required or none")
    named = query.get("ssl_check_hostname", "true").lower() not in {"false", "0", "no"}
    options = {name: query[name] for name in FILES if name in query}
    return {**options, "ssl_cert_reqs": checks[needs], "ssl_check_hostname": named and needs == "required"}
