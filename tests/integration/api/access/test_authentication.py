"""API keys, their scopes, and the owners of jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from api.access.authentication import keys_required, needed_scope
from api.app import create_app
from shared import api_keys
from shared.api_keys import ApiKeys
from shared.maintenance.admin_command import main
from shared.redis_client.connection import connect
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit

EVERYWHERE = "0.0.0.0"  # noqa: S104 - never listened on
OPEN = ["/", "/healthz", "/docs", "/v1/openapi.json", "/static/page.js"]


@pytest.fixture
def keys(settings: Settings) -> ApiKeys:
    return ApiKeys(settings)


@pytest.fixture
def locked(settings: Settings) -> FlaskClient:
    """The application with keys required for every call."""
    return create_app(settings.model_copy(update={"api_keys_required": True})).test_client()


def bearer(keys: ApiKeys, owner: str = "anna", *scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.create(owner=owner, scopes=scopes or ('submit', 'read'))[1]}"}


def test_keys_are_required_unless_only_this_machine_can_call() -> None:
    def required(**changes: Any) -> bool:
        return keys_required(Settings(**changes))

    assert not required()
    assert not required(api_host="::1")
    assert required(api_host=EVERYWHERE)
    assert required(api_host="192.0.2.7", api_published_address="")
    assert not required(api_host=EVERYWHERE, api_published_address="127.0.0.1")
    assert required(api_host=EVERYWHERE, api_published_address="192.0.2.7")
    assert required(api_keys_required=True)
    assert not required(api_host=EVERYWHERE, api_keys_required=False)


@pytest.mark.usefixtures("stand_in")
def test_without_a_key_a_locked_server_shows_its_page_and_its_health_and_nothing_else(locked: FlaskClient) -> None:
    for path in OPEN:
        assert locked.get(path).status_code == 200
    for call in ("GET /v1/jobs", "POST /v1/jobs", "POST /v1/uploads", "GET /v1/engines", "GET /metrics"):
        method, path = call.split()
        answer = locked.open(path, method=method)
        assert (answer.status_code, answer.json["code"]) == (401, "key_missing")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.usefixtures("stand_in")
def test_every_route_but_the_page_and_the_documents_needs_a_scope(locked: FlaskClient) -> None:
    app = locked.application
    unlocked = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if needed_scope(app.view_functions[rule.endpoint], rule.endpoint.rpartition(".")[0] or None, "GET") is None
    }
    pages = {"/", "/jobs/<address>", "/batches", "/batches/<address>", "/static/<path:name>"}
    documents = {"/docs", "/docs/<path:name>", "/v1/openapi.json"}
    assert unlocked == {*pages, *documents, "/healthz", "/readyz"}


@pytest.mark.parametrize(
    "given", ["Bearer", "Bearer x", "Bearer sq_000000000000_" + "a" * 43, "Basic YTpi", "sq_x", "Bearer \xe9"]
)
def test_a_key_that_is_none_is_refused_even_where_none_is_needed(
    web: FlaskClient, locked: FlaskClient, given: str
) -> None:
    for client in (web, locked):
        answer = client.get("/v1/jobs", headers={"Authorization": given})
        assert (answer.status_code, answer.json["code"]) == (401, "key_invalid")


def test_the_right_id_with_another_secret_is_no_key(locked: FlaskClient, keys: ApiKeys) -> None:
    headers = bearer(keys)
    assert locked.get("/v1/jobs", headers=headers).status_code == 200
    last = "A" if headers["Authorization"][-1] != "A" else "B"
    other = {"Authorization": headers["Authorization"][:-1] + last}
    assert locked.get("/v1/jobs", headers=other).status_code == 401


def test_scopes_say_what_a_key_may(locked: FlaskClient, keys: ApiKeys, stand_in: StandIn) -> None:
    del stand_in
    reader, sender = bearer(keys, "anna", "read"), bearer(keys, "anna", "submit")
    upload = locked.post("/v1/uploads", data=b"s\0ng", headers=sender).json["upload_id"]
    job = {"source": {"upload_id": upload}}
    made = locked.post("/v1/jobs", json=job, headers=sender)
    assert made.status_code == 202
    path = made.headers["Location"]
    assert locked.get(path, headers=reader).json["state"] == "queued"
    for method, address in (("GET", path), ("GET", "/v1/jobs"), ("GET", "/v1/engines")):
        answer = locked.open(address, method=method, headers=sender)
        assert (answer.status_code, answer.json["code"]) == (403, "scope_missing")
    for method, address in (("DELETE", path), ("POST", f"{path}/cancel"), ("POST", "/v1/uploads")):
        answer = locked.open(address, method=method, headers=reader)
        assert (answer.status_code, answer.json["code"]) == (403, "scope_missing")
    assert locked.get("/metrics", headers=reader).status_code == 403
    assert locked.get("/metrics", headers=bearer(keys, "root", "admin")).status_code == 200
    watcher = bearer(keys, "prometheus", "metrics")
    assert locked.get("/metrics", headers=watcher).status_code == 200
    for address in ("/v1/jobs", "/v1/engines", path):
        assert locked.get(address, headers=watcher).status_code == 403


def test_somebody_elses_job_is_not_there(locked: FlaskClient, keys: ApiKeys, stand_in: StandIn) -> None:
    anna, bert, admin = bearer(keys, "anna"), bearer(keys, "bert"), bearer(keys, "root", "admin")
    upload = locked.post("/v1/uploads", data=b"s\0ng", headers=anna).json["upload_id"]
    job = locked.post("/v1/jobs", json={"source": {"upload_id": upload}}, headers=anna).json
    stand_in.succeed(job["id"])
    path = job["links"]["self"]
    addresses = ["", "/stems/vocals", "/pictures/spectrogram", "/waveforms/vocals", "/report", "/source"]
    for address in addresses:
        assert locked.get(path + address, headers=anna).status_code == 200
        answer = locked.get(path + address, headers=bert)
        assert (answer.status_code, answer.json["code"]) == (404, "job_not_found")
    for method, address in (("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry")):
        assert locked.open(path + address, method=method, headers=bert).status_code == 404
    answer = locked.post("/v1/jobs", json={"source": {"upload_id": upload}}, headers=bert)
    assert (answer.status_code, answer.json["code"]) == (410, "source_missing")
    assert locked.get("/v1/jobs", headers=bert).json["jobs"] == []
    assert locked.get(f"/v1/jobs?starting_after={job['id']}", headers=bert).status_code == 422
    assert [j["id"] for j in locked.get("/v1/jobs", headers=admin).json["jobs"]] == [job["id"]]
    assert locked.delete(path, headers=admin).status_code == 204


def test_jobs_made_without_a_key_are_no_strangers_to_a_key_for_the_same_owner(
    web: FlaskClient, keys: ApiKeys, stand_in: StandIn
) -> None:
    del stand_in
    path = submit(web).headers["Location"]
    assert web.get(path, headers=bearer(keys, "local")).status_code == 200
    assert web.get(path, headers=bearer(keys, "bert")).status_code == 404


def test_a_poll_with_a_key_stays_one_call_to_redis(
    locked: FlaskClient, keys: ApiKeys, stand_in: StandIn, settings: Settings
) -> None:
    headers = bearer(keys)
    upload = locked.post("/v1/uploads", data=b"s\0ng", headers=headers).json["upload_id"]
    path = locked.post("/v1/jobs", json={"source": {"upload_id": upload}}, headers=headers).headers["Location"]
    del stand_in
    assert locked.get(path, headers=headers).status_code == 200
    with connect(settings) as redis:
        redis.config_resetstat()
        for _ in range(10):
            assert locked.get(path, headers=headers).status_code == 200
        calls = {name: told["calls"] for name, told in redis.info("commandstats").items()}
    assert calls["cmdstat_evalsha"] == 10
    assert "cmdstat_hgetall" not in calls, "none for the key"


def test_a_revoked_key_ends_once_processes_have_forgotten_it(
    locked: FlaskClient, keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "CACHE_SECONDS", 0.0)
    key, text = keys.create(owner="anna", scopes=["read"])
    headers = {"Authorization": f"Bearer {text}"}
    assert locked.get("/v1/jobs", headers=headers).status_code == 200
    assert keys.revoke(key.id)
    assert not keys.revoke(key.id)
    assert locked.get("/v1/jobs", headers=headers).status_code == 401
    assert keys.list() == []


def test_redis_holds_no_key_that_could_be_used(keys: ApiKeys, settings: Settings) -> None:
    _, text = keys.create(owner="anna", scopes=["read"], label="laptop")
    with connect(settings) as redis:
        held = "".join(str(redis.hgetall(name)) for name in redis.scan_iter("*key:*"))
    assert "laptop" in held
    assert text.rsplit("_", 1)[1] not in held
    assert len(text) > 43


def test_an_operator_makes_shows_and_revokes_keys(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, locked: FlaskClient
) -> None:
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    run = CliRunner().invoke
    made = run(main, ["keys", "create", "--owner", "anna", "--scope", "read", "--label", "laptop"])
    text = made.stdout.strip()
    assert locked.get("/v1/jobs", headers={"Authorization": f"Bearer {text}"}).status_code == 200
    listed = run(main, ["keys", "list"]).stdout
    key_id = text.split("_")[1]
    assert listed.split()[:3] == [key_id, "anna", "read"]
    assert listed.rstrip().endswith("laptop")
    assert text not in listed
    assert run(main, ["keys", "revoke", key_id]).exit_code == 0
    assert run(main, ["keys", "list"]).stdout == ""
    assert run(main, ["keys", "revoke", key_id]).exit_code == 1
    refused = run(main, ["keys", "create", "--owner", "an:na"])
    assert refused.exit_code == 2
    assert "owner's name" in refused.stderr


@pytest.mark.parametrize("owner", ["live", "settled"])
def test_no_owner_has_the_name_of_an_index_of_all_batches(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, locked: FlaskClient, owner: str
) -> None:
    """Such an owner would see the batches of every other one."""
    keys = ApiKeys(settings)
    with pytest.raises(ValueError, match="reserved"):
        keys.create(owner=owner, scopes=["read"])
    with monkeypatch.context() as earlier:
        earlier.setattr(api_keys, "RESERVED_OWNERS", frozenset())
        _, text = keys.create(owner=owner, scopes=["read"])
    answer = locked.get("/v1/batches", headers={"Authorization": f"Bearer {text}"})
    assert (answer.status_code, answer.json["code"]) == (401, "key_invalid")


def test_the_document_tells_which_scope_a_call_needs(web: FlaskClient) -> None:
    document: dict[str, Any] = web.get("/v1/openapi.json").json
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    jobs = document["paths"]["/v1/jobs"]
    assert jobs["get"]["security"] == [{"key": ["read"]}, {}]
    assert jobs["post"]["security"] == [{"key": ["submit"]}, {}]
    assert "401" in jobs["get"]["responses"]
    assert "security" not in document["paths"]["/healthz"]["get"]


REVOKED_SECONDS = 5.0
"""After this time a revoked key gets no more data."""


@pytest.fixture
def opened(settings: Settings, keys: ApiKeys) -> tuple[str, dict[str, str]]:
    """A key of the owner `local`: its id, and the headers that send it."""
    del settings
    key, text = keys.create(owner="local", scopes=["read", "submit"])
    return key.id, {"Authorization": f"Bearer {text}"}


def test_an_open_stream_and_a_long_poll_end_with_their_key(
    api_url: str, web: FlaskClient, stand_in: StandIn, keys: ApiKeys, opened: tuple[str, dict[str, str]]
) -> None:
    key_id, headers = opened
    job_id = str(submit(web).json["id"])
    stand_in.queue.dispatch()
    address = f"{api_url}/v1/jobs/{job_id}"
    with (
        ThreadPoolExecutor(1) as pool,
        httpx2.stream("GET", f"{address}/events", headers=headers, timeout=60) as stream,
    ):
        waits = pool.submit(httpx2.get, address, headers={**headers, "Prefer": "wait=55"}, timeout=60)
        lines = stream.iter_lines()
        assert any(line.startswith("data:") for line in lines), "it was told of the job"
        keys.revoke(key_id)
        time.sleep(REVOKED_SECONDS)
        stand_in.succeed(job_id)
        assert not [line for line in lines if "succeeded" in line]
        refused = waits.result()
    assert (refused.status_code, refused.json()["code"]) == (401, "key_invalid")


@pytest.mark.parametrize("name", ["stems/vocals", "archive"])
def test_a_download_breaks_off_with_its_key(
    api_url: str, stand_in: StandIn, keys: ApiKeys, opened: tuple[str, dict[str, str]], name: str
) -> None:
    key_id, headers = opened
    made = httpx2.post(f"{api_url}/v1/jobs", files={"file": ("a.mp3", b"a\0song")}, headers=headers, timeout=60)
    job_id = made.json()["id"]
    stand_in.queue.dispatch()
    size_bytes = 48_000_000  # more than the sockets hold
    stand_in.succeed(job_id, b"s" * size_bytes)
    with httpx2.stream("GET", f"{api_url}/v1/jobs/{job_id}/{name}", headers=headers, timeout=60) as stream:
        blocks = stream.iter_bytes(65_536)
        assert next(blocks)
        keys.revoke(key_id)
        time.sleep(REVOKED_SECONDS)
        with pytest.raises(httpx2.RemoteProtocolError):
            list(blocks)
        assert stream.num_bytes_downloaded < size_bytes


def test_an_upload_whose_key_is_revoked_meanwhile_is_not_taken(
    api_url: str, stand_in: StandIn, keys: ApiKeys, opened: tuple[str, dict[str, str]]
) -> None:
    key_id, headers = opened

    def body() -> Iterator[bytes]:
        yield b"s\0ng"
        time.sleep(2)  # the key was looked up when the request began
        keys.revoke(key_id)
        time.sleep(REVOKED_SECONDS)
        yield b"s\0ng"

    refused = httpx2.post(f"{api_url}/v1/uploads", content=body(), headers=headers, timeout=60)
    assert (refused.status_code, refused.json()["code"]) == (401, "key_invalid")
    assert stand_in.keys() == []
