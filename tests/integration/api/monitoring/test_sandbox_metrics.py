"""What `/metrics` tells of the sandbox on workers' machines."""

from __future__ import annotations

from dataclasses import replace

from flask.testing import FlaskClient

from tests.fixtures.api import StandIn


def test_live_workers_are_counted_by_what_confines_their_decoders(web: FlaskClient, stand_in: StandIn) -> None:
    [first] = stand_in.workers.live_workers()
    for number in range(2):
        stand_in.workers.heartbeat(replace(first, id=f"confined-{number}", landlock=6, seccomp=True))
    told = web.get("/metrics").text
    assert 'stemqueue_worker_sandbox{landlock="6",seccomp="yes"} 2.0' in told
    assert 'stemqueue_worker_sandbox{landlock="0",seccomp="no"} 1.0' in told
    assert [w.landlock for w in stand_in.workers.live_workers() if w.seccomp] == [6, 6]
