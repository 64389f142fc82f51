"""A Redis client has a connection for every thread of the API that calls Redis at the same moment."""

from __future__ import annotations

import pytest

from shared.redis_client.connection import connect
from shared.settings import Settings


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "sentinel://127.0.0.1:1;sentinel://127.0.0.1:2/0"])
def test_each_thread_of_the_api_gets_a_connection(url: str) -> None:
    settings = Settings(redis_url=url)
    pool = connect(settings).connection_pool
    # None of them connects before it is used. redis-py's own limit of 100 raises MaxConnectionsError here.
    made = [pool.make_connection() for _ in range(2 * settings.api_threads)]
    assert len(set(map(id, made))) == 2 * settings.api_threads
