"""Receivers and servers that drip: they delay nobody else, and each exchange ends by its deadline."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.services import EXTENSION, Services
from api.webhooks import delivery
from shared.api_keys import ApiKeys
from shared.jobs.request import JobRequest, Source
from shared.settings import Settings
from tests.fixtures.api import StandIn
from tests.fixtures.network.dripping import DRIPS_SECONDS, OPENINGS, Dripping, dripping

SOON_SECONDS = 12.0
"""Less than a try may take: what arrives by then did not wait for one to end."""

ENDED_SECONDS = DRIPS_SECONDS / 2


@pytest.fixture
def services(settings: Settings) -> Services:
    secret = f"whsec_{base64.b64encode(bytes(24)).decode()}"
    changes = {"webhook_secrets": secret, "outgoing_to_loopback": True, "webhook_retry_seconds": "3600"}
    found: Services = create_app(settings.model_copy(update=changes)).extensions[EXTENSION]
    return found


@contextmanager
def receiving() -> Iterator[tuple[str, list[str]]]:
    """Run a receiver that answers at once; give its URL and the jobs that it was told of."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["data"]["id"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", told
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def sending(services: Services) -> Iterator[None]:
    stopped = Event()
    services.webhooks.start_threads(stopped.is_set)
    yield
    stopped.set()


def ended_job(stand_in: StandIn, owner: str, url: str) -> str:
    source = Source("uploads/x", "x.wav", 1)
    job = stand_in.store.submit(JobRequest(source=source, engine="repetition", owner=owner, webhook_url=url))
    stand_in.store.cancel(job.id)
    return job.id


def until(reached: Any, seconds: float) -> bool:
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if reached():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("where", ["head", "tls"])
def test_four_receivers_that_drip_delay_no_other_owner(services: Services, stand_in: StandIn, where: str) -> None:
    with ExitStack() as stack:
        url, told = stack.enter_context(receiving())
        slow = [stack.enter_context(dripping(where)) for _ in range(4)]
        for _ in range(10):
            for receiver in slow:
                ended_job(stand_in, "anna", receiver.url)
        stack.enter_context(sending(services))
        assert until(lambda: all(receiver.connections for receiver in slow), SOON_SECONDS)
        theirs = ended_job(stand_in, "ben", url)
        hers = ended_job(stand_in, "anna", url)
        assert until(lambda: set(told) == {theirs, hers}, SOON_SECONDS), told
        assert all(receiver.most_at_once <= delivery.MAX_PER_HOST for receiver in slow)


def test_an_owner_has_a_bounded_part_of_a_process(services: Services, stand_in: StandIn) -> None:
    with ExitStack() as stack:
        url, told = stack.enter_context(receiving())
        slow = [stack.enter_context(dripping("head")) for _ in range(delivery.THREADS // delivery.MAX_PER_HOST + 1)]
        for receiver in slow:
            for _ in range(delivery.MAX_PER_HOST):
                ended_job(stand_in, "anna", receiver.url)
        stack.enter_context(sending(services))
        assert until(
            lambda: sum(receiver.open_connections for receiver in slow) >= delivery.MAX_PER_OWNER, SOON_SECONDS
        )
        theirs = ended_job(stand_in, "ben", url)
        assert until(lambda: told == [theirs], SOON_SECONDS)
        assert sum(receiver.open_connections for receiver in slow) <= delivery.MAX_PER_OWNER


@pytest.mark.parametrize("where", ["status line", "head", "tls"])
def test_a_try_ends_by_its_deadline(
    services: Services, stand_in: StandIn, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DELIVERY_SECONDS", 0.7)
    with dripping(where) as receiver:
        job_id = ended_job(stand_in, "anna", receiver.url)
        assert services.webhooks.deliver_one()
    (entry,) = services.deliveries.read_attempts(job_id)
    assert (entry["status"], entry["outcome"]) == (None, "failed")
    assert 700 <= entry["milliseconds"] < 1000 * ENDED_SECONDS


@pytest.mark.parametrize("where", ["body", "chunk"])
def test_the_body_of_an_answer_is_not_waited_for(services: Services, stand_in: StandIn, where: str) -> None:
    with dripping(where) as receiver:
        job_id = ended_job(stand_in, "anna", receiver.url)
        assert services.webhooks.deliver_one()
    (entry,) = services.deliveries.read_attempts(job_id)
    assert (entry["status"], entry["outcome"]) == (200, "delivered")
    assert entry["milliseconds"] < 1000 * ENDED_SECONDS


def fetch(settings: Settings, receiver: Dripping) -> tuple[float, Any]:
    changes = {"url_sources": True, "outgoing_to_loopback": True, "url_source_seconds": 0.7}
    web: FlaskClient = create_app(settings.model_copy(update=changes)).test_client()
    begun = time.monotonic()
    answer = web.post("/v1/jobs", json={"source": {"url": receiver.url}})
    return time.monotonic() - begun, answer


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("where", sorted(set(OPENINGS) - {"redirect's body"}))
def test_a_fetch_ends_by_its_deadline(settings: Settings, where: str) -> None:
    with dripping(where) as receiver:
        took, answer = fetch(settings, receiver)
    assert (answer.status_code, answer.json["code"]) == (422, "url_unreachable")
    assert 0.7 <= took < ENDED_SECONDS


@pytest.mark.usefixtures("stand_in")
def test_the_bodies_of_redirects_are_not_read(settings: Settings) -> None:
    with dripping("redirect's body") as receiver:
        took, answer = fetch(settings, receiver)
    assert answer.json["code"] == "url_refused", "it leads to itself, again and again"
    assert (took < ENDED_SECONDS, receiver.connections) == (True, 4)


def test_fetches_leave_threads_to_others(settings: Settings, stand_in: StandIn) -> None:
    """Of 8 threads the fetches of one owner hold four, and all fetches six."""
    del stand_in
    changes = {"url_sources": True, "outgoing_to_loopback": True, "url_source_seconds": 60, "api_threads": 8}
    app = create_app(settings.model_copy(update=changes))
    keys = ApiKeys(settings)

    def ask(owner: str, url: str) -> tuple[int, str | None]:
        key = keys.create(owner=owner, scopes=["submit", "read"])[1]
        headers = {"Authorization": f"Bearer {key}"}
        answer = app.test_client().post("/v1/jobs", json={"source": {"url": url}}, headers=headers)
        return answer.status_code, answer.json.get("code")

    with dripping("head") as slow:
        held = []
        for number, owner in enumerate(["anna"] * 4 + ["ben"] * 2):
            held.append(Thread(target=ask, args=(owner, slow.url)))
            held[-1].start()
            assert until(lambda count=number + 1: slow.open_connections == count, ENDED_SECONDS)
            if number == 3:
                assert ask("anna", slow.url) == (429, "too_many_open_calls")
        assert ask("carl", slow.url) == (503, "server_busy")
    for thread in held:
        thread.join()
    assert ask("anna", "http://10.0.0.1/") == (422, "url_refused"), "what has ended holds nothing"
