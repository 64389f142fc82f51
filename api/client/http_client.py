"""The calls of the API, one method each, with retries that do as the server asks.

Owns what is tried again (what the server put off, and what never reached it) and how a download is checked.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import httpx

from api.client.errors import ApiError, ConnectionFailedError, DownloadError, JobFailedError
from api.client.models import Engine, Excerpt, Job, OutputFile

OnBytes = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

DEFAULT_URL = "http://127.0.0.1:8000"

PUT_OFF = frozenset({429, 502, 503, 504})
"""Statuses that say: later."""

LONGEST_PAUSE_SECONDS = 60.0
"""However long a server asks to wait, it is asked again after this."""

LONGEST_WAIT_SECONDS = 45
"""How long the server is asked to hold an answer back; below the time after which a silent server counts as gone."""

APPLIED, KEY_IN_USE = "Preference-Applied", "idempotency_key_in_use"

CHUNK_BYTES = 256 * 1024


class Client:
    """A connection to one server; close it, or use it in a `with`.

    `patience_seconds` is how long a call goes on trying while the server puts it off or is not there.
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
        key = api_key or os.environ.get("STEMQUEUE_API_KEY")
        self._patience_seconds = patience_seconds
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_seconds, connect=5.0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def submit(
        self,
        path: Path,
        *,
        engine: str | None = None,
        preset: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        stems: Sequence[str] | None = None,
        format: str | None = None,  # noqa: A002 - the API's word
        bit_depth: int | None = None,
        bitrate_kbps: int | None = None,
        excerpt: Excerpt | None = None,
        priority: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        webhook_url: str | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Job:
        """Upload a file and put its separation in line; tried again without making a second job.

        Raises ApiError, ConnectionFailedError, OSError.
        """
        wanted = {
            "engine": engine,
            "preset": preset,
            "format": format,
            "bit_depth": bit_depth,
            "bitrate_kbps": bitrate_kbps,
            "priority": priority,
            "webhook_url": webhook_url,
            "parameters": _json_or_none(parameters),
            "stems": _json_or_none(stems),
            "metadata": _json_or_none(metadata),
            "excerpt_start_seconds": excerpt and excerpt.start_seconds,
            "excerpt_duration_seconds": excerpt and excerpt.duration_seconds,
        }
        fields = {name: str(value) for name, value in wanted.items() if value is not None}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        with path.open("rb") as file:

            def send() -> httpx.Response:
                file.seek(0)
                watched = cast("IO[bytes]", _Watched(file, path.stat().st_size, on_bytes))
                return self._http.post("/v1/jobs", data=fields, files={"file": (path.name, watched)}, headers=key)

            return Job.from_json(self._tried(send, repeatable=True).json())

    def job(self, job_id: str) -> Job:
        """Return a job as it stands."""
        return Job.from_json(self._get(f"/v1/jobs/{job_id}").json())

    def jobs(self, *, state: str | None = None, limit: int | None = None) -> Iterator[Job]:
        """Yield jobs, newest first."""
        query: dict[str, Any] = {"state": state, "limit": min(limit or 100, 100)}
        while True:
            page = self._get("/v1/jobs", {k: v for k, v in query.items() if v is not None}).json()
            for values in page["jobs"]:
                if limit == 0:
                    return
                yield Job.from_json(values)
                limit = None if limit is None else limit - 1
            if not page["has_more"] or limit == 0:
                return
            query["starting_after"] = page["next_starting_after"]

    def wait(
        self, job_id: str, *, timeout_seconds: float | None = None, on_change: Callable[[Job], None] | None = None
    ) -> Job:
        """Return the job once it has ended; `on_change` is told of each change until then. Raises TimeoutError.

        The server holds its answers back meanwhile; one that cannot is asked again when it says.
        """
        deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        job: Job | None = None
        headers: dict[str, str] = {}
        while True:
            response = self._get(f"/v1/jobs/{job_id}", headers=headers)
            if response.status_code != httpx.codes.NOT_MODIFIED:
                job = Job.from_json(response.json())
                if on_change:
                    on_change(job)
                if job.ended:
                    return job
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"The job is still {job.state if job else 'there'} after {timeout_seconds:.0f} s.")
            if headers and APPLIED not in response.headers:
                time.sleep(min(left, _retry_after_seconds(response) or 1.0))
            headers = {"Prefer": f"wait={math.ceil(min(left, LONGEST_WAIT_SECONDS))}"}
            if on_change and "ETag" in response.headers:
                headers["If-None-Match"] = response.headers["ETag"]

    def cancel(self, job_id: str) -> Job:
        """End a queued or running job."""
        return Job.from_json(self._send("POST", f"/v1/jobs/{job_id}/cancel").json())

    def retry(self, job_id: str) -> Job:
        """Put a failed or canceled job back in line."""
        return Job.from_json(self._send("POST", f"/v1/jobs/{job_id}/retry").json())

    def delete(self, job_id: str) -> None:
        """Remove an ended job and its stems."""
        self._send("DELETE", f"/v1/jobs/{job_id}")

    def engines(self) -> list[Engine]:
        """Return the engines that the server has now."""
        answer = self._get("/v1/engines").json()
        return [Engine.from_json(e, default=answer["default_engine"]) for e in answer["engines"]]

    def download(self, output: OutputFile, path: Path, *, on_bytes: OnBytes | None = None) -> Path:
        """Write an output to a file, which is there whole or not at all. Raises DownloadError."""
        self._tried(lambda: self._download(output, path, on_bytes), repeatable=True)
        return path

    def download_job(self, job: Job, folder: Path, *, on_bytes: OnBytes | None = None) -> list[Path]:
        """Write a job's stems, its report and its spectrogram into a folder. Raises JobFailedError, DownloadError."""
        if job.state != "succeeded":
            raise failure(job)
        pictures = [p for p in job.pictures if p.name == "spectrogram"]
        wanted = [*job.stems, *([job.report] if job.report else []), *pictures]
        total, done = sum(o.size_bytes for o in wanted), 0
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for output in wanted:
            before = done

            def told(now: int, _: int, before: int = before) -> None:
                if on_bytes:
                    on_bytes(before + now, total)

            paths.append(self.download(output, folder / Path(output.filename).name, on_bytes=told))
            done += output.size_bytes
        return paths

    def _download(self, output: OutputFile, path: Path, on_bytes: OnBytes | None) -> httpx.Response:
        digest, done = hashlib.sha256(), 0
        with self._http.stream("GET", output.url, follow_redirects=True) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                return response
            handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    for chunk in response.iter_bytes(CHUNK_BYTES):
                        file.write(chunk)
                        digest.update(chunk)
                        done += len(chunk)
                        if on_bytes:
                            on_bytes(done, output.size_bytes)
                if digest.hexdigest() != output.sha256:
                    raise DownloadError(f"{output.filename} arrived damaged: its SHA-256 differs.")
                # mkstemp lets nobody else read; a download is as any other new file.
                Path(partial).chmod(0o666 & ~_umask())
                Path(partial).replace(path)
            finally:
                Path(partial).unlink(missing_ok=True)
        return response

    def _get(
        self, path: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return self._tried(lambda: self._http.get(path, params=query, headers=headers), repeatable=True)

    def _send(self, method: str, path: str) -> httpx.Response:
        return self._tried(lambda: self._http.request(method, path), repeatable=False)

    def _tried(self, send: Callable[[], httpx.Response], *, repeatable: bool) -> httpx.Response:
        """Make a call until it is answered.

        A call that changes something is repeated only if it cannot have been served: the server put it off, or
        there was no connection. Raises ApiError, ConnectionFailedError.
        """
        deadline, tries = time.monotonic() + self._patience_seconds, 0
        while True:
            tries += 1
            pause = min(5.0, 0.25 * 2**tries) * random.uniform(0.7, 1.3)  # noqa: S311 - jitter is no secret
            try:
                response = send()
            except httpx.TransportError as error:
                may_repeat = repeatable or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if not may_repeat or time.monotonic() + pause > deadline:
                    raise ConnectionFailedError(_describe(self.url, error)) from error
            else:
                if response.status_code < httpx.codes.BAD_REQUEST:
                    return response
                pause = _retry_after_seconds(response) or pause
                put_off = response.status_code in PUT_OFF or _problem(response).get("code") == KEY_IN_USE
                if not put_off or time.monotonic() + pause > deadline:
                    raise ApiError(response.status_code, _problem(response))
            time.sleep(pause)


class _Watched:
    """A file that tells how far it has been read."""

    def __init__(self, file: IO[bytes], size_bytes: int, on_bytes: OnBytes | None) -> None:
        self._file, self._size_bytes, self._on_bytes, self._done = file, size_bytes, on_bytes, 0

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._done += len(block)
        if self._on_bytes and block:
            self._on_bytes(self._done, self._size_bytes)
        return block

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(CHUNK_BYTES):
            yield block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


def failure(job: Job) -> JobFailedError:
    """Return the error that says why a job has no stems."""
    if job.error:
        return JobFailedError(job.error.code, job.error.message)
    return JobFailedError(f"job_{job.state}", f"The job is {job.state}.")


def _json_or_none(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _retry_after_seconds(response: httpx.Response) -> float | None:
    try:
        return min(LONGEST_PAUSE_SECONDS, max(0.1, float(response.headers["Retry-After"])))
    except (KeyError, ValueError):
        return None


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _describe(url: str, error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"No server answers at {url}."
    if isinstance(error, httpx.TimeoutException):
        return f"The server at {url} stopped answering."
    return f"The connection to {url} broke ({type(error).__name__})."


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
