"""A typed client of the HTTP API, and the command `stemqueue`.

From `shared` it imports only modules that need nothing but the standard library.
"""

from __future__ import annotations

from api.client.errors import ApiError, ClientError, ConnectionFailedError, DownloadError, JobFailedError
from api.client.http_client import Client
from api.client.models import Engine, Excerpt, Job, JobError, OutputFile

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "ConnectionFailedError",
    "DownloadError",
    "Engine",
    "Excerpt",
    "Job",
    "JobError",
    "JobFailedError",
    "OutputFile",
]
