"""Decides for the given settings which services start, in which order, with which environment.

If the settings name a Redis or a storage, that one is used and none is started.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from deploy.local.private_files import Credentials, load_or_make_credentials, make_private_folder
from deploy.local.processes import Service
from deploy.local.servers.seaweedfs import PORT_OFFSETS, seaweedfs_service, sockets_of_others, storage_url
from deploy.local.servers.valkey import valkey_service, valkey_url
from shared.settings import Settings, split_names

# If one of these is set, an external storage is used.
_STORAGE_SETTINGS = {"s3_endpoint_url", "s3_access_key_id", "s3_secret_access_key", "s3_region"}

# After kill -9 the API's processes need up to a second to notice that their parent is gone. They keep the port so long.
_PORT_PATIENCE_SECONDS = 3.0

API_COMMAND = ("-m", "gunicorn", "--config", "python:api.server.gunicorn_conf", "api.wsgi:app")
WORKER_COMMAND = ("-m", "celery", "--quiet", "--app", "worker.celery_app", "worker", "--pool", "threads")
WORKER_OPTIONS = ("--without-gossip", "--without-mingle", "--loglevel", "WARNING")


class PortTakenError(Exception):
    """Another program uses a port of the stack; the message names the setting to change."""


def api_url(settings: Settings) -> str:
    """Return the API's URL for a browser on this machine."""
    host = settings.api_host
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not listened on
        host = "127.0.0.1"
    return f"http://[{host}]:{settings.api_port}" if ":" in host else f"http://{host}:{settings.api_port}"


def plan_servers(settings: Settings) -> tuple[list[Service], dict[str, str]]:
    """Return the servers to start, and the settings with which the API and the worker reach them.

    Raises PortTakenError.
    """
    make_private_folder(settings.state_folder)
    credentials = load_or_make_credentials(settings.state_folder / "credentials.json")
    servers: list[Service] = []
    if _has_own_valkey(settings):
        _require_free_port("VALKEY_PORT", settings.valkey_port)
        folder = settings.state_folder / "valkey"
        servers.append(valkey_service(folder=folder, port=settings.valkey_port, password=credentials.redis_password))
    if _has_own_storage(settings):
        _require_free_port("STORAGE_PORT", settings.storage_port, PORT_OFFSETS)
        if others := sockets_of_others(settings.storage_port):
            raise PortTakenError(f"{others[0]} belongs to another user; set STORAGE_PORT to another port")
        servers.append(
            seaweedfs_service(
                folder=settings.state_folder / "storage",
                port=settings.storage_port,
                bucket=settings.s3_bucket,
                credentials=credentials,
                allowed_origin=api_url(settings),
                source_buckets=split_names(settings.s3_source_buckets),
                export_buckets=split_names(settings.export_buckets),
            )
        )
    return servers, server_settings(settings, credentials)


def server_settings(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """Return the addresses and credentials of the servers that are started here, as environment variables."""
    variables: dict[str, str] = {}
    if _has_own_valkey(settings):
        variables["REDIS_URL"] = valkey_url(port=settings.valkey_port, password=credentials.redis_password)
    if _has_own_storage(settings):
        variables["S3_ENDPOINT_URL"] = storage_url(port=settings.storage_port)
        variables["S3_ACCESS_KEY_ID"] = credentials.storage_access_key_id
        variables["S3_SECRET_ACCESS_KEY"] = credentials.storage_secret_access_key
    return variables


def _room_for_one_owner(state_folder: Path) -> int:
    """Return the bytes that one owner may store: four fifths of the storage's current size and the free disk space."""
    state_folder.mkdir(parents=True, exist_ok=True)
    used = sum(path.stat().st_size for path in (state_folder / "storage").rglob("*") if path.is_file())
    return (used + shutil.disk_usage(state_folder).free) * 4 // 5


def _has_own_valkey(settings: Settings) -> bool:
    return "redis_url" not in settings.model_fields_set


def _has_own_storage(settings: Settings) -> bool:
    return not _STORAGE_SETTINGS & settings.model_fields_set


def plan_programs(settings: Settings, server_variables: dict[str, str]) -> list[Service]:
    """Return the services of the API and the worker.

    Raises PortTakenError.
    """
    _require_free_port("API_PORT", settings.api_port, host=settings.api_host)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **server_variables}
    if "log_format" not in settings.model_fields_set:
        environment["LOG_FORMAT"] = "text"  # for people who read it in a terminal
    if _has_own_storage(settings) and "max_stored_bytes_per_owner" not in settings.model_fields_set:
        environment["MAX_STORED_BYTES_PER_OWNER"] = str(_room_for_one_owner(settings.state_folder))
    ready_url = f"{api_url(settings)}/readyz"
    return [
        Service(
            name="api",
            command=(sys.executable, *API_COMMAND),
            folder=Path.cwd(),
            environment=environment,
            answers=lambda: _is_ready(ready_url),
            start_seconds=120,
            stop_seconds=8,  # open event streams would delay the stop without end
        ),
        Service(
            name="worker",
            command=(sys.executable, *WORKER_COMMAND, *WORKER_OPTIONS),
            folder=Path.cwd(),
            environment=environment,
            answers=lambda: True,  # the API's /readyz says when a worker is available
            start_seconds=120,
            stop_seconds=8,  # it returns its jobs to the queue within 5
        ),
    ]


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on the TCP port now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As the servers do: connections of an earlier run in TIME_WAIT do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _require_free_port(setting: str, port: int, offsets: Sequence[int] = (0,), host: str = "127.0.0.1") -> None:
    """Check that the ports are free; wait up to _PORT_PATIENCE_SECONDS for them.

    Raises PortTakenError.
    """
    deadline = time.monotonic() + _PORT_PATIENCE_SECONDS
    while taken := [port + offset for offset in offsets if not is_free(port + offset, host)]:
        if time.monotonic() > deadline:
            needs = (
                "" if len(offsets) == 1 else f", and {setting} {port} needs {port} to {port + 4} and the same + 10000"
            )
            raise PortTakenError(f"port {taken[0]} is taken{needs}; set {setting} to another")
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, HTTPException, OSError):
        return False
