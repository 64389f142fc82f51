"""A real batch of whole songs by real workers: how much of the slots' time is separation, and the batch read meanwhile.

The songs are made of those that there are: looped, shifted, one over another, so that no two are alike; where there are
none, of a beat and a glide.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from tests.bench.batches.watch import Watch, look
from tests.bench.separation.repetition_songs import AUDIO
from tests.fault.conftest import make_song
from tests.fault.support.deployment import Deployment
from tests.fixtures.servers import SONGS

MATERIAL = (
    *("songs/hydrogen_full/mixture.flac", "unlabelled/fishin_singing_133s.ogg"),
    *("songs/lithium_60s/mixture.flac", "unlabelled/instrumental_61s.ogg"),
)

RATE_HZ = 44_100

SHORTEST_SECONDS, LONGEST_SECONDS = 120, 300


def measure_songs(deployment: Deployment, folder: Path, *, songs: int, engine: str) -> None:
    """Work off that many songs, and look at the batch meanwhile."""
    items = [_stored(deployment, song) for song in _songs(folder, songs)]
    wanted = {"engine": engine, "no_cache": True}
    warm = deployment.submit_batch(items=items[:1], defaults=wanted)
    deployment.until_batch(warm, "ended", seconds=600)
    slots, idle, begun = int(deployment.settings.worker_slots), look(deployment, warm), time.monotonic()
    batch_id = deployment.submit_batch(items=items, defaults=wanted)
    with _MostAtOnce(deployment, batch_id) as claimed:
        watch = Watch(deployment, batch_id)
        while deployment.batch(batch_id)["state"] != "ended":
            # Seldom: it is a reader too.
            time.sleep(0.3)
        wall, busy = time.monotonic() - begun, watch.stop()
    done = deployment.items(batch_id)
    assert all(item["state"] == "succeeded" for item in done), done
    audio, children = (sum(item[name] for item in done) for name in ("duration_seconds", "seconds"))
    print(
        f"{len(done)} songs, {audio / 60:.0f} min of them, by {engine} on {slots} slots: {wall:.1f} s on the wall, "
        f"{children:.1f} s of children, {children / slots:.1f} over the slots: "
        f"{wall * slots / children:.3f} (goal: 1.15)"
    )
    print(f"claimed at once: {claimed.number}, which is {claimed.number - slots} fetched ahead")
    print(f"reading the batch while songs run: {busy.against(idle)}")


def _stored(deployment: Deployment, song: Path) -> dict[str, Any]:
    deployment.songs.put_file(song, f"catalog/{song.name}", "audio/flac")
    song.unlink()
    return {"track": song.stem, "source": {"s3": {"bucket": SONGS, "key": f"catalog/{song.name}"}}}


def _songs(folder: Path, songs: int) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(songs):
        path = folder / f"{number:03}.flac"
        seconds = SHORTEST_SECONDS + number * 37 % (LONGEST_SECONDS - SHORTEST_SECONDS + 1)
        paths = [AUDIO / name for name in MATERIAL if (AUDIO / name).is_file()]
        if not paths:
            yield make_song(path, seconds)
            continue
        length = seconds * RATE_HZ
        above, below = (_piece(paths[(number + k) % len(paths)], number + k, length) for k in (0, 1))
        soundfile.write(path, np.clip(0.7 * above + 0.2 * below, -1, 1), RATE_HZ, subtype="PCM_16")
        yield path


def _piece(path: Path, number: int, length: int) -> npt.NDArray[np.float32]:
    material = _read(path)
    return np.take(material, np.arange(length) + number * 7 * RATE_HZ, axis=0, mode="wrap")


@cache
def _read(path: Path) -> npt.NDArray[np.float32]:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    stereo: npt.NDArray[np.float32] = samples[:, [0, -1]]
    return stereo


class _MostAtOnce:
    """Looks how many of a batch's jobs workers hold at once."""

    def __init__(self, deployment: Deployment, batch_id: str) -> None:
        self.number = 0
        self._deployment, self._batch_id = deployment, batch_id
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _MostAtOnce:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        key = f"{self._deployment.settings.redis_prefix}batch:{self._batch_id}"
        while not self._over.wait(0.5):
            held = self._deployment.store._redis.hget(key, "n_running")
            self.number = max(self.number, int(held or 0))


def settings_of_songs() -> dict[str, str]:
    """Return what a deployment is told for this: as many slots as there are cores, one thread each."""
    return {"WORKER_SLOTS": str(len(os.sched_getaffinity(0))), "HEARTBEAT_SECONDS": "10", "LEASE_SECONDS": "60"}
