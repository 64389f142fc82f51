"""Which jobs are answered with copies of an earlier job's outputs, and which are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.audio.mixes import Mix
from shared.batches.actions import BatchActions
from shared.batches.model import BatchRequest, Manifest, batch_id_from, job_id_of
from shared.batches.store import BatchStore
from shared.batches.stored_items import Result
from shared.jobs.archive import store_document
from shared.jobs.claims import Claim
from shared.jobs.model import JobState
from shared.jobs.request import JobRequest, Source, SourceOutput
from shared.jobs.store import new_id
from shared.maintenance.garbage_collector import Collector
from shared.redis_client.connection import connect
from shared.settings import Settings
from shared.storage.object_keys import upload_key
from tests.fixtures.api import ENGINE
from tests.fixtures.sounds.audio import make_song, write_wav
from tests.integration.worker.jobs.caching_worker import DETAILS, SHA256, World
from worker.jobs.attempt import Attempt
from worker.jobs.attempt_end import SUCCEEDED
from worker.jobs.heartbeat import Heartbeat
from worker.run_messages import Outcome, describe_file

KARAOKE = Mix("karaoke", {"vocals": None})


@pytest.fixture
def world(settings: Settings, tmp_path: Path) -> World:
    return World(settings, tmp_path)


def test_the_same_again_gets_copies_of_its_own(world: World) -> None:
    first = world.separate(world.submit())
    again = world.settle(world.submit())
    assert (again.state, again.cached, first.cached) == (JobState.SUCCEEDED, True, False)
    assert [(o.name, o.size_bytes, o.sha256) for o in again.outputs] == [
        (o.name, o.size_bytes, o.sha256) for o in first.outputs
    ]
    assert (again.probed, again.report) == (first.probed, first.report)
    assert all(o.key.startswith(f"jobs/{again.id}/{again.fence}/") for o in again.outputs)
    assert world.read(again.outputs[0]) == b"vocals" * 100
    answer = world.storage._client.head_object(Bucket=world.storage.bucket, Key=again.outputs[0].key)
    assert answer["ContentType"] == "audio/flac"


def test_a_stem_file_is_found_again_although_its_report_names_no_stems(world: World) -> None:
    job = world.submit(format="stem.mp4").job
    report = {"engine_version": ENGINE["version"], "preset": ENGINE["default_preset"], "stems": {}}
    recorded = world.earlier.cache_keys_of_result(job, SHA256, report)
    assert recorded
    assert recorded == world.earlier.cache_keys_of(job, SHA256)


def test_what_lies_in_the_place_of_an_earlier_output_is_not_copied(world: World) -> None:
    first = world.separate(world.submit())
    replaced = first.outputs[1]
    world.storage.put_bytes(b"x" * replaced.size_bytes, replaced.key, "audio/flac")
    assert world.earlier.copy_outputs(first, world.submit(), lambda: None) is None
    again = world.settle(world.submit())
    assert not again.cached


def test_copies_outlive_the_job_they_were_made_from_and_its_collection(world: World) -> None:
    first = world.separate(world.submit())
    again = world.settle(world.submit())
    collector = Collector(world.settings, world.storage)
    collector.remove(world.store.delete(first.id))
    assert collector.collect()
    assert world.read(again.outputs[1]) == b"accompaniment" * 100
    third = world.settle(world.submit())
    assert third.cached, "a copy answers as well as what it was made from"


def test_nothing_answers_once_every_job_that_could_is_deleted(world: World) -> None:
    job = world.separate(world.submit())
    world.store.delete(job.id)
    assert world.find() is None


def test_objects_that_are_gone_are_no_answer(world: World) -> None:
    job = world.separate(world.submit())
    world.storage.delete([job.outputs[1].key])
    after = world.settle(world.submit())
    assert not after.cached
    assert (after.error or {})["code"] == "source_missing", "it went on to fetch the mixture, which is not there"
    left = [key for key, _, _ in world.storage.list_keys(f"jobs/{after.id}/")]
    assert [key for key in left if key.endswith(".flac")] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": "bert"},
        {"preset": "fast"},
        {"parameters": {"neighbours": 3}},
        {"stems": ("vocals",)},
        {"stems": (), "mixes": (KARAOKE,)},
        {"mixes": (KARAOKE,)},
        {"format": "wav"},
        {"format_options": {"bit_depth": 16}},
        {"excerpt_start_seconds": 1.0},
        {"audio_stream": 2},
        {"no_cache": True},
        {"source": Source("uploads/x", "song.mp3", 4, "cd" * 32)},
        {"source": Source("uploads/x", "other.mp3", 4, SHA256)},
        {"source": Source("uploads/x", "song.mp3", 4, None)},
    ],
    ids="-".join,
)
def test_whatever_differs_is_separated_anew(world: World, changes: dict[str, Any]) -> None:
    world.separate(world.submit())
    assert world.find(**changes) is None


def test_equal_mixes_of_the_same_stems_are_copied_and_others_are_not(world: World) -> None:
    first = world.separate(world.submit())
    outputs = tuple(SourceOutput(o.name, o.key, o.filename, o.size_bytes, o.sha256, o.etag) for o in first.outputs)
    source = replace(first.request.source, upload_id=None, job_id=first.id, outputs=outputs)
    asked: dict[str, Any] = {"source": source, "stems": (), "mixes": (KARAOKE,)}
    world.separate(world.submit(**asked))
    assert world.settle(world.submit(**asked)).cached
    for changes in (
        {"mixes": (replace(KARAOKE, rest_db=-3.0),)},
        {"mixes": (replace(KARAOKE, name="other"),)},
        {"source": replace(source, outputs=(replace(outputs[0], sha256="cd" * 32), outputs[1]))},
        {"source": replace(source, outputs=())},
    ):
        assert world.find(**{**asked, **changes}) is None, changes


def test_the_same_output_of_the_same_job_is_separated_once(world: World) -> None:
    first = world.separate(world.submit())
    stem = first.outputs[0]
    source = replace(first.request.source, key=stem.key, sha256=stem.sha256, upload_id=None, etag=stem.etag)
    source = replace(source, filename="song - vocals.mp3", job_id=first.id, output=stem.name)
    world.separate(world.submit(source=source))
    assert world.settle(world.submit(source=source)).cached
    # The report names the job that the mixture is from.
    other = world.separate(world.submit(no_cache=True))
    assert world.find(source=replace(source, job_id=other.id)) is None


def test_what_says_the_same_in_other_words_is_the_same(world: World) -> None:
    world.separate(world.submit())
    for changes in ({"preset": None}, {"stems": ("accompaniment", "vocals")}, {"priority": "bulk"}):
        assert world.find(**changes)


def test_a_new_version_of_the_engine_separates_anew(world: World) -> None:
    world.separate(world.submit())
    world.earlier = replace(world.earlier, engines=lambda: [{**ENGINE, "version": "2"}])
    assert world.find() is None


def test_a_result_is_found_under_the_version_of_the_engine_that_made_it(world: World) -> None:
    """The model was replaced after the worker had described its engines, and before the child loaded it."""
    claim = world.submit()
    attempt = Attempt(
        claim,
        world.settings,
        folder=world.folder,
        heartbeat=Heartbeat(world.store, claim, 60.0),
        stopping=world.supervisor.stopping,
    )
    attempt.cache_keys = world.earlier.cache_keys_of(claim.job)
    (world.folder / "out").mkdir()
    path = write_wav(world.folder / "out/vocals.wav", make_song(1))
    stem = describe_file(path, name="vocals", kind="stem", content_type="audio/wav", details=DETAILS)
    report = {"engine_version": "2", "preset": "original", "stems": dict.fromkeys(ENGINE["stems"], DETAILS)}
    assert world.supervisor._succeed(attempt, Outcome((stem,), {"channels": 2}, report)) == SUCCEEDED
    assert world.find() is None
    world.earlier = replace(world.earlier, engines=lambda: [{**ENGINE, "version": "2"}])
    found = world.find()
    assert found
    assert found.id == claim.job.id


def test_copies_cost_neither_the_days_audio_nor_the_engines_pace(world: World) -> None:
    with connect(world.settings) as redis:
        world.separate(world.submit())
        before = redis.get("sq:pace:repetition")
        world.settle(world.submit())
        assert redis.get("sq:pace:repetition") == before == "8000"
        assert list(redis.scan_iter("sq:audio:*")) == []


def test_an_item_that_is_done_again_since_its_copies_failed_is_not_separated_again(world: World) -> None:
    batches, batch_id = BatchStore(world.settings), batch_id_from(new_id())
    batch = batches.create(batch_id, BatchRequest(Manifest(None, "x", "jsonl"), "local"))
    assert batches.feeding.append_items(batch, cursor="1", letters="w", uploads=[], is_last=True)
    job_id = job_id_of(batch_id, 1)
    source = Source(upload_key(new_id()), "song.mp3", 4, SHA256, "gone")
    request = JobRequest(source=source, engine="repetition", preset="original")

    def feed() -> Claim:
        world.store.submit(request, job_id=job_id, batch_id=batch_id)
        world.queue.dispatch()
        return world.claim(job_id)

    claim = feed()
    first = world.separate(claim)
    store_document(world.storage, first)
    result = replace(Result.of(first), error_code="export_failed", error_message="The bucket is away.")
    assert batches.feeding.compact(
        *(batch_id, 1),
        job_version=first.version,
        result=result.to_text(),
        letter="f",
        audio_seconds=2.0,
        stored_bytes=result.stored_bytes,
        unneeded_bytes=0,
        upload_id=None,
        made_by="repetition@1",
    )
    BatchActions(world.settings).retry_failed(batch_id)
    again = world.settle(feed())
    assert (again.state, again.cached) == (JobState.SUCCEEDED, True)
    assert again.fence > first.fence
    assert world.read(again.outputs[0]) == b"vocals" * 100
