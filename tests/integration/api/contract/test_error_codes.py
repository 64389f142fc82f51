"""Every status and code of the reference happens: those that no other test of this folder provokes, and a roll call."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from flask import abort
from flask.testing import FlaskClient
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader

from api.app import create_app
from api.server import paced_socket
from api.server.paced_socket import PacedSocket
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit

HERE = Path(__file__).parents[1]
README = (HERE.parents[2] / "api" / "README.md").read_text()


def test_each_code_in_the_table_is_provoked_by_a_test() -> None:
    table = "\n".join(re.findall(r"^\| \d{3} \| .* \|$", README, re.MULTILINE))
    tests = "".join(path.read_text() for path in HERE.parent.rglob("test_*.py") if path.name != "test_readme.py")
    codes = set(re.findall(r"`([a-z_]+)`", table))
    assert len(codes) > 30
    assert {code for code in codes if f'"{code}"' not in tests} == set()


def test_a_queue_that_is_drained_takes_nothing_new(web: FlaskClient, stand_in: StandIn) -> None:
    stand_in.queue.drain("repetition")
    refused = submit(web)
    assert (refused.status_code, refused.json["code"]) == (503, "queue_draining")
    assert int(refused.headers["Retry-After"]) > 0
    assert stand_in.keys() == []
    stand_in.queue.resume("repetition")
    assert submit(web).status_code == 202


@pytest.mark.parametrize("path", ["/v1/uploads", "/v1/jobs"])
def test_a_client_that_falls_silent_in_mid_body_is_told_and_leaves_nothing(
    web: FlaskClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(paced_socket, "GRACE_SECONDS", 0.2)
    left, theirs = socket.socketpair()
    ours = PacedSocket(left, bytes_per_second=1000)
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nhalf a song'
    with ours, theirs:
        theirs.sendall(form)
        body = Body(LengthReader(SocketUnreader(ours), 10_000))
        answer = web.post(
            path,
            headers={"Content-Length": "10000"},
            environ_overrides={
                "wsgi.input": body,
                "CONTENT_TYPE": "audio/mpeg" if path == "/v1/uploads" else "multipart/form-data; boundary=x",
            },
        )
    assert (answer.status_code, answer.json["code"]) == (408, "body_stalled")
    assert stand_in.keys() == []


def test_what_the_framework_finds_wrong_has_a_code_too(settings: Settings) -> None:
    app = create_app(settings)
    app.add_url_rule("/odd", view_func=lambda: abort(400))
    answer = app.test_client().get("/odd")
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
