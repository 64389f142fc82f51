"""Uploads files, several at a time, and submits uploaded ones in batches.

Separation begins while files are still being uploaded, so a run has several batches: the first as soon as a file is
ready, later ones at growing intervals, so that a long run has a few dozen.
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
from api.client.catalog.background_calls import BackgroundCalls, FinishedCalls
from api.client.catalog.folders import folder_name
from api.client.catalog.run_state import Row, RunState
from api.client.catalog.tracks.fields import name_of_url
from api.client.catalog.tracks.items import digest
from api.client.catalog.url_download import UrlUnreachableError, download_song
from api.client.errors import ApiError
from api.client.files import CHUNK_BYTES
from api.client.http_client import Client
from shared.chains import count_jobs

FIRST_PAUSE_SECONDS, PAUSE_SHARE = 3.0, 0.05
"""The shortest time between two batches, and the share of the run's duration that it grows to."""

MAX_BATCH_ITEMS, MAX_BATCH_BYTES = 5000, 2_000_000
"""The size of one batch. Servers accept requests of at least twice that size."""

UPLOAD_DELETED = "repeated_too_late"
"""The error code for an idempotency key whose upload was deleted since."""

FILE_ERRORS = frozenset({413, 415, 422})
"""Statuses of refused uploads that concern the file, not the run."""


class FileUploads:
    """Uploads the files of a run, several at a time."""

    def __init__(self, client: Client, state: RunState, finished: FinishedCalls, *, threads: int) -> None:
        self._client, self._state = client, state
        self._calls = BackgroundCalls(threads, finished)
        self._last_started = 0

    def start_uploads(self) -> None:
        """Start as many uploads as there is room for."""
        while self._calls.has_room:
            rows = self._state.find_items("state = 'new' AND number > ?", self._last_started, limit=1)
            if not rows:
                return
            self._last_started = rows[0]["number"]
            self._start_upload(rows[0])

    @property
    def is_done(self) -> bool:
        """Whether no file is left to upload."""
        unstarted = self._state.find_items("state = 'new' AND number > ?", self._last_started, limit=1)
        return not self._calls.pending and not unstarted

    def start_over(self) -> None:
        """Look for files from the first item on, because some must be uploaded again."""
        self._last_started = 0

    def _start_upload(self, row: Row) -> None:
        number = row["number"]

        def on_result(sent: tuple[str, str]) -> None:
            upload_id, content = sent
            source = json.dumps({"upload_id": upload_id})
            self._state.change_item(number, state="ready", source=source, content=content)

        def on_error(error: Exception) -> None:
            self._state.change_item(number, state="failed", **_file_error(error))

        key_parts = row["ident"], row["uploads"]
        if row["url"]:
            self._calls.start_call(lambda: self._upload_from_url(row["url"], *key_parts), on_result, on_error)
        else:
            path = Path(os.fsdecode(row["path"]))
            self._calls.start_call(lambda: self._upload_file(path, *key_parts), on_result, on_error)

    def _upload_file(self, path: Path, ident: str, tries: int, *, filename: str | None = None) -> tuple[str, str]:
        """Upload a file; return the upload's id and the content's SHA-256.

        The idempotency key is made of the content, so that an upload whose response was lost is not stored twice.
        """
        content = _sha256(path)
        key = digest("upload", content, ident, tries)
        try:
            return self._client.upload(path, key=key, filename=filename), content
        except ApiError as error:
            if error.code != UPLOAD_DELETED:
                raise
            # It was uploaded before, and the server deleted it because no batch used it.
            return self._client.upload(path, filename=filename), content

    def _upload_from_url(self, url: str, ident: str, tries: int) -> tuple[str, str]:
        """Download a song from the web and upload it, because servers download none for a batch."""
        path = self._state.partial / f"{digest(url, ident)}.fetched"
        try:
            download_song(url, path)
            return self._upload_file(path, ident, tries, filename=name_of_url(url))
        finally:
            path.unlink(missing_ok=True)


