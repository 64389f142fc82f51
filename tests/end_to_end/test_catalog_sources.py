"""`stemqueue catalog run` from a folder, a manifest and a bucket: odd names, bad files and bad lines."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.end_to_end.catalog_command import Command, check_stems, make_songs, rows

NOW = {"seconds": 0.2}
SHORTENED = "The excerpt reaches beyond the end of the audio and was shortened."


def test_a_folder_becomes_stems_beside_the_names_of_its_songs(command: Command, tmp_path: Path) -> None:
    names = [
        "Artist/Album/01 Song.flac",
        "Artist/Album/01 Song.wav",
        "日本の歌.flac",
        "ü" * 120 + ".flac",
        "a - [b] 'c'.flac",
        "...Baby One More Time.flac",
        ".38 Special/Wild-Eyed/Hold On.flac",
        "Voice/take.qta",
        "Voice/take",
        os.fsdecode(b"D\xe9j\xe0 Vu.flac"),
    ]
    songs = make_songs(tmp_path / "songs", *names)
    (tmp_path / "songs" / "no song.mp3").write_text("these are words")
    (tmp_path / "songs" / "empty.wav").touch()
    (tmp_path / "songs" / "cover.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "songs" / "._01 Song.flac").write_bytes(b"what other systems leave")
    out = tmp_path / "songs" / "stems"
    before = command.uploads()
    done = command("run", tmp_path / "songs", "--out", out, "--engine", "slow", "--format", "flac")
    assert done.returncode == 5, done.stderr
    assert "10 of 12 done, 2 failed" in done.stdout
    assert "left out: 1 file, not audio by name: cover.jpg\n" in done.stdout
    assert "left out: 1 file, kept by an operating system, a file server or a program for itself: ._01 " in done.stdout
    told = rows(out)
    assert (told["cover.jpg"]["state"], told["cover.jpg"]["error_code"]) == ("left_out", "other")
    assert told["._01 Song.flac"]["state"] == "left_out"
    assert (out / "D\xe9j\xe0 Vu/vocals.flac").is_file()
    assert (out / "_..Baby One More Time/vocals.flac").is_file()
    assert (told["no song"]["state"], told["empty"]["error_code"]) == ("failed", "audio_empty")
    assert told["no song"]["error_code"] == "not_audio"
    assert (out / "Artist/Album/01 Song/vocals.flac").is_file()
    assert (out / "Artist/Album/01 Song (wav)/accompaniment.flac").is_file()
    assert (out / "日本の歌/vocals.flac").is_file()
    check_stems(command, out)
    assert command.uploads() == before + len(songs)
    # The same again begins nothing; and its own stems are no songs of it.
    assert command("run", tmp_path / "songs", "--out", out, "--engine", "slow").returncode == 2
    shutil.rmtree(out / "日本の歌")
    again = command("run", tmp_path / "songs", "--out", out, "--resume", "--json")
    assert (again.returncode, json.loads(again.stdout)["done"]) == (5, 10), again.stderr
    assert json.loads(again.stdout)["left_out"] == {"other": 1, "system": 1}
    assert (out / "日本の歌/vocals.flac").is_file(), "what went missing is fetched again"
    assert command.uploads() == before + len(songs)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A site on the web that has the test's folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_bad_lines_of_a_manifest_are_told_by_number_and_harm_no_other(
    command: Command, tmp_path: Path, site: str
) -> None:
    make_songs(tmp_path, "a.flac", "b.flac")
    (tmp_path / "bad.mp3").write_text("words")
    upload = command.deployment.client.post("/v1/uploads?filename=u.flac", content=(tmp_path / "a.flac").read_bytes())
    slow = {"engine": "slow", "parameters": NOW}
    lines: list[str] = [
        json.dumps({"path": "a.flac", "track": "../../../escape", **slow}),
        "{broken",
        json.dumps({"path": "b.flac", "track": "same", **slow, "format": "mp3", "metadata": {"isrc": "X"}}),
        json.dumps(
            {"path": "a.flac", "track": "same", **slow, "stems": ["vocals"], "excerpt": {"duration_seconds": 99}}
        ),
        json.dumps({"path": "a.flac", "track": "/" + "長" * 300, **slow, "excerpt": {"duration_seconds": 0.5}}),
        json.dumps({"path": "nowhere.flac"}),
        json.dumps({"path": "b.flac", "engine": "nope", "track": "wrong engine"}),
        json.dumps({"upload_id": "0" * 32, "track": "gone upload", **slow}),
        json.dumps({"upload_id": upload.json()["upload_id"], "track": "uploaded before", **slow}),
        json.dumps({"path": "bad.mp3", **slow}),
        json.dumps({"url": f"{site}/a.flac", "track": "=from the web", **slow}),
        json.dumps({"url": f"{site}/nowhere.flac", **slow}),
    ]
    (tmp_path / "catalog.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    done = command("run", "catalog.jsonl", "--out", out)
    assert done.returncode == 5, done.stderr
    assert "6 of 12 done, 6 failed" in done.stdout
    with (out / "report.csv").open(newline="") as file:
        told = {int(row["line"]): row for row in csv.DictReader(file)}
    assert {line: row["error_code"] for line, row in told.items() if row["state"] != "succeeded"} == {
        2: "line_invalid",
        6: "file_unreadable",
        7: "request_invalid",
        8: "source_missing",
        10: "audio_unreadable",
        12: "url_unreachable",
    }
    assert (told[4]["notes"], told[5]["notes"]) == (SHORTENED, "")
    assert told[11]["track"] == "'=from the web", "no formula for a spreadsheet"
    assert told[2]["error_message"] == "line 2: The line is not valid JSON."
    assert (out / "_" / "_" / "_" / "escape" / "vocals.flac").is_file()
    assert (out / "same" / "vocals.mp3").is_file()
    assert sorted(p.name for p in (out / "same (2)").iterdir()) == ["vocals.flac"]
    assert not [p for p in tmp_path.parent.rglob("*escape*") if not p.is_relative_to(out)]
    assert float(told[5]["duration_seconds"]) == pytest.approx(0.5, abs=0.1)


def test_what_continues_a_track_is_a_track_behind_it(command: Command, tmp_path: Path) -> None:
    make_songs(tmp_path, "a.flac", "b.flac", "c.flac", "d.flac")
    deep = [{"from": "vocals", "then": [{"from": "accompaniment"}]}]
    lines = [
        {"path": "a.flac", "parameters": NOW, "then": deep},
        {"path": "b.flac", "engine": "none", "then": deep},
        {"path": "c.flac", "parameters": NOW},
        {"path": "d.flac", "parameters": NOW, "then": []},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    done = command("run", "m.jsonl", "--out", out, "--then", "vocals:slow")
    assert done.returncode == 5, done.stderr
    told = rows(out)
    jobs = {track: row for track, row in told.items() if row["state"] == "succeeded"}
    assert {*jobs} == {"a", "a - vocals", "a - vocals - accompaniment", "c", "c - vocals", "d"}
    assert (told["b"]["state"], told["b"]["error_code"]) == ("invalid", "request_invalid")
    for track, name in (("a", "a.flac"), ("c - vocals", "c - vocals.flac"), ("d", "d.flac")):
        assert command.deployment.job(jobs[track]["job_id"])["source"]["filename"] == name
    assert (out / "a - vocals" / "accompaniment.flac").is_file()
    check_stems(command, out)


def test_a_bucket_goes_through_and_its_stems_can_stay_there(command: Command, tmp_path: Path) -> None:
    for song in make_songs(tmp_path, "one.flac", "two.flac"):
        command.deployment.songs.put_bytes(song.read_bytes(), f"incoming/x/{song.name}", "audio/flac")
    command.deployment.songs.put_bytes(b"", "incoming/x/notes.txt", "text/plain")
    done = command("run", "s3://songs/incoming/", "--out", "out", "--engine", "slow", "--no-download")
    assert done.returncode == 0, done.stderr
    told = rows(tmp_path / "out")
    assert {line: row["state"] for line, row in told.items()} == {
        "x/one": "succeeded",
        "x/two": "succeeded",
        "x/notes.txt": "left_out",
    }
    assert not (tmp_path / "out" / "x").exists()
    url = told["x/one"]["outputs"].split("; ")[0]
    assert command.deployment.client.get(url).status_code == 200
    fetched = command("run", "s3://songs/incoming/", "--out", "out", "--resume")
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "out" / "x" / "two" / "vocals.flac").is_file()
    check_stems(command, tmp_path / "out")
