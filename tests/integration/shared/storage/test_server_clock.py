"""A machine whose clock is an hour wrong stores, reads and signs as any other: it uses the storage's clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[4]

AHEAD = ROOT / "tests" / "fault" / "support" / "clock_an_hour_ahead"

SCRIPT = """
import json, time
from shared.storage.object_storage import ObjectStorage
from shared.settings import Settings
from shared.storage.server_clock import storage_seconds
storage = ObjectStorage(Settings(), prompt=True)
storage.put_bytes(b"song", "uploads/a", "audio/wav")
print(json.dumps({
    "read": b"".join(storage.open("uploads/a").chunks()).decode(),
    "url": storage.signed_url("uploads/a", filename="a.wav", content_type="audio/wav", seconds=60),
    "form": storage.signed_form("uploads/b", max_bytes=10, seconds=60),
    "times": [time.time(), storage_seconds()],
}))
"""


def test_a_machine_with_a_wrong_clock_works(storage_settings: dict[str, Any]) -> None:
    environment = {name.upper(): str(value) for name, value in storage_settings.items()}
    environment |= {"S3_PUBLIC_ENDPOINT_URL": environment["S3_ENDPOINT_URL"]}
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": f"{AHEAD}{os.pathsep}{ROOT}"}
    told = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, check=True, stdout=subprocess.PIPE).stdout
    # The log goes to standard output where nobody has set it up.
    found = json.loads(told.splitlines()[-1])
    assert found["read"] == "song"
    ours, storages = found["times"]
    assert 3500 < ours - storages < 3700, "its clock was wrong"
    assert httpx2.get(found["url"]).content == b"song", "a link holds by the right time"
    url, fields = found["form"]
    assert httpx2.post(url, data=fields, files={"file": ("b", b"direct")}).status_code == 204


# STAND-IN for a clock that jumps while four outputs go up: what was learnt of it is an hour wrong.
JUMPING = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from shared.storage import server_clock as storage_clock
from shared.storage.object_storage import ObjectStorage
from shared.settings import Settings
storage, together = ObjectStorage(Settings(), prompt=True), Barrier(4)
def put(n):
    together.wait()
    storage.put_bytes(b"song", f"uploads/{n}", "audio/wav")
with ThreadPoolExecutor(4) as threads:
    for _ in range(5):
        list(threads.map(put, range(4)))
        storage_clock._offset_seconds = 3600.0
"""


def test_requests_that_are_refused_together_all_go_again(storage_settings: dict[str, Any]) -> None:
    environment = {name.upper(): str(value) for name, value in storage_settings.items()}
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", JUMPING], env=environment, check=True)
