"""How batches are read, kept and worked off: `make bench-queue [PARTS="reading songs" SONGS=30 ENGINE=unet ITEMS=…]`.

Prints both sides of each comparison:

- reading: seconds until 100,000 manifest lines are accepted and read (goal: under 60), and what Redis holds then;
- end: 100,000 items run to their end by a worker that stands in: Redis at its most (goal: 100 MB in all) and for each
  finished item (goal: 300 bytes), reports and pages of all of them, retry, rerun and cancel;
- songs: wall time of a real batch against the summed time of its children over the slots (goal: 1.15 times at most).

Each tells `GET /v1/batches/<id>` meanwhile against idle (goal: 1.5 times at most), and a control (watch.py).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shared.settings import Settings
from tests.bench.batches.end import measure_end
from tests.bench.batches.manifest import put_manifest, used_bytes
from tests.bench.batches.songs import measure_songs, settings_of_songs
from tests.bench.batches.watch import Watch, look
from tests.fault.support.deployment import Deployment
from tests.fixtures.servers import SONGS

PATIENT = {
    "REDIS_TIMEOUT_SECONDS": "20",
    "S3_TIMEOUT_SECONDS": "60",
    "UPLOAD_ABANDONED_SECONDS": "86400",
    "MAX_REQUESTS_PER_MINUTE": "0",
}
"""What is slow is to be measured, and not to end the run."""


def measure_reading(deployment: Deployment, items: int) -> None:
    """Read so many lines and look at the batch meanwhile."""
    deployment.queue.pause("slow")
    small = deployment.submit_batch(manifest=put_manifest(deployment, 10), defaults={"engine": "slow"})
    deployment.until_batch(small, "running", "ended")
    manifest = put_manifest(deployment, items)
    before, idle = used_bytes(deployment), look(deployment, small)
    watch = Watch(deployment, small)
    begun = time.monotonic()
    batch_id = deployment.submit_batch(manifest=manifest, defaults={"engine": "slow"})
    accepted = time.monotonic() - begun
    counts = deployment.until_batch(batch_id, "running", "ended", seconds=600)["counts"]
    assert counts["waiting"] + counts["queued"] == items, counts
    read, busy, after = time.monotonic() - begun, watch.stop(), used_bytes(deployment)
    print(f"{items:,} lines: accepted after {accepted:.2f} s, all read after {read:.1f} s (goal: under 60)")
    print(f"redis: {before:,} bytes before, {after:,} with all of them: {(after - before) / 1e6:.1f} MB (goal: 100)")
    print(f"reading a batch while lines are read: {busy.against(idle)}")
    for each in (batch_id, small):
        deployment.client.post(f"/v1/batches/{each}/cancel").raise_for_status()


def main() -> None:
    """Run the parts that are named, or all."""
    wanted = sys.argv[1:] or ["reading", "end", "songs"]
    items, songs = int(os.environ.get("ITEMS") or 100_000), int(os.environ.get("SONGS") or 30)
    engine = os.environ.get("ENGINE") or "repetition"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[Deployment], None]] = {
            "reading": lambda deployment: measure_reading(deployment, items),
            "end": lambda deployment: measure_end(deployment, items),
            "songs": lambda deployment: measure_songs(deployment, folder / "made", songs=songs, engine=engine),
        }
        for part in wanted:
            settings = {**PATIENT, "S3_SOURCE_BUCKETS": SONGS, "MODEL_FOLDER": str(Settings().model_folder.resolve())}
            if part == "songs":
                settings |= settings_of_songs()
            deployment = Deployment(folder / part, is_cabled=False, **settings)
            try:
                deployment.start_api()
                if part != "end":
                    deployment.start_worker()
                parts[part](deployment)
            finally:
                deployment.close()


if __name__ == "__main__":
    main()
