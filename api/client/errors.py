"""The errors of the client. Each message is one sentence for the user.

ClientError
|-- ConnectionFailedError   no server answers
|-- ApiError                the server refused; carries its status, code and request id
|-- JobFailedError          the job ended without stems
`-- DownloadError           a downloaded file is incomplete or damaged
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ClientError(Exception):
    """The base class of the client's errors."""


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
    """The job failed or was canceled. `code` is the job's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DownloadError(ClientError):
    """A download is shorter than announced, or its SHA-256 differs."""
