"""Logs never hold what would let their reader in: a key, a signed link, a password."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from api.app import create_app
from shared.api_keys import ApiKeys
from shared.logs import configure_logging, unbind_request
from shared.settings import Settings
from tests.fixtures.api import StandIn


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    unbind_request()


def test_the_most_talkative_log_of_a_jobs_life_holds_no_secret(
    settings: Settings, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    told = settings.model_copy(
        update={"log_level": "DEBUG", "s3_public_endpoint_url": settings.s3_endpoint_url, "api_keys_required": True}
    )
    configure_logging(told, "api")
    app = create_app(told)
    app.add_url_rule("/broken", view_func=lambda: 1 / 0)
    web = app.test_client()
    _, key = ApiKeys(told).create(owner="anna", scopes=["submit", "read", "admin"])
    headers = {"Authorization": f"Bearer {key}"}
    upload = web.post("/v1/uploads?filename=a.mp3", data=b"s\0ng", headers=headers).json["upload_id"]
    job = web.post("/v1/jobs", json={"source": {"upload_id": upload}}, headers=headers).json
    stand_in.succeed(job["id"])
    link = web.get(f"/v1/jobs/{job['id']}/stems/vocals", headers=headers).headers["Location"]
    web.get("/v1/jobs", headers={"Authorization": f"Bearer {key[:-1]}~"})
    web.get(f"/v1/jobs?key={key}", headers=headers)
    assert web.get("/broken", headers=headers).status_code == 500
    lines = capsys.readouterr().err
    assert f"/v1/jobs/{job['id']}/stems/vocals" in lines
    assert "ZeroDivisionError" in lines
    assert "X-Amz-Signature" in link
    secrets = [key, key.rsplit("_", 1)[1], "X-Amz-", settings.s3_secret_access_key, settings.redis_url.split("@")[0]]
    for secret in secrets:
        assert secret
        assert secret not in lines


def test_what_watches_the_server_fills_no_log(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings, "api")
    web = create_app(settings).test_client()
    assert web.get("/readyz").status_code == 503, "there is no worker"
    for path in ("/healthz", "/metrics"):
        assert web.get(path).status_code == 200
    assert capsys.readouterr().err == ""
    web.get("/v1/nothing")
    assert "/v1/nothing" in capsys.readouterr().err
