"""More workers, a killed one, and slow readers, on the second stack. The tests run in this order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.compose.stack import ComposeStack, docker, wait_until
from tests.fixtures.sounds.songs import Songs

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


@pytest.fixture(scope="module")
def running(second_stack: ComposeStack) -> ComposeStack:
    """The second stack, with one worker."""
    second_stack.up()
    return second_stack


def test_there_are_three_workers_when_three_are_asked_for(running: ComposeStack) -> None:
    running.up("--no-recreate", "--scale", "worker=3")
    assert len(running.containers("worker")) == 3
    wait_until(lambda: running.live_workers() == 3, what="three live workers")


@pytest.fixture(scope="module")
def slow_readers(running: ComposeStack) -> Iterator[Future[str]]:
    """What the slow readers tell in the end. They read while the next test runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(running.compose, "exec", "-T", "api", "python", "-", stdin=SLOW_READERS, seconds=300)


@pytest.mark.usefixtures("slow_readers")
def test_a_job_outlives_kill_9_of_its_worker_whose_files_are_removed(running: ComposeStack, songs: Songs) -> None:
    job_id = running.submit(songs.long, engine="repetition")
    running.until_separating(job_id)
    [folder] = running.compose("exec", "-T", "worker", "sh", "-c", f"ls -d /scratch/*/*/{job_id}-*").split()
    victim = folder.split("/")[2]
    container = next(c for c in running.containers("worker") if victim.startswith(c[:12]))
    # As the kernel does it: Docker's own kill counts as a wish to stop.
    docker("exec", container, "sh", "-c", "kill -9 -1", check=False)
    job = running.until_ended(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    wait_until(lambda: running.live_workers() == 3, what="three live workers: Docker started it again")
    [state] = [found for found in running.inspect("worker") if found["Id"] == container]
    assert state["RestartCount"] == 1

    def left() -> list[str]:
        return running.compose("exec", "-T", "worker", "ls", "/scratch").split()

    wait_until(lambda: len(left()) == 3 and victim not in left(), what="scratch folders of the living alone")


def test_slow_readers_of_a_large_object_do_not_fill_the_storages_memory(
    running: ComposeStack, slow_readers: Future[str]
) -> None:
    told = slow_readers.result()
    assert told.strip().endswith(f"read [{100 << 20}, {100 << 20}]"), told
    [state] = running.inspect("storage")
    assert (state["RestartCount"], state["State"]["OOMKilled"]) == (0, False)
