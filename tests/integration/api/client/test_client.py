"""The Python client and the command `stemqueue`, against the API under gunicorn."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner, Result

from api.client import ApiError, Client, ConnectionFailedError, DownloadError, Excerpt
from api.client.cli import main
from tests.fixtures.api import StandIn, working
from tests.fixtures.ports import find_free

STEM = bytes(range(256)) * 40


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / 'it\'s "$HOME" — 日本 100%.mp3'
    path.write_bytes(b"a\0song " * 1000)
    return path


@pytest.fixture
def client(api_url: str, stand_in: StandIn) -> Iterator[Client]:
    del stand_in
    with Client(api_url, patience_seconds=2) as client:
        yield client


def command(url: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--url", url, *map(str, arguments)])


def test_a_song_makes_the_whole_way(client: Client, stand_in: StandIn, song: Path, tmp_path: Path) -> None:
    sent: list[tuple[int, int]] = []
    job = client.submit(
        song,
        preset="fast",
        parameters={"neighbours": 7},
        stems=["vocals", "accompaniment"],
        format="wav",
        bit_depth=16,
        excerpt=Excerpt(90, 20),
        audio_stream=2,
        metadata={"track": 1},
        on_bytes=lambda done, total: sent.append((done, total)),
    )
    assert job.filename == song.name
    assert sent[-1] == (7000, 7000)
    request = stand_in.store.read_job(job.id).request
    assert (request.preset, request.format, dict(request.format_options)) == ("fast", "wav", {"bit_depth": 16})
    assert (request.excerpt_start_seconds, request.excerpt_duration_seconds) == (90, 20)
    assert request.audio_stream == 2
    seen: list[str] = []
    with working(stand_in, stem=STEM):
        job = client.wait(job.id, on_change=lambda j: seen.append(j.state), timeout_seconds=30)
    assert seen[-1] == job.state == "succeeded"
    paths = client.download_job(job, tmp_path / "out")
    assert [p.name for p in paths] == ["vocals.flac", "accompaniment.flac", "report.json", "spectrogram.png"]
    assert paths[0].read_bytes() == STEM
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in paths)


def test_a_damaged_download_is_noticed_and_leaves_nothing(
    client: Client, stand_in: StandIn, song: Path, tmp_path: Path
) -> None:
    job = client.submit(song)
    stand_in.succeed(job.id, STEM)
    # The server sends no object that was replaced, so the damage on the way is made by expecting another digest.
    expected = replace(client.job(job.id).stems[0], sha256=sha256(STEM[:-1] + b"!").hexdigest())
    with pytest.raises(DownloadError, match="SHA-256"):
        client.download(expected, tmp_path / "vocals.flac")
    assert not list(tmp_path.glob("*vocals.flac*"))


def test_refusals_carry_code_and_request_id(client: Client, song: Path) -> None:
    with pytest.raises(ApiError) as refused:
        client.submit(song, engine="nope")
    assert (refused.value.status, refused.value.code) == (422, "request_invalid")
    assert refused.value.request_id
    with pytest.raises(ApiError) as missing:
        client.job("0" * 32)
    assert missing.value.code == "job_not_found"


def test_a_call_that_is_put_off_is_made_again(client: Client, stand_in: StandIn, song: Path) -> None:
    from redis import Redis

    redis = Redis.from_url(stand_in.settings.redis_url)
    redis.sadd(f"{stand_in.settings.redis_prefix}draining", "repetition")
    threading.Timer(0.5, lambda: stand_in.queue.resume("repetition")).start()
    with Client(client.url, patience_seconds=20) as patient:
        assert patient.submit(song).state == "queued"
    assert len(stand_in.store.list_ids("local", limit=10)[0]) == 1


def test_a_server_that_is_not_there_is_told_in_one_line(song: Path) -> None:
    url = f"http://127.0.0.1:{find_free()}"
    with Client(url, patience_seconds=0) as client, pytest.raises(ConnectionFailedError, match="No server answers"):
        client.submit(song)


def test_run_writes_stems_and_exits_0(api_url: str, stand_in: StandIn, song: Path, tmp_path: Path) -> None:
    with working(stand_in, stem=STEM):
        result = command(api_url, "run", song, "--out", tmp_path / "out", "--excerpt", "1+2", "--format", "flac")
    assert result.exit_code == 0, result.output
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert names == ["vocals.flac", "accompaniment.flac", "report.json", "spectrogram.png"]
    assert (tmp_path / "out" / "vocals.flac").read_bytes() == STEM


def test_run_writes_what_a_chain_made_into_folders_below(
    api_url: str, stand_in: StandIn, song: Path, tmp_path: Path
) -> None:
    deep = '{"from": "vocals", "stems": ["vocals"], "then": [{"from": "vocals"}]}'
    with working(stand_in, stem=STEM):
        result = command(api_url, "run", song, "--out", tmp_path, "--then", deep, "--then", "accompaniment:repetition")
    assert result.exit_code == 0, result.output
    written = {Path(line).relative_to(tmp_path) for line in result.stdout.splitlines()}
    folders = {str(path.parent) for path in written if path.name == "vocals.flac"}
    assert folders == {".", "vocals", "vocals/vocals", "accompaniment"}
    with working(stand_in, good=lambda _: False):
        result = command(api_url, "run", song, "--out", tmp_path / "none", "--format", "mp3", "--then", "vocals")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "Error: The file is no audio.")


def test_run_downloads_what_a_chain_made_although_one_of_its_jobs_failed(
    api_url: str, stand_in: StandIn, song: Path, tmp_path: Path
) -> None:
    then = ("--then", "vocals", "--then", "accompaniment:repetition")
    with working(stand_in, good=lambda job: job.request.source.output != "vocals", stem=STEM):
        result = command(api_url, "run", song, "--out", tmp_path, *then)
    written = {Path(line).relative_to(tmp_path) for line in result.stdout.splitlines()}
    folders = {str(path.parent) for path in written if path.name == "vocals.flac"}
    assert folders == {".", "accompaniment"}
    jobs = stand_in.store.read_jobs(stand_in.store.list_ids("local", limit=10)[0])
    (failed,) = (job.id for job in jobs if job.state == "failed")
    *_, told, last = result.stderr.splitlines()
    assert told == f"The job {failed}, which continues vocals: The file is no audio."
    assert (result.exit_code, last) == (1, "Error: The file is no audio.")


def test_run_on_no_audio_ends_with_one_line_and_1(api_url: str, stand_in: StandIn, song: Path, tmp_path: Path) -> None:
    with working(stand_in, good=lambda _: False):
        result = command(api_url, "run", song, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Error: The file is no audio."
    assert not (tmp_path / "out").exists()


def test_the_other_commands(api_url: str, stand_in: StandIn, song: Path, tmp_path: Path) -> None:
    job_id = command(api_url, "submit", song).stdout.strip()
    assert "queued" in command(api_url, "status", job_id).stdout
    stand_in.workers.remove("stand-in")
    assert "waiting for the engine" in command(api_url, "status", job_id).stdout
    assert json.loads(command(api_url, "list", "--json").stdout)["waiting_for"] == "engine"
    stand_in.announce()
    assert "waiting" not in command(api_url, "status", job_id).stdout
    assert "canceled" in command(api_url, "cancel", job_id).stdout
    waited = command(api_url, "wait", job_id)
    assert (waited.exit_code, waited.stderr.splitlines()[-1]) == (1, "Error: The job is canceled.")
    assert "queued" in command(api_url, "retry", job_id).stdout
    stand_in.queue.dispatch()
    stand_in.succeed(job_id, STEM)
    assert json.loads(command(api_url, "status", job_id, "--json").stdout)["state"] == "succeeded"
    assert command(api_url, "wait", job_id).exit_code == 0
    assert song.name in command(api_url, "list").stdout
    assert json.loads(command(api_url, "list", "--json", "--state", "succeeded").stdout)["id"] == job_id
    assert command(api_url, "download", job_id, "--out", tmp_path / "d").exit_code == 0
    assert command(api_url, "delete", job_id).exit_code == 0
    gone = command(api_url, "status", job_id)
    assert (gone.exit_code, gone.stderr) == (1, "Error: There is no such job.\n")
    assert "repetition (default)" in command(api_url, "engines").stdout


def test_the_commands_choose_how_outputs_are_encoded(api_url: str, stand_in: StandIn, song: Path) -> None:
    encoding = ("--format", "mp3", "--bitrate-kbps", "320")
    job_id = command(api_url, "submit", song, *encoding).stdout.strip()
    told = json.loads(command(api_url, "status", job_id, "--json").stdout)
    assert (told["format"], told["format_options"]) == ("mp3", {"bitrate_kbps": 320})
    stand_in.queue.dispatch()
    stand_in.succeed(job_id)
    mixing = command(api_url, "mix", job_id, "--mix", "minus:vocals", "--format", "wav", "--bit-depth", "24", "--json")
    assert json.loads(mixing.stdout)["format_options"] == {"bit_depth": 24}
    refused = command(api_url, "submit", song, "--bit-depth", "7")
    assert (refused.exit_code, "must be one of 16, 24" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("excerpt", "read"), [("90+20", Excerpt(90, 20)), ("+20", Excerpt(0, 20)), ("1.5+", Excerpt(1.5, None))]
)
def test_excerpts_are_read(excerpt: str, read: Excerpt) -> None:
    assert Excerpt.parse(excerpt) == read


@pytest.mark.parametrize("excerpt", ["", "+", "90", "a+b", "-1+5", "1+2+3"])
def test_other_excerpts_are_refused(excerpt: str) -> None:
    with pytest.raises(ValueError, match="START"):
        Excerpt.parse(excerpt)


def test_a_wait_is_held_by_the_server(client: Client, stand_in: StandIn, song: Path) -> None:
    job = client.submit(song)
    stand_in.queue.dispatch()
    timer = threading.Timer(0.5, lambda: stand_in.succeed(job.id))
    timer.start()
    asked: list[str] = []
    client._server.http.event_hooks["request"].append(lambda request: asked.append(request.headers.get("Prefer", "")))
    assert client.wait(job.id).state == "succeeded"
    timer.join()
    assert asked == ["", "wait=45"], "one look, and one wait"


def test_a_submission_whose_answer_is_lost_is_sent_again_and_makes_one_job(client: Client, song: Path) -> None:
    lost: list[int] = []

    def lose(response: httpx2.Response) -> None:
        if response.request.method == "POST" and not lost:
            lost.append(1)
            raise httpx2.ReadError("cut")

    client._server.http.event_hooks["response"].append(lose)
    job = client.submit(song)
    assert lost
    assert [j.id for j in client.jobs()] == [job.id]


@pytest.mark.usefixtures("stand_in")
def test_scripts_read_json_and_exit_codes(api_url: str, song: Path) -> None:
    job = json.loads(command(api_url, "submit", song, "--json", "--priority", "bulk").stdout)
    assert job["priority"] == "bulk"
    waited = command(api_url, "wait", job["id"], "--timeout", "0.2")
    assert (waited.exit_code, waited.stdout) == (3, "")
    canceled = command(api_url, "cancel", job["id"], "--json")
    assert json.loads(canceled.stdout)["state"] == "canceled"
    failed = command(api_url, "wait", job["id"], "--json")
    assert (failed.exit_code, json.loads(failed.stdout)["state"]) == (1, "canceled")
    assert json.loads(command(api_url, "retry", job["id"], "--json").stdout)["state"] == "queued"
    assert json.loads(command(api_url, "engines", "--json").stdout)["name"] == "repetition"
    assert command(api_url, "status", "0" * 32).exit_code == 1
    assert command(api_url, "submit", "no such file").exit_code == 2
    assert command(f"http://127.0.0.1:{find_free()}", "engines").exit_code == 4


@pytest.mark.parametrize("url", ["not a url", "ftp://127.0.0.1", "http://", "http://[::1", "/v1"])
def test_a_url_that_is_none_is_told(url: str) -> None:
    result = command(url, "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is not a valid server URL" in result.stderr


def test_a_server_of_another_kind_is_told(api_url: str) -> None:
    result = command(f"{api_url}/docs?", "engines")
    assert (result.exit_code, "is not a stemqueue server" in result.stderr) == (1, True), result.stderr


def test_a_key_that_cannot_be_sent_is_told(api_url: str) -> None:
    result = CliRunner().invoke(main, ["--url", api_url, "--api-key", "schlüssel", "list"])
    assert (result.exit_code, "API key" in result.stderr) == (1, True)
