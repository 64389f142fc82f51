"""The API calls about jobs, uploads and the server, one method each.

connection.py decides what is retried; files.py sends and verifies files.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from api.client.batches import Batches
from api.client.connection import Connection, retry_after_seconds
from api.client.errors import JobFailedError
from api.client.files import OnBytes, all_or_none, name_of_download, save_output, with_progress
from api.client.models import Engine, Excerpt, Job, OutputFile, job_json
from shared.audio.mixes import Mix
from shared.parsing.file_names import readable_name

DEFAULT_URL = "http://127.0.0.1:8000"

MAX_WAIT_SECONDS = 45
"""How long the server is asked to delay a response; less than the timeout of a silent connection."""

APPLIED = "Preference-Applied"


class Client:
    """A client of one server. Close it, or use it in a `with` statement.

    `patience_seconds` is how long a call is retried while the server defers it or cannot be reached.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        patience_seconds: float = 60.0,
        timeout_seconds: float = 60.0,
    ) -> None:
        self.url = (url or os.environ.get("STEMQUEUE_URL") or DEFAULT_URL).rstrip("/")
        key = (api_key or os.environ.get("STEMQUEUE_API_KEY") or "").strip() or None
        self._server = Connection(
            self.url, api_key=key, patience_seconds=patience_seconds, timeout_seconds=timeout_seconds
        )
        self.batches = Batches(self._server)

    @property
    def patience_seconds(self) -> float:
        """How long a call is retried."""
        return self._server.patience_seconds

    @patience_seconds.setter
    def patience_seconds(self, seconds: float) -> None:
        self._server.patience_seconds = seconds

    @property
    def trouble(self) -> str | None:
        """While a call is being retried: its last error. None while the server answers."""
        return self._server.trouble

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def submit(
        self,
        path: Path | None = None,
        *,
        source_job: str | None = None,
        source_output: str | None = None,
        engine: str | None = None,
        preset: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        stems: Sequence[str] | None = None,
        mixes: Sequence[Mix | str] | None = None,
        format: str | None = None,  # noqa: A002 - the API's word
        bit_depth: int | None = None,
        bitrate_kbps: int | None = None,
        excerpt: Excerpt | None = None,
        audio_stream: int | None = None,
        priority: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        webhook_url: str | None = None,
        then: Sequence[Mapping[str, Any]] | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Job:
        """Upload a file and create a job for it. Retries never create a second job.

        Instead of a file, `source_job` and `source_output` name a stem or mix of a job that has succeeded. `mixes` are
        mixes of the stems, or short forms of these, such as `minus:vocals`. With `stems=[]` they are made alone. `then`
        are jobs that continue with outputs of this one, as the API has them: `[{"from": "vocals", "format": "mp3"}]`.
        `on_bytes` is called with the bytes sent and the total. Raises ApiError, ConnectionFailedError, OSError;
        ValueError unless there is exactly one source.
        """
        if (path is None) == (source_job is None) or (source_job is None) != (source_output is None):
            raise ValueError("give either a path, or source_job and source_output")
        wanted = job_json(
            engine=engine,
            preset=preset,
            format=format,
            bit_depth=bit_depth,
            bitrate_kbps=bitrate_kbps,
            audio_stream=audio_stream,
            priority=priority,
            webhook_url=webhook_url,
            parameters=parameters,
            stems=stems,
            mixes=mixes,
            metadata=metadata,
            excerpt=excerpt and asdict(excerpt),
            then=list(then) if then else None,
        )
        if path is None:
            body = {**wanted, "source": {"job_id": source_job, "output": source_output}}
            answer = self._server.send("POST", "/v1/jobs", body, key=uuid.uuid4().hex)
            return self._server.parse_json(answer, Job.from_json)
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in wanted.items()}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        with path.open("rb") as file:

            def send() -> httpx2.Response:
                file.seek(0)
                body = with_progress(file, path.stat().st_size, on_bytes)
                return self._server.http.post(
                    "/v1/jobs", data=fields, files={"file": (readable_name(path.name), body)}, headers=key
                )

            return self._server.parse_json(self._server.send_with_retries(send, repeatable=True), Job.from_json)

    def upload(
        self, path: Path, *, filename: str | None = None, key: str | None = None, on_bytes: OnBytes | None = None
    ) -> str:
        """Upload a file that jobs can refer to; return the upload's id. A repeated key and content return the same id.

        Raises ApiError, ConnectionFailedError, OSError.
        """
        headers = {"Idempotency-Key": key or uuid.uuid4().hex, "Content-Type": "application/octet-stream"}
        with path.open("rb") as file:
            size_bytes = path.stat().st_size
            headers["Content-Length"] = str(size_bytes)

            def send() -> httpx2.Response:
                if path.stat().st_size != size_bytes:
                    raise OSError(errno.EAGAIN, "the file changed while it was being uploaded", str(path))
                file.seek(0)
                name = {"filename": filename or readable_name(path.name)}
                body = with_progress(file, size_bytes, on_bytes)
                return self._server.http.post("/v1/uploads", params=name, content=body, headers=headers)

            return self._server.parse_json(
                self._server.send_with_retries(send, repeatable=True), lambda answer: str(answer["upload_id"])
            )

    def job(self, job_id: str) -> Job:
        """Return a job's current state."""
        return self._server.parse_json(self._server.get(f"/v1/jobs/{job_id}"), Job.from_json)

    def jobs(self, *, state: str | None = None, limit: int | None = None) -> Iterator[Job]:
        """Yield jobs, newest first."""
        query: dict[str, Any] = {"state": state, "limit": min(limit or 100, 100)}
        while True:
            answer = self._server.get("/v1/jobs", query)
            page, next_starting_after = self._server.parse_json(answer, _parse_page)
            for job in page:
                if limit == 0:
                    return
                yield job
                limit = None if limit is None else limit - 1
            if next_starting_after is None or limit == 0:
                return
            query["starting_after"] = next_starting_after

    def wait(
        self, job_id: str, *, timeout_seconds: float | None = None, on_change: Callable[[Job], None] | None = None
    ) -> Job:
        """Return the job when it has ended; call `on_change` at each change until then. Raises TimeoutError.

        The server delays its responses until the job changes. If it cannot, the job is polled as Retry-After says.
        """
        deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        job: Job | None = None
        headers: dict[str, str] = {}
        while True:
            response = self._server.get(f"/v1/jobs/{job_id}", headers=headers)
            if response.status_code != httpx2.codes.NOT_MODIFIED:
                job = self._server.parse_json(response, Job.from_json)
                if on_change:
                    on_change(job)
                if job.ended:
                    return job
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"The job is still {job.state if job else 'there'} after {timeout_seconds:.0f} s.")
            if headers and APPLIED not in response.headers:
                time.sleep(min(left, retry_after_seconds(response) or 1.0))
            headers = {"Prefer": f"wait={math.ceil(min(left, MAX_WAIT_SECONDS))}"}
            if on_change and "ETag" in response.headers:
                headers["If-None-Match"] = response.headers["ETag"]

    def cancel(self, job_id: str) -> Job:
        """Cancel a job and those after it in its chain, as far as they have not ended."""
        return self._server.parse_json(self._server.send("POST", f"/v1/jobs/{job_id}/cancel"), Job.from_json)

    def retry(self, job_id: str) -> Job:
        """Queue a failed or canceled job again."""
        return self._server.parse_json(self._server.send("POST", f"/v1/jobs/{job_id}/retry"), Job.from_json)

    def mix(
        self,
        job_id: str,
        mixes: Sequence[Mix | str] = (),
        *,
        format: str | None = None,  # noqa: A002 - the API's word
        bit_depth: int | None = None,
        bitrate_kbps: int | None = None,
    ) -> Job:
        """Create a job that makes mixes of the stems of an ended job, without separating again; return the new job.

        With the format `stem.mp4` and no mixes, it makes a stem file of them.
        """
        body = {"mixes": []} | job_json(mixes=mixes, format=format, bit_depth=bit_depth, bitrate_kbps=bitrate_kbps)
        answer = self._server.send("POST", f"/v1/jobs/{job_id}/mixes", body, key=uuid.uuid4().hex)
        return self._server.parse_json(answer, Job.from_json)

    def delete(self, job_id: str) -> None:
        """Delete a finished job and its stems."""
        self._server.send("DELETE", f"/v1/jobs/{job_id}")

    def engines(self) -> list[Engine]:
        """Return the engines that the server has now."""
        return self._server.parse_json(
            self._server.get("/v1/engines"),
            lambda answer: [Engine.from_json(e, default=answer["default_engine"]) for e in answer["engines"]],
        )

    def download(
        self, output: OutputFile, path: Path, *, on_bytes: OnBytes | None = None, partial_folder: Path | None = None
    ) -> Path:
        """Download an output to a file, which appears complete or not at all. Raises DownloadError.

        The incomplete file is in `partial_folder`, which must be on the same disk; by default in the file's own folder.
        """

        def fetch() -> httpx2.Response:
            with self._server.http.stream("GET", self._server.path_of(output.url), follow_redirects=True) as response:
                if response.status_code == httpx2.codes.OK:
                    save_output(response, output, path, on_bytes, partial_folder or path.parent)
                else:
                    response.read()
            return response

        self._server.send_with_retries(fetch, repeatable=True)
        return path

    def download_job(self, job: Job, folder: Path, *, on_bytes: OnBytes | None = None) -> list[Path]:
        """Download a job's stems, mixes, beats, report and spectrogram into a folder: all, or none after an error.

        Raises JobFailedError, DownloadError, OSError.
        """
        if job.state != "succeeded":
            raise job_failure(job)
        pictures = [p for p in job.pictures if p.name == "spectrogram"]
        wanted = [*job.stems, *job.mixes, *filter(None, (job.beats, job.report)), *pictures]
        total, done = sum(o.size_bytes for o in wanted), 0
        names = [name_of_download(output.filename) for output in wanted]
        with all_or_none(folder) as partial:
            for output, name in zip(wanted, names, strict=True):
                before = done

                def on_file_bytes(now: int, _: int, before: int = before) -> None:
                    if on_bytes:
                        on_bytes(before + now, total)

                self.download(output, partial / name, on_bytes=on_file_bytes)
                done += output.size_bytes
        return [folder / name for name in names]


def _parse_page(answer: Mapping[str, Any]) -> tuple[list[Job], str | None]:
    """Return the jobs of a page, and `starting_after` of the next page."""
    next_starting_after = answer["next_starting_after"] if answer["has_more"] else None
    return [Job.from_json(values) for values in answer["jobs"]], next_starting_after


def job_failure(job: Job) -> JobFailedError:
    """Return the error of a job that has no stems."""
    if job.error:
        return JobFailedError(job.error.code, job.error.message)
    return JobFailedError(f"job_{job.state}", f"The job is {job.state}.")
