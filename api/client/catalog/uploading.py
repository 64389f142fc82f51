"""Uploads files, a few at once, and puts what is ready into batches.

Separation begins while files are still being uploaded, so a run has several batches: the first as soon as something is
ready, later ones at growing intervals, so that a long run has some dozens of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.client.batches import Batch
from api.client.catalog.background_calls import Background, Results
from api.client.catalog.folders import folder_name
from api.client.catalog.run_state import Row, RunState
from api.client.catalog.tracks.fields import name_of_url
from api.client.catalog.tracks.items import digest
from api.client.catalog.url_download import UrlUnreachableError, fetch
from api.client.errors import ApiError
from api.client.files import CHUNK_BYTES
from api.client.http_client import Client

FIRST_PAUSE_SECONDS, PAUSE_SHARE = 3.0, 0.05
"""The least time between two batches, and its share of the time that the run has lasted."""

MOST_ITEMS, MOST_BYTES = 5000, 2_000_000
"""Of one batch; servers take twice that in a request, and more."""

GONE = "repeated_too_late"
"""The code of an answer to an upload that was made before under its key, and removed since."""

OWN_FAULT = frozenset({413, 415, 422})
"""Answers to an upload that are the file's fault, and not the run's."""


class Uploads:
    """Files on their way up."""

    def __init__(self, client: Client, state: RunState, results: Results, *, threads: int) -> None:
        self._client, self._state = client, state
        self._background = Background(threads, results)
        self._last = 0

    def feed(self) -> None:
        """Start as many uploads as there is room for."""
        while self._background.has_room:
            rows = self._state.items("state = 'new' AND number > ?", self._last, limit=1)
            if not rows:
                return
            self._last = rows[0]["number"]
            self._start(rows[0])

    @property
    def over(self) -> bool:
        """Whether nothing more goes up."""
        return not self._background.busy and not self._state.items("state = 'new' AND number > ?", self._last, limit=1)

    def again(self) -> None:
        """Look for files from the beginning: some must go up once more."""
        self._last = 0

    def _start(self, row: Row) -> None:
        number = row["number"]

        def failed(error: Exception) -> None:
            self._state.change(number, state="failed", **_fault(error))

        def done(sent: tuple[str, str]) -> None:
            upload_id, content = sent
            source = json.dumps({"upload_id": upload_id})
            self._state.change(number, state="ready", source=source, content=content)

        named = row["ident"], row["uploads"]
        if row["url"]:
            self._background.do(lambda: self._send_on(row["url"], *named), done, failed)
        else:
            path = Path(os.fsdecode(row["path"]))
            self._background.do(lambda: self._send(path, *named), done, failed)

    def _send(self, path: Path, ident: str, tries: int, *, filename: str | None = None) -> tuple[str, str]:
        """Upload a file under a key that is its own, so that an upload whose answer is lost is not made twice."""
        content = _sha256(path)
        key = digest("upload", content, ident, tries)
        try:
            return self._client.upload(path, key=key, filename=filename), content
        except ApiError as error:
            if error.code != GONE:
                raise
            # It was up once, and nobody has used it in time.
            return self._client.upload(path, filename=filename), content

    def _send_on(self, url: str, ident: str, tries: int) -> tuple[str, str]:
        """Fetch a file from the web and upload it: servers fetch none for a batch."""
        path = self._state.partial / f"{digest(url, ident)}.fetched"
        try:
            fetch(url, path)
            return self._send(path, ident, tries, filename=name_of_url(url))
        finally:
            path.unlink(missing_ok=True)


class Submission:
    """Batches as they are made; `prefix` makes a single one of all that lies below it."""

    def __init__(self, client: Client, state: RunState, results: Results, wanted: Mapping[str, Any]) -> None:
        self._client, self._state = client, state
        self._wanted = wanted
        self._background = Background(1, results)
        self._begun = time.monotonic()
        self._due = self._begun + FIRST_PAUSE_SECONDS
        self._run_id = state.id
        self.prefix: Mapping[str, str] | None = None

    def feed(self, *, uploads_over: bool) -> None:
        """Make a batch of what is ready, if it is time."""
        if self._background.busy:
            return
        unanswered = self._state.batches("id IS NULL")
        if unanswered:
            self._start(unanswered[0])
        elif self.prefix and not self._state.batches():
            self._start(self._open([]))
        elif uploads_over or time.monotonic() >= self._due:
            ready = _fitting(self._state.items("state = 'ready'", limit=MOST_ITEMS))
            if ready:
                self._start(self._open(ready))

    @property
    def over(self) -> bool:
        """Whether everything that is ready has been sent."""
        return not self._background.busy and not self._state.items("state = 'ready'", limit=1)

    def _open(self, numbers: list[int]) -> Row:
        now = time.monotonic()
        self._due = now + max(FIRST_PAUSE_SECONDS, PAUSE_SHARE * (now - self._begun))
        # Written down before it is sent: if its answer is lost, it is sent again as it was.
        last = len(self._state.batches())
        number = self._state.open_batch(numbers, digest("batch", self._run_id, last, numbers))
        return self._state.batches(f"number = {number}")[0]

    def _start(self, batch: Row) -> None:
        if self.prefix is not None:
            tracks: Mapping[str, Any] = {"prefix": self.prefix}
        else:
            rows = sorted(self._state.items("batch = ?", batch["number"]), key=lambda row: row["batch_number"])
            tracks = {"items": [_listed(row, apart="export" in self._wanted) for row in rows]}
        body = {**self._wanted, **tracks, "name": f"{self._wanted['name'][:180]} {batch['number']}"}

        def made(answer: Batch) -> None:
            self._state.change_batch(batch["number"], id=answer.id)

        def refused(error: Exception) -> None:
            if isinstance(error, ApiError) and error.status in {400, 403, 404, 422}:
                # It was not made. What was asked for may be mended, and the files are there.
                self._state.drop_batch(batch["number"])
            raise error

        self._background.do(lambda: self._client.batches.create(body, key=batch["key"]), made, refused)


def _fitting(rows: list[Row]) -> list[int]:
    """Return the first of the items, as many as go into one request; at least one."""
    fitting: list[int] = []
    taken = 0
    for row in rows:
        taken += len(json.dumps(_listed(row)))
        if fitting and taken > MOST_BYTES:
            break
        fitting.append(row["number"])
    return fitting


def _listed(row: Row, *, apart: bool = False) -> Mapping[str, Any]:
    """Return a track as a batch lists it.

    `apart`: where two have one name, it has the number that its folder has here, since a run's batches export to one
    place.
    """
    number = row["folder"].removeprefix(folder_name(row["track"])) if apart else ""
    return {"track": row["track"] + number, "source": json.loads(row["source"]), **json.loads(row["options"] or "{}")}


def _fault(error: Exception) -> Mapping[str, str]:
    """Return what is wrong with a file; raise what is wrong with more than that."""
    if isinstance(error, UrlUnreachableError):
        return {"code": "url_unreachable", "message": str(error)}
    if isinstance(error, OSError):
        return {"code": "file_unreadable", "message": error.strerror or str(error)}
    if isinstance(error, ApiError) and error.status in OWN_FAULT:
        return {"code": error.code, "message": error.detail}
    raise error


def _sha256(path: Path) -> str:
    if not path.is_file():
        # Opening a pipe would wait for somebody who writes.
        raise FileNotFoundError(2, "There is no such file", str(path))
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            hashed.update(block)
    return hashed.hexdigest()
