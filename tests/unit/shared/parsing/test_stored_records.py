"""Records of other versions: those deployed now, those with unknown members, and those of a newer schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.batches.model import Batch, BatchRequest, Export, Manifest
from shared.batches.stored_items import Result, StoredItem
from shared.errors import RecordTooNewError
from shared.jobs.archive import document_of
from shared.jobs.model import Job, JobState, Output
from shared.jobs.request import JobRequest, Source
from shared.parsing.stored_records import SCHEMA_VERSION, read_members, schema_of

# As version 1 of the schema writes them.
SOURCE = {"key": "uploads/x", "filename": "x.wav", "size_bytes": 9, "sha256": "ab", "etag": "e", "upload_id": "x"}
REQUEST = {"source": SOURCE, "engine": "repetition", "stems": ["vocals"], "owner": "anna", "priority": "bulk"}
OUTPUT = {
    "name": "vocals",
    "kind": "stem",
    "key": "jobs/a/1/v.flac",
    "filename": "v.flac",
    "content_type": "audio/flac",
    "size_bytes": 7,
    "sha256": "cd",
    "details": {"storage_etag": "e"},
}
MANIFEST = {"bucket": "songs", "key": "list.csv", "format": "csv", "size_bytes": 8, "etag": "e", "upload_id": None}
EXPORT = {"bucket": "copies", "prefix": "p", "template": "{track}-{stem}"}
BATCH_REQUEST = {"manifest": MANIFEST, "owner": "anna", "name": "all", "export": EXPORT, "defaults": {}}
ITEM = {"number": 1, "line": 2, "track": "song", "source": {"key": "a"}, "request": {"engine": "e"}}
UNKNOWN = {"loudness_target": -14, "nested": {"a": [1]}}

JOB_RECORD = {
    "schema": "1",
    "state": "succeeded",
    "request": json.dumps(REQUEST),
    "version": "5",
    "created_ms": "1000",
    "outputs": json.dumps([OUTPUT]),
    "attempt": "1",
    "fence": "3",
}
BATCH_RECORD = {
    "schema": "1",
    "state": "running",
    "request": json.dumps(BATCH_REQUEST),
    "version": "5",
    "created_ms": "1000",
    "total": "2",
    "cursor": "",
    "n_waiting": "2",
}
DOCUMENT = {
    "schema": 1,
    "id": "a",
    "state": "succeeded",
    "request": REQUEST,
    "created_at": 1.0,
    "started_at": 2.0,
    "finished_at": 3.0,
    "attempt": 1,
    "fence": 3,
    "version": 5,
    "attempt_errors": [],
    "outputs": [OUTPUT],
    "probed": None,
    "report": None,
    "error": None,
    "cached": False,
}


def with_unknown(value: Any) -> Any:
    """Return a record to which a newer version has added members, in each of its objects that has a form."""
    if not isinstance(value, dict):
        return [with_unknown(part) for part in value] if isinstance(value, list) else value
    free = {"details", "defaults", "parameters", "metadata"}
    return {**{name: part if name in free else with_unknown(part) for name, part in value.items()}, **UNKNOWN}


def record_with_unknown(record: dict[str, str]) -> dict[str, str]:
    formed = {
        name: json.dumps(with_unknown(json.loads(record[name]))) for name in ("request", "outputs") if name in record
    }
    return {**record, **formed, "loudness_target": "-14"}


def test_a_job_s_record_of_this_version_is_read() -> None:
    job = Job.from_record("a", JOB_RECORD)
    assert (job.state, job.fence, job.created_at) == (JobState.SUCCEEDED, 3, 1.0)
    assert job.request == JobRequest(Source(**SOURCE), "repetition", stems=("vocals",), owner="anna", priority="bulk")
    assert job.outputs == (Output(**OUTPUT),)


def test_a_batch_s_record_of_this_version_is_read() -> None:
    batch = Batch.from_record("b", BATCH_RECORD)
    assert batch.request == BatchRequest(Manifest(**MANIFEST), "anna", name="all", export=Export(**EXPORT))


@pytest.mark.parametrize(
    ("read", "known", "extended"),
    [
        (lambda r: Job.from_record("a", r), JOB_RECORD, record_with_unknown(JOB_RECORD)),
        (lambda r: Batch.from_record("b", r), BATCH_RECORD, record_with_unknown(BATCH_RECORD)),
        (Job.from_document, DOCUMENT, with_unknown(DOCUMENT)),
        (lambda r: JobRequest.from_json(json.dumps(r)), REQUEST, with_unknown(REQUEST)),
        (lambda r: BatchRequest.from_json(json.dumps(r)), BATCH_REQUEST, with_unknown(BATCH_REQUEST)),
        (lambda r: read_members(StoredItem, r), ITEM, {**ITEM, **UNKNOWN}),
    ],
)
def test_members_that_are_unknown_here_are_ignored(read: Callable[[Any], Any], known: Any, extended: Any) -> None:
    assert extended != known
    assert read(extended) == read(known)


def test_a_result_may_have_more_or_fewer_values_than_are_known_here() -> None:
    full = Result(
        *(1, 2, 3.5, None, None, "1", ("vocals",)),
        error_message="m",
        tempo_bpm=120.5,
        key="A minor",
        mixes=("karaoke",),
        notes=("It was cut.",),
    )
    assert Result.from_text(full.to_text()) == full
    assert Result.from_text(json.dumps([*json.loads(full.to_text()), "of a newer version"])) == full
    assert Result.from_text('[1,2,3.5,null,null,"1",["vocals"]]') == Result(1, 2, 3.5, None, None, "1", ("vocals",))


@pytest.mark.parametrize(
    "read",
    [
        lambda schema: Job.from_record("a", {**JOB_RECORD, "schema": schema}),
        lambda schema: Batch.from_record("b", {**BATCH_RECORD, "schema": schema}),
    ],
)
def test_a_record_of_a_newer_schema_is_refused_in_a_sentence(read: Callable[[str], Any]) -> None:
    assert read(str(SCHEMA_VERSION))
    with pytest.raises(RecordTooNewError, match=r"A newer version wrote the record of .*\. Upgrade this process\."):
        read(str(SCHEMA_VERSION + 1))


@pytest.mark.parametrize(
    ("options", "schema"),
    [
        ({}, 1),
        (REQUEST, 1),
        ({"mixes": [], "stems": None, "format": "mp3", "source": None}, 1),
        ({"source": {**SOURCE, "job_id": None, "outputs": []}}, 1),
        ({"mixes": [{"name": "karaoke"}]}, 2),
        ({"stems": []}, 2),
        ({"stems": ()}, 2),
        ({"format": "stem.mp4"}, 2),
        ({"source": {**SOURCE, "job_id": "a", "output": "vocals"}}, 2),
    ],
)
def test_what_the_first_schema_would_ignore_needs_the_second(options: dict[str, Any], schema: int) -> None:
    assert schema_of(options) == schema


LOST = {
    *("stage", "progress", "losses", "expires_at", "queue_position", "eta_seconds", "waiting_for", "waiting_because"),
    *("batch_id", "queued_at", "cache_keys"),
}
"""Members that an ended job's document does not keep: they are of the queue, or follow from something else."""


def test_a_document_keeps_everything_else_of_an_ended_job() -> None:
    record = JOB_RECORD | {
        "started_ms": "2000",
        "finished_ms": "3000",
        "probed": json.dumps({"duration_seconds": 2.0}),
        "report": json.dumps({"notes": ["a"]}),
        "error": json.dumps({"code": "worker_lost"}),
        "attempt_errors": json.dumps({"code": "scratch_full"}),
        "cached": "1",
    }
    job = Job.from_record("a", record)
    kept = {name: value for name, value in vars(job).items() if name not in LOST}
    assert [name for name, value in kept.items() if not value] == [], "the record above lacks a member"
    read = Job.from_document(json.loads(json.dumps(document_of(job))))
    assert {name: getattr(read, name) for name in kept} == kept
