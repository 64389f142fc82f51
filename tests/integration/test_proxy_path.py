"""The API below a path of its host, behind a real Caddy: with the setting or without it, the path removed or not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from api.client.cli import main
from deploy.local.processes import RunningService, Service
from tests.fixtures.api import StandIn, alive, serve_api, working
from tests.fixtures.ports import find_free
from tests.fixtures.servers import StorageServer, ValkeyServer
from tests.integration.test_proxy import CADDY

CADDYFILE = """
{{
	admin off
	persist_config off
	auto_https off
}}
http://127.0.0.1:{port} {{
	handle_path /removed/stems/* {{
		reverse_proxy {set_to_removed}
	}}
	handle /kept/* {{
		reverse_proxy {set_to_kept}
	}}
	handle_path /unset/* {{
		reverse_proxy {unset}
	}}
	handle {{
		respond "<html>another site</html>" 404
	}}
}}
"""

PATHS = {"removed": "/removed/stems", "kept": "/kept", "unset": "/unset"}


@dataclass(frozen=True)
class Site:
    """A host where a proxy publishes the API below each of PATHS."""

    url: str


@pytest.fixture(scope="module")
def site(
    session_valkey: ValkeyServer, session_storage: StorageServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    if not CADDY.exists():
        pytest.skip("no caddy here")
    folder, port = tmp_path_factory.mktemp("path"), find_free()
    api = lambda name, path: serve_api(
        session_valkey, session_storage, tmp_path_factory.mktemp(name), {"API_PUBLIC_PATH": path}
    )
    with api("removed", "/removed/stems") as removed, api("kept", "kept/") as kept, api("unset", "") as unset:
        addresses = [running.service.name.removeprefix("http://") for running in (removed, kept, unset)]
        config = CADDYFILE.format(port=port, set_to_removed=addresses[0], set_to_kept=addresses[1], unset=addresses[2])
        (folder / "Caddyfile").write_text(config)
        url = f"http://127.0.0.1:{port}"
        service = Service(
            name="proxy",
            command=(str(CADDY), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"),
            folder=folder,
            environment={"PATH": os.environ["PATH"], "HOME": str(folder)},
            answers=lambda: alive(f"{url}/unset"),
            start_seconds=60,
            stop_seconds=10,
        )
        running = RunningService(service, print)
        try:
            running.wait_until_it_answers()
            yield Site(url)
        finally:
            running.stop()


def command(url: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--url", url, *map(str, arguments)])


@pytest.mark.parametrize("kind", PATHS)
def test_the_page_and_the_documents_load_all_that_they_name(site: Site, kind: str, web: FlaskClient) -> None:
    del web
    for page in ("/", "/jobs/ab12", "/batches", "/docs"):
        address = site.url + PATHS[kind] + page
        links = re.findall(r'(?:href|src)="([^"]+)"', httpx2.get(address).raise_for_status().text)
        assert len(links) >= 3
        for link in links:
            assert httpx2.get(urljoin(address, link)).status_code == 200, link


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("ending", ["", "/"])
def test_a_song_makes_the_whole_way_by_the_command(
    site: Site, kind: str, ending: str, stand_in: StandIn, tmp_path: Path
) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"a\0song " * 1000)
    url = site.url + PATHS[kind] + ending
    with working(stand_in):
        done = command(url, "run", song, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out/vocals.flac").read_bytes() == b"0123456789" * 100
    assert command(url, "list").exit_code == 0


@pytest.mark.parametrize("kind", ["removed", "kept"])
def test_links_and_locations_lead_through_the_proxy(site: Site, kind: str, stand_in: StandIn) -> None:
    with httpx2.Client(base_url=site.url) as client, working(stand_in):
        song = {"file": ("a.mp3", b"s\0ng")}
        answer = client.post(f"{PATHS[kind]}/v1/jobs", files=song, headers={"Prefer": "wait=30"})
        job = client.get(answer.headers["Location"]).raise_for_status().json()
        assert job["state"] == "succeeded"
        for link in (job["stems"][0]["url"], job["links"]["archive"], job["source"]["url"]):
            assert client.get(link).status_code == 200
        with client.stream("GET", f"{job['links']['self']}/events") as events:
            assert job["stems"][0]["url"] in "".join(events.iter_text())
        document = client.get(f"{PATHS[kind]}/v1/openapi.json").json()
        assert urlsplit(document["servers"][0]["url"]).path == PATHS[kind]


def test_a_url_without_the_path_is_told(site: Site, stand_in: StandIn) -> None:
    del stand_in
    done = command(site.url, "engines")
    assert done.exit_code == 1
    assert "perhaps the URL lacks a path. (HTTP 404)" in done.stderr
