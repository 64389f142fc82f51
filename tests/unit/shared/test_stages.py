"""The stages of a job are listed once; every other list of them agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

from api.client import progress
from shared.jobs.claims import Claim
from shared.jobs.model import STAGES, Job, JobState
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore
from shared.settings import Settings
from worker.run_messages import STAGE_SHARES

ROOT = Path(__file__).parents[3]


def test_the_worker_s_client_s_and_page_s_lists_agree() -> None:
    assert ("fetch", *STAGE_SHARES, "upload") == STAGES
    assert tuple(progress.STAGES) == STAGES
    words = (ROOT / "api/web/source/src/words/jobs.ts").read_text()
    listed = words[words.index("export const STAGES") :].partition("];")[0]
    assert tuple(re.findall(r'\["(\w+)", ', listed)) == STAGES


def test_a_stage_that_is_not_listed_is_refused() -> None:
    store = JobStore(Settings(), redis.Redis())
    job = Job("a", JobState.RUNNING, JobRequest(Source("x", "x.wav", 1), "e"), version=1, created_at=0.0)
    with pytest.raises(ValueError, match="'mixing'"):
        store.claims.renew(Claim(job, 1), stage="mixing", progress=0.5)
