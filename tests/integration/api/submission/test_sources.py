"""Mixtures from other places: direct uploads to storage, objects in buckets, and URLs with their restrictions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx2
import pytest
from botocore.config import Config
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from tests.fixtures.api import StandIn
from tests.fixtures.servers import StorageServer

SONG = b"a\0song" * 100_000


class Site(BaseHTTPRequestHandler):
    """A web server with every kind of response that a URL could lead to."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if name.startswith("hop"):
            left = int(name[3:])
            self._answer(302, b"", Location=f"/hop{left - 1}" if left > 1 else "/song.mp3")
        elif name.startswith("to/"):
            self._answer(302, b"", Location=f"http://{name[3:]}/")
        elif name == "away":
            self._answer(302, b"", Location="http://169.254.169.254/latest/meta-data/")
        elif name == "file":
            self._answer(302, b"", Location="file:///etc/passwd")
        elif name == "endless":
            self._go_on(b"x" * 65536, pause_seconds=0.0)
        elif name == "drip":
            self._go_on(b"x", pause_seconds=0.1)
        elif name in {"short", "odd.mp3"}:
            self.send_response(200)
            self.send_header("Content-Length", "1000" if name == "short" else "1\N{SUPERSCRIPT TWO}")
            self.end_headers()
            self.wfile.write(b"x" if name == "short" else SONG)
            self.close_connection = True
        elif name == "bomb":
            self.send_response(200)
            with suppress(OSError):
                while not done.is_set():
                    self.wfile.write(b"X-Header: 0\r\n" * 1000)
            self.close_connection = True
        elif name == "page.mp3":
            self._answer(200, b"<!doctype html><title>Sign in to hear this song</title>")
        elif name.endswith(".mp3"):
            self._answer(200, SONG)
        else:
            self._answer(404, b"no")

    def _go_on(self, block: bytes, *, pause_seconds: float) -> None:
        self.send_response(200)
        self.end_headers()
        # Until the reader goes away.
        with suppress(OSError):
            while not done.wait(pause_seconds):
                self.wfile.write(block)
        self.close_connection = True

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


done = threading.Event()


@pytest.fixture
def site() -> Iterator[str]:
    done.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    done.set()
    server.shutdown()
    thread.join()
    server.server_close()


def web_with(settings: Settings, **changes: Any) -> FlaskClient:
    return create_app(settings.model_copy(update=changes)).test_client()


def submit_source(web: FlaskClient, **source: Any) -> TestResponse:
    return web.post("/v1/jobs", json={"source": source})


def test_a_url_is_fetched_as_if_it_had_been_sent(settings: Settings, stand_in: StandIn, site: str) -> None:
    web = web_with(settings, url_sources=True, outgoing_to_loopback=True)
    job = submit_source(web, url=f"{site}/hop3")
    assert job.status_code == 202, job.text
    assert (job.json["source"]["filename"], job.json["source"]["size_bytes"]) == ("song.mp3", len(SONG))
    assert web.get(job.json["source"]["url"]).data == SONG
    assert len(stand_in.keys()) == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/hop4", 422, "url_refused"),
        ("/away", 422, "url_refused"),
        ("/file", 422, "url_refused"),
        ("/missing", 422, "url_unreachable"),
        ("/short", 422, "url_unreachable"),
        ("/odd.mp3", 422, "url_unreachable"),
        ("/bomb", 422, "url_unreachable"),
        ("/endless", 413, "upload_too_large"),
        ("/page.mp3", 415, "not_audio"),
        ("/drip", 422, "url_unreachable"),
    ],
)
def test_a_fetch_is_bounded(
    settings: Settings, stand_in: StandIn, site: str, *, path: str, status: int, code: str
) -> None:
    web = web_with(
        settings, url_sources=True, outgoing_to_loopback=True, max_upload_bytes=1_000_000, url_source_seconds=1.0
    )
    refused = submit_source(web, url=site + path)
    assert (refused.status_code, refused.json["code"]) == (status, code), refused.text
    assert stand_in.keys() == []
    assert web.get("/v1/jobs").json["jobs"] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/song.mp3",
        "http://localhost:{port}/song.mp3",
        "http://[::1]:{port}/song.mp3",
        "http://[::ffff:127.0.0.1]:{port}/song.mp3",
        "http://[::127.0.0.1]:{port}/song.mp3",
        "http://[64:ff9b::7f00:1]:{port}/song.mp3",
        "http://0.0.0.0:{port}/song.mp3",
        "http://2130706433:{port}/song.mp3",
        "http://0x7f.1:{port}/song.mp3",
        "http://10.0.0.1/song.mp3",
        "http://192.168.1.1/song.mp3",
        "http://100.64.0.1/song.mp3",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/song.mp3",
        "http://[fd00::1]/song.mp3",
        "http://[::ffff:0:127.0.0.1]:{port}/song.mp3",
        "http://[2002:7f00:1::]:{port}/song.mp3",
        "http://[2001:0:7f00:1::]:{port}/song.mp3",
        "http://[fec0::1]/song.mp3",
        "http://[ff02::1]/song.mp3",
        "http://[2001:db8::1]/song.mp3",
        "http://[::1%25lo]:{port}/song.mp3",
        "http://localhost.:{port}/song.mp3",
        "http://127.1:{port}/song.mp3",
        "http://0177.0.0.1:{port}/song.mp3",
        "http://127.0.0.1.:{port}/song.mp3",
        "http://\uff11\uff12\uff17.0.0.1:{port}/song.mp3",
        "http://example.com\\@127.0.0.1:{port}/song.mp3",
        "http://127.0.0.1:{port}\\@example.invalid/song.mp3",
        "http://198.18.0.1/song.mp3",
        "http://203.0.113.1/song.mp3",
        "http://168.63.129.16/song.mp3",
        "http://224.0.0.1/song.mp3",
        "file:///etc/passwd",
        "ftp://127.0.0.1/song.mp3",
        "gopher://127.0.0.1:{port}/x",
        "http://user:secret@example.com/",
        "http:///song.mp3",
        "http://[::1/song.mp3",
        "song.mp3",
    ],
)
def test_no_url_leads_into_private_networks(settings: Settings, stand_in: StandIn, site: str, url: str) -> None:
    web = web_with(settings, url_sources=True)
    refused = submit_source(web, url=url.format(port=site.rsplit(":", 1)[1]))
    assert refused.status_code == 422, refused.text
    assert refused.json["code"] in {"url_refused", "url_unreachable"}
    assert stand_in.keys() == []


