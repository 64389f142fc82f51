"""While traces are off, a request runs no code of theirs. What a submission runs passes the client's headers on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from flask.testing import FlaskClient

import shared.telemetry
from api.app import create_app
from api.monitoring import request_trace
from shared.settings import Settings
from shared.telemetry import tracing
from tests.fixtures.api import StandIn, submit

TELEMETRY = shared.telemetry.__path__[0]


@pytest.fixture
def job_id(web: FlaskClient, stand_in: StandIn) -> str:
    """A job that has ended, so that all of a job's reads have something to read."""
    job_id = str(submit(web).json["id"])
    stand_in.queue.dispatch()
    stand_in.succeed(job_id)
    return job_id


def calls_of_telemetry(action: Callable[[], object]) -> list[str]:
    """Return the functions of telemetry, OpenTelemetry's and Sentry's included, that an action calls."""
    found = list[str]()

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        is_ours = path.startswith(TELEMETRY) or path == request_trace.__file__
        if event == "call" and (is_ours or "/opentelemetry/" in path or "/sentry_sdk/" in path):
            found.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("path", ["", "/stems/vocals", "/report", "/events"])
def test_a_read_runs_no_code_of_telemetry(web: FlaskClient, job_id: str, path: str) -> None:
    assert calls_of_telemetry(lambda: web.get(f"/v1/jobs/{job_id}{path}").get_data()) == []


def test_a_submission_only_passes_the_client_s_headers_on(web: FlaskClient, stand_in: StandIn) -> None:
    del stand_in
    called = calls_of_telemetry(lambda: submit(web))
    of_client, of_nobody = {"received_headers", "headers"}, {"span", "__enter__", "__exit__", "message_attributes"}
    # Older Pythons call a comprehension.
    assert set(called) - {"<dictcomp>"} == of_client | of_nobody
    assert len(called) < 20, called


def test_such_code_is_seen_where_traces_are_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks above can fail."""
    monkeypatch.setattr(tracing, "is_on", lambda: True)
    web = create_app(settings).test_client()
    assert {"begin", "span", "end", "forget"} <= set(calls_of_telemetry(lambda: web.get("/v1/jobs/unknown")))
