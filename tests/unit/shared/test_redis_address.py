"""Which forms REDIS_URL may have, which URL Celery gets, and that errors never show the password."""

from __future__ import annotations

import ssl

import pytest
from pydantic import ValidationError

from shared.redis_address import RedisAddress
from shared.settings import Settings

AWKWARD = "p%40ss%3A%2F%3B%25%23word"


def test_a_url_without_anything_has_the_usual_port_and_the_first_database() -> None:
    address = RedisAddress.parse("redis://somewhere")
    assert (address.hosts, address.username, address.password, address.database, address.tls) == (
        (("somewhere", 6379),),
        None,
        None,
        0,
        None,
    )
    assert address.broker_url() == "redis://somewhere:6379/0"


@pytest.mark.parametrize(
    ("login", "username", "password"),
    [(":secret@", None, "secret"), (f"anna:{AWKWARD}@", "anna", "p@ss:/;%#word"), ("", None, None)],
)
def test_a_login_reaches_celery_as_it_was_given(login: str, username: str | None, password: str | None) -> None:
    address = RedisAddress.parse(f"redis://{login}host:7000/3")
    assert (address.username, address.password, address.database) == (username, password, 3)
    assert address.broker_url() == f"redis://{login}host:7000/3"


def test_an_address_of_version_six_keeps_its_brackets() -> None:
    address = RedisAddress.parse("redis://[::1]:7000/1")
    assert address.hosts == (("::1", 7000),)
    assert address.broker_url() == "redis://[::1]:7000/1"


def test_tls_checks_certificates_and_their_names_unless_told_not_to() -> None:
    assert RedisAddress.parse("rediss://host").tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    lax = RedisAddress.parse("rediss://host/0?ssl_cert_reqs=none")
    assert lax.tls == {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
    mutual = RedisAddress.parse("rediss://host?ssl_ca_certs=/ca.pem&ssl_certfile=/me.pem&ssl_keyfile=/me.key")
    assert mutual.tls is not None
    assert {mutual.tls[name] for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")} == {
        "/ca.pem",
        "/me.pem",
        "/me.key",
    }
    assert "ssl" not in mutual.broker_url(), "kombu's own reading of such options checks nothing"


def test_sentinels_share_what_one_of_their_urls_says() -> None:
    address = RedisAddress.parse("sentinel://anna:secret@one:26380;sentinel://two/2")
    assert address.has_sentinels
    assert address.hosts == (("one", 26380), ("two", 26379))
    assert address.broker_url() == "sentinel://anna:secret@one:26380/2;sentinel://anna:secret@two:26379/2"
    assert RedisAddress.parse("sentinels://one").tls is not None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "empty"),
        ("host:6379", "begin with"),
        ("http://secret@host", "begin with"),
        ("redis://:secret@one;redis://two", "only Sentinels"),
        ("sentinel://:secret@one;redis://two", "same scheme"),
        ("redis://:secret@host:port/0", "port is invalid"),
        ("redis://:secret@host/first", "must be the number of one database"),
        ("sentinel://:secret@one/1;sentinel://two/2", "must be the number of one database"),
        ("redis://:secret@host?ssl_ca_certs=/ca.pem", "need rediss"),
        ("rediss://:secret@host?ssl_cert_reqs=perhaps", "must be required or none"),
        ("rediss://:secret@host?sock=1", "unknown"),
    ],
)
def test_a_wrong_url_is_refused_at_the_start_and_its_password_kept(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        RedisAddress.parse(url)
    if url:
        with pytest.raises(ValidationError) as refused:
            Settings(redis_url=url)
        assert "secret" not in str(refused.value)
