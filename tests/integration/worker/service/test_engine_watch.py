"""A worker offers a model that is added while it runs, and no longer one that is removed; it is not restarted."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from shared.settings import Settings
from tests.fixtures.api import submit
from tests.fixtures.sounds.audio import make_song, write_wav
from tests.fixtures.stand_ins.tiny_mdx import make_tiny_mdx_model
from tests.integration.worker.service.conftest import Start, wait_until
from worker.child.engine_descriptions import models_state
from worker.service.engine_watch import EngineWatch


def test_a_running_worker_takes_jobs_for_a_model_that_was_added(
    start: Start, settings: Settings, web: FlaskClient, tmp_path: Path
) -> None:
    process = start("nothing", 600, settings.redis_url)
    wait_until(lambda: set(engines(web)) == {"repetition"}, "the worker's first heartbeat")
    add_model(tmp_path, "tiny-mdx", origin={"author": "Nobody", "licence_source": "https://example.org"})
    add_model(tmp_path, "slow", name="slow", real_time_factor=1e-5)
    wait_until(lambda: set(engines(web)) == {"repetition", "tiny-mdx", "slow"}, "the new engines")
    told = engines(web)["tiny-mdx"]
    assert (told["author"], told["licence_source"]) == ("Nobody", "https://example.org")
    assert told["memory_bytes"] > 0
    song = write_wav(tmp_path / "song.wav", make_song(seconds=1.0)).read_bytes()
    for priority in ("interactive", "bulk"):
        job = run_job(web, song, engine="tiny-mdx", priority=priority)
        assert job["state"] == "succeeded", job["error"]
        model = web.get(f"/v1/jobs/{job['id']}/report").get_json()["model"]
        assert (model["author"], model["licence"]) == ("Nobody", told["licence"])
    # What would take hours is refused before anything is decoded.
    refused = run_job(web, song, engine="slow")
    assert refused["error"]["code"] == "timed_out"
    assert "The engine slow would need at least" in refused["error"]["message"]
    (tmp_path / "models" / "tiny-mdx").rename(tmp_path / "gone")
    wait_until(lambda: set(engines(web)) == {"repetition", "slow"}, "the end of the engine")
    job = submit(web, song, "song.wav", engine="repetition").get_json()
    wait_until(lambda: read(web, job["id"])["state"] != "queued", "the start of another engine's job")
    assert process.poll() is None


def test_a_model_that_appears_while_the_engines_are_described_is_noticed_later(settings: Settings) -> None:
    made = make_tiny_mdx_model(settings.model_folder / "first")
    described: list[int] = []

    def describe(_: Settings) -> list[dict[str, str]]:
        described.append(1)
        if len(described) == 1:
            make_tiny_mdx_model(settings.model_folder / "second")
        return [{"name": "engine"}]

    watch = EngineWatch(settings, [], frozenset(), threading.Event(), on_change=lambda: None, describe=describe)
    for _ in range(4):
        watch.look()
    assert len(described) == 2
    assert models_state(made.parent) != frozenset()


def test_a_failed_description_is_tried_again_and_changes_nothing(settings: Settings) -> None:
    make_tiny_mdx_model(settings.model_folder / "tiny")
    failures = [OSError("busy"), ValueError("no JSON")]

    def describe(_: Settings) -> list[dict[str, str]]:
        if failures:
            raise failures.pop()
        return [{"name": "tiny"}]

    changes: list[int] = []
    watch = EngineWatch(
        settings,
        [{"name": "old"}],
        frozenset(),
        threading.Event(),
        on_change=lambda: changes.append(1),
        describe=describe,
    )
    watch.look()
    watch.look()
    assert (watch.names, changes) == (("old",), [])
    watch.look()
    assert (watch.names, changes) == (("tiny",), [1])


def add_model(tmp_path: Path, folder: str, **changes: Any) -> None:
    """Put a model into MODEL_FOLDER as set-up does: complete, by one rename."""
    make_tiny_mdx_model(tmp_path / f"built-{folder}", **changes).rename(tmp_path / "models" / folder)


def engines(web: FlaskClient) -> dict[str, Any]:
    return {engine["name"]: engine for engine in web.get("/v1/engines").get_json()["engines"]}


def run_job(web: FlaskClient, song: bytes, **options: str) -> dict[str, Any]:
    job_id = submit(web, song, "song.wav", **options).get_json()["id"]
    wait_until(lambda: read(web, job_id)["state"] in {"succeeded", "failed"}, "the end of the job")
    return read(web, job_id)


def read(web: FlaskClient, job_id: str) -> dict[str, Any]:
    return dict(web.get(f"/v1/jobs/{job_id}").get_json())
