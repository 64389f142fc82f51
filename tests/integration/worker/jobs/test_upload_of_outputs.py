"""The upload of a job's outputs, several at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from shared.errors import SeparationFailedError
from shared.jobs.claims import Claim
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import new_id
from shared.jobs.uploads import UploadStore
from shared.storage.object_keys import job_prefix, upload_key
from tests.fixtures.api import StandIn
from worker.jobs.attempt import UPLOADS_AT_ONCE, Attempt, WorkerStoppingError
from worker.jobs.heartbeat import Heartbeat
from worker.run_messages import Outcome, ProducedFile, describe_file

N_FILES = 12 * UPLOADS_AT_ONCE


@pytest.fixture
def claim(stand_in: StandIn) -> Claim:
    upload_id = new_id()
    fields = {"key": upload_key(upload_id), "owner": "local", "size_bytes": "4", "implicit": "1"}
    UploadStore(stand_in.settings).add(upload_id, fields)
    request = JobRequest(source=Source(upload_key(upload_id), "song.mp3", 4, "", "", upload_id), engine="repetition")
    job = stand_in.store.submit(request)
    stand_in.queue.dispatch()
    return stand_in.claim(job.id)


@pytest.fixture
def attempt(stand_in: StandIn, claim: Claim, tmp_path: Path) -> Iterator[Attempt]:
    (tmp_path / "out").mkdir()
    with Heartbeat(stand_in.store, claim, 1.0) as heartbeat:
        yield Attempt(claim, stand_in.settings, folder=tmp_path, heartbeat=heartbeat, stopping=Event())


def written(folder: Path) -> list[ProducedFile]:
    files = []
    for number in range(N_FILES):
        path = folder / "out" / f"{number}.json"
        path.write_text(f"[{number}]" * (number + 1))
        files.append(describe_file(path, name=str(number), kind="waveform", content_type="application/json"))
    return files


def stored(stand_in: StandIn, claim: Claim) -> set[str]:
    return {Path(key).name for key, _, _ in stand_in.storage.list_keys(job_prefix(claim.job.id))}


def test_all_are_stored_and_told_in_their_order(
    stand_in: StandIn, claim: Claim, attempt: Attempt, tmp_path: Path
) -> None:
    files = written(tmp_path)
    outputs = attempt.upload(stand_in.storage, Outcome(tuple(files), {}, {}))
    assert [(o.filename, o.sha256) for o in outputs] == [(f.filename, f.sha256) for f in files]
    assert stored(stand_in, claim) == {f.filename for f in files}


def test_after_one_that_cannot_be_stored_no_more_are_begun(
    stand_in: StandIn, claim: Claim, attempt: Attempt, tmp_path: Path
) -> None:
    files = written(tmp_path)
    (tmp_path / "out" / files[0].filename).unlink()
    with pytest.raises(FileNotFoundError):
        attempt.upload(stand_in.storage, Outcome(tuple(files), {}, {}))
    there = stored(stand_in, claim)
    assert len(there) < N_FILES
    # Nothing arrives later, when what is there has been removed.
    stand_in.storage.delete_below(job_prefix(claim.job.id))
    assert stored(stand_in, claim) == set()


def test_one_that_is_not_what_the_child_told_is_refused(stand_in: StandIn, attempt: Attempt, tmp_path: Path) -> None:
    files = written(tmp_path)
    (tmp_path / "out" / files[-1].filename).write_text("something else")
    with pytest.raises(SeparationFailedError, match="changed"):
        attempt.upload(stand_in.storage, Outcome(tuple(files), {}, {}))


def test_a_worker_that_stops_stores_nothing_more(
    stand_in: StandIn, claim: Claim, tmp_path: Path, attempt: Attempt
) -> None:
    stopping = Event()
    stopping.set()
    stopped = Attempt(claim, stand_in.settings, folder=tmp_path, heartbeat=attempt.heartbeat, stopping=stopping)
    with pytest.raises(WorkerStoppingError):
        stopped.upload(stand_in.storage, Outcome(tuple(written(tmp_path)), {}, {}))
    assert stored(stand_in, claim) == set()
