"""The events of webhooks: the Lua scripts announce those that are listed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from api.contract.job_responses import DeliveryResource
from api.contract.webhook_messages import BATCH_EVENTS, JOB_EVENTS, job_message
from shared.jobs.model import TERMINAL, Job, JobState
from shared.jobs.request import JobRequest, Source

LUA = Path(__file__).parents[4] / "shared" / "redis_client" / "lua"
EVENT = re.compile(r"'((?:job|batch)\.\w+)'")
EVERY_END = "'job.' .. state"


def a_job(state: JobState) -> Job:
    return Job("a", state, JobRequest(Source("x", "x.wav", 1), "e"), version=1, created_at=0.0)


def test_the_scripts_announce_the_events_that_are_listed() -> None:
    text = "\n".join(path.read_text() for path in LUA.rglob("*.lua"))
    assert EVERY_END in text
    announced = {*EVENT.findall(text), *(f"job.{state}" for state in TERMINAL)}
    assert announced == {*JOB_EVENTS, *BATCH_EVENTS}


def test_a_message_has_the_state_of_its_event_not_a_later_one() -> None:
    message = json.loads(job_message("job.failed", 0.0, a_job(JobState.QUEUED), ""))
    assert (message["type"], message["data"]["state"]) == ("job.failed", "failed")


def test_an_unknown_event_of_a_newer_version_is_sent_with_the_jobs_state() -> None:
    message = json.loads(job_message("job.paused", 0.0, a_job(JobState.RUNNING), ""))
    assert (message["type"], message["data"]["state"]) == ("job.paused", "running")


def test_the_document_lists_the_events_of_jobs() -> None:
    description = DeliveryResource.model_fields["type"].description or ""
    assert [event for event in JOB_EVENTS if event not in description] == []
