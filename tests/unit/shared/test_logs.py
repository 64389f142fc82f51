"""Each log event is one line in one format, whichever library writes it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import structlog

from shared import logs
from shared.logs import bind_request, configure_logging, unbind_request
from shared.settings import Settings


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    unbind_request()


def test_ours_and_a_librarys_lines_are_json_and_carry_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"), "api")
    bind_request("r-1")
    structlog.get_logger().info("ours", filename="a\nb")
    logging.getLogger("celery").warning("theirs %s", 1)
    unbind_request()
    structlog.get_logger().info("later")
    ours, theirs, later = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["filename"], ours["request_id"], ours["service"]) == ("ours", "a\nb", "r-1", "api")
    assert (theirs["event"], theirs["level"], theirs["request_id"]) == ("theirs 1", "warning", "r-1")
    assert "request_id" not in later


def test_a_file_name_cannot_forge_a_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="text"), "api")
    structlog.get_logger().info("accepted", filename="a\nb\x1b[2J\u2028.mp3")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "\x1b" not in lines[0]


def test_the_level_holds_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="warning"), "worker")
    structlog.get_logger().info("small talk")
    logging.getLogger("anything").info("small talk")
    structlog.get_logger().warning("heard")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_exceptions_traceback_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"), "api")
    try:
        int("cause")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError: invalid literal" in json.loads(capsys.readouterr().err)["exception"]


def test_a_trouble_that_lasts_is_told_once_a_minute_and_another_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    trouble = logs.Trouble()
    told = []
    for _ in range(3600):
        told.append(trouble.should_log())
        now[0] += 1
    assert told[0]
    assert sum(told) == 60
    trouble.clear()
    assert trouble.should_log()
