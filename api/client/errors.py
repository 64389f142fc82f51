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
        self.detail = str(problem.get("detail") or problem.get("title") or _foreign_answer(status))
        self.request_id: str | None = problem.get("request_id")
        self.errors: Sequence[Mapping[str, Any]] = problem.get("errors") or []
        super().__init__(self.detail)


_FOREIGN_ANSWERS = {
    401: "A proxy in front of the server asks for a password of its own.",
    403: "A proxy in front of the server refuses access.",
    404: "There is no stemqueue server at this address; perhaps the URL lacks a path.",
    408: "The request took longer than a proxy in front of the server allows.",
    413: "The file is larger than a proxy in front of the server allows. Its operator can raise the limit.",
    429: "A proxy in front of the server limits the number of requests.",
    502: "A proxy in front of the server cannot reach it.",
    503: "A proxy in front of the server cannot reach it.",
    504: "The server did not answer a proxy in front of it in time.",
}


def _foreign_answer(status: int) -> str:
    """Return what an answer means that is not stemqueue's own: a proxy's, or that of another server."""
    words = _FOREIGN_ANSWERS.get(status, "A proxy in front of the server, or another server, answered.")
    return f"{words} (HTTP {status})"


class JobFailedError(ClientError):
    """The job failed or was canceled. `code` is the job's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DownloadError(ClientError):
    """A download is shorter than announced, or its SHA-256 differs."""