@pytest.mark.usefixtures("stand_in")
def test_a_name_that_changes_its_address_is_checked_where_it_is_connected(
    settings: Settings, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves to a public address the first time, and to loopback afterwards."""
    port, asked, real = int(site.rsplit(":", 1)[1]), [], socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **options: Any) -> Any:
        if host != "rebind.example":
            return real(host, *args, **options)
        asked.append(host)
        address = "127.0.0.1" if len(asked) > 1 else "93.184.216.34"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected = []
    real_connect = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[1] == port:
            connected.append(address[0])
            raise TimeoutError
        real_connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket.socket, "connect", connect)
    refused = submit_source(web_with(settings, url_sources=True), url=f"http://rebind.example:{port}/song.mp3")
    assert refused.json["code"] in {"url_unreachable", "url_refused"}
    assert "127.0.0.1" not in connected
    assert len(asked) == 1, "looked up once: what was checked is what is connected to"


INTERNAL = {"db.internal": "10.1.2.3", "metadata.internal": "169.254.169.254", "six.internal": "fd00::1"}


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("start", ["http://{name}:{port}/song.mp3", "{site}/to/{name}", "https://{name}/"])
def test_answers_do_not_tell_which_internal_names_there_are(
    settings: Settings, site: str, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """The same after a redirect, and if the resolver fails or hangs."""
    real, goes_on = socket.getaddrinfo, threading.Event()

    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        if host in INTERNAL:
            return real(INTERNAL[host], *args, **options)
        if host == "hung.internal":
            goes_on.wait(60)
        if host.endswith(".internal"):
            fault = socket.EAI_AGAIN if host.startswith("again") else socket.EAI_NONAME
            raise socket.gaierror(fault, "no such name")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    web = web_with(settings, url_sources=True, outgoing_to_loopback=True, url_source_seconds=2.0)
    answers = set()
    for name in (*INTERNAL, "none.internal", "again.internal", "hung.internal", "10.0.0.1", "[fe80::1]"):
        refused = submit_source(web, url=start.format(name=name, site=site, port=site.rsplit(":", 1)[1]))
        told = {key: value for key, value in refused.json.items() if key != "request_id"}
        answers.add((refused.status_code, tuple(told.items())))
    goes_on.set()
    (answer,) = answers
    assert dict(answer[1])["code"] == "url_refused"


@pytest.mark.usefixtures("stand_in")
def test_answers_do_not_tell_why_a_server_is_not_reached(settings: Settings, site: str) -> None:
    """A refused or closed connection, no TLS, and a response that is not HTTP or is incomplete."""
    port = int(site.rsplit(":", 1)[1])
    web = web_with(settings, url_sources=True, outgoing_to_loopback=True, url_source_seconds=2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = [
            "http://127.0.0.1:1/song.mp3",
            f"http://127.0.0.1:{silent.getsockname()[1]}/song.mp3",
            f"https://127.0.0.1:{port}/song.mp3",
            f"{site}/short",
            f"{site}/bomb",
            f"{site}/drip",
        ]
        answers = [submit_source(web, url=url).json for url in urls]
    assert {(answer["code"], answer["detail"]) for answer in answers} == {
        ("url_unreachable", "The URL's server did not respond completely in time.")
    }


@pytest.mark.usefixtures("stand_in")
def test_urls_and_buckets_are_refused_unless_allowed(web: FlaskClient) -> None:
    for source in ({"url": "https://example.com/a.mp3"}, {"s3": {"bucket": "stems", "key": "uploads/x"}}):
        refused = submit_source(web, **source)
        assert (refused.status_code, refused.json["code"]) == (422, "source_refused")
    for source in ({}, {"url": "https://a.example/", "upload_id": "0" * 32}):
        assert submit_source(web, **source).json["code"] == "request_invalid"


def test_an_object_of_an_allowed_bucket_is_taken_as_it_is_now(settings: Settings, stand_in: StandIn) -> None:
    web = web_with(settings, s3_source_buckets="other, stems")
    stand_in.storage.put_bytes(SONG, "catalog/Ä song.mp3", "audio/mpeg")
    source = {"s3": {"bucket": "stems", "key": "catalog/Ä song.mp3"}}
    answer = submit_source(web, **source)
    assert answer.status_code == 202, answer.text
    job = answer.json
    assert (job["source"]["filename"], job["source"]["size_bytes"]) == ("Ä song.mp3", len(SONG))
    assert web.get(job["source"]["url"]).data == SONG
    pinned = stand_in.store.read(job["id"]).request.source
    assert (pinned.bucket, bool(pinned.etag)) == ("stems", True)
    stand_in.storage.put_bytes(b"replaced", "catalog/Ä song.mp3", "audio/mpeg")
    assert web.get(job["source"]["url"]).status_code == 410, "another object is not what was asked for"
    stand_in.store.cancel(job["id"])
    assert web.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert stand_in.keys() == ["catalog/Ä song.mp3"], "what others own stays"
    missing = submit_source(web, s3={"bucket": "stems", "key": "catalog/none.mp3"})
    assert (missing.status_code, missing.json["code"]) == (410, "source_missing")


def test_a_direct_upload_goes_to_storage_and_its_job_is_pinned(settings: Settings, stand_in: StandIn) -> None:
    web = web_with(settings, s3_public_endpoint_url=settings.s3_endpoint_url)
    asked = web.post("/v1/uploads", json={"filename": "../song.mp3", "size_bytes": len(SONG)})
    assert asked.status_code == 200, asked.text
    form = asked.json
    early = submit_source(web, upload_id=form["upload_id"])
    assert (early.status_code, early.json["code"]) == (410, "source_missing")
    too_much = httpx2.post(form["url"], data=form["fields"], files={"file": ("x", SONG + b"more")})
    assert too_much.status_code == 400
    elsewhere = {**form["fields"], "key": "jobs/mine"}
    assert httpx2.post(form["url"], data=elsewhere, files={"file": ("x", SONG)}).status_code == 403
    assert httpx2.post(form["url"], data=form["fields"], files={"file": ("x", SONG)}).status_code == 204
    job = submit_source(web, upload_id=form["upload_id"]).json
    assert (job["source"]["filename"], job["source"]["size_bytes"]) == ("song.mp3", len(SONG))
    request = stand_in.store.read(job["id"]).request
    other = httpx2.post(form["url"], data=form["fields"], files={"file": ("x", b"changed")})
    assert other.status_code == 204, "the form works until it expires"
    with pytest.raises(Exception, match="replaced"):
        stand_in.storage.open(request.source.key, etag=request.source.etag)
    assert stand_in.storage.open(request.source.key).length_bytes == 7


def test_a_direct_upload_wants_a_public_storage_and_keeps_to_the_limit(web: FlaskClient, settings: Settings) -> None:
    assert web.post("/v1/uploads", json={"size_bytes": 5}).status_code == 415
    public = web_with(settings, s3_public_endpoint_url=settings.s3_endpoint_url, max_upload_bytes=10)
    assert public.post("/v1/uploads", json={"size_bytes": 11}).json["code"] == "upload_too_large"
    assert public.post("/v1/uploads", json={"size_bytes": 0}).json["code"] == "request_invalid"


@contextmanager
def owner_of(storage: StorageServer) -> Iterator[Settings]:
    assert storage.credentials
    yield Settings(
        s3_endpoint_url=storage.url,
        s3_access_key_id=storage.credentials.storage_admin_access_key_id,
        s3_secret_access_key=storage.credentials.storage_admin_secret_access_key,
    )


def test_an_operator_names_the_pages_that_may_use_the_storage(storage: StorageServer) -> None:
    with owner_of(storage) as settings:
        ObjectStorage(settings).allow_origins(["https://app.example"])
        client = boto3.client(
            "s3",
            endpoint_url=storage.url,
            region_name="us-east-1",
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=settings.s3_secret_access_key,
            config=Config(s3={"addressing_style": "path"}),
        )
        (rule,) = client.get_bucket_cors(Bucket="stems")["CORSRules"]
        client.close()
    assert rule["AllowedOrigins"] == ["https://app.example"]
    asking = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    granted = httpx2.options(f"{storage.url}/stems/uploads/x", headers=asking)
    assert granted.headers["Access-Control-Allow-Origin"] == "https://app.example"
    stranger = httpx2.options(f"{storage.url}/stems/uploads/x", headers={**asking, "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers
