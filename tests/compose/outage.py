"""Two minutes without storage, while jobs run and wait. Meanwhile there is time for tests that need none."""

from __future__ import annotations

import threading
import time

import httpx2

from tests.compose.stack import TAG, ComposeStack, layers
from tests.fixtures.sounds.songs import Songs

AWAY_SECONDS = 120
"""How long the storage is away. What is tried a few times and given up was given up after 80 s."""

LOOK_SECONDS = 5


class Outage:
    """The storage of `stack` is stopped when this is made. Meanwhile the images of an upgrade are built."""

    def __init__(self, stack: ComposeStack, songs: Songs) -> None:
        self._stack = stack
        self._over = threading.Event()
        self.layers_before = {name: layers(f"stemqueue-{name}:{TAG}") for name in ("api", "worker")}
        """The layers of the images that run during the outage."""
        self.states: set[str] = set()
        """Every state that one of the jobs was seen in during the outage, and what went wrong in asking."""
        running = stack.submit(songs.long, engine="repetition")
        stack.until_separating(running)
        self.jobs = [running, *(stack.submit(songs.short) for _ in range(3))]
        stack.compose("stop", "storage")
        self._stopped = time.monotonic()
        with (stack.folder / "shared/errors.py").open("a") as file:
            file.write("# Another release.\n")
        self._builder = threading.Thread(target=stack.compose, args=("build", "--quiet", "api", "worker"))
        self._watcher = threading.Thread(target=self._watch)
        self._builder.start()
        self._watcher.start()

    def end(self) -> None:
        """Start the storage again, once it has been away long enough."""
        self._builder.join()
        time.sleep(max(0, self._stopped + AWAY_SECONDS - time.monotonic()))
        self._over.set()
        self._watcher.join()
        self._stack.compose("start", "storage")

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self.states |= {str(self._stack.job(job_id)["state"]) for job_id in self.jobs}
            except httpx2.HTTPError as error:
                self.states.add(repr(error))
