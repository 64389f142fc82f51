"""Parses REDIS_URL: password or ACL user, TLS, Sentinels.

    redis://user:password@host:6379/0
    rediss://…?ssl_ca_certs=/path/ca.pem                         TLS; the server's certificate is checked
    sentinel://user:password@one:26379;sentinel://two:26379/0    Sentinels that name the master
    sentinels://…                                                the same over TLS

redis_client/connection.py connects. Errors never repeat the URL, because it may contain a password.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "sentinels": 26379}
"""Each supported scheme and its default port."""

FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""TLS files that the URL's query may name, spelled as in redis-py and kombu."""


@dataclass(frozen=True)
class RedisAddress:
    """The address of a server or of Sentinels, and the credentials."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    username: str | None
    password: str | None = field(repr=False)
    database: int
    tls: dict[str, Any] | None
    """The TLS options of redis-py; None without TLS."""

    @property
    def has_sentinels(self) -> bool:
        """Whether the hosts are Sentinels."""
        return self.scheme.startswith("sentinel")

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Parse one URL, or several separated by `;`. Raises ValueError, whose message contains no secret."""
        parts = [_split(piece.strip()) for piece in url.split(";") if piece.strip()]
        if not parts:
            raise ValueError("the URL is empty")
        first = parts[0]
        if len({p.scheme for p in parts}) > 1:
            raise ValueError("all its URLs must have the same scheme")
        if len(parts) > 1 and not first.scheme.startswith("sentinel"):
            raise ValueError("only Sentinels may have several URLs")
        # Credentials and options of one URL apply to all.
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
        """Return the URL for kombu, which needs the credentials and the database with every host, and no options."""
        login = "".join(
            [quote(self.username or "", safe=""), f":{quote(self.password, safe='')}" if self.password else ""]
        )
        # TLS options are passed separately, because kombu checks no certificate for a `rediss` URL.
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
        raise ValueError("its host or port is invalid; escape special characters of the password with %") from None
    if parts.scheme not in PORTS:
        raise ValueError(f"it must begin with one of {', '.join(f'{scheme}://' for scheme in PORTS)}")
    return parts


def _database(paths: list[str]) -> int:
    named = {path.strip("/") for path in paths} - {""}
    if not named:
        return 0
    if len(named) > 1 or not min(named).isdecimal():
        raise ValueError("its path must be the number of one database")
    return int(min(named))


def _tls(query: dict[str, str], *, wanted: bool) -> dict[str, Any] | None:
    if unknown := sorted(query.keys() - {*FILES, "ssl_cert_reqs", "ssl_check_hostname"}):
        raise ValueError(f"its option {unknown[0]!r} is unknown")
    if not wanted:
        if query:
            raise ValueError("TLS options need rediss:// or sentinels://")
        return None
    needs = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    checks = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
    if needs not in checks:
        raise ValueError("ssl_cert_reqs must be required or none")
    named = query.get("ssl_check_hostname", "true").lower() not in {"false", "0", "no"}
    options = {name: query[name] for name in FILES if name in query}
    return {**options, "ssl_cert_reqs": checks[needs], "ssl_check_hostname": named and needs == "required"}
