"""Only objects that no job needs are deleted, also when Redis has lost its data."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from shared.errors import JobNotFoundError
from shared.jobs.archive import write_document
from shared.jobs.claims import Claim
from shared.jobs.model import JobState, Output
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore, new_id
from shared.jobs.uploads import UploadStore
from shared.maintenance import garbage_collector as collector_module
from shared.maintenance.garbage_collector import Collector
from shared.maintenance.job_rebuild import rebuild_jobs
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.settings import Settings
from shared.storage.object_keys import output_key, upload_key
from shared.storage.object_storage import ObjectStorage


class World:
    """Store, queue and storage on real servers, with a retention that ends within the test."""

    def __init__(self, settings: Settings, **changes: object) -> None:
        self.settings = settings.model_copy(
            update={"upload_abandoned_seconds": 0.05, "collect_seconds": 0.001, **changes}
        )
        self.store = JobStore(self.settings)
        self.uploads = UploadStore(self.settings)
        self.queue = JobQueue(self.settings)
        self.storage = ObjectStorage(self.settings)
        self.collector = Collector(self.settings, self.storage)
        self.workers = WorkerRegistry(self.settings)
        self.workers.heartbeat(Worker("w", 8, ("repetition",), ()))

    def upload(self, *, implicit: bool = True) -> Source:
        upload_id = new_id()
        stored = self.storage.put_bytes(b"song", upload_key(upload_id), "audio/wav")
        fields = {"key": stored.key, "filename": "song.wav", "implicit": "1" if implicit else "0"}
        fields |= {"owner": "local", "size_bytes": "4"}
        self.uploads.add(upload_id, fields)
        return Source(stored.key, "song.wav", 4, stored.sha256, stored.etag, upload_id)

    def running(self, source: Source | None = None) -> Claim:
        job = self.store.submit(JobRequest(source=source or self.upload(), engine="repetition"))
        self.queue.dispatch()
        claim = self.store.claims.take(job.id, "w")
        assert claim
        return claim

    def put_stem(self, claim: Claim, fence: int | None = None) -> Output:
        key = output_key(claim.job.id, fence or claim.fence, "vocals.wav")
        stored = self.storage.put_bytes(b"stem", key, "audio/wav")
        return Output("vocals", "stem", key, "vocals.wav", "audio/wav", 4, stored.sha256)

    def succeed(self, claim: Claim) -> Output:
        output = self.put_stem(claim)
        write_document(
            self.storage, claim, JobState.SUCCEEDED, outputs=[output], probed={"channels": 2}, report={"a": 1}
        )
        assert self.store.claims.succeed(claim, outputs=[output], probed={"channels": 2}, report={"a": 1})
        return output

    def stored(self) -> set[str]:
        return {key for key, _, _ in self.storage.list_keys("")} - {"instance"}

    def collect(self) -> None:
        time.sleep(0.1)
        assert self.collector.collect(now=True) is not None


@pytest.fixture
def world(settings: Settings) -> World:
    return World(settings)


def test_what_a_losing_attempt_stored_is_removed_and_what_the_job_lists_stays(world: World) -> None:
    claim = world.running()
    lost = world.put_stem(claim, fence=claim.fence + 1000)
    kept = world.succeed(claim)
    world.collect()
    assert kept.key in world.stored()
    assert output_key(claim.job.id, claim.fence, "job.json") in world.stored()
    assert lost.key not in world.stored()


def test_what_a_running_attempt_stores_is_left_alone(world: World) -> None:
    claim = world.running()
    under_way = world.put_stem(claim)
    world.collect()
    assert {under_way.key, claim.job.request.source.key} <= world.stored()


def test_an_upload_without_a_job_is_removed_once_it_is_old(world: World) -> None:
    abandoned = world.upload(implicit=False)
    used = world.running().job.request.source
    world.collect()
    assert abandoned.key not in world.stored()
    assert used.key in world.stored()


def test_an_object_whose_record_never_came_to_be_is_removed(world: World) -> None:
    world.storage.put_bytes(b"song", upload_key(new_id()), "audio/wav")
    world.collect()
    assert world.stored() == set()


def test_an_upload_broken_off_in_mid_way_is_taken_back(world: World) -> None:
    upload = world.storage.open_upload(upload_key(new_id()))
    upload.write(bytes(9 * 1024 * 1024))
    world.collect()
    assert world.storage.abort_uploads_begun_before(time.time() + 10) == 0


def test_a_job_past_its_retention_goes_with_all_its_objects(settings: Settings) -> None:
    world = World(settings, retention_days=0.05 / 86_400)
    claim = world.running()
    world.succeed(claim)
    time.sleep(1)
    world.collect()
    assert world.stored() == set()
    with pytest.raises(JobNotFoundError):
        world.store.read_job(claim.job.id)


def test_one_run_removes_however_many_have_expired(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "RECORDS_AT_ONCE", 2)
    world = World(settings, retention_days=0.05 / 86_400)
    for _ in range(5):
        world.succeed(world.running())
    deleted = [world.running() for _ in range(3)]
    for claim in deleted:
        world.succeed(claim)
        world.store.delete(claim.job.id)
    time.sleep(1)
    collection = world.collector.collect(now=True)
    assert collection
    assert (collection.expired_jobs, collection.deletions_finished) == (5, 3)
    assert world.stored() == set()


def test_jobs_that_are_read_do_not_keep_others_from_expiring(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "RECORDS_AT_ONCE", 2)
    world = World(settings)
    redis, prefix = world.store._redis, settings.redis_prefix
    claims = [world.running() for _ in range(5)]
    read, others = claims[:3], claims[3:]
    for expires_ms, claim in enumerate(claims, 1):
        world.succeed(claim)
        redis.hset(f"{prefix}job:{claim.job.id}", "expires_ms", expires_ms)
        redis.zadd(f"{prefix}settled", {claim.job.id: expires_ms})
    readers = [world.running(replace(c.job.request.source, job_id=c.job.id)) for c in read]
    collection = world.collector.collect(now=True)
    assert collection
    assert collection.expired_jobs == 2
    assert {job.id for job in world.store.read_jobs([c.job.id for c in claims])} == {c.job.id for c in read}
    world.succeed(readers[0])
    # An older version ends a reader without a word. The collector comes to its source again, later.
    world.store.cancel(readers[1].job.id)
    redis.sadd(f"{prefix}job:{read[1].job.id}:readers", readers[1].job.id)
    redis.zadd(f"{prefix}settled", {read[1].job.id: 1})
    collection = world.collector.collect(now=True)
    assert collection
    assert collection.expired_jobs == 2
    assert [job.id for job in world.store.read_jobs([c.job.id for c in read])] == [read[2].job.id]
    assert {job.id for job in world.store.read_jobs([c.job.id for c in others])} == set()


def test_a_deletion_cut_short_is_finished(world: World) -> None:
    claim = world.running()
    world.succeed(claim)
    world.store.delete(claim.job.id)
    assert world.stored()
    world.collect()
    assert world.stored() == set()
    assert world.store.deletions_pending() == []


def test_an_upload_that_two_jobs_use_stays_until_the_second_is_deleted(world: World) -> None:
    source = world.upload()
    first, second = world.running(source), world.running(source)
    for claim in (first, second):
        world.succeed(claim)
    assert world.store.delete(first.job.id).source_key is None
    assert world.store.delete(second.job.id).source_key == source.key


def test_a_lost_redis_takes_nothing_with_it_and_records_are_rebuilt(world: World) -> None:
    claim = world.running()
    output = world.succeed(claim)
    world.collect()
    (before,) = world.store.read_jobs([claim.job.id])
    world.store._redis.flushall()
    world.collect()
    assert output.key in world.stored(), "an empty Redis is not believed"
    assert list(rebuild_jobs(world.store, world.storage)) == [(claim.job.id, True)]
    world.collector.adopt_storage_instance()
    (after,) = world.store.read_jobs([claim.job.id])
    assert (after.state, after.outputs, after.report, after.probed) == (
        before.state,
        before.outputs,
        before.report,
        before.probed,
    )
    assert after.request == before.request
    assert abs((after.created_at or 0) - (before.created_at or 0)) < 0.01
    assert abs((after.started_at or 0) - (before.started_at or 1)) < 0.01
    assert list(rebuild_jobs(world.store, world.storage)) == [(claim.job.id, False)]
    world.collect()
    assert output.key in world.stored()
    world.workers.heartbeat(Worker("w", 8, ("repetition",), ()))
    assert world.running().fence > claim.fence, "fences go on above those that storage knows"


def test_what_an_attempt_stumbled_on_is_rebuilt_with_its_job(world: World) -> None:
    claim = world.running()
    error = {"code": "audio_unreadable", "message": "No song.", "retryable": False, "attempt": 1}
    write_document(world.storage, claim, JobState.FAILED, error=error)
    world.store.claims.fail(claim, error, retry_in_seconds=None)
    (before,) = world.store.read_jobs([claim.job.id])
    world.store._redis.flushall()
    assert list(rebuild_jobs(world.store, world.storage)) == [(claim.job.id, True)]
    (after,) = world.store.read_jobs([claim.job.id])
    assert (after.error, after.attempt_errors) == (before.error, (error,))
