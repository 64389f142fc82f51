"""Webhooks to a real receiver: signed as Standard Webhooks, retried, ended by 410, never redirected, logged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.services import EXTENSION
from api.webhooks.delivery import Webhooks, decode_secret, sign
from shared.errors import StoreUnavailableError
from shared.settings import Settings
from tests.fault.support.proxy import Proxy
from tests.fixtures.api import StandIn, submit
from tests.fixtures.batches import Catalog
from tests.fixtures.servers import BUCKET

SECRETS = [f"whsec_{base64.b64encode(bytes([n]) * 24).decode()}" for n in (1, 2)]


@dataclass
class Receiver:
    """A client's server. It responds with the given statuses, then with 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            receiver.before_answer()
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sending(settings: Settings) -> FlaskClient:
    update = {
        "webhook_secrets": ",".join(SECRETS),
        "webhook_retry_seconds": "0.05,0.05",
        "outgoing_to_loopback": True,
    }
    return create_app(settings.model_copy(update=update)).test_client()


def webhooks(web: FlaskClient) -> Webhooks:
    found: Webhooks = web.application.extensions[EXTENSION].webhooks
    return found


def deliver_all(web: FlaskClient) -> None:
    """Deliver messages until none has been due for a while."""
    idle_since = time.monotonic()
    while time.monotonic() - idle_since < 0.3:
        if webhooks(web).deliver_one():
            idle_since = time.monotonic()
        time.sleep(0.02)


