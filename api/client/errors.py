"""What can go wrong between a client and the server; each error is one sentence for the person who asked.

ClientError
|-- ConnectionFailedError   no server, or none that answers
|-- ApiError                the server refused; carries its status, code and request id
|-- JobFailedError          the job ended without stems
`-- DownloadError           what came is not what the server promised
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ClientError(Exception):
    """Something that has a name went wrong."""


class ConnectionFailedError(ClientError):
    """The server cannot be reached, or stopped answering."""


class ApiError(ClientError):
    """The server refused the request."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code") or f"http_{status}")
        self.detail = str(problem.get("detail") or problem.get("title") or f"The server answered {status}.")
        self.request_id: str | None = problem.get("request_id")
        self.errors: Sequence[Mapping[str, Any]] = problem.get("errors") or []
        super().__init__(self.detail)


class JobFailedError(ClientError):
    """The job failed or was canceled; `code` is the job's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DownloadError(ClientError):
    """A download is shorter than announced, or its SHA-256 differs."""