class BatchCreation:
    """Creates the batches of a run. If `prefix` is set, there is one batch, of all objects below the prefix."""

    def __init__(self, client: Client, state: RunState, finished: FinishedCalls, options: Mapping[str, Any]) -> None:
        self._client, self._state = client, state
        self._options = options
        self._calls = BackgroundCalls(1, finished)
        self._began_at = time.monotonic()
        self._next_batch_at = self._began_at + FIRST_PAUSE_SECONDS
        self._run_id = state.run_id
        self.prefix: Mapping[str, str] | None = None

    def create_next_batch(self, *, uploads_done: bool) -> None:
        """Create a batch of the items that are ready, if one is due."""
        if self._calls.pending:
            return
        unanswered = self._state.find_batches("id IS NULL")
        if unanswered:
            self._start_creation(unanswered[0])
        elif self.prefix and not self._state.find_batches():
            self._start_creation(self._record_batch([]))
        elif uploads_done or time.monotonic() >= self._next_batch_at:
            ready = _fitting_items(self._state.find_items("state = 'ready'", limit=MAX_BATCH_ITEMS))
            if ready:
                self._start_creation(self._record_batch(ready))

    @property
    def is_done(self) -> bool:
        """Whether every ready item is in a batch."""
        return not self._calls.pending and not self._state.find_items("state = 'ready'", limit=1)

    def _record_batch(self, numbers: list[int]) -> Row:
        """Record a batch before it is sent. If the response is lost, the same request is sent again."""
        now = time.monotonic()
        self._next_batch_at = now + max(FIRST_PAUSE_SECONDS, PAUSE_SHARE * (now - self._began_at))
        batches = len(self._state.find_batches())
        made = {number: self._items_made_of(number) for number in numbers}
        number = self._state.open_batch(made, digest("batch", self._run_id, batches, numbers))
        return self._state.find_batches(f"number = {number}")[0]

    def _items_made_of(self, number: int) -> int:
        """Return how many items the server makes of a track: more than one if jobs continue its job."""
        (row,) = self._state.find_items("number = ?", number)
        options = json.loads(row["options"] or "{}")
        return count_jobs(options.get("then", self._options.get("defaults", {}).get("then")))

    def _start_creation(self, batch: Row) -> None:
        if self.prefix is not None:
            tracks: Mapping[str, Any] = {"prefix": self.prefix}
        else:
            rows = sorted(self._state.find_items("batch = ?", batch["number"]), key=lambda row: row["batch_number"])
            tracks = {"items": [_item_document(row, numbered="export" in self._options) for row in rows]}
        body = {**self._options, **tracks, "name": f"{self._options['name'][:180]} {batch['number']}"}

        def on_result(created: Batch) -> None:
            self._state.change_batch(batch["number"], id=created.id)

        def on_error(error: Exception) -> None:
            if isinstance(error, ApiError) and error.status in {400, 403, 404, 422}:
                # The batch does not exist. The user may correct the options; the uploads are kept.
                self._state.drop_batch(batch["number"])
            raise error

        self._calls.start_call(lambda: self._client.batches.create(body, key=batch["key"]), on_result, on_error)


def _fitting_items(rows: list[Row]) -> list[int]:
    """Return the numbers of the first items that fit into one request; at least one."""
    fitting: list[int] = []
    total_bytes = 0
    for row in rows:
        total_bytes += len(json.dumps(_item_document(row)))
        if fitting and total_bytes > MAX_BATCH_BYTES:
            break
        fitting.append(row["number"])
    return fitting


def _item_document(row: Row, *, numbered: bool = False) -> Mapping[str, Any]:
    """Return an item as a batch's request lists it.

    With `numbered`, tracks of the same name get the number of their output folder, because all batches of a run export
    to one place.
    """
    number = row["folder"].removeprefix(folder_name(row["track"])) if numbered else ""
    return {"track": row["track"] + number, "source": json.loads(row["source"]), **json.loads(row["options"] or "{}")}


def _file_error(error: Exception) -> Mapping[str, str]:
    """Return code and message of an error that concerns one file; raise an error that concerns the run."""
    if isinstance(error, UrlUnreachableError):
        return {"code": "url_unreachable", "message": str(error)}
    if isinstance(error, OSError):
        return {"code": "file_unreadable", "message": error.strerror or str(error)}
    if isinstance(error, ApiError) and error.status in FILE_ERRORS:
        return {"code": error.code, "message": error.detail}
    raise error


def _sha256(path: Path) -> str:
    if not path.is_file():
        # Opening a pipe would wait for a writer.
        raise FileNotFoundError(2, "There is no such file", str(path))
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            hashed.update(block)
    return hashed.hexdigest()
