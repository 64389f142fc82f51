"""A worker that stops while Redis is away leaves notes; the next worker returns its claims, and nothing is charged."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from shared.counters import Counters
from shared.errors import StoreUnavailableError
from shared.jobs.claims import Claim
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore
from shared.redis_client.connection import connect
from shared.settings import Settings
from tests.fixtures.api import StandIn
from tests.fixtures.ports import find_free
from worker.jobs import attempt_end
from worker.jobs.attempt import Attempt
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.storage_watch import StorageWatch
from worker.jobs.unreturned_claims import has_unreturned, note_unreturned, return_claims
from worker.service.scratch_folder import ScratchFolder

REQUEST = JobRequest(source=Source("uploads/x", "x.wav", 1), engine="repetition")


@pytest.fixture(name="claim")
def _claim(stand_in: StandIn) -> Claim:
    job = stand_in.store.submit(REQUEST)
    stand_in.queue.dispatch()
    claim = stand_in.store.claims.take(job.id, "stopped", "token")
    assert claim
    return claim


@pytest.fixture(name="redis_away")
def _redis_away(settings: Settings) -> Settings:
    return settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{find_free()}/0"})


def test_the_next_worker_returns_what_a_stopped_one_could_not(
    stand_in: StandIn, claim: Claim, redis_away: Settings, tmp_path: Path
) -> None:
    stopped = ScratchFolder(tmp_path, "stopped", "ours")
    (stopped.path / "jobs").mkdir()
    note_unreturned(stopped.path, claim.job.id, "token")
    note_unreturned(stopped.path, "f" * 32, "of a job that was deleted since")
    stopped.close()
    assert sorted(f.name for f in stopped.path.iterdir()) == [".lock", "unreturned"]
    following = ScratchFolder(tmp_path, "following", "ours")
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                following.sweep(lambda folder: return_claims(folder, JobStore(redis_away).claims, "following"))
        returned = list[int]()
        swept = following.sweep(lambda f: returned.append(return_claims(f, stand_in.store.claims, "following")))
    finally:
        following.close()
    assert (returned, swept) == ([1], ["stopped"])
    after = stand_in.store.read_job(claim.job.id)
    assert (after.state, after.attempt, after.losses, after.attempt_errors) == ("queued", 0, 0, ())
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_another_worker_has_by_now_stays_with_it(stand_in: StandIn, claim: Claim, tmp_path: Path) -> None:
    note_unreturned(tmp_path, claim.job.id, "token")
    assert stand_in.store.claims.hand_back(claim)
    stand_in.queue.dispatch()
    again = stand_in.claim(claim.job.id)
    assert return_claims(tmp_path, stand_in.store.claims, "following") == 0
    assert stand_in.store.claims.renew(again, stage="decode", progress=0.1)


def test_an_attempt_s_end_that_redis_does_not_take_is_noted(
    stand_in: StandIn, claim: Claim, redis_away: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_end, "STOP_PATIENCE_SECONDS", 0.0)
    settings, stopping, away = stand_in.settings, Event(), JobStore(redis_away)
    stopping.set()
    watch = StorageWatch(stand_in.storage, stopping, lambda: None)
    counters = Counters(connect(settings), settings.redis_prefix)
    end = attempt_end.AttemptEnd(settings, away, stand_in.storage, counters, stopping, watch, tmp_path)
    heartbeat = Heartbeat(away, claim, 60.0)
    attempt = Attempt(claim, settings, folder=tmp_path / "job", heartbeat=heartbeat, stopping=stopping)
    assert end.hand_back(attempt) == attempt_end.UNKNOWN
    assert has_unreturned(tmp_path)
    assert return_claims(tmp_path, stand_in.store.claims, "following") == 1
    assert stand_in.store.read_job(claim.job.id).attempt == 0
