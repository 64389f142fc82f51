"""Downloads stems as their tracks end. Each file is checked, and appears complete or not at all."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path

import httpx2

from api.client.catalog.background_calls import Background, Results
from api.client.catalog.run_state import Row, RunState
from api.client.errors import ApiError, DownloadError
from api.client.http_client import Client
from api.client.models import OutputFile

FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Faults of the disk that the next track would meet as well."""

FILES = "files"
"""The member of an item's detail that names the fetched files."""

GONE = frozenset({httpx2.codes.NOT_FOUND, httpx2.codes.GONE})

TRIES = 3
"""How often a file that arrives damaged is fetched."""


class Fetching:
    """Stems on their way to the output folder."""

    def __init__(self, client: Client, state: RunState, results: Results, *, out: Path, threads: int) -> None:
        self._client, self._state, self._out = client, state, out
        self._background = Background(threads, results)
        self._under_way: set[int] = set()

    def feed(self) -> None:
        """Start as many downloads as there is room for."""
        if not self._background.has_room:
            return
        room = 2 * self._background.threads - self._background.busy
        rows = self._state.items("state = 'succeeded' AND NOT fetched", limit=room + len(self._under_way))
        for row in [r for r in rows if r["number"] not in self._under_way][:room]:
            self._start(row)

    @property
    def over(self) -> bool:
        """Whether all stems are here."""
        return not self._background.busy and not self._state.items("state = 'succeeded' AND NOT fetched", limit=1)

    def look_again(self) -> None:
        """Have stems fetched again that were here and are not any more."""
        for row in self._state.items("state = 'succeeded' AND fetched"):
            if not all((self._out / path).is_file() for path in fetched_files(row)):
                self._state.change(row["number"], fetched=0)

    def _start(self, row: Row) -> None:
        number = row["number"]
        self._under_way.add(number)

        def done(files: list[Path]) -> None:
            self._under_way.discard(number)
            detail = {**json.loads(row["detail"] or "{}"), FILES: [path.as_posix() for path in files]}
            self._state.change(number, fetched=1, detail=json.dumps(detail))

        def failed(error: Exception) -> None:
            self._under_way.discard(number)
            self._state.change(number, state="failed", **_fault(error))

        self._background.do(lambda: self._fetch(row["job_id"], Path(row["folder"])), done, failed)

    def _fetch(self, job_id: str, folder: Path) -> list[Path]:
        """Write a job's stems; return their places below the output folder."""
        files = []
        for stem in self._client.job(job_id).stems:
            # A server's word is not taken for where a file goes.
            path = folder / (Path(stem.filename).name.lstrip(".") or "stem")
            (self._out / path).parent.mkdir(parents=True, exist_ok=True)
            self._download(stem, self._out / path)
            files.append(path)
        return files

    def _download(self, stem: OutputFile, path: Path) -> None:
        for left in reversed(range(TRIES)):
            try:
                self._client.download(stem, path, partial_folder=self._state.partial)
            except DownloadError:
                if not left:
                    raise
            else:
                return


def fetched_files(row: Row) -> list[str]:
    """Return where a track's stems are below the output folder, if they are there."""
    return list(json.loads(row["detail"] or "{}").get(FILES, ())) if row["fetched"] else []


def _fault(error: Exception) -> Mapping[str, str]:
    """Return what is wrong with one track's stems; raise what is wrong with more than that."""
    if isinstance(error, DownloadError):
        return {"code": "download_damaged", "message": str(error)}
    if isinstance(error, ApiError) and error.status in GONE:
        return {"code": "outputs_gone", "message": error.detail}
    if isinstance(error, OSError) and error.errno not in FATAL:
        return {"code": "file_unwritable", "message": error.strerror or str(error)}
    raise error