def log_of(web: FlaskClient, job_id: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = web.get(f"/v1/jobs/{job_id}/deliveries").json["deliveries"]
    return entries


def ended_job(web: FlaskClient, stand_in: StandIn, url: str) -> str:
    job_id = str(submit(web, webhook_url=url, metadata='{"album": 7}').json["id"])
    stand_in.queue.dispatch()
    stand_in.succeed(job_id)
    return job_id


def test_an_end_is_told_once_and_signed(sending: FlaskClient, stand_in: StandIn, receiver: Receiver) -> None:
    job_id = ended_job(sending, stand_in, receiver.url)
    deliver_all(sending)
    ((headers, body),) = receiver.got
    told = json.loads(body)
    assert told["type"] == "job.succeeded"
    expected = {
        "id": job_id,
        "state": "succeeded",
        "error": None,
        "metadata": {"album": 7},
        "url": f"/v1/jobs/{job_id}",
    }
    assert told["data"] == expected
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for secret, signature in zip(SECRETS, headers["webhook-signature"].split(" "), strict=True):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert signature == f"v1,{digest}"
    (entry,) = log_of(sending, job_id)
    assert (entry["outcome"], entry["status"], entry["attempt"]) == ("delivered", 204, 1)


def test_a_failed_delivery_is_tried_again_under_the_same_id(
    sending: FlaskClient, stand_in: StandIn, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302]
    job_id = ended_job(sending, stand_in, receiver.url)
    deliver_all(sending)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    outcomes = [(e["status"], e["outcome"]) for e in log_of(sending, job_id)]
    assert outcomes == [(500, "failed"), (302, "failed"), (204, "delivered")], "a redirect is not followed"


@pytest.mark.parametrize(("statuses", "outcome", "tries"), [([410], "unwanted", 1), ([500] * 9, "given_up", 3)])
def test_deliveries_end(
    sending: FlaskClient, stand_in: StandIn, receiver: Receiver, *, statuses: list[int], outcome: str, tries: int
) -> None:
    receiver.statuses = statuses
    job_id = ended_job(sending, stand_in, receiver.url)
    deliver_all(sending)
    log = log_of(sending, job_id)
    assert (len(receiver.got), len(log), log[-1]["outcome"]) == (tries, tries, outcome)


def test_each_end_of_a_job_is_told(sending: FlaskClient, stand_in: StandIn, receiver: Receiver) -> None:
    job_id = str(submit(sending, webhook_url=receiver.url).json["id"])
    sending.post(f"/v1/jobs/{job_id}/cancel")
    sending.post(f"/v1/jobs/{job_id}/retry")
    stand_in.queue.dispatch()
    stand_in.fail(job_id)
    deliver_all(sending)
    told = [json.loads(body) for _, body in receiver.got]
    assert [t["type"] for t in told] == ["job.canceled", "job.failed"]
    assert told[1]["data"]["error"]["code"] == "audio_unreadable"


def test_a_delivery_whose_process_died_is_made_by_another(
    sending: FlaskClient, stand_in: StandIn, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.webhooks.outbox.LEASE_SECONDS", 0.1)
    job_id = ended_job(sending, stand_in, receiver.url)
    store = sending.application.extensions[EXTENSION].deliveries
    assert store.take_due_message().job_id == job_id
    assert store.take_due_message() is None, "while one has it no other does"
    time.sleep(0.15)
    deliver_all(sending)
    assert len(receiver.got) == 1


def test_a_delivery_whose_end_redis_does_not_hear_is_made_again_under_the_same_id(
    settings: Settings, stand_in: StandIn, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis goes away while the receiver has the message. That is no failed attempt, and it is not given up."""
    monkeypatch.setattr("api.webhooks.outbox.LEASE_SECONDS", 0.1)
    address = urlsplit(settings.redis_url)
    with Proxy(address.port or 6379) as cable:
        reached = address._replace(netloc=address.netloc.replace(f":{address.port}", f":{cable.port}")).geturl()
        update = {"redis_url": reached, "webhook_secrets": SECRETS[0], "webhook_retry_seconds": ""}
        web = create_app(settings.model_copy(update={**update, "outgoing_to_loopback": True})).test_client()

        def cut() -> None:
            cable.mode = "refuse"
            cable.reset_all()

        receiver.before_answer = cut
        job_id = ended_job(web, stand_in, receiver.url)
        with pytest.raises(StoreUnavailableError):
            webhooks(web).deliver_one()
        with pytest.raises(StoreUnavailableError):
            webhooks(web).deliver_one()
        receiver.before_answer = lambda: None
        cable.mode = "pass"
        deliver_all(web)
        assert len(receiver.got) == 2
        assert len({(headers["webhook-id"], body) for headers, body in receiver.got}) == 1
        assert [(e["outcome"], e["attempt"]) for e in log_of(web, job_id)] == [("delivered", 1)]


def test_no_webhook_leads_into_private_networks(settings: Settings, stand_in: StandIn, receiver: Receiver) -> None:
    web = create_app(settings.model_copy(update={"webhook_secrets": SECRETS[0]})).test_client()
    job_id = ended_job(web, stand_in, receiver.url)
    deliver_all(web)
    assert receiver.got == []
    assert log_of(web, job_id)[0]["error"] == "The URL does not lead to a public address."
    refused = submit(web, webhook_url="file:///etc/passwd")
    assert (refused.status_code, refused.json["code"]) == (422, "url_refused")


def test_of_a_deleted_job_nothing_is_told_or_kept(sending: FlaskClient, stand_in: StandIn, receiver: Receiver) -> None:
    job_id = ended_job(sending, stand_in, receiver.url)
    assert sending.delete(f"/v1/jobs/{job_id}").status_code == 204
    deliver_all(sending)
    assert receiver.got == []
    assert stand_in.store._redis.keys("sq:*webhook*") == stand_in.store._redis.keys("sq:deliver*") == []


def test_a_server_without_a_secret_sends_none(web: FlaskClient, stand_in: StandIn) -> None:
    del stand_in
    refused = submit(web, webhook_url="https://example.com/hook")
    assert refused.json["errors"][0]["field"] == "webhook_url"


def test_the_signature_is_the_standards_example() -> None:
    secret = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["plain", "whsec_!", "whsec_YQ==", "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"])
def test_a_bad_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="WEBHOOK_SECRETS") as refused:
        decode_secret(secret)
    assert secret not in str(refused.value).replace("whsec_ ", "")


def test_the_end_of_a_batch_is_told_once_with_its_counts(
    sending: FlaskClient, stand_in: StandIn, receiver: Receiver
) -> None:
    catalog = Catalog(stand_in.settings.model_copy(update={"s3_source_buckets": BUCKET}), sending, stand_in)
    upload = sending.post("/v1/uploads", data=b"s\0ng").json["upload_id"]
    items = [{"source": {"upload_id": upload}}, {"source": {"upload_id": upload}}, {"source": {}}]
    batch = catalog.submit(items=items, webhook_url=receiver.url, name="album")
    catalog.feed()
    stand_in.succeed(stand_in.published_ids()[0])
    deliver_all(sending)
    assert receiver.got == [], "it has not ended"
    catalog.work_off(batch["id"])
    deliver_all(sending)
    ((headers, body),) = receiver.got
    told = json.loads(body)
    assert told["type"] == "batch.ended"
    assert {k: told["data"][k] for k in ("id", "name", "state", "total", "url")} == {
        "id": batch["id"],
        "name": "album",
        "state": "ended",
        "total": 3,
        "url": f"/v1/batches/{batch['id']}",
    }
    assert (told["data"]["counts"]["succeeded"], told["data"]["counts"]["invalid"]) == (2, 1)
    expected = sign([decode_secret(s) for s in SECRETS], headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected
