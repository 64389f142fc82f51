"""What a soak asks of a deployment, all the time: songs, chains, mixes, batches, catalogs, deletions, event streams."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2

from tests.fault.conftest import make_song
from tests.fault.support.deployment import TERMINAL, Deployment, wait_until
from tests.fixtures.servers import SONGS

WAITING_JOBS = 6
"""How many unfinished jobs the stream keeps up; raising it puts more of them under each fault."""

CATALOG_TRACKS = 4

FOLLOWED_AT_ONCE = 3


class Stream:
    """Submits while `deployment` works off what it has; a refusal is an answer, and the next request comes later."""

    def __init__(self, deployment: Deployment, folder: Path, chance: random.Random, webhook_url: str) -> None:
        self._deployment = deployment
        self._folder = folder
        self._random = chance
        self._webhook_url = webhook_url
        self._songs = [make_song(folder / f"song {n}.wav", 5.0 + 3 * n) for n in range(3)]
        deployment.songs.put_bytes(self._songs[0].read_bytes(), "catalog/song.wav", "audio/wav")
        self._client = httpx2.Client(base_url=deployment.client.base_url, timeout=30)
        self._over = Event()
        self._threads = [Thread(target=self._submit_all, daemon=True), Thread(target=self._run_catalogs, daemon=True)]
        self._threads += [Thread(target=self._follow_jobs, daemon=True) for _ in range(FOLLOWED_AT_ONCE)]
        self.refused = 0
        self.sent: Counter[str] = Counter()
        self.faults: list[str] = []
        """What a client saw that it must not see."""
        self._to_delete: list[str] = []

    def start(self) -> None:
        """Start to submit."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Submit no more, wait for the catalog that is under way, and repeat deletions whose answer is missing."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        for job_id in self._to_delete:
            wait_until(lambda i=job_id: self._delete(i), 120, f"{job_id} to be deleted")

    def _submit_all(self) -> None:
        kinds: Sequence[Callable[[], None]] = (
            *[self._submit_song] * 4,
            self._submit_chain,
            self._submit_mix_of_ended,
            self._submit_batch,
            self._delete_ended,
        )
        while not self._over.is_set():
            try:
                counts = self._deployment.statistics.jobs_by_state()
                if counts.get("queued", 0) + counts.get("running", 0) < WAITING_JOBS:
                    kind = self._random.choice(kinds)
                    kind()
            except Exception:  # noqa: BLE001 - Redis or the API is away, on purpose
                self.refused += 1
            time.sleep(0.3)

    def _submit_song(self) -> None:
        """Half of them may be answered from the result cache."""
        fields = {"engine": self._random.choice(["slow", "repetition"]), "webhook_url": self._webhook_url}
        fields |= self._random.choice([{}, {"no_cache": "true"}])
        fields |= self._random.choice([{}, {"mixes": "minus:vocals"}])
        self._post_song("a song", fields)

    def _submit_chain(self) -> None:
        then = [{"from": "vocals", "engine": "slow", "then": [{"from": "accompaniment", "engine": "slow"}]}]
        fields = {"engine": "slow", "no_cache": "true", "webhook_url": self._webhook_url, "then": json.dumps(then)}
        self._post_song("a chain", fields)

    def _post_song(self, kind: str, fields: dict[str, str]) -> None:
        song = self._random.choice(self._songs)
        with song.open("rb") as file:
            self._accept(kind, self._client.post("/v1/jobs", files={"file": (song.name, file)}, data=fields))

    def _submit_mix_of_ended(self) -> None:
        ended = [j for j in self._recent_jobs() if j["state"] == "succeeded" and len(j["stems"]) == 2]
        if ended:
            body = {"mixes": ["minus:vocals"], "webhook_url": self._webhook_url}
            self._accept("a mix", self._client.post(f"/v1/jobs/{self._random.choice(ended)['id']}/mixes", json=body))

    def _submit_batch(self) -> None:
        source = {"s3": {"bucket": SONGS, "key": "catalog/song.wav"}}
        items: list[dict[str, Any]] = [{"track": f"{n}", "source": source} for n in range(3)]
        items[0]["then"] = [{"from": "vocals", "engine": "slow"}]
        number = sum(self.sent.values())
        body = {
            "items": items,
            "defaults": {"engine": "slow", "no_cache": True},
            "export": {"bucket": SONGS, "prefix": f"catalog/copies {number}"},
            "webhook_url": self._webhook_url,
        }
        answer = self._client.post("/v1/batches", json=body)
        if answer.status_code != httpx2.codes.ACCEPTED:
            self.refused += 1
            return
        self.sent["a batch"] += 1
        self._deployment.batches.append(answer.json()["id"])

    def _delete_ended(self) -> None:
        ended = [j["id"] for j in self._recent_jobs() if j["state"] in TERMINAL and not j["then"]]
        if ended:
            job_id = self._random.choice(ended)
            # Whatever the answer, nobody looks at this job any more.
            self._deployment.accepted.remove(job_id)
            self._to_delete.append(job_id)
            self.sent["a deletion"] += 1
            self._delete(job_id)

    def _delete(self, job_id: str) -> bool:
        answer = self._client.delete(f"/v1/jobs/{job_id}")
        # 409: another job reads its outputs.
        return answer.status_code in {204, 404}

    def _recent_jobs(self) -> list[dict[str, Any]]:
        recent = self._deployment.accepted[-20:]
        return [self._client.get(f"/v1/jobs/{job_id}").raise_for_status().json() for job_id in recent]

    def _accept(self, kind: str, answer: httpx2.Response) -> None:
        if answer.status_code not in {200, 202}:
            self.refused += 1
            return
        self.sent[kind] += 1
        links = [answer.json()["id"]]
        while links:
            self._deployment.accepted.append(links[0])
            # The jobs of a chain are accepted with the first.
            job = wait_until(lambda i=links[0]: self._read(i), 400, "the API to answer")
            links = [*links[1:], *(follower["job_id"] for follower in job["then"])]

    def _read(self, job_id: str) -> dict[str, Any] | None:
        with suppress(httpx2.HTTPError):
            answer = self._client.get(f"/v1/jobs/{job_id}")
            if answer.status_code == httpx2.codes.OK:
                return dict(answer.json())
        return None

    def _run_catalogs(self) -> None:
        """Run `stemqueue catalog run` on one folder after another, each with other songs."""
        number = 0
        while not self._over.is_set():
            number += 1
            songs, out = self._folder / f"catalog{number}", self._folder / f"stems{number}"
            songs.mkdir()
            for track in range(CATALOG_TRACKS):
                make_song(songs / f"{track}.wav", 3.0 + track / 10 + number / 1000)
            command = [sys.executable, "-I", "-m", "api.client", "--url", str(self._client.base_url), "catalog", "run"]
            options = ["--out", str(out), "--engine", "slow", "--resume"]
            done = subprocess.run([*command, str(songs), *options], capture_output=True, text=True, check=False)
            # A run begins only where a server answers at once.
            if done.returncode and not out.exists():
                shutil.rmtree(songs)
                self._over.wait(2)
                continue
            self.sent["a catalog"] += 1
            stems = len(list(out.glob("*/*.flac")))
            if done.returncode or stems != 2 * CATALOG_TRACKS:
                self.faults.append(
                    f"a catalog has {stems} stems and ended with {done.returncode}: {done.stderr[-600:]}"
                )

    def _follow_jobs(self) -> None:
        """Follow one job after another by event streams; each that breaks is opened again, until the job has ended."""
        with httpx2.Client(base_url=self._deployment.client.base_url, timeout=30) as client:
            while not self._over.is_set():
                if accepted := self._deployment.accepted[-8:]:
                    self._follow(client, self._random.choice(accepted))
                time.sleep(0.5)

    def _follow(self, client: httpx2.Client, job_id: str) -> None:
        state = ""
        while state not in TERMINAL and not self._over.is_set():
            with suppress(httpx2.HTTPError), client.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
                if stream.status_code == httpx2.codes.NOT_FOUND:
                    return  # It was deleted.
                for line in stream.iter_lines() if stream.status_code == httpx2.codes.OK else ():
                    if line.startswith("data: "):
                        state = json.loads(line.removeprefix("data: ")).get("state", "canceled")
                    if self._over.is_set():
                        return
            time.sleep(0.3)
        self.sent["an event stream"] += 1
