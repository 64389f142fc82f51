"""What an operator learns and restores with `stemqueue-admin`: keys, newer records, what owners use."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from shared.api_keys import ApiKeys
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore
from shared.maintenance import admin_command
from shared.parsing.stored_records import SCHEMA_VERSION
from shared.redis_client.connection import connect
from shared.settings import Settings

Run = Callable[..., Result]

REQUEST = JobRequest(source=Source("uploads/x", "x.wav", 1), engine="repetition", owner="anna")


@pytest.fixture(name="run")
def _run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(admin_command, "read_settings", lambda _: settings)

    return lambda *arguments, text="": CliRunner().invoke(admin_command.main, arguments, input=text)


def test_keys_work_again_after_redis_was_lost(settings: Settings, run: Run) -> None:
    keys = ApiKeys(settings)
    kept, text = keys.create(owner="anna", scopes=["submit", "read"], label="Anna's laptop, the old one")
    second, other = keys.create(owner="bert", scopes=["read"])
    exported = run("keys", "export").stdout
    assert text not in exported
    assert text.rpartition("_")[2] not in exported
    before = keys.list()
    connect(settings).flushall()
    assert run("keys", "import", text=exported).output == "2 keys restored, 0 already in Redis\n"
    again = ApiKeys(settings)
    assert again.list() == before
    assert (again.find(text), again.find(other)) == (kept, second)


def test_an_import_leaves_existing_keys_alone_and_names_a_line_that_is_no_key(settings: Settings, run: Run) -> None:
    key, _ = ApiKeys(settings).create(owner="anna", scopes=["read"])
    [record] = ApiKeys(settings).export()
    stolen = {**record, "owner": "mallory"}
    wrong = {**record, "id": "0" * 12, "scopes": "read,root"}
    lines = "\n".join(json.dumps(r) for r in (stolen, wrong, {**record, "id": "f" * 12}))
    done = run("keys", "import", text=lines)
    assert done.exit_code == 1
    assert "line 2: The exported key '000000000000' has a value that no key can have." in done.output
    assert "1 keys restored, 1 already in Redis" in done.output
    assert "1 lines are no valid keys" in done.output
    assert {k.id: k.owner for k in ApiKeys(settings).list()} == {key.id: "anna", "f" * 12: "anna"}
    for line in ("[1]", '{"id": 1}', "sq_0123"):
        assert run("keys", "import", text=line).exit_code == 1


def test_records_of_a_newer_version_are_listed(settings: Settings, run: Run) -> None:
    store = JobStore(settings)
    older, newer = store.submit(REQUEST), store.submit(REQUEST)
    assert run("records").exit_code == 0
    redis = connect(settings)
    redis.hset(f"{settings.redis_prefix}job:{newer.id}", "schema", SCHEMA_VERSION + 1)
    redis.hset(f"{settings.redis_prefix}batch:0123456789ab", mapping={"schema": SCHEMA_VERSION + 1, "state": "active"})
    redis.hset(f"{settings.redis_prefix}batch:0123456789ab:results", "1", "{}")
    done = run("records")
    assert done.exit_code == 1
    assert f"job {newer.id}: schema {SCHEMA_VERSION + 1} queued\n" in done.output
    assert f"batch 0123456789ab: schema {SCHEMA_VERSION + 1} active\n" in done.output
    assert f"2 records are newer than schema {SCHEMA_VERSION}, which this version reads" in done.output
    assert older.id not in done.output


def test_owners_are_listed_with_what_they_use_most_queued_jobs_first(settings: Settings, run: Run) -> None:
    store = JobStore(settings)
    for owner in ("bert", "anna", "anna"):
        store.submit(JobRequest(source=REQUEST.source, engine="repetition", owner=owner))
    first, second = run("owners").stdout.splitlines()
    assert first.startswith("anna: 2 queued, 0.0 MB stored, 0.00")
    assert first.endswith(" MB of Redis, 0 s of audio today")
    assert second.startswith("bert: 1 queued, ")
