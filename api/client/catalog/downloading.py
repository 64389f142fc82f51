"""Downloads the stems of finished tracks. Each file is verified, and appears complete or not at all."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path

import httpx2

from api.client.catalog.background_calls import BackgroundCalls, FinishedCalls
from api.client.catalog.run_state import Row, RunState
from api.client.errors import ApiError, DownloadError
from api.client.files import all_or_none, name_of_download
from api.client.http_client import Client
from api.client.models import OutputFile

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors of the disk that the next track would meet too. They stop the run."""

FILES = "files"
"""The member of an item's detail that lists the downloaded files."""

GONE = frozenset({httpx2.codes.NOT_FOUND, httpx2.codes.GONE})

MAX_TRIES = 3
"""How often a file that arrives damaged is downloaded."""


class StemDownloads:
    """Downloads stems into the output folder, several at a time."""

    def __init__(self, client: Client, state: RunState, finished: FinishedCalls, *, out: Path, threads: int) -> None:
        self._client, self._state, self._out = client, state, out
        self._calls = BackgroundCalls(threads, finished)
        self._in_progress: set[int] = set()

    def start_downloads(self) -> None:
        """Start as many downloads as there is room for."""
        if not self._calls.has_room:
            return
        room = 2 * self._calls.threads - self._calls.pending
        rows = self._state.find_items("state = 'succeeded' AND NOT fetched", limit=room + len(self._in_progress))
        for row in [r for r in rows if r["number"] not in self._in_progress][:room]:
            self._start_download(row)

    @property
    def is_done(self) -> bool:
        """Whether the stems of all succeeded tracks are downloaded."""
        return not self._calls.pending and not self._state.find_items("state = 'succeeded' AND NOT fetched", limit=1)

    def find_deleted_files(self) -> None:
        """Mark tracks to be downloaded again whose files were deleted since."""
        for row in self._state.find_items("state = 'succeeded' AND fetched"):
            if not all((self._out / path).is_file() for path in downloaded_files(row)):
                self._state.change_item(row["number"], fetched=0)

    def _start_download(self, row: Row) -> None:
        number = row["number"]
        self._in_progress.add(number)

        def on_result(files: list[Path]) -> None:
            self._in_progress.discard(number)
            detail = {**json.loads(row["detail"] or "{}"), FILES: [path.as_posix() for path in files]}
            self._state.change_item(number, fetched=1, detail=json.dumps(detail))

        def on_error(error: Exception) -> None:
            self._in_progress.discard(number)
            self._state.change_item(number, state="failed", **_track_error(error))

        self._calls.start_call(lambda: self._download_stems(row["job_id"], Path(row["folder"])), on_result, on_error)

    def _download_stems(self, job_id: str, folder: Path) -> list[Path]:
        """Download a job's stems; return their paths below the output folder."""
        files = []
        with all_or_none(self._out / folder, self._state.partial) as partial:
            job = self._client.job(job_id)
            for stem in (*job.stems, *job.mixes):
                name = name_of_download(stem.filename)
                self._download_stem(stem, partial / name)
                files.append(folder / name)
        return files

    def _download_stem(self, stem: OutputFile, path: Path) -> None:
        for tries_left in reversed(range(MAX_TRIES)):
            try:
                self._client.download(stem, path)
            except DownloadError:
                if not tries_left:
                    raise
            else:
                return


def downloaded_files(row: Row) -> list[str]:
    """Return the paths of a track's stems below the output folder; empty if they are not downloaded."""
    return list(json.loads(row["detail"] or "{}").get(FILES, ())) if row["fetched"] else []


def _track_error(error: Exception) -> Mapping[str, str]:
    """Return code and message of an error that concerns one track; raise an error that concerns the run."""
    if isinstance(error, DownloadError):
        return {"code": "download_damaged", "message": str(error)}
    if isinstance(error, ApiError) and error.status in GONE:
        return {"code": "outputs_gone", "message": error.detail}
    if isinstance(error, OSError) and error.errno not in DISK_ERRORS:
        return {"code": "file_unwritable", "message": error.strerror or str(error)}
    raise error
