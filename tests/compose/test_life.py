"""The first hour of a stack: the page, a song, logs, networks."""

from __future__ import annotations

import io
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
import soundfile

from tests.compose.stack import ComposeStack, docker
from tests.fixtures.sounds.songs import RATE_HZ, Songs

CHROMIUM = Path("/usr/bin/chromium")


def test_the_first_view_of_the_page_is_answered_whole(stack: ComposeStack) -> None:
    with stack.client() as client:
        page = client.get("/")
        assert page.headers["Content-Type"].startswith("text/html")
        named = re.findall(r'(?:src|href)="([^"#]+\.(?:js|css|svg|png|webp|woff2|json|ico)[^"]*)"', page.text)
        assert named, "it names scripts and styles"
        for url in named:
            asset = client.get(urljoin(str(page.url), url))
            assert (asset.status_code, bool(asset.content)) == (200, True), url


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here")
def test_a_browser_shows_the_page(stack: ComposeStack, tmp_path: Path) -> None:
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=8000",
    )
    url = f"http://localhost:{stack.port}/"
    shown = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    # The list of engines is what the page's own script fetches.
    assert re.search(r"<option[^>]*>[^<]*U-Net", shown) or "unet" in shown, shown[:2000]


def test_a_song_goes_through(stack: ComposeStack, songs: Songs) -> None:
    with stack.client() as client:
        engines = {engine["name"] for engine in client.get("/v1/engines").json()["engines"]}
        assert engines == {"repetition", "unet"}, "the worker fitted the image's network to its processor"
        for engine in engines:
            job = stack.until_ended(stack.submit(songs.short, engine=engine))
            assert job["state"] == "succeeded", job["error"]
            for stem in job["stems"]:
                found = soundfile.info(io.BytesIO(client.get(stem["url"]).content))
                assert (found.frames, found.samplerate) == (6 * RATE_HZ, RATE_HZ)


def test_services_log_json_and_look_up_no_names_but_each_others(stack: ComposeStack) -> None:
    for service in ("api", "worker"):
        lines = [line for id_ in stack.containers(service) for line in docker("logs", id_).splitlines()]
        plain = [line for line in lines if line.strip() and not line.startswith("{")]
        # Before the worker runs, the set-up of the network says in one line how it ended.
        assert [line for line in plain if not re.search("models/unet (built|is ready)$", line)] == []
    log = os.environ.get("COMPOSE_TEST_ENGINE_LOG")
    if not log:
        pytest.skip("the engine of this machine keeps its log elsewhere")
    names = set(re.findall(r'Name To resolve: ([^\s"]+)', Path(log).read_text(errors="replace")))
    assert "redis." in names, "the engine's log has what is looked up"
    assert {name.rstrip(".") for name in names} <= {"redis", "storage", "api"}


def test_workers_reach_neither_other_networks_nor_the_host(stack: ComposeStack) -> None:
    [state] = stack.inspect("worker")
    [(name, network)] = state["NetworkSettings"]["Networks"].items()
    assert (name.endswith("_backend_internal_true"), network["Gateway"]) == (True, "")
    routes = stack.compose("exec", "-T", "worker", "cat", "/proc/net/route").splitlines()[1:]
    assert [line for line in routes if line.split()[1] == "00000000"] == [], "no default route"
    with pytest.raises(httpx2.HTTPError):
        # Nor is anything of it published.
        httpx2.get("http://127.0.0.1:8333/", timeout=3)
