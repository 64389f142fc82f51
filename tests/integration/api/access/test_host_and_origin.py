"""No web page can use an API without keys, and every response has the security headers."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit

PATHS = ["/", "/docs", "/healthz", "/v1/jobs", "/v1/openapi.json", "/nothing", "/static/page.js"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"])
@pytest.mark.usefixtures("stand_in")
def test_a_name_that_was_made_to_point_here_is_refused(web: FlaskClient, host: str) -> None:
    for path in PATHS:
        answer = web.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json["code"]) == (403, "host_refused")


@pytest.mark.parametrize("host", ["x@127.0.0.1", "x:y@localhost:8000", "localhost/x", "localhost?", "localhost:8000:1"])
@pytest.mark.parametrize("changes", [{}, {"api_host": "192.0.2.1", "api_keys_required": False}])
def test_a_host_with_more_than_a_name_and_a_port_is_refused(
    settings: Settings, host: str, changes: dict[str, object]
) -> None:
    answer = create_app(settings.model_copy(update=changes)).test_client().get("/v1/jobs", headers={"Host": host})
    assert (answer.status_code, answer.json["code"]) == (403, "host_refused")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "localhost", "[::1]:8000"])
@pytest.mark.usefixtures("stand_in")
def test_loopback_names_are_taken(web: FlaskClient, host: str) -> None:
    assert web.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.usefixtures("stand_in")
def test_a_proxys_name_is_taken_once_it_is_set(settings: Settings) -> None:
    web = create_app(settings.model_copy(update={"api_allowed_hosts": "Music.example, other.example"})).test_client()
    assert web.get("/v1/jobs", headers={"Host": "music.example"}).status_code == 200
    assert web.get("/v1/jobs", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_can_submit_nothing(
    web: FlaskClient, stand_in: StandIn, headers: dict[str, str]
) -> None:
    answer = web.post("/v1/jobs", data={"file": (b"", "a")}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (403, "origin_refused")
    assert stand_in.keys() == []


@pytest.mark.usefixtures("stand_in")
def test_our_own_page_can(web: FlaskClient) -> None:
    answer = web.delete(
        submit(web).headers["Location"], headers={"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 409


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.usefixtures("stand_in")
def test_every_answer_carries_the_headers(web: FlaskClient, path: str) -> None:
    headers = web.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.replace("script-src 'self' 'wasm-unsafe-eval'", "")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Request-ID"]


@pytest.mark.usefixtures("stand_in")
def test_a_harmless_request_id_is_kept_and_another_replaced(web: FlaskClient) -> None:
    assert web.get("/v1/jobs", headers={"X-Request-ID": "trace-0001"}).headers["X-Request-ID"] == "trace-0001"
    for bad in ("short", "a" * 65, "with space in", '"quoted-id"'):
        answer = web.get("/nothing", headers={"X-Request-ID": bad})
        assert answer.headers["X-Request-ID"] != bad
        assert answer.json["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ("GET /nothing", 404, "not_found"),
        ("GET /v1/jobs/not-an-id", 404, "job_not_found"),
        (f"GET /v1/jobs/{'0' * 32}", 404, "job_not_found"),
        (f"GET /v1/jobs/{'0' * 31}*", 404, "job_not_found"),
        ("PUT /v1/jobs", 405, "method_not_allowed"),
        ("GET /docs/../../secret", 404, "not_found"),
        ("GET /static/../__init__.py", 404, "not_found"),
    ],
)
@pytest.mark.usefixtures("stand_in")
def test_the_frameworks_errors_are_problem_details_too(web: FlaskClient, call: str, status: int, code: str) -> None:
    method, path = call.split()
    answer = web.open(path, method=method)
    assert (answer.status_code, answer.json["code"], answer.json["status"]) == (status, code, status)
    assert answer.content_type == "application/problem+json"


def test_a_defect_tells_its_id_and_nothing_else(settings: Settings) -> None:
    app = create_app(settings)
    app.add_url_rule("/broken", view_func=lambda: 1 / 0)
    answer = app.test_client().get("/broken")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "division" not in answer.text


ORIGIN = "https://music.example"


@pytest.fixture
def shared_web(settings: Settings) -> FlaskClient:
    return create_app(settings.model_copy(update={"api_cors_origins": f"{ORIGIN}, https://b.example"})).test_client()


@pytest.mark.usefixtures("stand_in")
def test_a_page_of_a_named_origin_may_call(shared_web: FlaskClient) -> None:
    headers = {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}
    ahead = shared_web.options(
        "/v1/jobs",
        headers={**headers, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"},
    )
    assert ahead.status_code == 204
    assert ahead.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Authorization" in ahead.headers["Access-Control-Allow-Headers"]
    answer = shared_web.post("/v1/uploads", data=b"s\0ng", headers=headers)
    assert answer.status_code == 201
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    refused = shared_web.get("/v1/jobs?limit=0", headers=headers)
    assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN, "a page may read what was wrong"


@pytest.mark.parametrize("origin", ["https://evil.example", "https://music.example.evil.example", "null", "*"])
@pytest.mark.usefixtures("stand_in")
def test_a_page_of_any_other_origin_may_not(shared_web: FlaskClient, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = shared_web.open(
            "/v1/uploads", method=method, headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )
        assert (answer.status_code, answer.json["code"]) == (403, "origin_refused")
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.usefixtures("stand_in")
def test_no_page_may_call_unless_origins_are_named(web: FlaskClient) -> None:
    headers = web.get("/v1/jobs").headers
    assert not [name for name, _ in headers if name.startswith("Access-Control")]
