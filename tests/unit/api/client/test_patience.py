"""How long a catalog's run waits for a server that is away. Time is made up; the HTTP client is real."""

from __future__ import annotations

import httpx2
import pytest

from api.client.catalog.run import PATIENCE_SECONDS
from api.client.connection import Connection
from api.client.errors import ApiError


class MadeUpTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MadeUpTime:
    clock = MadeUpTime()
    monkeypatch.setattr("api.client.connection.time", clock)
    return clock


def connect(clock: MadeUpTime, *, away_seconds: float) -> Connection:
    """Return a connection to a server whose Redis or storage is away from now on, for so long."""
    until = clock.now + away_seconds

    def answer(_: httpx2.Request) -> httpx2.Response:
        if clock.now < until:
            return httpx2.Response(503, headers={"Retry-After": "5"}, json={"code": "storage_unavailable"})
        return httpx2.Response(200, json={})

    connection = Connection("http://127.0.0.1:1", api_key=None, patience_seconds=PATIENCE_SECONDS, timeout_seconds=5)
    connection.http = httpx2.Client(base_url=connection.url, transport=httpx2.MockTransport(answer))
    return connection


def test_a_catalog_s_run_outlasts_an_outage_of_an_hour(clock: MadeUpTime) -> None:
    assert connect(clock, away_seconds=3600).get("/v1/batches").status_code == 200


def test_it_ends_when_the_server_stays_away(clock: MadeUpTime) -> None:
    with pytest.raises(ApiError):
        connect(clock, away_seconds=10 * PATIENCE_SECONDS).get("/v1/batches")
    assert clock.now <= 1000 + PATIENCE_SECONDS
