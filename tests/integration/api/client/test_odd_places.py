"""The command `stemqueue` with odd names, full disks, and proxies that answer for the server."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.client import ApiError, Client, ClientError
from api.client import files as client_files
from api.client.catalog.run_command import _batch_request, run_catalog
from api.client.cli import main
from api.client.files import free_folder
from tests.fixtures.api import StandIn, working


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "01.mp3"
    path.write_bytes(b"a\0song " * 1000)
    return path


def command(url: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--url", url, *map(str, arguments)])


def test_another_song_of_the_same_name_does_not_overwrite_the_first(
    api_url: str, stand_in: StandIn, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("stems/01", "stems/01 (2)", "stems/01 (3)"):
        with working(stand_in, stem=folder.encode()):
            done = command(api_url, "run", song)
        assert done.exit_code == 0, done.output
        assert done.stdout.splitlines()[0] == f"{folder}/vocals.flac"
    assert Path("stems/01/vocals.flac").read_bytes() == b"stems/01"
    assert sorted(folder.name for folder in Path("stems").iterdir()) == ["01", "01 (2)", "01 (3)"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a.mp3", "a"),
        ("..mp3", "song"),
        ("...mp3", "song"),
        ("Mr. Brightside", "Mr. Brightside"),
        ("...Baby One More Time", "...Baby One More Time"),
        ("x" * 251 + ".mp3", "x" * 251),
        ("\N{DOG FACE}.mp3", "\N{DOG FACE}"),
    ],
)
def test_the_folder_has_the_songs_name_and_is_always_below_stems(tmp_path: Path, name: str, folder: str) -> None:
    first = free_folder(tmp_path, Path(name))
    assert first == tmp_path / folder
    first.mkdir()
    assert free_folder(tmp_path, Path(name)) == first, "an empty folder is free"
    (first / "file").touch()
    second = free_folder(tmp_path, Path(name))
    second.mkdir()
    assert second.parent == tmp_path
    assert second.name.endswith(" (2)")


@pytest.mark.usefixtures("stand_in")
def test_names_that_are_not_utf_8_go_up_as_text(api_url: str, stand_in: StandIn, song: Path, tmp_path: Path) -> None:
    odd = song.rename(tmp_path / os.fsdecode(b"D\xe9j\xe0 Vu.mp3"))
    submitted = command(api_url, "submit", "--json", odd)
    assert submitted.exit_code == 0, submitted.output
    assert json.loads(submitted.stdout)["source"]["filename"] == "D\xe9j\xe0 Vu.mp3"
    # In a process, because this is about what is written to a real standard output.
    with working(stand_in):
        done = subprocess.run(
            [sys.executable, "-m", "api.client", "--url", api_url, "run", os.fsencode(odd)],
            capture_output=True,
            cwd=tmp_path,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == b"stems/D\xe9j\xe0 Vu/vocals.flac"
    assert (tmp_path / os.fsdecode(b"stems/D\xe9j\xe0 Vu/vocals.flac")).is_file()


class FullDisk:
    """A stand-in for a disk without space: the second file's flush fails as the system's does."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        if self.calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(descriptor)


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(
    api_url: str, stand_in: StandIn, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    out = tmp_path / "out" / "of it"
    if exists:
        out.mkdir(parents=True)
        (out / "vocals.flac").write_bytes(b"earlier")
    monkeypatch.setattr(client_files.os, "fsync", FullDisk())
    with working(stand_in):
        done = command(api_url, "run", song, "--out", out)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"Error: {out}/accompaniment.flac: No space left on device"
    if exists:
        assert [p.name for p in out.iterdir()] == ["vocals.flac"]
        assert (out / "vocals.flac").read_bytes() == b"earlier"
    else:
        assert not (tmp_path / "out").exists()


@contextmanager
def proxy_that_answers(status: int, headers: dict[str, str]) -> Iterator[str]:
    """A stand-in for nginx before a server: it answers by itself, with a page."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            page = f"<html><head><title>{status}</title></head><body>nginx</body></html>".encode()
            self.send_response(status)
            for name, value in {"Content-Type": "text/html", "Content-Length": str(len(page)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page)

        do_GET = do_POST = _answer  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (413, "The file is larger than a proxy in front of the server allows."),
        (504, "The server did not answer a proxy in front of it in time."),
        (502, "A proxy in front of the server cannot reach it."),
        (503, "A proxy in front of the server cannot reach it."),
        (401, "asks for a password"),
        (403, "refuses access"),
        (404, "perhaps the URL lacks a path"),
        (405, "A proxy in front of the server, or another server, answered."),
        (500, "A proxy in front of the server, or another server, answered."),
    ],
)
def test_a_proxys_own_answer_is_told_as_one(status: int, words: str, song: Path) -> None:
    with (
        proxy_that_answers(status, {}) as url,
        Client(url, patience_seconds=0.1) as client,
        pytest.raises(ApiError) as refused,
    ):
        client.submit(song)
    assert words in refused.value.detail
    assert refused.value.detail.endswith(f"(HTTP {status})")


def test_the_command_tells_it_in_one_line(song: Path) -> None:
    with proxy_that_answers(413, {}) as url:
        done = command(url, "run", song)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: The file is larger than a proxy")


def test_a_proxy_that_leads_elsewhere_is_told(song: Path) -> None:
    with proxy_that_answers(301, {"Location": "https://music.example/stems/v1/jobs"}) as url, Client(url) as client:
        for call in (lambda: client.submit(song), client.engines):
            with pytest.raises(ClientError, match=r"leads to https://music\.example/stems/v1/jobs"):
                call()


@pytest.mark.parametrize(
    ("url", "link", "path"),
    [
        ("http://host", "/v1/jobs/1", "/v1/jobs/1"),
        ("http://host/stems", "/stems/v1/jobs/1", "/v1/jobs/1"),
        ("http://host/stems", "/v1/jobs/1", "/v1/jobs/1"),
        ("http://host/a/b/", "/a/b/v1/jobs/1", "/v1/jobs/1"),
        ("http://host/stems", "/stemsx/v1", "/stemsx/v1"),
    ],
)
def test_links_are_below_the_servers_url(url: str, link: str, path: str) -> None:
    with Client(url) as client:
        server: Any = client._server
        assert server.path_of(link) == path


def test_a_catalog_may_lie_in_a_folder_of_any_name() -> None:
    no_options = dict.fromkeys(parameter.name for parameter in run_catalog.params)
    request = _batch_request(os.fsdecode(b"/music/Beyonc\xe9"), no_options)
    assert request == {"name": "Beyonc\xe9"}
    json.dumps(request, ensure_ascii=False).encode()
    encoded = _batch_request("music", {**no_options, "format": "stem.mp4", "bit_depth": 24})
    assert encoded["defaults"] == {"format": "stem.mp4", "format_options": {"bit_depth": 24}}
