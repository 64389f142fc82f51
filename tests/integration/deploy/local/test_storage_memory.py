"""Slow downloads do not fill the storage's memory: at Compose's limit it would be killed, and running jobs with it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from shared.storage.upload_stream import PART_BYTES
from tests.fixtures.deployment.compose import read_compose
from tests.fixtures.servers import BUCKET, StorageServer

SECRETS = {"REDIS_PASSWORD": "r", "S3_ACCESS_KEY_ID": "a", "S3_SECRET_ACCESS_KEY": "s"}

OBJECT_BYTES = 1_000_000_000


def peak_bytes(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def read_slowly(storage: StorageServer, until: threading.Event) -> None:
    body = storage.client().get_object(Bucket=BUCKET, Key="large")["Body"]
    while not until.is_set() and body.read(256 * 1024):
        time.sleep(0.01)


@pytest.mark.timeout(300)
def test_two_slow_readers_of_a_large_object_stay_below_composes_limit(storage: StorageServer) -> None:
    limit = read_compose(SECRETS)["storage"].definition["mem_limit"]
    assert limit == "1g"
    block = bytes(PART_BYTES)
    with ObjectStorage(Settings(**storage.settings())).open_upload("large") as upload:
        for _ in range(OBJECT_BYTES // PART_BYTES):
            upload.write(block)
        upload.finish()
    done = threading.Event()
    readers = [threading.Thread(target=read_slowly, args=(storage, done)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        # The cache filled within seconds; past that the readers only take longer.
        reader.join(8)
    done.set()
    for reader in readers:
        reader.join()
    # Below the limit by what the container's tmpfs and page tables take.
    assert peak_bytes(storage.pid) < 800_000_000
