"""A day in the life of the stack: songs, more workers, a killed one, slow readers.

The tests run in this order, on one stack.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
import soundfile

from tests.compose.songs import RATE_HZ, Songs
from tests.compose.stack import ComposeStack, docker, wait_until

CHROMIUM = Path("/usr/bin/chromium")

# Runs in the API, which has the key of the bucket: stores an object of 1 GB and reads it twice at once, slowly.
SLOW_READERS = """
import threading, time
from shared.settings import read_settings
from shared.storage.connection import connect_storage
settings = read_settings("test")
s3, key = connect_storage(settings, settings.s3_endpoint_url), {"Bucket": settings.s3_bucket, "Key": "jobs/probe/large"}
part, count = bytes(16 << 20), 64
upload = key | {"UploadId": s3.create_multipart_upload(**key)["UploadId"]}
parts = [
    {"PartNumber": n, "ETag": s3.upload_part(**upload, PartNumber=n, Body=part)["ETag"]} for n in range(1, count + 1)
]
s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
read = []
def slowly():
    body, total = s3.get_object(**key)["Body"], 0
    for _ in range(100):
        total += len(body.read(1 << 20))
        time.sleep(0.1)
    body.close()
    read.append(total)
readers = [threading.Thread(target=slowly) for _ in range(2)]
[reader.start() for reader in readers]; [reader.join() for reader in readers]
s3.delete_object(**key)
print("read", read)
"""


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


def test_there_are_three_workers_when_three_are_asked_for(stack: ComposeStack) -> None:
    stack.up("--no-recreate", "--scale", "worker=3")
    assert len(stack.containers("worker")) == 3
    wait_until(lambda: stack.live_workers() == 3, what="three live workers")


@pytest.fixture(scope="module")
def slow_readers(stack: ComposeStack) -> Iterator[Future[str]]:
    """What the slow readers tell in the end. They read while the next test runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(stack.compose, "exec", "-T", "api", "python", "-", stdin=SLOW_READERS, seconds=300)


@pytest.mark.usefixtures("slow_readers")
def test_a_job_outlives_kill_9_of_its_worker_whose_files_are_removed(stack: ComposeStack, songs: Songs) -> None:
    job_id = stack.submit(songs.long, engine="repetition")
    stack.until_separating(job_id)
    [folder] = stack.compose("exec", "-T", "worker", "sh", "-c", f"ls -d /scratch/*/*/{job_id}-*").split()
    victim = folder.split("/")[2]
    container = next(c for c in stack.containers("worker") if victim.startswith(c[:12]))
    # As the kernel does it: Docker's own kill counts as a wish to stop.
    docker("exec", container, "sh", "-c", "kill -9 -1", check=False)
    job = stack.until_ended(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    wait_until(lambda: stack.live_workers() == 3, what="three live workers: Docker started it again")
    [state] = [found for found in stack.inspect("worker") if found["Id"] == container]
    assert state["RestartCount"] == 1

    def left() -> list[str]:
        return stack.compose("exec", "-T", "worker", "ls", "/scratch").split()

    wait_until(lambda: len(left()) == 3 and victim not in left(), what="scratch folders of the living alone")


def test_slow_readers_of_a_large_object_do_not_fill_the_storages_memory(
    stack: ComposeStack, slow_readers: Future[str]
) -> None:
    told = slow_readers.result()
    assert told.strip().endswith(f"read [{100 << 20}, {100 << 20}]"), told
    [state] = stack.inspect("storage")
    assert (state["RestartCount"], state["State"]["OOMKilled"]) == (0, False)


def test_workers_reach_neither_other_networks_nor_the_host(stack: ComposeStack) -> None:
    state = stack.inspect("worker")[0]
    [(name, network)] = state["NetworkSettings"]["Networks"].items()
    assert (name.endswith("_backend_internal_true"), network["Gateway"]) == (True, "")
    routes = stack.compose("exec", "-T", "worker", "cat", "/proc/net/route").splitlines()[1:]
    assert [line for line in routes if line.split()[1] == "00000000"] == [], "no default route"
    with pytest.raises(httpx2.HTTPError):
        # Nor is anything of it published.
        httpx2.get("http://127.0.0.1:8333/", timeout=3)
